#!/usr/bin/env python3
"""What llama-server's users ask of a server: /slots, /props and the meta of /v1/models (DESIGN: names as they know
them), with nobody's prompt told to others."""
import json
import sys
import threading
import time
import urllib.request

import tap
from weir_server import Server

SECRET = "a secretword story"
demo = None


def start(server, **more):
    """A stream that runs until it is closed."""
    body = {"model": "weir-demo", "messages": [{"role": "user", "content": SECRET}], "stream": True, "max_tokens": 1900,
            "ignore_eos": True, **more}
    request = urllib.request.Request(server.url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    answer = urllib.request.urlopen(request, timeout=30)
    answer.readline()
    return answer


def busy(server, path="/slots", **kw):
    return [s for s in server.get(path, **kw)[1] if s["is_processing"]]


def wait_idle(server):
    end = time.monotonic() + 20
    while busy(server):
        assert time.monotonic() < end, "a slot stays busy"
        time.sleep(0.02)


def test_idle():
    status, slots, _ = demo.get("/slots")
    props = demo.get("/props")[1]
    assert status == 200 and len(slots) == props["total_slots"] > 0
    assert [s["id"] for s in slots] == list(range(len(slots)))
    context = demo.get("/v1/models")[1]["data"][0]["max_model_len"]
    for slot in slots:
        assert slot["id_task"] == -1 and slot["n_ctx"] == context and slot["is_processing"] is False
        assert slot["next_token"][0]["n_decoded"] == 0 and "prompt" not in slot


def test_running():
    """A stream in a slow reader's hands stands still: what is told of it does too."""
    a = start(demo)
    first = busy(demo)
    assert [s["id"] for s in first] == [0], first
    b = start(demo, n=2, temperature=0.5)
    slots = busy(demo)
    assert [(s["id"], s["choice"]) for s in slots] == [(0, 0), (1, 0), (2, 1)], slots
    assert slots[0]["id_task"] == first[0]["id_task"] != slots[1]["id_task"] == slots[2]["id_task"]
    assert slots[0]["params"]["n_predict"] == 1900 and slots[1]["params"]["temperature"] == 0.5
    assert 0 < slots[0]["n_prompt_tokens"] < 100 and slots[0]["seconds"] > 0 and slots[0]["kind"] == "chat"
    a.close()
    end = time.monotonic() + 20
    while len(busy(demo)) > 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert [s["id"] for s in busy(demo)] == [1, 2]
    b.close()
    wait_idle(demo)


def test_decoded_is_counted():
    got = {}

    def look():
        while "end" not in got:
            for slot in busy(demo):
                got[slot["next_token"][0]["n_decoded"]] = slot["next_token"][0]["n_remain"]
    thread = threading.Thread(target=look)
    thread.start()
    body = {"model": "weir-demo", "prompt": "Once", "max_tokens": 400, "ignore_eos": True}
    used = demo.post("/v1/completions", body)[1]["usage"]["completion_tokens"]
    got["end"] = True
    thread.join()
    del got["end"]
    assert used == 400 and got and all(0 <= n <= 400 and n + rest == 400 for n, rest in got.items()), got


def test_nobody_elses_prompt():
    """Not by default, and with option admin only to who administers: with an id one could ask for the answer."""
    for server in (demo,):
        stream = start(server)
        text = json.dumps(server.get("/slots")[1])
        assert "secretword" not in text and "chatcmpl" not in text
        stream.close()
    with Server("echo", "frontend.http.admin=true", "backend.echo.rate=5") as server:
        stream = start(server, model="echo", messages=[{"role": "user", "content": SECRET + " of many words" * 9}])
        slot = busy(server)[0]
        assert "secretword" in slot["prompt"] and slot["request_id"].startswith("chatcmpl-")
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            slot = busy(server, headers=headers)[0]
            assert "prompt" not in slot and "request_id" not in slot, headers
        stream.close()


def test_all_are_busy():
    with Server("echo", "server.max_concurrent=1", "backend.echo.rate=5") as server:
        assert server.get("/slots?fail_on_no_slot=1")[0] == 200
        assert len(server.get("/slots")[1]) == server.get("/props")[1]["total_slots"] == 1
        stream = start(server, model="echo")
        assert server.get("/slots?fail_on_no_slot=1")[0] == 503
        assert server.get("/slots?fail_on_no_slot=0")[0] == server.get("/slots")[0] == 200
        assert server.get("/slots?fail_on_no_slot=maybe")[0] == 400
        stream.close()
        wait_idle(server)


def test_any_number():
    """A backend without a limit of its own is never full, and lists who is there."""
    with Server("echo", "backend.echo.rate=5") as server:
        assert server.get("/slots?fail_on_no_slot=1")[:2] == (200, []) and server.get("/props")[1]["total_slots"] == 0
        streams = [start(server, model="echo") for _ in range(3)]
        assert [s["id"] for s in server.get("/slots?fail_on_no_slot=1")[1]] == [0, 1, 2]
        for stream in streams:
            stream.close()
        wait_idle(server)


def test_which_model():
    assert demo.get("/slots?model=weir-demo")[0] == demo.get("/props?model=weir-demo")[0] == 200
    for path in ("/slots?model=other", "/props?model=other"):
        status, body, _ = demo.get(path)
        assert status == 404 and body["error"]["code"] == "model_not_found", path
    assert demo.post("/slots", {})[0] == 405


def test_props():
    props = demo.get("/props")[1]
    assert props["bos_token"] == "" or props["bos_token"].startswith("<")
    assert "<|im_start|>" in props["chat_template"] and props["eos_token"] == "<|im_end|>", props
    assert props["modalities"] == {"vision": False, "audio": False} and props["is_sleeping"] is False
    assert props["model_path"] == "weir-demo.gguf", props["model_path"]
    settings = props["default_generation_settings"]
    assert settings["n_ctx"] == 2048 and settings["params"]["temperature"] == 1 and settings["params"]["min_p"] == 0
    with Server("default", "frontend.http.admin=true") as server:
        assert server.get("/props")[1]["model_path"].startswith("/")
        assert server.get("/props", headers={"Host": "evil.example"})[1]["model_path"] == "weir-demo.gguf"
        assert server.post("/v1/models/weir-demo/unload", {"wait": True})[0] == 200
        props = server.get("/props")[1]
        assert props["is_sleeping"] is True and props["total_slots"] == 0 and props["chat_template"] == ""
        assert server.get("/slots")[1] == []


def test_meta():
    meta = demo.get("/v1/models/weir-demo")[1]["meta"]
    assert meta == {"n_vocab": 2048, "n_ctx": 2048, "size": meta["size"], "n_ctx_train": 2048, "n_embd": 256,
                    "n_params": meta["n_params"]}
    assert 3e6 < meta["n_params"] < 4e6 and meta["size"] > meta["n_params"]
    with Server("echo") as server:
        assert "meta" not in server.get("/v1/models")[1]["data"][0]


if __name__ == "__main__":
    with Server("default") as demo:
        sys.exit(tap.run(sys.modules[__name__], "slots"))
