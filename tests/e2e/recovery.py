#!/usr/bin/env python3
"""Backends that are lost, or replaced, in the middle of answers: every client gets the text that an undisturbed
server gives at the same seed, each event once and in order. The loss is a plugin's (lossy/weir-lossy.c) and, where
there is Vulkan, a device's (lossy/libvulkan.c)."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import tap
from tap import Skip
from weir_server import BUILD, SOURCE, WEIR, Server

MODEL = SOURCE / "data" / "models" / "weir-demo.gguf"
LOSSY = BUILD / "tests" / "e2e" / "lossy"
PROFILE = """
[server]
drain_timeout = {drain}
plugin_path = {lossy}
[frontend.http]
plugin = http
admin = true
[backend.main]
plugin = {plugin}
model = {model}
serves = weir-demo
context = {context}
max_sequences = 16
{extra}
"""
SPARE = """
[backend.spare]
plugin = cpu
model = {model}
serves = weir-*
context = 1024
max_sequences = 16
"""


class Place:
    """A folder with a profile and the file that makes somebody lose."""

    def __init__(self, folder, **values):
        self.ini, self.file = pathlib.Path(folder) / "p.ini", pathlib.Path(folder) / "lose"
        self.env = {"WEIR_TEST_INNER": str(BUILD / "backends" / "cpu" / "weir-cpu.so"),
                    "WEIR_TEST_LOSE": str(self.file), "WEIR_TEST_STEP_US": "4000"}
        self.write(**values)

    def write(self, **values):
        text = PROFILE.format(**{"drain": "30s", "lossy": LOSSY, "plugin": "lossy", "model": MODEL, "context": 1024,
                                 "extra": "", **values})
        self.ini.write_text(text, encoding="utf-8")


class Client(threading.Thread):
    """One streamed answer: its text, the ids of its events, how it ended."""

    def __init__(self, server, seed, n=200, **more):
        super().__init__()
        self.server, self.text, self.ids, self.done, self.finish, self.error = server, "", [], 0, None, None
        self.usage = None
        self.body = {"model": "weir-demo", "seed": seed, "max_tokens": n, "temperature": 0.8, "stream": True,
                     "stream_options": {"include_usage": True},
                     "messages": [{"role": "user", "content": f"write an essay about the sea, number {seed}"}], **more}
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        connection.request("POST", "/v1/chat/completions", json.dumps(self.body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            self.error = answer.read().decode()
            return
        for line in answer:
            line = line.decode().rstrip("\n")
            if line.startswith("id: "):
                self.ids.append(int(re.search(r"(\d+)$", line).group(1)))
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                self.done += 1
                continue
            event = json.loads(line[6:])
            if "error" in event:
                self.error = event["error"]
                continue
            self.usage = event.get("usage") or self.usage
            for choice in event["choices"]:
                self.text += choice["delta"].get("content") or ""
                self.finish = choice.get("finish_reason") or self.finish
        connection.close()

    def result(self):
        self.join()
        assert self.error is None, self.error
        assert self.done == 1, "said to be done once"
        assert self.ids == sorted(set(self.ids)), "no event twice, none out of order"
        usage = {k: v for k, v in self.usage.items() if k != "prompt_tokens_details"}
        return self.text, self.finish, usage, len(self.ids)


def until(what, true, seconds=90):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def ask_all(server, n=8, tokens=200):
    return [Client(server, seed, tokens) for seed in range(1, n + 1)]


def undisturbed(place, n=8, tokens=200):
    with Server(place.ini, env={**place.env, "WEIR_TEST_STEP_US": "0"}) as server:
        return [client.result() for client in ask_all(server, n, tokens)]


def lose(place, clients, least=60):
    """In the middle of all of them."""
    until("they all write", lambda: all(len(c.text) > least or c.error for c in clients))
    place.file.touch()
    until("somebody is lost", lambda: not place.file.exists())


def check(got, want):
    for number, (one, other) in enumerate(zip(got, want)):
        assert one[:3] == other[:3], f"client {number}:\n{one}\n{other}"


def test_another_backend_goes_on():
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, extra=SPARE.format(model=MODEL))
        want = undisturbed(place)
        with Server(place.ini, env=place.env) as server:
            clients = ask_all(server)
            lose(place, clients)
            check([client.result() for client in clients], want)
            assert server.metric("weir_backend_losses_total") == 1
            assert server.metric("weir_requests_recovered_total") >= 1
            assert server.metric("weir_requests_lost_total") == 0
            until("it is back", lambda: all(b["state"] == "ready" for b in server.get("/health")[1]["backends"]))
            assert "is loaded again" in server.text()


def test_the_only_backend_comes_back():
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        want = undisturbed(place)
        with Server(place.ini, env=place.env) as server:
            clients = ask_all(server)
            lose(place, clients)
            check([client.result() for client in clients], want)
            assert server.metric("weir_requests_lost_total") == 0
            check([client.result() for client in ask_all(server)], want)


def test_replaced_beside_in_the_middle():
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, drain="1s", extra="replace = beside")
        want = undisturbed(place, tokens=600)
        with Server(place.ini, env={**place.env, "WEIR_TEST_STEP_US": "12000"}) as server:
            clients = ask_all(server, tokens=600)
            until("they all write", lambda: all(len(c.text) > 60 or c.error for c in clients))
            place.write(drain="1s", extra="replace = beside", context=1152)
            server.process.send_signal(signal.SIGHUP)
            check([client.result() for client in clients], want)
            text = server.text()
            assert "is replaced" in text and "go on elsewhere" in text, text[-3000:]
            assert server.metric("weir_requests_recovered_total") >= 1


def test_a_vulkan_device_is_lost():
    if not (LOSSY / "libvulkan.so.1").exists():
        raise Skip("built without Vulkan")
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout
    loader = re.search(r"libvulkan\.so\.1 .* => (\S+)", listed)
    if not loader:
        raise Skip("Vulkan's loader is not installed")
    device = {"WEIR_VULKAN_DEVICE": os.environ.get("WEIR_VULKAN_DEVICE", "0"),
              "LD_LIBRARY_PATH": str(LOSSY), "WEIR_TEST_LOADER": loader.group(1)}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, plugin="vulkan", context=256, extra="max_batch_tokens = 64")
        place.env.update(device)
        shown = subprocess.run([str(WEIR), "inspect", "vulkan"], capture_output=True, text=True,
                               env={**os.environ, **place.env})
        if "can run here" not in shown.stdout:
            raise Skip("no Vulkan device: " + (shown.stdout.splitlines() or ["no plugin"])[-1][:100])
        want = undisturbed(place, n=3, tokens=48)
        with Server(place.ini, env=place.env) as server:
            clients = ask_all(server, n=3, tokens=48)
            lose(place, clients, least=20)
            check([client.result() for client in clients], want)
            assert server.metric("weir_backend_losses_total") == 1
            assert server.metric("weir_requests_lost_total") == 0


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "recovery"))
