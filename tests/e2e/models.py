#!/usr/bin/env python3
"""Backends of a running server that come and go: load and unload by hand, on demand, idle, replaced by SIGHUP,
with streams open all the while. Every answer is whole, once, and the memory comes back."""
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time

import tap
from weir_server import LEAN, SOURCE, Server

MODEL = SOURCE / "data" / "models" / "weir-demo.gguf"
SANITIZED = bool(os.environ.get("ASAN_OPTIONS") or os.environ.get("TSAN_OPTIONS"))
PROFILE = """
[server]
drain_timeout = {drain}
max_loaded = {max_loaded}
[frontend.http]
plugin = http
admin = true
[backend.main]
plugin = cpu
model = {model}
serves = weir-demo, default
context = {context}
max_sequences = 16
{extra}
"""


def profile(path, **values):
    text = PROFILE.format(**{"drain": "30s", "max_loaded": 0, "model": MODEL, "context": 1024, "extra": "", **values})
    path.write_text(text, encoding="utf-8")


def ask(server, words="write an essay about the sea", model="weir-demo", n=200):
    return server.post("/v1/chat/completions", {
        "model": model, "messages": [{"role": "user", "content": words}], "max_tokens": n, "temperature": 0})


def test_a_file_is_served_under_its_own_name():
    """weir serve FILE.gguf; what --set says counts more."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "My model, v1.gguf"
        file.symlink_to(MODEL)
        for options, names in (((), ["My-model--v1", "default"]), (("backend.main.serves=mine",), ["mine"])):
            with Server(file, "backend.main.context=256", *options) as server:
                listed = [m["id"] for m in server.get("/v1/models")[1]["data"]]
                assert listed == names, listed
                assert text_of(ask(server, model=names[0], n=8))


def text_of(answer):
    return answer[1]["choices"][0]["message"]["content"]


def stream_of(server, n=400):
    """The text of a streamed answer and how often it was said to be done."""
    status, raw, _ = server.post("/v1/chat/completions", {
        "model": "weir-demo", "messages": [{"role": "user", "content": "write an essay about the sea"}],
        "max_tokens": n, "temperature": 0, "stream": True})
    if status != 200:
        return status, "", 0
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    parts = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines if line != "[DONE]"]
    return status, "".join(parts), lines.count("[DONE]")


def change(server, verb, wait=True):
    status, answer, _ = server.post(f"/v1/models/weir-demo/{verb}", {"wait": wait})
    assert status == 200 and answer["success"], answer
    return answer["state"]


def state(server):
    return server.get("/v1/models/weir-demo")[1]["state"]


def until(what, true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def in_parallel(n, call):
    got, threads = [], []
    for _ in range(n):
        threads.append(threading.Thread(target=lambda: got.append(call())))
        threads[-1].start()
    return got, threads


def hang_up(server):
    server.process.send_signal(signal.SIGHUP)


def test_unload_with_streams_open():
    with Server("default", "frontend.http.admin=true", env=LEAN) as server:
        whole = stream_of(server)
        assert whole[0] == 200 and whole[2] == 1 and len(whole[1]) > 200
        loaded = server.rss()
        before = server.metric("vllm:request_success_total")
        got, threads = in_parallel(4, lambda: stream_of(server))
        until("they run", lambda: server.metric("vllm:num_requests_running") > 0 or len(got) == 4)
        change(server, "unload", wait=False)
        refused = ask(server)
        assert refused[0] == 503 and refused[1]["error"]["code"] == "model_not_loaded", refused
        assert "POST /v1/models/weir-demo/load" in refused[1]["error"]["message"]
        assert change(server, "unload") == "unloaded"
        for thread in threads:
            thread.join()
        assert got == [whole] * 4, "an answer under way is whole, and said once"
        assert server.metric("vllm:request_success_total") == before + 4
        health = server.get("/health")[1]
        assert health["backends"][0]["state"] == "unloaded" and health["status"] == "ready"
        if not SANITIZED:
            assert server.rss() < loaded - (4 << 20), (server.rss(), loaded)
        text = server.get("/metrics", headers={"Accept": "text/plain"})[1].decode()
        assert 'weir_model_state{backend="backend.main",state="unloaded"} 1' in text
        assert 'weir_model_bytes{backend="backend.main"} 0' in text
        assert change(server, "load") == "ready"
        assert stream_of(server) == whole
        assert server.get("/v1/models")[1]["data"][0]["status"] == {"value": "loaded"}


def test_a_hundred_times():
    with Server("default", "frontend.http.admin=true", "backend.main.context=256", "backend.main.max_sequences=4",
                env=LEAN) as server:
        memory = []
        for number in range(100):
            assert change(server, "unload") == "unloaded"
            assert change(server, "load") == "ready"
            if number % 20 == 0:
                assert ask(server, n=4)[0] == 200
            if number in (19, 99):
                memory.append((server.rss(), len(os.listdir(f"/proc/{server.pid}/task")),
                               len(os.listdir(f"/proc/{server.pid}/fd"))))
        print(f"# resident, threads, descriptors after 20 and 100: {memory}")
        assert memory[1][1] == memory[0][1] and memory[1][2] <= memory[0][2] + 2, memory
        if not SANITIZED:
            assert memory[1][0] < memory[0][0] + (2 << 20), memory


def test_file_gone_and_back():
    with tempfile.TemporaryDirectory() as folder:
        file, ini = pathlib.Path(folder) / "m.gguf", pathlib.Path(folder) / "p.ini"
        shutil.copy(MODEL, file)
        profile(ini, model=file)
        with Server(ini) as server:
            change(server, "unload")
            file.rename(f"{file}.away")
            status, answer, _ = server.post("/v1/models/weir-demo/load?wait=true", None)
            assert status == 503 and "m.gguf" in answer["error"]["message"], answer
            model = server.get("/v1/models/weir-demo")[1]
            assert model["state"] == "failed" and model["status"] == {"value": "unloaded", "failed": True}, model
            assert "m.gguf" in model["error"]
            told = [model, server.get("/v1/models")[1], server.get("/health")[1], answer, ask(server)[1]]
            assert folder not in json.dumps(told), told
            assert f"{file}" in server.text()
            assert ask(server)[0] == 503
            pathlib.Path(f"{file}.away").rename(file)
            hang_up(server)
            until("the reload tries again", lambda: state(server) == "ready")
            assert ask(server, n=5)[0] == 200


def test_file_changed_under_it():
    """A file that is cut off and written over in place, while its model serves and before it is loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        file, ini = pathlib.Path(folder) / "m.gguf", pathlib.Path(folder) / "p.ini"
        shutil.copy(MODEL, file)
        profile(ini, model=file, extra="[backend.more]\nplugin = echo\nserves = more\n")
        with Server(ini) as server:
            whole = text_of(ask(server, n=60))
            for size in (MODEL.stat().st_size // 2, 5000):
                os.truncate(file, size)
                assert text_of(ask(server, n=60)) == whole
                assert ask(server, model="more")[0] == 200
            change(server, "unload")
            status, answer, _ = server.post("/v1/models/weir-demo/load?wait=true", None)
            assert status == 503 and "truncated" in answer["error"]["message"], answer
            assert ask(server, model="more")[0] == 200
            with open(file, "r+b") as to:
                to.write(MODEL.read_bytes())
            assert change(server, "load") == "ready"
            with open(file, "r+b") as to:
                to.write(b"\x7f" * MODEL.stat().st_size)
            assert text_of(ask(server, n=60)) == whole


def test_on_demand_and_idle():
    with tempfile.TemporaryDirectory() as folder:
        ini = pathlib.Path(folder) / "p.ini"
        profile(ini, max_loaded=1, extra=f"""autoload = false
load_on_demand = true
idle_unload = 300ms
[backend.other]
plugin = cpu
model = {MODEL}
serves = other
context = 512
autoload = false
load_on_demand = true
""")
        with Server(ini) as server:
            assert state(server) == "unloaded"
            got, threads = in_parallel(6, lambda: ask(server, n=30))
            for thread in threads:
                thread.join()
            assert [g[0] for g in got] == [200] * 6, got
            assert len({text_of(g) for g in got}) == 1
            assert ask(server, model="other", n=30)[0] == 200  # makes the first one leave
            assert state(server) == "unloaded"
            assert ask(server, n=30)[0] == 200
            until("it is idle", lambda: state(server) == "unloaded")
            log = server.text()
            assert "makes room (max_loaded)" in log and "was idle for long (idle_unload)" in log


def keep_asking(server, stop, results):
    while not stop.is_set():
        results.append(ask(server, n=20))


def replaced(folder, extra):
    """Requests without a pause while SIGHUP brings another context; their statuses."""
    ini = pathlib.Path(folder) / "p.ini"
    profile(ini, context=512, extra=extra)
    with Server(ini) as server:
        whole = text_of(ask(server, n=20))
        stop, results = threading.Event(), []
        threads = [threading.Thread(target=keep_asking, args=(server, stop, results)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for context in (640, 768):
            profile(ini, context=context, extra=extra)
            hang_up(server)
            until("the new one serves", lambda: server.get("/v1/models/weir-demo")[1].get("max_model_len") == context)
        stop.set()
        for thread in threads:
            thread.join()
        assert {text_of(r) for r in results if r[0] == 200} == {whole}
        assert {r[0] for r in results} <= {200, 503}, results
        until("the old ones are gone", lambda: server.text().count("is unloaded") == 2)
        # One that cannot be loaded.
        profile(ini, context=512, model="/nowhere/x.gguf", extra=extra)
        hang_up(server)
        if "beside" in extra:
            until("it says so", lambda: "the old one goes on" in server.text())
            assert text_of(ask(server, n=20)) == whole
        else:
            until("it has failed", lambda: state(server) == "failed")
            why = server.get("/health")[1]["backends"][0]["error"]
            assert why.startswith("x.gguf: ") and "/nowhere" not in why, why
            assert "/nowhere/x.gguf" in server.text(), "the folder is for the log"
        profile(ini, context=768, extra=extra + "\n[backend.more]\nplugin = echo\nserves = more\n")
        hang_up(server)
        until("it is ready", lambda: state(server) == "ready")
        assert text_of(ask(server, n=20)) == whole
        assert ask(server, model="more")[0] == 200
        profile(ini, context=768, extra=extra)
        hang_up(server)
        until("more is gone", lambda: ask(server, model="more")[0] == 404)
        return {r[0]: r[1] for r in results}  # a body for each status


def test_replaced_beside():
    with tempfile.TemporaryDirectory() as folder:
        got = replaced(folder, "replace = beside")
        assert set(got) == {200}, f"there is always one that serves: {got}"


def test_replaced_after():
    with tempfile.TemporaryDirectory() as folder:
        assert 200 in replaced(folder, "")
    with tempfile.TemporaryDirectory() as folder:  # on demand, requests wait instead of being refused
        got = replaced(folder, "load_on_demand = true")
        assert set(got) == {200}, got


def test_end_during_a_load():
    """SIGTERM between an unload, a load and their answers: the server ends in order."""
    for delay in (0, 0.005, 0.02):
        with Server("default", "frontend.http.admin=true") as server:
            got, threads = in_parallel(3, lambda: stream_of(server, 100))
            server.post("/v1/models/weir-demo/unload", None)
            server.post("/models/load", {"model": "default"})
            time.sleep(delay)
            assert server.stop() == 0
            for thread in threads:
                thread.join()


def test_not_for_everybody():
    with Server("echo", "frontend.http.admin=true") as server:
        for origin, status in (("http://evil.example", 403), ("null", 403), (f"http://127.0.0.1:{server.port}", 200)):
            assert server.post("/models/unload", {"model": "echo"}, headers={"Origin": origin})[0] == status
        for body in ('{"model": 1}', '{"model": "echo", "wait": 1}', "[]", "{", '{"model": ""}'):
            assert server.post("/models/load", body)[0] == 400, body
        assert server.post("/v1/models/echo/load?wait=maybe", None)[0] == 400
        assert server.get("/models/load")[0] == 405


def test_not_for_rebound_names():
    """A page whose name was made to lead here meanwhile (DNS rebinding) is our page for its browser: same origin."""
    with Server("echo", "frontend.http.admin=true", "frontend.http.admin_hosts=box.example,[fd00::1]") as server:
        port = server.port
        for name, status in (("evil.example", 403), (f"evil.example:{port}", 403), ("localhost.evil.example", 403),
                             ("127.0.0.1.evil.example", 403), ("8.8.8.8", 403), ("[::2]", 403), ("[::1", 403),
                             ("", 403), (".", 403), ("evil.localhost.", 200), ("localhost", 200),
                             (f"LocalHost:{port}", 200), (f"127.0.0.1:{port}", 200), ("127.8.9.1", 200),
                             (f"[::1]:{port}", 200), (f"box.example:{port}", 200), ("[fd00::1]:1", 200)):
            for origin in (None, "http://" + name):
                headers = {"Host": name, **({"Origin": origin} if origin else {})}
                got = server.post("/models/load", {"model": "echo"}, headers=headers)
                assert got[0] == status, (name, origin, got)
                if status == 403:
                    assert "admin_hosts" in got[1]["error"]["message"], got
        for path in ("/admin/reload", "/v1/profile/start"):
            assert server.post(path, {}, headers={"Host": "evil.example"})[0] == 403
        assert server.get("/v1/profile", headers={"Host": "evil.example"})[0] == 403
        assert server.get("/v1/models", headers={"Host": "evil.example"})[0] == 200


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "models"))
