#!/usr/bin/env python3
"""The line frontend end to end: a real server with the echo backend, raw sockets, pipes."""
import json
import os
import pathlib
import random
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

import tap
from weir_server import SOURCE, WEIR

PROFILE = """
[server]
drain_timeout = 5s
[frontend.line]
plugin = line
listen = {listen}
{line}
[backend.echo]
plugin = echo
serves = echo, default
{echo}
"""


class LineServer:
    """A server whose only frontend is line. listen: what the profile says; echo: lines for it."""

    PROFILE = PROFILE

    def __init__(self, listen="127.0.0.1:0", echo="", line="", script=None, stdin=subprocess.DEVNULL,
                 stdout=subprocess.DEVNULL, preexec=None):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        if script:
            (folder / "script").write_text(script)
            echo += f"\nscript = {folder / 'script'}"
        self.path = folder / "line.sock"
        profile = folder / "test.ini"
        profile.write_text(self.PROFILE.format(listen=listen.replace("SOCK", f"unix:{self.path}"), echo=echo, line=line))
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen([str(WEIR), "serve", str(profile)], stdin=stdin, stdout=stdout,
                                        stderr=self.log, preexec_fn=preexec)
        self.wait_log("ready after")
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.text())
        self.port = int(found[1]) if found else None

    def text(self):
        return (pathlib.Path(self.folder.name) / "log").read_text(errors="replace")

    def wait_log(self, what, timeout=60):
        end = time.monotonic() + timeout
        while what not in self.text():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < end, f"no {what!r} in:\n{self.text()}"
            time.sleep(0.02)

    def client(self, **kw):
        return Client(self.port, **kw)

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status, text = self.stop(), self.text()
        self.log.close()
        self.folder.cleanup()
        if kind is None:
            assert status == 0 and "MISBEHAVING" not in text, f"{status}: {text[-3000:]}"
        else:
            print("# " + text[-3000:].replace("\n", "\n# "))


class ModelServer(LineServer):
    """The demo model instead of the echo backend."""
    PROFILE = (PROFILE[:PROFILE.index("[backend.echo]")] + "[backend.main]\nplugin = cpu\n"
               f"model = {SOURCE / 'data' / 'models' / 'weir-demo.gguf'}\nserves = weir-demo\nmax_sequences = 8\n")


class Client:
    def __init__(self, port=None, path=None, rcvbuf=None):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.settimeout(30)
        self.socket.connect(str(path) if path else ("127.0.0.1", port))
        self.buffer = b""

    def send(self, *messages):
        self.socket.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in messages))

    def raw(self, data):
        self.socket.sendall(data)

    def recv(self):
        """The next line as an object; None at the end."""
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                assert not self.buffer, self.buffer
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0", message
        return message

    def silent(self, seconds):
        return b"\n" not in self.buffer and not select.select([self.socket], [], [], seconds)[0]

    def answer(self, id):
        """Events of a request until its answer: (list of params, answer). Others' lines are an error."""
        events = []
        while True:
            m = self.recv()
            assert m is not None, "the connection was closed"
            if m.get("method") == "event" and m["params"]["id"] == id:
                events.append(m["params"])
            else:
                assert m["id"] == id, m
                return events, m

    def close(self):
        self.socket.close()


def chat(id, text, **params):
    return {"jsonrpc": "2.0", "id": id, "method": "chat",
            "params": {"messages": [{"role": "user", "content": text}], **params}}


