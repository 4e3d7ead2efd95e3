#!/usr/bin/env python3
"""Streams that are cut and resumed: after every event, during the prefill, by a re-POST, on another server
thread, after a server that is told to forget; nothing is lost, nothing comes twice. Plain clients that go away
are still cancelled at once, and so is an answer that nobody comes back for."""
import http.client
import json
import sys
import tempfile
import threading
import time

import tap
from weir_server import LEAN, Server

TEXT = "one two three four five six seven eight nine ten eleven twelve"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": TEXT}], "stream": True,
        "stream_options": {"include_usage": True}}
ASK = {"X-Weir-Resume": "true"}
PATHS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "echo", "prompt": TEXT, "stream": True, "max_tokens": 100},
    "/v1/responses": {"model": "echo", "input": TEXT, "stream": True},
    "/v1/messages": {"model": "echo", "max_tokens": 100, "messages": CHAT["messages"], "stream": True},
}
server = None


class Stream:
    """One connection that reads events one by one."""

    def __init__(self, target, method, path, body=None, headers=None, timeout=20):
        self.connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=timeout)
        self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                {"Content-Type": "application/json", **(headers or {})})
        self.answer = self.connection.getresponse()
        self.id = self.answer.getheader("X-Weir-Stream")

    def events(self):
        """(id, data) of each event; comments are passed over."""
        number, data = None, None
        while True:
            line = self.answer.readline().decode()
            if line.startswith("id: "):
                number = line[4:].strip()
            elif line.startswith("data: "):
                data = line[6:].rstrip("\n")
            elif line == "\n" and data is not None:
                yield number, data
                number, data = None, None
            elif not line:
                return

    def cut(self):
        self.connection.sock.close() if self.connection.sock else None
        self.answer.close()
        self.connection.close()


def rest(target, path, headers=None, method="GET", body=None):
    stream = Stream(target, method, path, body, headers)
    assert stream.answer.status == 200, (stream.answer.status, stream.answer.read())
    got = list(stream.events())
    stream.cut()
    return got


def take(target, path, body, k):
    """The first k events, then the socket is cut. (stream id, events)"""
    stream = Stream(target, "POST", path, body, ASK)
    assert stream.answer.status == 200 and stream.id
    got = []
    events = stream.events()
    while len(got) < k:
        got.append(next(events))
    stream.cut()
    return stream.id, got


def check_whole(stream, got):
    """Numbered from 0 without a gap; the payloads are those of an answer that was never cut."""
    assert [n for n, _ in got] == [f"{stream}:{i}" for i in range(len(got))], [n for n, _ in got]
    whole = rest(server, f"/v1/stream/{stream}")
    assert got == whole, (got, whole)


def texts(events):
    out = ""
    for _, data in events:
        if data == "[DONE]":
            continue
        o = json.loads(data)
        for choice in o.get("choices", ()):
            out += choice.get("delta", {}).get("content") or choice.get("text") or ""
        if o.get("type") == "response.output_text.delta":
            out += o["delta"]
        if o.get("type") == "content_block_delta":
            out += o["delta"].get("text", "")
    return out


def test_cut_after_every_event():
    for path, body in PATHS.items():
        stream, uncut = take(server, path, body, 5)
        n = len(rest(server, f"/v1/stream/{stream}"))
        assert n > 13, (path, n)
        for k in range(1, n):
            stream, got = take(server, path, body, k)
            got += rest(server, f"/v1/stream/{stream}", {"Last-Event-ID": got[-1][0]})
            check_whole(stream, got)
            assert texts(got) == TEXT, (path, k, texts(got))


def test_cut_again_and_again():
    stream, got = take(server, "/v1/chat/completions", CHAT, 1)
    while got[-1][1] != "[DONE]":
        again = Stream(server, "GET", f"/v1/stream/{stream}?last_event_id={got[-1][0]}")
        got.append(next(again.events()))
        again.cut()
    check_whole(stream, got)
    assert texts(got) == TEXT


def test_post_again():
    stream, got = take(server, "/v1/chat/completions", CHAT, 4)
    got += rest(server, "/v1/chat/completions", {"Last-Event-ID": got[-1][0]}, "POST", CHAT)
    check_whole(stream, got)
    assert rest(server, f"/v1/stream/{stream}?starting_after=3") == got[4:]
    other = rest(server, "/v1/chat/completions", {"Last-Event-ID": "of-somebody-else"}, "POST", CHAT)
    assert texts(other) == TEXT and other[0][0].endswith(":0")  # a new answer


def test_not_kept():
    """Who did not ask for it gets ids too, but cannot come back by them, and is told so instead of a new answer."""
    for path, body in PATHS.items():
        got = rest(server, path, method="POST", body=body)
        stream = got[0][0].split(":")[0]
        assert [n for n, _ in got] == [f"{stream}:{i}" for i in range(len(got))], (path, got)
        again = Stream(server, "POST", path, body, {"Last-Event-ID": got[2][0]})
        assert again.answer.status == 404 and b"X-Weir-Resume" in again.answer.read()
        assert server.get(f"/v1/stream/{stream}")[0] == 404


