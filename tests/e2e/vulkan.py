#!/usr/bin/env python3
"""The demo model by Vulkan through HTTP, on whatever device is here (a software renderer in CI)."""
import json
import os
import subprocess
import sys
import urllib.request

import tap
from tap import Skip
from weir_server import WEIR, Server

DEVICE = {"WEIR_VULKAN_DEVICE": os.environ.get("WEIR_VULKAN_DEVICE", "0")}


def ask(server, text, tokens=16, stream=False):
    body = {"model": "weir-demo", "max_tokens": tokens, "temperature": 0, "stream": stream,
            "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(server.url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        data = answer.read().decode()
    if not stream:
        return json.loads(data)["choices"][0]["message"]["content"]
    events = [line[6:] for line in data.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-1]
    return "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events[:-1])


def need_vulkan():
    done = subprocess.run([str(WEIR), "inspect", "vulkan"], capture_output=True, text=True, env={**os.environ, **DEVICE})
    if "can run here" not in done.stdout:
        raise Skip("no Vulkan device: " + (done.stdout.splitlines() or ["the plugin was not built"])[-1][:100])


def test_a_list_passes_a_software_renderer_over():
    need_vulkan()
    environment = {k: v for k, v in os.environ.items() if k != "WEIR_VULKAN_DEVICE"}
    done = subprocess.run([str(WEIR), "inspect", "vulkan"], capture_output=True, text=True, env=environment)
    if "software renderer" not in done.stdout:
        raise Skip("the best device here is no software renderer")
    with Server("vulkan", env={"WEIR_VULKAN_DEVICE": ""}) as server:
        text = server.text()
        assert "not vulkan: only" in text and "uses cpu" in text, text


def test_a_list_with_a_plugin_that_is_not_here():
    need_vulkan()
    with Server("vulkan", "backend.main.plugin=no-such-backend, vulkan, cpu", env=DEVICE) as server:
        text = server.text()
        assert "not no-such-backend: no backend of that name is loaded" in text, text
        assert "uses vulkan" in text, text


def test_the_demo_model_answers_as_on_the_cpu():
    need_vulkan()
    with Server("vulkan", "backend.main.max_batch_tokens=64", env=DEVICE) as server:
        assert "uses vulkan" in server.text(), server.text()
        text = ask(server, "Hello!")
        streamed = ask(server, "Hello!", stream=True)
    with Server("default") as server:
        wanted = ask(server, "Hello!")
    assert text == wanted, (text, wanted)
    assert streamed == wanted, (streamed, wanted)


def test_a_device_that_is_not_here():
    need_vulkan()
    try:
        with Server("vulkan", "backend.main.plugin=vulkan", "backend.main.device=No such GPU", env=DEVICE):
            raise AssertionError("it started")
    except RuntimeError as refused:
        assert "no Vulkan device is 'No such GPU'; here are 0: " in str(refused), refused


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "vulkan"))