def text_of(events):
    assert [e["seq"] for e in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    return "".join(e.get("text", "") for e in events)


def eventually(what, timeout=20):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def active(client):
    client.send({"id": "h", "method": "health"})
    return client.recv()["result"]["queue"]["active"]


def test_chat_by_hand():
    """As documented: typed into nc, CRLF or not, with a blank line."""
    with LineServer() as server:
        c = server.client()
        c.raw(b'{"id":1,"method":"chat","params":{"messages":[{"role":"user","content":"Hello big world"}]}}\r\n\r\n')
        events, answer = c.answer(1)
        assert events[0]["type"] == "started" and events[0]["prompt_tokens"] == 3, events
        assert text_of(events) == "Hello big world"
        result = answer["result"]
        assert result["choices"] == [{"index": 0, "finish_reason": "stop", "stop_reason": None,
                                      "completion_tokens": 3}], result
        assert result["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6,
                                   "cached_tokens": 0}
        assert result["events"] == len(events) == 4
        c.raw(b'{"id":2,"method":"complete","params":{"prompt":"a b c d","max_tokens":2,"stream":false}}\n')
        events, answer = c.answer(2)
        assert not events and answer["result"]["choices"][0]["text"] == "a b", answer
        assert answer["result"]["choices"][0]["finish_reason"] == "length"
        c.send({"id": 3, "method": "models"})
        assert [m["id"] for m in c.recv()["result"]["models"]] == ["echo", "default"]
        c.send({"id": 4, "method": "health"})
        assert c.recv()["result"]["status"] == "ready"


def test_nc():
    nc = next((p for p in ("/usr/bin/nc", "/bin/nc") if os.path.exists(p)), None)
    if not nc:
        raise tap.Skip("nc is not installed")
    with LineServer() as server:
        request = json.dumps(chat("n", "one two")) + "\n"
        out = subprocess.run([nc, "-w", "2", "127.0.0.1", str(server.port)], input=request.encode(),
                             stdout=subprocess.PIPE, timeout=30).stdout.decode().splitlines()
        assert json.loads(out[-1])["result"]["choices"][0]["finish_reason"] == "stop", out


def test_choices_and_ids():
    with LineServer() as server:
        c = server.client()
        c.send(chat("é\n", "x y", n=2), chat(-7, "z", stream=False, n=2))
        got = {}
        while len(got) < 2:
            m = c.recv()
            if "result" in m:
                got[m["id"]] = m["result"]["choices"]
            else:
                assert m["params"]["id"] == "é\n"
                assert m["params"]["type"] == "started" or m["params"]["index"] in (0, 1)
        assert [x["message"]["content"] for x in got[-7]] == ["z", "z"]
        assert [x["index"] for x in got["é\n"]] == [0, 1]


def test_what_http_takes():
    """Parameters that had no place in a table of our own: arrays of prompts, echo, best_of, batching."""
    with LineServer() as server:
        c = server.client()
        c.send({"id": 1, "method": "complete", "params": {"prompt": ["a b", "c"], "echo": True}})
        events, answer = c.answer(1)
        assert [e["type"] for e in events[:3]] == ["started", "text", "text"], events
        got = {i: "".join(e["text"] for e in events[1:] if e["index"] == i) for i in (0, 1)}
        assert got == {0: "a ba b", 1: "cc"}, got
        assert [x["completion_tokens"] for x in answer["result"]["choices"]] == [2, 1]
        c.send({"id": 2, "method": "complete", "params": {"prompt": "x", "best_of": 3, "n": 2}})
        assert "best_of" == c.answer(2)[1]["error"]["data"]["param"]
        c.send({"id": 3, "method": "complete", "params": {"prompt": "x", "best_of": 3, "n": 2, "stream": False}})
        assert len(c.answer(3)[1]["result"]["choices"]) == 2
        c.send(chat(4, "a b c d e f g", stream_options={"batch_tokens": 3, "batch_timeout_ms": 10000}))
        events, answer = c.answer(4)
        assert len(events) == 4 and text_of(events) == "a b c d e f g" and answer["result"]["events"] == 4
        c.send(chat(5, "a b c", stream_options={"batch_tokens": 64, "batch_timeout_ms": 30}, flow="manual", credit=9))
        assert text_of(c.answer(5)[0]) == "a b c"


def test_demo_model():
    """embed, rerank, tokenize and log-probabilities as HTTP has them, with a real model."""
    with ModelServer() as server:
        c = server.client()
        c.send({"id": 1, "method": "embed", "params": {"input": ["hello", "hello"], "dimensions": 8}})
        result = c.answer(1)[1]["result"]
        assert [len(d["embedding"]) for d in result["data"]] == [8, 8] and result["model"] == "weir-demo", result
        assert result["data"][0]["embedding"] == result["data"][1]["embedding"]
        c.send({"id": 2, "method": "rerank", "params": {"query": "hello", "documents": ["one", "hello"], "top_n": 1,
                                                        "return_documents": True}})
        result = c.answer(2)[1]["result"]
        assert result["results"][0]["document"] == {"text": "hello"} and len(result["results"]) == 1, result
        c.send({"id": 3, "method": "rerank", "params": {"documents": ["one"]}})
        assert c.answer(3)[1]["error"]["data"] == {"status": "INVALID", "code": "invalid_value", "param": "query"}
        c.send({"id": 4, "method": "tokenize", "params": {"prompt": "hello world"}})
        tokens = c.answer(4)[1]["result"]["tokens"]
        c.send({"id": 5, "method": "detokenize", "params": {"tokens": tokens}})
        assert "hello world" in json.dumps(c.answer(5)[1]["result"])
        c.send(chat(6, "hi", logprobs=True, top_logprobs=2, max_tokens=3, ignore_eos=True))
        events, answer = c.answer(6)
        assert [len(e["top"]) for e in events[1:]] == [2, 2, 2] and events[1]["logprob"] <= 0, events
        assert answer["result"]["usage"]["completion_tokens"] == 3
        c.send({"id": 8, "method": "complete", "params": {"prompt": ["hello world", "one"], "echo": True, "logprobs": 1,
                                                          "max_tokens": 2, "ignore_eos": True}})
        events, answer = c.answer(8)
        told = [e for e in events if e["type"] == "prompt" and e["index"] == 0]
        assert "".join(e["text"] for e in told).strip().endswith("hello world"), told
        assert "logprob" not in told[0] and "logprob" in told[-1] and len(told) > 1, told
        assert {e["index"] for e in events[1:]} == {0, 1} and "result" in answer
        c.send(chat(9, "hi", stop=["e"], max_tokens=200))
        assert c.answer(9)[1]["result"]["choices"][0]["stop_reason"] == "e"
        c.send(chat(7, "hi", response_format={"type": "json_object"}, max_tokens=40, stream=False))
        assert c.answer(7)[1]["result"]["choices"][0]["message"]["content"].lstrip().startswith("{")


def test_broken_lines():
    """Each gets its error, and the connection goes on."""
    cases = [(b"x", -32700, None), (b"\xff\xfe", -32700, None), (b'{"id":1,"method":', -32700, None),
             (b"[" * 100000, -32700, None), (b"[]", -32600, None), (b'{"id":5}', -32600, 5),
             (b'{"id":6,"method":"nope"}', -32601, 6), (b'{"id":7,"method":"chat"}', -32602, 7),
             (b'{"id":8,"method":"chat","params":{"messages":[{"role":"user","content":"a"}],"top_p":2}}', -32602, 8),
             (b'{"id":9,"method":"chat","params":{"model":"none","messages":[{"role":"user","content":"a"}]}}',
              -32005, 9),
             (b'{"id":10,"method":"tokenize","params":{"prompt":"a"}}', -32012, 10)]
    with LineServer() as server:
        c = server.client()
        for line, code, id in cases:
            c.raw(line + b"\n")
            m = c.recv()
            assert (m["error"]["code"], m["id"]) == (code, id), (line[:60], m)
            assert m["error"]["message"] and m["error"]["data"]["status"]
        c.send(chat(11, "still here"))
        assert text_of(c.answer(11)[0]) == "still here"


def test_line_too_long():
    with LineServer(line="max_line = 4KiB") as server:
        c = server.client()
        c.raw(b"a" * 200000)
        m = c.recv()
        assert m["error"]["code"] == -32600 and "4096" in m["error"]["message"], m
        assert c.recv() is None
        c = server.client()
        c.send(chat(1, "x" * 3900))
        assert len(text_of(c.answer(1)[0])) == 3900


def test_pieces():
    """A request that comes byte by byte; many in one segment."""
    with LineServer() as server:
        c = server.client()
        for byte in json.dumps(chat(1, "slow")).encode() + b"\n":
            c.raw(bytes([byte]))
        assert text_of(c.answer(1)[0]) == "slow"
        c.send(*[chat(i, "many") for i in range(50)])
        assert sorted(m["id"] for m in iter_answers(c, 50)) == list(range(50))


def iter_answers(c, n):
    while n:
        m = c.recv()
        if "method" not in m:
            n -= 1
            yield m


def test_cancel():
    with LineServer(echo="rate = 50", script="words again\nrepeat 100000\n") as server:
        c = server.client()
        c.send(chat(1, "x"))
        assert c.recv()["params"]["type"] == "started"
        c.send({"id": 2, "method": "cancel", "params": {"id": 1}})
        done = {m["id"]: m for m in iter_answers(c, 2)}
        assert done[2]["result"] == {"cancelled": True}
        assert done[1]["error"]["data"]["status"] == "CANCELLED" and done[1]["error"]["code"] == -32001
        c.send({"id": 3, "method": "cancel", "params": {"id": 1}})
        assert c.recv()["result"] == {"cancelled": False}
        c.send(chat(1, "x"), chat(1, "x"))  # the id is free again, but only once
        refused = next(m for m in iter(c.recv, None) if "error" in m)
        assert refused["id"] is None and "running" in refused["error"]["message"], refused
        c.send({"method": "cancel", "params": {"id": 1}})  # a notification has no answer
        assert next(iter_answers(c, 1))["error"]["code"] == -32001


def test_manual_flow():
    with LineServer() as server:
        c = server.client()
        words = " ".join(str(i) for i in range(40))
        c.send(chat(1, words, flow="manual", credit=3))
        events = [c.recv()["params"] for _ in range(3)]
        assert events[0]["type"] == "started"
        assert c.silent(0.5), c.recv()
        c.send({"id": 2, "method": "grant", "params": {"id": 1, "n": 5}})
        assert c.recv()["result"] == {"granted": 5}
        events += [c.recv()["params"] for _ in range(5)]
        assert c.silent(0.5)
        c.send({"method": "grant", "params": {"id": 1, "n": 1000}})
        rest, answer = c.answer(1)
        assert text_of(events + rest) == words and answer["result"]["events"] == 41
        c.send({"id": 3, "method": "grant", "params": {"id": 1, "n": 5}})
        assert c.recv()["result"] == {"granted": 0}  # it has ended


def test_grant_needs_manual_flow():
    with LineServer(echo="rate = 5") as server:
        c = server.client()
        c.send(chat(1, "a b c d e f g h"), {"id": 2, "method": "grant", "params": {"id": 1, "n": 5}})
        m = next(iter_answers(c, 1))
        assert m["id"] == 2 and m["error"]["code"] == -32602 and m["error"]["data"]["param"] == "id", m


def test_slow_reader():
    """It stands still, the server does not grow, the others go on, and it gets all in the end."""
    with LineServer(script="words word\nrepeat 60000\n") as server:
        slow, quick = server.client(rcvbuf=4096), server.client()
        slow.send(chat(1, "x"))
        time.sleep(1.0)
        quick.send({"id": "h", "method": "health"})
        assert quick.recv()["result"]["queue"]["active"] == 1
        before = rss(server.process.pid)
        time.sleep(0.5)
        assert rss(server.process.pid) < before + (4 << 20)
        events, answer = slow.answer(1)
        assert answer["result"]["events"] == len(events) == 60001
        assert len(text_of(events)) == 60000 * 4


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) << 10


