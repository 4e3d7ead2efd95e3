#!/usr/bin/env python3
"""isolation = process with backends that crash, freeze, never end or write garbage: nobody else notices, the
process is replaced, and what cannot go on says so. Echo and a toy backend only: the sanitizers run it too."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import tap
from weir_server import BUILD, WEIR, Server

CRASHER = BUILD / "tests" / "crasher"
PROFILE = """
[server]
plugin_path = {crasher}
cancel_grace = 5s
[frontend.http]
plugin = http
admin = true
[backend.bad]
plugin = crasher
serves = bad
isolation = process
hang_timeout = {hang}
secret = "a \\"b\\" SECRET #c"
{bad}
[backend.good]
plugin = echo
serves = good
isolation = process
{good}
[backend.steps]
plugin = stepper
serves = steps
autoload = false
load_on_demand = true
isolation = process
hang_timeout = {hang}
"""


class Isolated(Server):
    def __init__(self, bad="", good="", hang="20s", **kw):
        # Only tests of hangs have little patience: on a busy machine a process is slow to start.
        self.hang = hang
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name, "isolated.ini")
        self.write(bad, good)
        super().__init__(self.path, **kw)

    def write(self, bad="", good=""):
        text = PROFILE.format(crasher=CRASHER, hang=self.hang, bad=bad, good=good)
        self.path.write_text(text.replace("SECRET", "${:-$}{HOME}"), encoding="utf-8")

    def __exit__(self, kind, value, trace):
        # The toy breaks rules on purpose, and the log says so.
        status = self.stop()
        text = self.text()
        self.folder.cleanup()
        if kind is None:
            assert status == 0, f"weir serve ended with {status}:\n{text[-4000:]}"
        elif issubclass(kind, Exception):
            print("# server log:\n# " + text[-6000:].replace("\n", "\n# "))


def process(server, name):
    for backend in server.get("/health")[1]["backends"]:
        if backend["name"] == f"backend.{name}":
            return backend["process"]
    raise AssertionError(name)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as stat:  # a zombie of somebody who does not look
        return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"


def until(what, true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def chat(server, words, model="bad", max_tokens=10, **more):
    status, answer, headers = server.post("/v1/chat/completions", {
        "model": model, "messages": [{"role": "user", "content": words}], "max_tokens": max_tokens, **more})
    return status, answer, headers


def text_of(answer):
    assert answer[0] == 200, answer
    return answer[1]["choices"][0]["message"]["content"]


def message(answer):
    return answer[1]["error"]["message"]


def words(n):
    return "".join(f"w{i} " for i in range(n))


def ready(server, name="bad"):
    until(f"{name} is ready again", lambda: process(server, name)["state"] == "ready")


def test_same_answers():
    """Echo behind a process answers as echo does: text, counts, choices, finish reasons, SSE."""
    with Isolated() as server:
        answer = chat(server, "one two three", "good")
        assert text_of(answer) == "one two three"
        assert answer[1]["usage"]["completion_tokens"] == 3 and answer[1]["usage"]["prompt_tokens"] == 3
        answer = chat(server, "one two three", "good", max_tokens=2, n=3)
        assert [c["message"]["content"] for c in answer[1]["choices"]] == ["one two"] * 3, answer
        assert [c["finish_reason"] for c in answer[1]["choices"]] == ["length"] * 3, answer
        status, raw, _ = chat(server, "a b", "good", stream=True)
        assert status == 200 and raw.count(b"data: ") == raw.count(b"\n\n") and raw.endswith(b"data: [DONE]\n\n")
        odd = "naïve 日本 🚀 \u2028 \" \\ \x7f tab\tend"
        assert text_of(chat(server, odd, "good", max_tokens=100)) == odd
        refused = server.post("/v1/embeddings", {"model": "good", "input": "x"})
        assert refused[0] in (400, 501) and "chats and completions only" in refused[1]["error"]["message"], refused
        assert text_of(chat(server, "x")) == words(10)


def test_who_is_who():
    with Isolated() as server:
        one = process(server, "bad")
        assert one["state"] == "ready" and one["starts"] == 1
        assert os.getpgid(one["pid"]) == one["pid"] != os.getpgid(server.pid), "ctrl-C is the parent's"
        line = pathlib.Path(f"/proc/{one['pid']}/cmdline").read_bytes()
        assert b"backend.bad" in line and b"secret" not in line and b"#c" not in line, line
        numbers = sorted(int(n) for n in os.listdir(f"/proc/{one['pid']}/fd"))
        assert [n for n in numbers if n < 5] == [0, 1, 2, 3, 4], numbers
        mine = {os.readlink(f"/proc/{one['pid']}/fd/{n}") for n in numbers if os.path.lexists(f"/proc/{one['pid']}/fd/{n}")}
        assert not any("socket" in f and f in {os.readlink(f"/proc/{server.pid}/fd/{n}")
                                               for n in os.listdir(f"/proc/{server.pid}/fd")} for f in mine), "inherited"
        # Quotes, blanks, a # and what looks like a variable arrive as they were written.
        n = len('a "b" ${HOME} #c')
        assert f"the secret has {n} bytes" in server.text(), server.text()
        models = {m["id"]: m["state"] for m in server.get("/v1/models")[1]["data"]}
        assert models == {"bad": "ready", "good": "ready", "steps": "unloaded"}, models
        health = {b["name"]: b for b in server.get("/health")[1]["backends"]}
        assert health["backend.bad"]["component"] == "crasher" and "resume" not in health["backend.bad"]


def test_segfault_ends_nobody_else():
    with Isolated(good="rate = 20") as server:
        first, other = process(server, "bad"), process(server, "good")
        long = " ".join(f"n{i}" for i in range(30))
        got = []
        thread = threading.Thread(target=lambda: got.append(text_of(chat(server, long, "good", max_tokens=100))))
        thread.start()
        answer = chat(server, "SEGFAULT")
        assert answer[0] == 503 and "cannot go on" in message(answer) and "Retry-After" in answer[2], answer
        ready(server)
        second = process(server, "bad")
        assert second["pid"] != first["pid"] and second["starts"] == 2 and gone(first["pid"])
        assert text_of(chat(server, "x")) == words(10)
        thread.join()
        assert got == [long] and process(server, "good") == other
        assert server.metric("weir_process_deaths_total") == 1
        assert "signal 11 (Segmentation fault)" in server.text()


def test_twice_is_enough():
    """A request that has not told anything is tried again, once."""
    with Isolated() as server:
        answer = chat(server, "EARLY ABORT")
        assert answer[0] == 500 and "ended 2 times while it worked on this request" in server.text(), answer
        ready(server)
        assert process(server, "bad")["starts"] == 3
        assert text_of(chat(server, "x")) == words(10)


def test_untold_requests_begin_again():
    """Killed before it has told anything: the client sees nothing but a pause."""
    with Isolated() as server:
        got = []
        thread = threading.Thread(target=lambda: got.append(text_of(chat(server, "x"))))
        os.kill(process(server, "bad")["pid"], signal.SIGSTOP)
        thread.start()
        time.sleep(0.2)
        os.kill(process(server, "bad")["pid"], signal.SIGKILL)
        thread.join()
        assert got == [words(10)]


def test_freeze():
    """A stopped process does not answer: it is killed and replaced."""
    with Isolated(hang="3s") as server:
        first = process(server, "bad")["pid"]
        answer = chat(server, "FREEZE")
        assert answer[0] == 503 and "cannot go on" in message(answer), answer
        ready(server)
        assert gone(first) and "it did not answer for 3.0 s" in server.text()
        assert text_of(chat(server, "x")) == words(10)


def test_cancelled_but_never_ended():
    """A client that goes away is gone at once; a process that goes on with its request is replaced."""
    with Isolated(hang="3s") as server:
        first = process(server, "bad")["pid"]
        try:
            server.post("/v1/chat/completions", {"model": "bad", "stream": True, "max_tokens": 10, "messages": [
                {"role": "user", "content": "NEVER"}]}, timeout=1)
            raise AssertionError("it has ended")
        except TimeoutError:
            pass
        until("the stream ends", lambda: server.metric("http_streams") == 0, 10)
        until("the process is replaced", lambda: gone(first))
        ready(server)
        until("it is told", lambda: "did not end a cancelled request" in server.text())
        assert text_of(chat(server, "x")) == words(10)


def spell(server, prompt, n=20, **more):
    """An answer of the backend that runs steps: letters that hang on the prompt alone."""
    status, answer, _ = server.post("/v1/completions", {"model": "steps", "prompt": prompt, "max_tokens": n, **more},
                                    timeout=120)
    return status, answer["choices"][0]["text"] if status == 200 else answer


def test_hung_step():
    """Health is answered, but a step does not return: the process is replaced."""
    with Isolated(hang="3s") as server:
        whole = spell(server, "x")
        assert whole[0] == 200 and len(whole[1]) == 20, whole
        first = process(server, "steps")["pid"]
        answer = spell(server, "HANG")
        assert answer[0] == 500 and gone(first), answer
        assert "step() did not return for 3.0 s" in server.text()
        assert spell(server, "x") == whole
        progress = [b for b in server.get("/health")[1]["backends"] if b["name"] == "backend.steps"][0]["progress"]
        assert progress["count"] > 0 and progress["hung"] is False, progress


def beside(server, n, poison, length=60):
    """n innocents beside a poison request, all at a time: their answers, and what became of that one."""
    prompts = [f"innocent {i}" for i in range(n)]
    prompts.insert(n // 2, poison)
    got = [None] * len(prompts)

    def run(i):
        got[i] = spell(server, prompts[i], length)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got[:n // 2] + got[n // 2 + 1:], got[n // 2]


def test_innocents_beside_poison():
    """What ends its process ends after few deaths; who was beside it goes on, and the backend with it."""
    with Isolated() as server:
        whole = [spell(server, f"innocent {i}", 60) for i in range(8)]
        assert all(w[0] == 200 and len(w[1]) == 60 for w in whole), whole
        before = process(server, "steps")["starts"]
        for poison in ("EARLY SEGFAULT", "SEGFAULT"):
            got, end = beside(server, 8, poison)
            assert got == whole, [(g, w) for g, w in zip(got, whole) if g != w]
            assert end[0] == 500, end
            ready(server, "steps")
            now = process(server, "steps")["starts"]
            assert now - before <= 4, (poison, now, before)
            before = now
        for _ in range(3):  # a client that tries again does not bring the backend down
            got, end = beside(server, 8, "EARLY SEGFAULT")
            assert got == whole and end[0] == 500
        assert "while it worked on this request" in server.text()


def test_hung_beside_others():
    with Isolated(hang="3s") as server:
        whole = [spell(server, f"innocent {i}", 60) for i in range(3)]
        got, end = beside(server, 3, "LATE HANG")
        assert got == whole and end[0] == 500, (got, end)


def test_stuck_before_its_steps():
    """A tokenizer that does not return, and nothing else to do."""
    with Isolated(hang="3s") as server:
        assert spell(server, "x")[0] == 200
        answer = spell(server, "STUCK")
        assert answer[0] == 500 and "prepare did not return for 3.0 s" in server.text(), answer
        assert spell(server, "x")[0] == 200


def test_busy_is_not_hung():
    """Many steps that last longer than hang_timeout together; a reader that takes nothing for as long."""
    with Isolated(hang="3s") as server:
        first = (spell(server, "x"), process(server, "steps")["pid"])[1]
        assert len(spell(server, "long", 450)[1]) == 450
        import socket
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            body = json.dumps({"model": "steps", "stream": True, "prompt": "slow", "max_tokens": 900})
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall((f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
            time.sleep(4.5)
        assert process(server, "steps")["pid"] == first and process(server, "steps")["starts"] == 1, server.text()


def test_silence():
    """Without steps to count, only a long silence tells: ten times as long."""
    with Isolated(hang="500ms") as server:
        first = process(server, "bad")["pid"]
        began = time.monotonic()
        answer = chat(server, "NEVER")
        assert answer[0] == 503 and time.monotonic() - began > 4.5 and gone(first), answer
        assert "told nothing of any request for 5.0 s" in server.text()


def test_garbage():
    with Isolated() as server:
        first = process(server, "bad")["pid"]
        answer = chat(server, "GARBAGE")
        assert answer[0] == 503, answer
        ready(server)
        assert gone(first) and "a line that is not JSON" in server.text()
        assert text_of(chat(server, "x")) == words(10)


def test_abort_at_load():
    """The slot fails with the reason, the server serves the rest, and a load tries again."""
    with Isolated(bad="at = abort") as server:
        until("it has failed", lambda: server.get("/v1/models/bad")[1]["state"] == "failed")
        answer = chat(server, "x")
        assert answer[0] == 503 and "process" in message(answer) and "Retry-After" in answer[2], answer
        assert text_of(chat(server, "a b", "good")) == "a b"
        server.write()
        server.process.send_signal(signal.SIGHUP)
        until("it is there", lambda: server.get("/v1/models/bad")[1]["state"] == "ready")
        assert text_of(chat(server, "x")) == words(10)


def test_own_words():
    """What create() says in the process is what the parent says, at once."""
    with Isolated(bad="at = error") as server:
        until("it has failed", lambda: server.get("/v1/models/bad")[1]["state"] == "failed")
        error = [b["error"] for b in server.get("/health")[1]["backends"] if b["name"] == "backend.bad"][0]
        assert "it was told not to begin" in error, error
        assert server.text().count("is started") == 2, "one for each: no second try"


def test_gives_up():
    """After too many deaths without a healthy minute it has failed; a load begins anew."""
    with Isolated() as server:
        deaths = 0
        while server.get("/v1/models/bad")[1]["state"] == "ready" and deaths < 12:
            pid = process(server, "bad")["pid"]
            if pid and process(server, "bad")["state"] == "ready":
                os.kill(pid, signal.SIGKILL)
                deaths += 1
                until("it is gone", lambda: gone(pid))
            time.sleep(0.05)
        assert deaths == 8, deaths
        until("it has failed", lambda: server.get("/v1/models/bad")[1]["state"] == "failed")
        answer = chat(server, "x")
        assert answer[0] == 503 and "killed by signal 9" in message(answer), answer
        assert server.post("/v1/models/bad/load", {"wait": True})[0] == 200
        assert text_of(chat(server, "x")) == words(10)


def test_parent_killed():
    server = Isolated()
    pids = [process(server, name)["pid"] for name in ("bad", "good")]
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    for pid in pids:
        until("it goes with its parent", lambda: gone(pid), 10)
    server.folder.cleanup()


def test_orderly_end():
    """SIGINT lets what runs finish; then the processes end, and nobody was killed."""
    with Isolated() as server:
        pids = [process(server, name)["pid"] for name in ("bad", "good")]
        got = []
        thread = threading.Thread(target=lambda: got.append(text_of(chat(server, "x", max_tokens=40))))
        thread.start()
        until("it runs", lambda: server.get("/health")[1]["queue"]["active"] == 1)
        assert server.stop(signal.SIGINT) == 0
        thread.join()
        assert got == [words(40)] and all(gone(pid) for pid in pids)
        assert "killed" not in server.text() and "Traceback" not in server.text()


def test_polite_kill_is_a_death():
    """SIGTERM to the process alone: it leaves, its requests that can wait go to the next one."""
    with Isolated() as server:
        first = process(server, "bad")["pid"]
        os.kill(first, signal.SIGTERM)
        until("another one", lambda: process(server, "bad")["starts"] == 2)
        ready(server)
        assert gone(first) and text_of(chat(server, "x")) == words(10)


def test_slow_reader():
    """A client that does not read takes no more than its credit from the process."""
    script = tempfile.NamedTemporaryFile("w", suffix=".txt")
    script.write("text 0123456789012345678901234567890123456789012345678901234567890123456789\nrepeat 100000\n")
    script.flush()
    with script, Isolated(good=f"script = {script.name}") as server:
        import socket
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            body = json.dumps({"model": "good", "stream": True, "messages": [{"role": "user", "content": "x"}]})
            s.sendall((f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
            s.recv(1000)
            time.sleep(0.5)
            before, pid = server.rss(), process(server, "good")["pid"]
            used = [int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[11]) for p in (server.pid, pid)]
            time.sleep(1)
            after = [int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[11]) for p in (server.pid, pid)]
            assert server.rss() - before < 4 << 20 and sum(after) - sum(used) < 40, (used, after)
        until("the stream ends", lambda: server.metric("http_streams") == 0)
        assert text_of(chat(server, "x"))


def test_reload():
    """Names and limits leave the process alone; options of the backend make another one."""
    with Isolated() as server:
        first = process(server, "bad")["pid"]
        text = server.path.read_text()
        server.path.write_text(text.replace("serves = bad", "serves = bad, worse").replace(
            "[frontend.http]", "max_concurrent = 7\n[frontend.http]"))
        server.process.send_signal(signal.SIGHUP)
        until("it has the name", lambda: server.get("/v1/models/worse")[0] == 200)
        assert text_of(chat(server, "x", "worse")) == words(10) and process(server, "bad")["pid"] == first
        server.path.write_text(text.replace("isolation = process\nhang", "isolation = none\nhang"))
        server.process.send_signal(signal.SIGHUP)
        until("the process goes", lambda: gone(first))
        until("it serves", lambda: server.get("/v1/models/bad")[1]["state"] == "ready")
        assert text_of(chat(server, "x")) == words(10)
        assert "process" not in [b for b in server.get("/health")[1]["backends"] if b["name"] == "backend.bad"][0]


def test_unload_and_load():
    with Isolated(bad="load_on_demand = true") as server:
        first = process(server, "bad")["pid"]
        assert server.post("/v1/models/bad/unload", {"wait": True})[0] == 200
        until("it is gone", lambda: gone(first))
        assert text_of(chat(server, "x")) == words(10), "by its first request"
        assert process(server, "bad")["pid"] != first


def refused(text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "wrong.ini")
        path.write_text(text)
        run = subprocess.run([WEIR, "serve", path, "--check"], capture_output=True, text=True)
    assert run.returncode == 3, run
    return run.stderr


def test_wrong_profiles():
    head = "[frontend.http]\nplugin = http\n[backend.good]\nplugin = echo\n"
    told = refused(head + "isolation = thread\n")
    assert ":5: [backend.good] isolation" in told and "none|process" in told, told
    told = refused(head + "isolation = process\nraet = 5\n")
    assert ":6: [backend.good] raet" in told and "did you mean rate" in told, told
    told = refused(head + "isolation = process\nrate = fast\n")
    assert ":6:" in told and "is not a number" in told, told
    told = refused(head.replace("plugin = echo", "plugin = child"))
    assert "profile" in told and "required" in told, told
    told = refused("[frontend.line]\nrelay = maybe\n[backend.good]\nplugin = echo\n")
    assert "true or false" in told, told
    run = subprocess.run([WEIR, "inspect", "backend"], capture_output=True, text=True)
    assert "isolation = none" in run.stdout and "none|process" in run.stdout and "hang_timeout" in run.stdout


def test_relay_is_private():
    """The methods between two processes are for inherited connections only."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "line.ini")
        path.write_text("[frontend.line]\nlisten = stdio\n[backend.echo]\n")
        run = subprocess.run([WEIR, "serve", path, "--set", "frontend.line.relay=true"], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL)
        assert run.returncode == 1 and "every address in listen must be fd:N" in run.stderr, run
        run = subprocess.run([WEIR, "serve", path], capture_output=True, text=True, input=(
            '{"id":1,"method":"submit","params":{"fields":{}}}\n{"id":2,"method":"metrics"}\n'))
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert [a["error"]["code"] for a in answers] == [-32601, -32601], run


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "isolation-raw"))
