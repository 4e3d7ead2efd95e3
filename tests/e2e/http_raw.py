#!/usr/bin/env python3
"""Bytes on sockets against the real server with the echo backend: what a hostile or broken client may do.

Every row of the list of gaps that made us write an own connection plane has a test here, and so has each moment in
which a client can go away.
"""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
import tempfile
import threading
import time

import tap
from weir_server import Server

server = None
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}
LONG = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "word " * 20000}]}
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(to=None, receive_buffer=None, timeout=20):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(timeout)
    s.connect(("127.0.0.1", (to or server).port))
    return s


def post(body, path="/v1/chat/completions", headers=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n{headers}\r\n").encode() + data


def read_all(s):
    """Until the server closes. A reset counts as a close: the answer must have come before it."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := s.recv(65536):
            data += part
    s.close()
    return data


def read_until(s, text):
    data = b""
    while text not in data:
        part = s.recv(65536)
        assert part, f"closed before {text!r}: {data[-300:]!r}"
        data += part
    return data


def send(s, data):
    """As much as the server takes."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        s.sendall(data)


def ask(data, to=None):
    s = connect(to)
    send(s, data)
    return read_all(s)


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def body_of(answer):
    return answer.split(b"\r\n\r\n", 1)[1]


def error_of(answer):
    return json.loads(body_of(answer))["error"]


def wait_for(what, condition, timeout=20):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.02)


def descriptors(to):
    return len(os.listdir(f"/proc/{to.pid}/fd"))


def grew_less(before, limit, to=None):
    """Resident memory against what it was; a sanitizer's own memory tells nothing."""
    now = (to or server).rss()
    with open(f"/proc/{(to or server).pid}/maps") as maps:
        if re.search(r"lib[at]san", maps.read()):
            return
    assert now - before < limit, f"grew by {now - before} bytes from {before}"


def is_idle(to=None):
    queue = (to or server).get("/health")[1]["queue"]
    return queue["active"] == 0 and queue["waiting"] == 0


# ---- request bodies ----