def test_stalled_reader_is_cut_off():
    with LineServer(script="words word\nrepeat 10000000\n", line="write_timeout = 500ms") as server:
        stalled, other = server.client(rcvbuf=4096), server.client()
        stalled.send(chat(1, "x"))
        eventually(lambda: active(other) == 1)
        eventually(lambda: active(other) == 0)


def test_disconnect_cancels():
    with LineServer("127.0.0.1:0, SOCK", echo="rate = 20", script="words again\nrepeat 100000\n") as server:
        other = server.client()
        for path in (None, server.path):
            clients = [Client(server.port, path=path) for _ in range(5)]
            for c in clients:
                c.send(chat(1, "x"), chat(2, "x", stream=False))
            eventually(lambda: active(other) == 10)
            for c in clients:
                c.close()
            eventually(lambda: active(other) == 0)


def test_half_close():
    """A unix client that has said all still gets its answers; TCP by option; manual flow goes on."""
    with LineServer("127.0.0.1:0, SOCK", line="half_close = true") as server:
        for path in (None, server.path):
            c = Client(server.port, path=path)
            c.send(chat(1, "a b c", flow="manual", credit=1))
            c.raw(json.dumps(chat(2, "no newline at the end")).encode())
            c.socket.shutdown(socket.SHUT_WR)
            assert {m["id"] for m in iter_answers(c, 2)} == {1, 2}
            assert c.recv() is None


