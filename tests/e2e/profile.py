#!/usr/bin/env python3
"""/v1/profile (001-19): a recording of a chat with the demo model nests, is complete and says nothing of the text."""
import collections
import json
import socket
import sys
import threading
import time
import urllib.request

import tap
from weir_server import Server

HI = [{"role": "user", "content": "Tell me a secretword story, please."}]
server = None


def chat(**more):
    body = {"model": "weir-demo", "messages": HI, "max_tokens": 24, "ignore_eos": True, **more}
    status, answer = server.post("/v1/chat/completions", body)[:2]
    assert status == 200, answer
    return answer


def trace():
    with urllib.request.urlopen(server.url + "/v1/profile/trace", timeout=30) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        text = answer.read().decode()
    return text, json.loads(text)["traceEvents"]


def spans(events, name=None):
    return [e for e in events if e["ph"] == "X" and (name is None or e["name"] == name)]


def assert_nested(events):
    """On each line spans contain one another or lie apart, which is how viewers draw them."""
    lines = collections.defaultdict(list)
    for e in spans(events):
        lines[e["pid"], e["tid"]].append((round(e["ts"] * 1000), -round(e["dur"] * 1000), e["name"]))
    for line, found in lines.items():
        open_ends = []
        for start, length, name in sorted(found):
            while open_ends and open_ends[-1] <= start:
                open_ends.pop()
            assert not open_ends or start - length <= open_ends[-1], (line, name, start)
            open_ends.append(start - length)
    return lines


def test_off_is_off():
    assert server.get("/v1/profile")[1]["state"] == "off"
    assert server.get("/v1/profile/trace")[0] == 404
    assert server.post("/v1/profile/stop", {})[1]["state"] == "off"


def test_wrong_requests():
    for body, word in (({"seconds": 0}, "seconds"), ({"seconds": 3601}, "seconds"), ({"seconds": "1"}, "seconds"),
                       ({"seconds": 1.5}, "seconds"), ({"events": 15}, "events"), ({"events": 262145}, "events"),
                       ({"events": True}, "events"), ([], "object"), ("{", "object")):
        status, answer = server.post("/v1/profile/start", body)[:2]
        assert status == 400 and word in answer["error"]["message"], (body, status, answer)
    assert server.get("/v1/profile")[1]["state"] == "off"
    assert server.get("/v1/profile/start")[0] == 405


def test_records_a_chat():
    assert server.post("/v1/profile/start", {"seconds": 300.0, "events": None})[1]["state"] == "recording"
    assert server.post("/v1/profile/start", {})[0] == 409
    answer = chat()
    state = server.post("/v1/profile/stop", {})[1]
    assert state["state"] == "stopped" and state["dropped"] == 0 and state["events"] > 24, state
    text, events = trace()
    assert "secretword" not in text and answer["choices"][0]["message"]["content"][:20] not in text
    assert_nested(events)
    (request,) = spans(events, "request")
    assert request["args"]["id"] == answer["id"] and request["args"]["output"] == 24
    assert request["args"]["prompt"] == answer["usage"]["prompt_tokens"] and request["args"]["status"] == 0
    inside = {}
    for name in ("queued", "tokenise", "prefill", "decode"):
        (inside[name],) = spans(events, name)
        assert inside[name]["tid"] == request["tid"] and inside[name]["pid"] == request["pid"] == 2
    assert inside["queued"]["ts"] == request["ts"]
    order = [inside[n]["ts"] for n in ("queued", "prefill", "decode")]
    assert order == sorted(order)
    steps, turns = spans(events, "step"), spans(events, "turn")
    assert len(steps) == len(turns) and 0 < len(steps) <= 24
    assert {e["tid"] for e in steps} == {e["tid"] for e in turns} and len({e["tid"] for e in steps}) == 1
    assert sum(e["args"]["tokens"] - e["args"]["guesses"] for e in steps) >= request["args"]["prompt"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == 1}
    assert names[steps[0]["tid"]] == "weir-step"


def test_many_at_once_wrap():
    """The ring keeps the last; requests beside one another get lines of their own."""
    assert server.post("/start_profile", {"events": 200})[0] == 200
    threads = [threading.Thread(target=chat, kwargs={"seed": i}) for i in range(6)]
    for thread in threads:
        thread.start()
    trace()  # while it goes on
    for thread in threads:
        thread.join()
    for _ in range(6):
        chat()
    state = server.post("/stop_profile", {"ignored": 1})[1]
    assert state["events"] == 200 and state["dropped"] > 0, state
    events = trace()[1]
    assert len(spans(events)) == 200
    assert_nested(events)


def test_a_reader_may_leave():
    """Cut off in the middle, the server goes on."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(b"GET /v1/profile/trace HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    assert server.get("/health")[0] == 200


def test_ends_by_itself():
    server.post("/v1/profile/start", {"seconds": 1})
    for _ in range(200):
        if server.get("/v1/profile")[1]["state"] == "stopped":
            break
        time.sleep(0.1)
    assert server.get("/v1/profile")[1]["elapsed"] == 1.0


def test_level_a_and_middleware():
    with Server("echo", "frontend.http.admin=true") as other:
        other.post("/v1/profile/start", {})
        answer = other.post("/v1/chat/completions", {"model": "echo", "messages": HI})[1]
        with urllib.request.urlopen(other.url + "/v1/profile/trace", timeout=30) as trace_answer:
            events = json.loads(trace_answer.read())["traceEvents"]
        assert [e["args"]["id"] for e in spans(events, "backend.echo")] == [answer["id"]], events
        assert_nested(events)


def test_not_for_pages_of_other_sites():
    for origin, status in ((server.url, 200), ("http://elsewhere.invalid", 403), ("null", 403)):
        assert server.post("/v1/profile/stop", {}, headers={"Origin": origin})[0] == status, origin


def test_needs_the_option():
    with Server("echo") as other:
        for path in ("/v1/profile", "/v1/profile/trace"):
            assert other.get(path)[0] == 404, path
        for path in ("/v1/profile/start", "/start_profile", "/stop_profile"):
            assert other.post(path, {})[0] == 404, path


if __name__ == "__main__":
    with Server("default", "frontend.http.admin=true") as server:
        sys.exit(tap.run(sys.modules[__name__], "profile"))