def test_taken_over():
    """Two clients: the second gets it, the first one's connection ends."""
    with script("words a b c\ndelay 1s\nwords d e\n") as slow:
        first = Stream(slow, "POST", "/v1/chat/completions", CHAT, ASK)
        events = first.events()
        got = [next(events), next(events)]
        got += rest(slow, f"/v1/stream/{first.id}", {"Last-Event-ID": got[-1][0]})
        assert texts(got) == "a b cd e", texts(got)
        try:
            assert not any(data == "[DONE]" for _, data in events)
        except http.client.HTTPException:
            pass
        first.cut()


class script:
    """A server whose answers are this script."""

    def __init__(self, text, *options):
        self.text, self.options = text, options

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".txt")
        self.file.write(self.text)
        self.file.flush()
        self.server = Server("echo", f"backend.echo.script={self.file.name}", *self.options,
                             env=LEAN).__enter__()
        return self.server

    def __exit__(self, *what):
        self.server.__exit__(*what)
        self.file.close()


def test_during_prefill():
    """Cut when only the head has come: the id is in it."""
    with script("delay 1500ms\nwords a b c\n") as slow:
        for path, body in PATHS.items():
            stream = Stream(slow, "POST", path, body, ASK)
            assert stream.answer.status == 200 and stream.id
            stream.cut()
            got = rest(slow, f"/v1/stream/{stream.id}")
            assert texts(got) == "a b c", (path, got)
        assert slow.metric("http_clients_gone_total") >= len(PATHS)


def test_other_thread():
    with Server("echo", "frontend.http.io_threads=4") as other:
        for i in range(24):
            stream, got = take(other, "/v1/chat/completions", CHAT, 1 + i % 9)
            got += rest(other, f"/v1/stream/{stream}", {"Last-Event-ID": got[-1][0]})
            assert texts(got) == TEXT, i
            assert [n for n, _ in got] == [f"{stream}:{k}" for k in range(len(got))]
        r = other.post("/v1/responses", {"model": "echo", "input": TEXT, "background": True})[1]
        for i in range(12):
            assert other.post(f"/v1/responses/{r['id']}/cancel", {})[0] == 200
            other.get(f"/v1/stream/{stream}")


def running(target):
    return target.metric("vllm:num_requests_running") + target.metric("vllm:num_requests_waiting")


def until(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def test_nobody_comes_back():
    with script("words a\ndelay 60s\nwords b\n", "frontend.http.resume_grace=700ms") as slow:
        plain = Stream(slow, "POST", "/v1/chat/completions", CHAT)
        next(plain.events())
        kept = Stream(slow, "POST", "/v1/chat/completions", CHAT, ASK)
        next(kept.events())
        gone = slow.metric("http_clients_gone_total")
        plain.cut()
        until(lambda: slow.metric("http_clients_gone_total") > gone)
        kept.cut()
        again = Stream(slow, "GET", f"/v1/stream/{kept.id}")  # within the grace: it is there
        assert again.answer.status == 200
        again.cut()
        until(lambda: slow.get(f"/v1/stream/{kept.id}", timeout=5)[0] == 404 if time.sleep(1.2) is None else False)


def test_delete():
    with script("words a\ndelay 60s\nwords b\n") as slow:
        stream = Stream(slow, "POST", "/v1/chat/completions", CHAT, ASK)
        events = stream.events()
        next(events)
        status, answer, _ = slow.request("DELETE", f"/v1/stream/{stream.id}")
        assert status == 200 and answer["cancelled"] is True
        last = list(events)[-1]
        assert json.loads(last[1])["error"]["code"] == "cancelled", last
        assert slow.request("DELETE", "/v1/stream/chatcmpl-0")[0] == 404


def test_events_lost():
    """An answer larger than what is kept of it: the oldest events are gone, and the server says so."""
    with script("text a\ntext some more words to keep\nrepeat 4000\n", "frontend.http.resume_memory=64KiB",
                "frontend.http.resume_grace=2s") as small:
        whole = rest(small, "/v1/chat/completions", ASK, "POST", CHAT)
        assert len(whole) > 4000 and whole[-1][1] == "[DONE]"
        stream = whole[0][0].split(":")[0]
        status, answer, _ = small.get(f"/v1/stream/{stream}")
        assert status == 410 and answer["error"]["code"] == "events_lost", answer
        assert rest(small, f"/v1/stream/{stream}", {"Last-Event-ID": whole[-6][0]}) == whole[-5:]
        rss = small.rss()
        for _ in range(300):  # nobody comes back for these; without room they are plain streams
            left = Stream(small, "POST", "/v1/chat/completions", CHAT, ASK)
            next(left.events())
            left.cut()
        assert small.rss() - rss < 64 << 20, small.rss() - rss


def test_many_at_once():
    """Fifty clients, cut at random places, in threads."""
    failures = []

    def one(k):
        try:
            stream, got = take(server, "/v1/responses", PATHS["/v1/responses"], k)
            got += rest(server, f"/v1/stream/{stream}", {"Last-Event-ID": got[-1][0]})
            assert texts(got) == TEXT
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(1 + k % 15,)) for k in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:3]


if __name__ == "__main__":
    with Server("echo") as server:
        sys.exit(tap.run(sys.modules[__name__], "resume"))