def test_unix_socket():
    with LineServer("SOCK", line="socket_mode = 640") as server:
        assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o640
        c = Client(path=server.path)
        c.send(chat(1, "over unix"))
        assert text_of(c.answer(1)[0]) == "over unix"
        again = subprocess.run([str(WEIR), "serve", str(pathlib.Path(server.folder.name) / "test.ini")],
                               capture_output=True, text=True, timeout=60)
        assert again.returncode == 1 and "another process listens" in again.stderr, again
        server.process.kill()  # leaves the socket behind
        server.process.wait()
        assert server.path.exists()
        fresh = subprocess.Popen(server.process.args, stderr=server.log, stdin=subprocess.DEVNULL)
        server.process = fresh

        def answers():
            try:
                c = Client(path=server.path)
                c.send({"id": 1, "method": "health"})
                return c.recv()["result"]["status"] == "ready"
            except OSError:
                return False
        eventually(answers)
        assert server.stop() == 0 and not server.path.exists()


def test_not_a_socket():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "file"
        path.write_text("precious")
        profile = pathlib.Path(folder) / "p.ini"
        profile.write_text(PROFILE.format(listen=f"unix:{path}", line="", echo=""))
        done = subprocess.run([str(WEIR), "serve", str(profile)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "something else than a socket" in done.stderr, done
        assert path.read_text() == "precious"


def test_stdio():
    """The end of standard input lets what runs finish, and ends the server."""
    with LineServer("stdio", echo="rate = 20", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        p = server.process
        p.stdin.write((json.dumps(chat(1, "a b c d")) + "\n" + json.dumps(chat(2, "last"))).encode())
        p.stdin.close()
        lines = [json.loads(line) for line in p.stdout]
        assert {m["id"] for m in lines if "result" in m} == {1, 2}, lines
        assert text_of([m["params"] for m in lines if m.get("method") and m["params"]["id"] == 1]) == "a b c d"
        assert p.wait(30) == 0


def test_stdio_ended_is_quiet():
    """Between the end of the input and the last answer the thread sleeps."""
    def cpu(pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    with LineServer("stdio", echo="rate = 4", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        p = server.process
        p.stdin.write(json.dumps(chat(1, "a b c d e f g h i j")).encode())
        p.stdin.close()
        p.stdout.readline()
        before = cpu(p.pid)
        time.sleep(1)
        assert cpu(p.pid) - before < 0.5
        assert b"result" in p.stdout.read() and p.wait(30) == 0


def test_stdio_from_a_file():
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(json.dumps(chat(i, f"word {i}")).encode() + b"\n" for i in range(40)))
        file.seek(0)
        with LineServer("stdio", stdin=file, stdout=subprocess.PIPE) as server:
            lines = [json.loads(line) for line in server.process.stdout]
            assert sorted(m["id"] for m in lines if "result" in m) == list(range(40))
            assert server.process.wait(30) == 0


def test_stdio_reader_gone():
    with LineServer("stdio", script="words again\nrepeat 100000000\n", stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE) as server:
        p = server.process
        p.stdin.write(json.dumps(chat(1, "x")).encode() + b"\n")
        p.stdin.flush()
        p.stdout.readline()
        p.stdout.close()
        assert p.wait(30) == 0
        p.stdin.close()


def test_many_clients():
    with LineServer(echo="rate = 200") as server:
        failures = []

        def one(number):
            try:
                c = server.client()
                for turn in range(3):
                    text = f"client {number} turn {turn}"
                    c.send(chat(turn, text))
                    events, answer = c.answer(turn)
                    assert text_of(events) == text and "result" in answer, (events, answer)
                c.close()
            except BaseException as e:
                failures.append(f"{number}: {e!r}")
        threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures[:5]
        eventually(lambda: active(server.client()) == 0)


def test_chaos():
    """Clients that do anything at any time; afterwards nothing is left and the server answers."""
    with LineServer("127.0.0.1:0, SOCK", echo="rate = 400", script="words word\nrepeat 60\n") as server:
        failures = []

        def one(number):
            rng = random.Random(number)
            try:
                for _ in range(8):
                    c = Client(server.port, path=server.path if rng.random() < 0.5 else None)
                    for id in range(rng.randrange(1, 6)):
                        c.send(chat(id, "x", stream=rng.random() < 0.7) if rng.random() < 0.6 else
                               chat(id, "x", flow="manual", credit=rng.randrange(5)))
                        if rng.random() < 0.3:
                            c.send({"method": rng.choice(["cancel", "nope"]), "params": {"id": rng.randrange(5)}})
                        if rng.random() < 0.5:
                            c.send({"method": "grant", "params": {"id": rng.randrange(5), "n": rng.randrange(1, 99)}})
                        if rng.random() < 0.2:
                            c.raw(rng.randbytes(rng.randrange(1, 300)) + b"\n")
                        if rng.random() < 0.5:
                            c.silent(0.05) or c.recv()
                    if rng.random() < 0.3:
                        c.socket.shutdown(socket.SHUT_WR)
                    time.sleep(rng.random() / 20)
                    c.close()
            except (BrokenPipeError, ConnectionResetError):
                pass
            except BaseException as e:
                failures.append(f"{number}: {e!r}")
        threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures[:5]
        c = server.client()
        eventually(lambda: active(c) == 0)
        c.send(chat(1, "x"))
        assert len(c.answer(1)[0]) == 61


def test_limits():
    with LineServer(echo="rate = 5", script="words again\nrepeat 1000\n",
                    line="max_connections = 3\nmax_requests = 2") as server:
        clients = [server.client() for _ in range(3)]
        clients[0].send(chat(1, "x"), chat(2, "x"), chat(3, "x"))
        refused = next(iter_answers(clients[0], 1))
        assert refused["id"] == 3 and refused["error"]["data"]["status"] == "QUEUE_FULL", refused
        assert refused["error"]["data"]["retry_after_ms"] > 0
        for c in clients[1:]:
            c.send({"id": 1, "method": "health"})
            c.recv()
        extra = server.client()
        assert extra.recv()["error"]["message"] == "too many connections" and extra.recv() is None
        clients.pop().close()
        def admitted():
            c = server.client()
            c.send({"id": 1, "method": "health"})
            return "result" in c.recv()
        eventually(admitted)


def test_out_of_descriptors():
    """accept never dies: when descriptors are there again, so is the server."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    with LineServer(preexec=few) as server:
        clients = []
        for _ in range(80):
            try:
                clients.append(server.client())
            except OSError:
                pass
        server.wait_log("out of file descriptors")
        for c in clients:
            c.close()

        def answers():
            try:
                c = server.client()
                c.send(chat(1, "back"))
                return text_of(c.answer(1)[0]) == "back"
            except (OSError, AssertionError):
                return False
        eventually(answers)


def test_idle_timeout():
    with LineServer(line="idle_timeout = 300ms", echo="rate = 10") as server:
        silent, busy, partial = server.client(), server.client(), server.client()
        busy.send(chat(1, "a b c d e f g h"))
        partial.raw(b'{"id":')
        assert silent.recv() is None and partial.recv() is None
        assert "result" in busy.answer(1)[1]  # longer than the timeout: it is not idle


def test_drain():
    """SIGTERM: what runs finishes, what is new is refused."""
    with LineServer(echo="rate = 10") as server:
        c = server.client()
        c.send(chat(1, "a b c d e f g h i j"))
        assert c.recv()["params"]["type"] == "started"
        server.process.send_signal(signal.SIGTERM)
        server.wait_log("stopping")
        c.send(chat(2, "late"))
        done = {m["id"]: m for m in iter_answers(c, 2)}
        assert "result" in done[1] and done[2]["error"]["data"]["status"] == "UNAVAILABLE", done
        assert c.recv() is None
        assert server.process.wait(30) == 0  # without a second signal, which could come too late to be caught


def test_reload():
    """SIGHUP with other options: the new instance takes the addresses over, what runs goes on."""
    with LineServer("SOCK", echo="rate = 20") as server:
        old = Client(path=server.path)
        old.send(chat(1, "a b c d e f g h i j k l m n o p"))
        assert old.recv()["params"]["type"] == "started"
        profile = pathlib.Path(server.folder.name) / "test.ini"
        for number in (1, 2, 3):
            profile.write_text(re.sub(r"plugin = line\n(max_requests.*\n)?",
                                      f"plugin = line\nmax_requests = {number}\n", profile.read_text()))
            before = server.text().count("is new")
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.text().count("is new") > before)
            c = Client(path=server.path)
            c.send(*[chat(i, "x") for i in range(4)])
            full = [m for m in iter_answers(c, 4) if "error" in m]
            assert len(full) == 4 - number, full
            c.close()
        assert "result" in old.answer(1)[1]
        assert old.recv() is None


def test_backend_error():
    with LineServer(script="words one\nerror EXHAUSTED no room\n") as server:
        c = server.client()
        c.send(chat(1, "x"))
        events, answer = c.answer(1)
        assert text_of(events) == "one"
        assert answer["error"]["data"]["status"] == "EXHAUSTED" and answer["error"]["message"] == "insufficient memory"
        assert answer["error"]["code"] == -32008


def test_kinds_of_events():
    script = 'reasoning well then\ntext "quoted"\\n\ntool {"index":0, "id":"c1"}\nfinish tool\n'
    with LineServer(script=script) as server:
        c = server.client()
        c.send(chat(1, "x"))
        events, answer = c.answer(1)
        assert [e["type"] for e in events] == ["started", "reasoning", "reasoning", "text", "tool"], events
        assert events[4]["delta"] == {"index": 0, "id": "c1"} and events[3]["text"] == '"quoted"\n'
        assert answer["result"]["choices"][0]["finish_reason"] == "tool_calls"
        c.send(chat(2, "x", stream=False))
        message = c.answer(2)[1]["result"]["choices"][0]["message"]
        assert message["content"] == '"quoted"\n' and message["reasoning_content"] == "well then", message
        assert [call["id"] for call in message["tool_calls"]] == ["c1"]
        c.send(chat(3, "x", include_reasoning=False))
        assert [e["type"] for e in c.answer(3)[0]] == ["started", "text", "tool"]


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules["__main__"], "line"))