def test_200_mb_body_is_refused_and_not_kept():
    before = server.rss()
    s = connect()
    send(s, b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n")
    block = b"x" * (1 << 20)
    with contextlib.suppress(OSError):
        for _ in range(200):
            s.sendall(block)
    s.close()
    assert status(ask(post(b"", headers="").replace(b"Content-Length: 0", b"Content-Length: 200000000"))) == 413
    grew_less(before, 8 << 20)


def test_200_mb_in_chunks_is_refused_and_not_kept():
    before = server.rss()
    s = connect()
    send(s, b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    with contextlib.suppress(OSError):
        for _ in range(200):
            s.sendall(chunk)
    s.close()
    grew_less(before, 40 << 20)  # 10 MiB are allowed, and its buffer doubles
    wait_for("the connection is gone", lambda: server.metric("http_connections") == 1)


def test_10_mb_body_works():
    text = "word " * 2_000_000
    body = {"model": "echo", "max_tokens": 3, "messages": [{"role": "user", "content": text[:10_000_000]}]}
    answer = server.post("/v1/chat/completions", body, timeout=120)
    assert answer[0] == 200, answer
    assert answer[1]["choices"][0]["message"]["content"].startswith("word word")


def test_broken_json_names_the_place():
    answer = ask(post(b'{"model": "echo",\n "messages": [}', headers="Connection: close\r\n"))
    assert status(answer) == 400
    error = error_of(answer)
    assert "byte 32 (line 2, column 15)" in error["message"], error
    assert error["type"] == "invalid_request_error"


def test_broken_utf8():
    answer = ask(post(b'{"model": "echo", "messages": [{"role": "user", "content": "\xc3("}]}',
                      headers="Connection: close\r\n"))
    assert status(answer) == 400 and "not valid UTF-8 at byte 60" in error_of(answer)["message"], answer


def test_deep_json():
    answer = ask(post(b'{"a":' * 100000, headers="Connection: close\r\n"))
    assert status(answer) == 400 and "too deep" in error_of(answer)["message"]


# ---- Expect ----

def test_expect_continue():
    data = json.dumps(CHAT).encode()
    s = connect()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
              b"Content-Length: %d\r\n\r\n" % len(data))
    assert read_until(s, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    s.sendall(data)
    answer = read_all(s)
    assert status(answer) == 200 and b"\r\nDate: " in answer and b"one two three" in answer


def test_expect_refused_before_the_body():
    for path, length, expected in (("/v1/chat/completions", 99999999, 413), ("/nowhere", 9, 404), ("/ping", 9, 405)):
        answer = ask(f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
                     .encode())
        assert status(answer) == expected and b"Connection: close\r\n" in answer, answer
    assert status(ask(b"POST /ping HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n")) == 417


# ---- time ----

def test_deadlines():
    with Server("echo", "frontend.http.header_timeout=500ms", "frontend.http.body_timeout=500ms",
                "frontend.http.idle_timeout=500ms") as other:
        assert ask(b"", other) == b""  # never sent anything
        assert status(ask(b"GET / HTT", other)) == 408
        assert status(ask(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", other)) == 408
        answer = ask(PING, other)  # idle behind a request: closed without a word
        assert status(answer) == 200 and answer.endswith(b"pong")
        for drip in (b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200,
                     b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n" + b" " * 300):
            s, started = connect(other), time.monotonic()
            for byte in drip:
                try:
                    s.sendall(bytes([byte]))
                except OSError:
                    break
                time.sleep(0.005)
                if time.monotonic() - started > 10:
                    raise AssertionError("a drip is not cut off")
            assert status(read_all(s)) == 408
        wait_for("all connections are gone", lambda: other.metric("http_connections") == 1)


# ---- connections and descriptors ----

def test_connection_limit():
    with Server("echo", "frontend.http.max_connections=5") as other:
        held = []
        while len(held) < 5:  # a probe's connection may not be closed yet
            s = connect(other)
            s.sendall(PING)
            if b"pong" in s.recv(4096):
                held.append(s)
        answer = ask(PING, other)
        assert status(answer) == 503 and b"Retry-After: 5\r\n" in answer, answer
        for s in held:
            s.close()
        wait_for("there is room again", lambda: status(ask(PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
                                                           other)) == 200)


def test_out_of_descriptors():
    with Server("echo") as other:
        open_now = descriptors(other)
        resource.prlimit(other.pid, resource.RLIMIT_NOFILE, (open_now + 10, 4096))
        many = [connect(other) for _ in range(60)]
        for s in many:
            send(s, PING)
        time.sleep(0.5)
        for s in many:
            s.close()
        # listening goes on, now that there is room
        wait_for("it answers again", lambda: ask_quietly(other), 15)
        assert other.metric("http_connections_refused_total") > 0
        assert "out of file descriptors" in other.text()


def ask_quietly(to):
    try:
        return status(ask(PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), to)) == 200
    except (OSError, AssertionError):
        return False


def test_no_descriptor_and_no_memory_is_left_behind():
    def round_of(n):
        for i in range(n):
            s = connect()
            s.sendall((PING, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", post(CHAT))[i % 3])
            s.recv(100)
            s.close()
        wait_for("all are closed", lambda: server.metric("http_connections") == 1)
    round_of(300)
    fds, size = descriptors(server), server.rss()
    round_of(1500)
    assert descriptors(server) <= fds + 1, (fds, descriptors(server))
    grew_less(size, 2 << 20)


# ---- heads ----

def test_header_sizes():
    many = b"".join(b"X-%d: y\r\n" % i for i in range(5000))
    assert status(ask(b"GET /ping HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")) == 431
    assert status(ask(b"GET /ping HTTP/1.1\r\nHost: x\r\n" + many[:65 * 9] + b"\r\n")) == 431
    assert status(ask(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n\r\n")) == 431
    assert status(ask(b"GET /ping HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"y" * 8000 + b"\r\n") * 20 + b"\r\n")) == 431
    assert status(ask(b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")) == 414
    fits = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"X: " + b"y" * 8000 + b"\r\n"
    assert status(ask(fits + b"".join(b"X-%d: y\r\n" % i for i in range(61)) + b"\r\n")) == 200


def test_smuggling():
    inner = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /ping HTTP/1.1\r\nHost: x\r\n"
    cases = {
        "CL and TE": head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "TE and CL": head + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "two lengths": head + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "same length twice": head + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "length list": head + b"Content-Length: 0, 0\r\n\r\n",
        "plus": head + b"Content-Length: +0\r\n\r\n",
        "minus": head + b"Content-Length: -1\r\n\r\n",
        "space before colon": head + b"Content-Length : 0\r\n\r\n",
        "name with tab": head + b"X\t: 0\r\n\r\n",
        "bare LF": b"GET /ping HTTP/1.1\nHost: x\n\n",
        "bare LF behind a header": b"GET /ping HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        "bare CR": b"GET /ping HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
        "obs-fold": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        "NUL": b"GET /ping HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        "chunk size overflow": head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "chunk size overflow by one": head + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        "chunk size with minus": head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "chunk with 0x": head + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        "chunk longer than said": head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        "chunk with bare LF": head + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
        "chunked with another coding": head + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "coding that only looks chunked": head + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "chunked twice": head + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunked in 1.0": b"POST /ping HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "no Host": b"GET /ping HTTP/1.1\r\n\r\n",
        "two Hosts": b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    }
    for name, data in cases.items():
        answer = ask(data + inner)
        assert status(answer) in (400, 501), (name, answer)
        assert b"Connection: close\r\n" in answer, (name, answer)
        assert answer.count(b"\r\nContent-Length: ") == 1 and b'"object":"list"' not in answer, (name, answer)


def test_http2_and_garbage():
    assert status(ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == 505
    assert status(ask(b"GET / HTTP/3.0\r\n\r\n")) == 505
    assert status(ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")) == 400
    assert status(ask(b"BREW /ping HTTP/1.1\r\nHost: x\r\n\r\n")) == 501
    # an offer of h2c is only an offer
    answer = ask(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
                 b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n")
    assert status(answer) == 200, answer


# ---- pipelining ----

def test_pipelining_in_order():
    parts = [PING.replace(b"Host", b"X-Request-Id: p%d-\r\nHost" % i) if i % 4 else
             post({**CHAT, "stream": i % 8 == 0}, headers=f"X-Request-Id: p{i}-\r\n") for i in range(40)]
    s = connect()
    s.sendall(b"".join(parts) + PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\nX-Request-Id: last\r\n\r\n"))
    answer = read_all(s)
    at = 0
    for i in range(40):
        at = answer.index(b"X-Request-Id: p%d-" % i, at)
    assert b"X-Request-Id: last" in answer[at:] and answer.endswith(b"pong")
    assert answer.count(b"data: [DONE]") == 5


def test_pipelining_more_than_any_buffer_holds():
    n = 40000
    s = connect()
    sender = threading.Thread(target=send, args=(s, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n" * n))
    sender.start()
    time.sleep(1)  # both directions fill up
    before, count, tail = server.rss(), 0, b""
    while count < n:
        part = s.recv(1 << 20)
        assert part, f"closed after {count} answers"
        count += (tail + part).count(b"HTTP/1.1 200 OK\r\n")
        tail = (tail + part)[-16:]
    sender.join()
    s.close()
    grew_less(before, 4 << 20)


def test_a_stream_holds_back_what_is_behind_it():
    s = connect()
    s.sendall(post({**CHAT, "stream": True}) + PING)
    answer = read_until(s, b"pong")
    assert answer.index(b"[DONE]") < answer.index(b"0\r\n\r\nHTTP/1.1 200 OK") < answer.index(b"pong")
    s.close()


def test_keep_alive_after_a_stream():
    s = connect()
    for _ in range(5):
        s.sendall(post({**CHAT, "stream": True}))
        read_until(s, b"0\r\n\r\n")
    s.sendall(PING)
    read_until(s, b"pong")
    s.close()


# ---- clients that go away ----

def leave(s, how):
    if how == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half-close":
        s.shutdown(socket.SHUT_WR)
    else:
        s.close()


def test_gone_in_every_phase():
    with Server("echo", "backend.echo.rate=20", "server.max_concurrent=1") as other:
        for how in ("close", "reset", "half-close"):
            for phase in ("not streamed", "mid-stream", "queued", "queued, streamed", "half a request"):
                gone = other.metric("http_clients_gone_total")
                holder = None
                if phase.startswith("queued"):
                    holder = connect(other)
                    holder.sendall(post(LONG))
                    read_until(holder, b"word")
                s = connect(other)
                if phase == "half a request":
                    s.sendall(post(LONG)[:200])
                else:
                    s.sendall(post({**LONG, "stream": phase in ("mid-stream", "queued, streamed")}))
                if phase == "mid-stream":
                    read_until(s, b'"content":"word"')
                elif phase == "not streamed":
                    wait_for("it runs", lambda: other.get("/health")[1]["queue"]["active"] == 1)
                elif holder:
                    wait_for("it waits", lambda: other.get("/health")[1]["queue"]["waiting"] == 1)
                leave(s, how)
                if phase == "half a request":
                    wait_for((how, phase), lambda: other.metric("http_connections") == 1)
                else:
                    wait_for((how, phase), lambda: other.metric("http_clients_gone_total") == gone + 1)
                if holder:
                    wait_for((how, phase), lambda: other.get("/health")[1]["queue"]["waiting"] == 0)
                    holder.close()
                s.close()
                wait_for((how, phase, "nothing runs"), lambda: is_idle(other))


def test_gone_before_the_first_token():
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        script.write("delay 30s\ntext late\n")
        script.flush()
        with Server("echo", f"backend.echo.script={script.name}") as other:
            for stream in (False, True):
                s = connect(other)
                s.sendall(post({**CHAT, "stream": stream}))
                wait_for("it runs", lambda: not is_idle(other))
                s.close()
                wait_for("it ends", lambda: is_idle(other))


# ---- clients that do not read ----

def test_a_reader_that_stops_costs_no_memory():
    before = server.rss()
    stopped = []
    for _ in range(20):
        s = connect(receive_buffer=16384)
        s.sendall(post({**LONG, "messages": [{"role": "user", "content": "word " * 99999 + "word"}]}))
        stopped.append(s)
    time.sleep(2)
    still = server.rss()
    for _ in range(5):
        # the prompts are half a megabyte each and are held; what is not read must not be
        grew_less(before, 60 << 20)
        grew_less(still, 2 << 20)
        time.sleep(0.3)
    # they go on where they stood: nothing is lost
    answer = b""
    while b"[DONE]" not in answer[-100:]:
        answer += stopped[0].recv(1 << 20)
    assert answer.count(b'word"}') == 100000, answer.count(b'word"}')
    for s in stopped:
        s.close()
    wait_for("all have ended", is_idle)


def test_a_reader_that_stops_is_cut_off():
    with Server("echo", "frontend.http.write_timeout=1s") as other:
        s = connect(other, receive_buffer=4096)
        s.sendall(post({**LONG, "messages": [{"role": "user", "content": "word " * 100000}]}))
        wait_for("it is cut off", lambda: other.metric("http_clients_stalled_total") == 1)
        wait_for("it ends", lambda: is_idle(other))
        s.close()


def test_events_of_a_megabyte():
    """One event may be larger than every buffer; a reader gets it, one that stops is cut off."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        script.write("text " + "x" * 1_000_000 + "\nrepeat 20\n")
        script.flush()
        with Server("echo", f"backend.echo.script={script.name}", "frontend.http.write_timeout=1s") as other:
            s = connect(other, receive_buffer=4096)
            s.sendall(post({**CHAT, "stream": True}))
            wait_for("it is cut off", lambda: other.metric("http_clients_stalled_total") == 1)
            wait_for("it ends", lambda: is_idle(other))
            s.close()
            grew_less(0, 100 << 20, other)


# ---- many ----

def test_200_clients():
    errors = []

    def client(i):
        try:
            for k in range(3):
                s = connect()
                s.sendall(post({**CHAT, "stream": (i + k) % 2 == 0}, headers="Connection: close\r\n"))
                answer = read_all(s)
                assert status(answer) == 200, answer
                assert b"three" in answer
        except BaseException as error:
            errors.append(f"{type(error).__name__}: {error}")
    threads = [threading.Thread(target=client, args=(i,)) for i in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, f"{len(errors)}: {errors[:3]}"
    wait_for("all have ended", is_idle)


def test_many_idle_streams_are_small():
    n = 2000
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < n + 100:
        raise tap.Skip("too few file descriptors are allowed")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        script.write("text begun\ndelay 120s\ntext over\n")
        script.flush()
        with Server("echo", f"backend.echo.script={script.name}", "server.max_queue=0") as other:
            streams = []

            def open_some(count):
                for _ in range(count):
                    s = connect(other)
                    s.sendall(post({**CHAT, "stream": True}))
                    streams.append(s)
                wait_for("all run", lambda: other.metric("http_streams") == len(streams))
                for s in streams[-count:]:
                    read_until(s, b"begun")
            open_some(200)
            before = other.rss()
            open_some(n - 200)
            print(f"# {(other.rss() - before) / (n - 200):.0f} bytes for each idle stream", flush=True)
            grew_less(before, 8192 * (n - 200), other)
            for s in streams:
                s.close()
            wait_for("all have ended", lambda: is_idle(other) and other.metric("http_streams") == 0)


# ---- the end ----

def test_sigterm_lets_a_stream_finish():
    with Server("echo", "backend.echo.rate=20") as other:
        words = " ".join(f"w{i}" for i in range(30))
        running, idle = connect(other), connect(other)
        idle.sendall(PING)
        read_until(idle, b"pong")
        running.sendall(post({"model": "echo", "stream": True, "messages": [{"role": "user", "content": words}]}))
        read_until(running, b"w1")
        os.kill(other.pid, signal.SIGTERM)
        assert idle.recv(100) == b""  # an idle connection is closed at once
        wait_for("nobody is let in", lambda: not ask_quietly(other))
        rest = read_all(running)
        assert b"w29" in rest and b"[DONE]" in rest, rest[-300:]
        assert other.process.wait(20) == 0


def test_sigterm_ends_a_stream_that_never_ends():
    with Server("echo", "backend.echo.rate=1", "server.drain_timeout=500ms") as other:
        s = connect(other)
        s.sendall(post(LONG))
        read_until(s, b"word")
        os.kill(other.pid, signal.SIGTERM)
        rest = read_all(s)
        assert b"[DONE]" not in rest
        assert other.process.wait(20) == 0


def test_queue_is_bounded():
    """003-12: one runs, two wait, the fourth is refused."""
    with Server("echo", "backend.echo.rate=10", "server.max_concurrent=1", "server.max_queue=2") as other:
        waiting = []
        for i in range(3):
            s = connect(other)
            s.sendall(post({"model": "echo", "messages": [{"role": "user", "content": "a b c d e f g h i j"}]},
                           headers="Connection: close\r\n"))
            waiting.append(s)
            wait_for("it is in", lambda: sum(other.get("/health")[1]["queue"][k] for k in ("active", "waiting")) > i)
        answer = ask(post(CHAT, headers="Connection: close\r\n"), other)
        assert status(answer) == 503 and b"Retry-After: 5\r\n" in answer, answer
        assert error_of(answer)["code"] == "queue_full"
        assert [status(read_all(s)) for s in waiting] == [200, 200, 200]


def test_fastapi_profile():
    with Server("echo", "frontend.http.api_profile=fastapi") as other:
        code, body, _ = other.post("/v1/chat/completions", {**CHAT, "temperature": 3, "max_tokens": 4097})
        assert code == 422 and [d["loc"] for d in body["detail"]] == [["body", "temperature"], ["body", "max_tokens"]]
        assert body["detail"][1]["msg"] == "max_tokens must be between 1 and 4096"
        assert other.post("/v1/chat/completions", {})[1]["detail"][0]["type"] == "missing"
        assert other.get("/v1/none")[:2] == (404, {"detail": "endpoint not found"})


def test_reload_is_for_this_machine_and_by_option():
    assert server.post("/admin/reload", {})[0] == 404
    with Server("echo", "frontend.http.admin=true") as other:
        assert other.post("/admin/reload", {})[0] == 200
        wait_for("it is read again", lambda: "reload" in other.text())
        assert other.post("/v1/chat/completions", CHAT)[0] == 200


def main():
    global server
    with Server("echo") as server:
        return tap.run(sys.modules[__name__], "http-raw")


if __name__ == "__main__":
    sys.exit(main())
