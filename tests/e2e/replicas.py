#!/usr/bin/env python3
"""Two backends behind one model's name: streams are spread, go on in the other one when theirs is killed, unloaded or
gone from the profile; a prompt comes back to where its beginning is known."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import tap
from isolation import in_parallel, stream
from isolation_raw import gone, process, ready, until
from models import hang_up
from weir_server import SOURCE, WEIR, Server

MODEL = SOURCE / "data" / "models" / "weir-demo.gguf"
HEAD = """
[server]
drain_timeout = {drain}
[frontend.http]
plugin = http
admin = true
"""
ECHO = """
[backend.{name}]
plugin = echo
serves = m, also
rate = 20
isolation = {isolation}
"""
CPU = """
[backend.{name}]
plugin = cpu
model = {model}
serves = demo
context = 1024
max_sequences = 16
isolation = {isolation}
"""


class Replicas(Server):
    def __init__(self, *parts, drain="20s", isolation="none"):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name, "replicas.ini")
        self.isolation, self.drain = isolation, drain
        self.write(*parts)
        super().__init__(self.path)

    def write(self, *parts):
        texts = [part.format(name=name, model=MODEL, isolation=self.isolation) for part, name in parts]
        self.path.write_text(HEAD.format(drain=self.drain) + "".join(texts), encoding="utf-8")

    def reload(self, *parts):
        self.write(*parts)
        n = self.text().count("was read again")
        hang_up(self)
        until("it was read", lambda: self.text().count("was read again") > n)

    def __exit__(self, kind, value, trace):
        self.folder.cleanup()
        super().__exit__(kind, value, trace)


def busy(server):
    """Requests of each backend, in order."""
    return [b["queue"]["active"] + b["queue"]["waiting"] for b in server.get("/health")[1]["backends"]]


def model(server, name="m"):
    return server.get(f"/v1/models/{name}")[1]


def chat(server, words, n=20):
    return server.post("/v1/chat/completions", {
        "model": "m", "messages": [{"role": "user", "content": words}], "max_tokens": n})


def echoes(isolation):
    with Replicas((ECHO, "a"), (ECHO, "b"), isolation=isolation) as server:
        assert '"m" is served by backend.a and backend.b' in server.text()
        entry = model(server)
        assert entry["state"] == "ready" and entry["replicas"] == 2 == entry["replicas_ready"], entry
        assert [m["id"] for m in server.get("/v1/models")[1]["data"]] == ["m", "also"]
        threads = [threading.Thread(target=chat, args=(server, f"request number {i} has some words " * 3))
                   for i in range(10)]
        for thread in threads:
            thread.start()
        until("all run", lambda: sum(busy(server)) == 10)
        assert busy(server) == [5, 5], busy(server)
        for thread in threads:
            thread.join()

        # The same long prompt, when nobody else asks: always the same one.
        long = "once upon a time there was a prompt of many words " * 20
        seen = []
        for _ in range(4):
            chat(server, "short")  # who would be next, changes
            thread = threading.Thread(target=chat, args=(server, long))
            thread.start()
            until("it runs", lambda: sum(busy(server)) == 1)
            seen.append(busy(server))
            thread.join()
        assert seen == [seen[0]] * 4, seen


def test_echo():
    echoes("none")


def test_echo_in_processes():
    echoes("process")


def test_by_name_and_one_by_one():
    with Replicas((ECHO, "a"), (ECHO, "b")) as server:
        def change(name, verb):
            return server.post(f"/v1/models/{name}/{verb}", {"wait": True})
        status, answer, _ = change("backend.a", "unload")
        assert status == 200 and answer["state"] == "unloaded", answer
        assert model(server)["state"] == "ready" and model(server)["replicas_ready"] == 1
        assert [chat(server, f"text {i}", 3)[0] for i in range(4)] == [200] * 4
        assert change("m", "unload")[1]["state"] == "unloaded"
        assert model(server)["state"] == "unloaded" and model(server)["replicas"] == 2
        status, answer, _ = chat(server, "text")
        assert status == 503 and answer["error"]["code"] == "model_not_loaded", answer
        assert change("also", "load")[1]["state"] == "ready"
        assert model(server)["replicas_ready"] == 2
        assert change("backend.c", "load")[0] == 404
        seats = server.get("/slots?model=m")[1]
        assert {s["backend"] for s in seats} <= {"backend.a", "backend.b"}
        props = server.get("/props?model=m")[1]
        assert props["model_alias"] == "m" and props["models"] == ["m", "also"], props


def test_reload_of_a_stream():
    """A replica comes, and one goes, with streams open: nothing is lost."""
    with Replicas((CPU, "a"), drain="300ms") as server:
        whole = [stream(server, seed) for seed in range(6)]
        assert all(w[3] == 1 and not w[4] for w in whole), whole
        got, threads = in_parallel(6, lambda i: stream(server, i))
        until("they run", lambda: server.metric("http_streams") == 6)
        server.reload((CPU, "a"), (CPU, "b"))
        until("the new one", lambda: model(server, "demo")["replicas_ready"] == 2)
        server.reload((CPU, "b"))
        for thread in threads:
            thread.join()
        assert got == whole, [(g, w) for g, w in zip(got, whole) if g != w][:1]
        assert model(server, "demo")["replicas"] == 1 and stream(server, 2) == whole[2]


def test_one_process_killed():
    """kill -9 of one of two: its streams go on, the other's do not notice, and new ones are served at once."""
    with Replicas((CPU, "a"), (CPU, "b"), isolation="process") as server:
        ready(server, "a"), ready(server, "b")
        whole = [stream(server, seed, model="demo") for seed in range(8)]
        got, threads = in_parallel(8, lambda i: stream(server, i))
        until("they run", lambda: server.metric("http_streams") == 8)
        until("all were let in", lambda: busy(server) == [4, 4])
        first = process(server, "a")["pid"]
        os.kill(first, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert got == whole, [(g, w) for g, w in zip(got, whole) if g != w][:1]
        assert gone(first) and process(server, "b")["starts"] == 1


def test_check():
    """Whoever copied a section and forgot its name can see it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "check.ini")
        path.write_text(HEAD.format(drain="1s") + ECHO.format(name="a", isolation="none")
                        + ECHO.format(name="b", isolation="none"), encoding="utf-8")
        out = subprocess.run([WEIR, "serve", path, "--check"], capture_output=True, text=True, check=True)
        assert "  m -> backend.a, backend.b (replicas)\n" in out.stdout, out.stdout


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "replicas"))
