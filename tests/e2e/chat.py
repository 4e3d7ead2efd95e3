#!/usr/bin/env python3
"""`weir chat` end to end: a real server with the echo backend, a pseudo terminal and pipes."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

import tap
from weir_server import WEIR, Server, free_port

PROMPT = r">(\x1b\[0m)? "  # colours end before the blank
STATE = tempfile.TemporaryDirectory()
ENV = {**os.environ, "XDG_STATE_HOME": STATE.name, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
for name in ("NO_COLOR", "WEIR_API_KEY", "OPENAI_API_KEY"):
    ENV.pop(name, None)


def script(text):
    file = pathlib.Path(STATE.name) / f"script-{len(os.listdir(STATE.name))}"
    file.write_text(text)
    return f"backend.echo.script={file}"


def pipe(args, text="", env=None, timeout=60):
    return subprocess.run([str(WEIR), "chat", *args], input=text, capture_output=True, text=True,
                          timeout=timeout, env={**ENV, **(env or {})})


class Terminal:
    """weir chat with a terminal of its own. Everything that it has written is in .seen."""

    def __init__(self, *args, env=None):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x18\x00\x50\x00\x00\x00\x00\x00")

        def session():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([str(WEIR), "chat", *args], stdin=slave, stdout=slave, stderr=slave,
                                        env={**ENV, **(env or {})}, preexec_fn=session)
        os.close(slave)
        self.master, self.seen, self.mark = master, "", 0

    def type(self, text):
        self.mark = len(self.seen)
        os.write(self.master, text.encode())

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
                return True
            except OSError:
                return False
        return True

    def expect(self, pattern, timeout=30):
        """Waits until the pattern is in what came since the last type()."""
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen[self.mark:])):
            assert time.monotonic() < end and self.read(0.2), f"no {pattern!r} in {self.seen[self.mark:]!r}"
        return found

    def end(self, timeout=30):
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
        status = self.process.poll()
        if status is None:
            self.process.kill()
        os.close(self.master)
        assert status is not None, f"it did not end: {self.seen!r}"
        assert status == 0, f"it ended with {status}: {self.seen[-3000:]}"
        return status


def test_pipe():
    """Each line is a prompt; answers only, no colours, no notes."""
    with Server("echo") as server:
        done = pipe(["--url", server.url], "one two\n\n/set temperature 0.5\n//slash\nthree")
        assert done.returncode == 0 and not done.stderr, done
        assert done.stdout == "one two\ntemperature = 0.5\n/slash\nthree\n", done.stdout
        assert pipe(["--url", server.url + "/v1/"], "x\n").stdout == "x\n"


def test_pipe_saves():
    with Server("echo") as server, tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "talk.json"
        text = f"first\n/system Be brief.\nsecond\n/save {path}\n/save {path}.md\n/reset\n/save {path}\n"
        done = pipe(["--url", server.url], text)
        assert done.returncode == 0, done
        assert json.loads(path.read_text()) == [{"role": "system", "content": "Be brief."}]
        markdown = pathlib.Path(f"{path}.md").read_text()
        assert markdown.count("**user**") == 2 and "Be brief." in markdown, markdown
        assert os.stat(path).st_mode & 0o077 == 0
        assert "no such file" in pipe(["--url", server.url], "/save /nowhere/x\n").stderr.lower()


def test_no_server():
    done = pipe(["--url", f"http://127.0.0.1:{free_port()}"], "hello\n")
    assert done.returncode == 1 and not done.stdout, done
    assert "./dev run" in done.stderr and "--url" in done.stderr


def test_usage():
    done = pipe(["--help"])
    assert done.returncode == 0 and "Examples" in done.stdout and "NO_COLOR" in done.stdout
    for args, what in ((["--bogus"], "--bogus"), (["--model"], "needs a value"), (["--set", "x=1"], "temperature"),
                       (["--set", "top_p=a"], "number"), (["--url", "nonsense"], "address"),
                       (["--url", "http://x", "--profile", "echo"], "together"),
                       (["--model", "missing.gguf"], "no such file")):
        done = pipe(args)
        assert done.returncode in (1, 2) and what in done.stderr, (args, done)


def test_errors_are_told():
    with Server("echo", script("words half\nerror EXHAUSTED no room\n")) as server:
        done = pipe(["--url", server.url], "a\n")
        assert done.returncode == 1 and done.stdout == "half\n", done
        assert "insufficient memory" in done.stderr, done
    with Server("echo") as server:
        done = pipe(["--url", server.url, "--set", "temperature=9"], "a\n/set temperature 1\nb\n")
        assert "temperature must be between 0 and 2" in done.stderr and done.stdout.endswith("b\n"), done
        done = pipe(["--url", server.url, "--model", "none"], "a\n")
        assert done.returncode == 1 and "none" in done.stderr and "model not found" in done.stderr, done


def test_control_characters_stay_out():
    """An answer cannot drive the terminal."""
    with Server("echo") as server:
        done = pipe(["--url", server.url], "a\x1b]0;title\x07b\x9b31m\tc\u202ed\n")
        assert done.stdout == "a]0;titleb31m\tcd\n" or done.stdout.startswith("a]0;titleb"), done.stdout
        assert "\x1b" not in done.stdout and "\x07" not in done.stdout and "\u202e" not in done.stdout


def test_terminal():
    with Server("echo", "backend.echo.rate=100") as server:
        t = Terminal("--url", server.url)
        t.expect("echo at http.*ctrl-D ends")
        t.expect(PROMPT)
        t.type("hello big world\r")
        t.expect(r"hello big world[^>]*\r\n[^>]*hello big world")
        assert "\033[" in t.seen
        # What a loaded machine delivers in one piece has no rate.
        t.expect(r"3 tokens, ([\d.]+ tokens/s, )?first after \d+ ms")
        t.type("/help\r")
        t.expect("/system.*TEXT")
        t.type("/set\r")
        t.expect(r"temperature +default")
        t.type("/nonsense\r")
        t.expect("no /nonsense")
        t.type("\033[A\033[A\033[A\033[A\r")  # up: the first prompt again
        t.expect(r"first after")
        assert "hello big world" in t.seen[t.mark:]
        t.type("\x04")
        assert t.end() == 0


def test_ctrl_c_stops_the_answer():
    with Server("echo", "backend.echo.rate=50", script("words again\nrepeat 100000\n")) as server:
        t = Terminal("--url", server.url)
        t.expect(PROMPT)
        t.type("go\r")
        t.expect("again.?again")
        t.type("\x03")
        t.expect(r"\(stopped after about \d+ tokens?, .*first after")
        t.expect(PROMPT)
        end = time.monotonic() + 20
        while server.get("/health")[1]["queue"]["active"]:
            assert time.monotonic() < end, "the server was not told"
            time.sleep(0.05)
        t.type("half a line\x03")  # at the prompt: the line is dropped
        t.expect(r"\^C")
        t.type("/exit\r")
        assert t.end() == 0


def test_several_lines():
    with Server("echo") as server, tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "talk.json"
        t = Terminal("--url", server.url)
        t.expect(PROMPT)
        for keys in ("a\\\rb\r", "\"\"\"\rc\r  d\r\"\"\"\r", "e\033\rf\r"):
            t.type(keys)
            t.expect("first after")
            t.expect(PROMPT)
        t.type(f"/save {path}\r")
        t.expect("Saved")
        prompts = [m["content"] for m in json.loads(path.read_text()) if m["role"] == "user"]
        assert prompts == ["a\nb", "c\n  d", "e\nf"], prompts
        t.type("\x04")
        assert t.end() == 0


def test_history_outlives_the_program():
    with Server("echo") as server:
        for keys, want in (("unforgettable\r", "unforgettable"), ("\033[A\r", "unforgettable")):
            t = Terminal("--url", server.url)
            t.expect(PROMPT)
            t.type(keys)
            t.expect(want)
            t.expect("first after")
            t.type("\x04")
            assert t.end() == 0
    file = pathlib.Path(STATE.name) / "weir" / "chat-history"
    assert os.stat(file).st_mode & 0o077 == 0


def test_no_color():
    with Server("echo") as server:
        t = Terminal("--url", server.url, env={"NO_COLOR": "1"})
        t.expect(PROMPT)
        t.type("plain\r")
        t.expect("first after")
        t.type("\x04")
        assert t.end() == 0
        assert not re.search(r"\033\[[\d;]*m", t.seen), t.seen


def test_the_prompts_colour_ends_with_it():
    with Server("echo") as server:
        t = Terminal("--url", server.url)
        t.expect(r"\x1b\[1;36m>\x1b\[0m ")
        t.type("\x04")
        assert t.end() == 0


def test_letters_in_the_locale_without_any():
    with Server("echo") as server:
        t = Terminal("--url", server.url, env={"LC_ALL": "C"})
        t.expect(PROMPT)
        t.type("Grüße 日本\r")
        t.expect("first after")
        assert t.seen[t.mark:].count("Grüße 日本") == 2, t.seen
        t.type("\x04")
        assert t.end() == 0


def test_key_goes_along():
    """The key is sent, and is in nothing that is written."""
    import http.server
    import threading
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            body = b'{"error":{"message":"bad key"}}'
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        done = pipe(["--url", f"http://127.0.0.1:{other.server_port}"], "a\n", env={"WEIR_API_KEY": "sk-secret"})
        other.shutdown()
    assert seen == ["Bearer sk-secret"] and done.returncode == 1
    assert "bad key" in done.stderr and "WEIR_API_KEY" in done.stderr and "secret" not in done.stderr, done


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in path.read_text().split()]


def gone(pid, timeout=20):
    end = time.monotonic() + timeout
    while pathlib.Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_own_server():
    """It begins and ends with the chat, survives ctrl-C, and ends even if the chat is killed."""
    assert pipe(["--profile", "echo"], "one\ntwo\n").stdout == "one\ntwo\n"
    done = pipe(["--profile", "no-such-profile"])
    assert done.returncode == 1 and "could not start" in done.stderr and "no-such-profile" in done.stderr, done
    garbage = pathlib.Path(STATE.name) / "garbage.gguf"
    garbage.write_bytes(b"no model" * 100)
    done = pipe(["--model", str(garbage)], "hello\n")
    assert done.returncode == 1 and "could not be loaded" in done.stderr and "not a GGUF" in done.stderr, done
    for how in ("quit", "kill"):
        t = Terminal("--profile", "echo")
        t.expect(PROMPT, timeout=60)
        (server,) = children(t.process.pid)
        t.type("x\x03")
        t.type("still here\r")
        t.expect("first after")
        if how == "quit":
            t.type("\x04")
            assert t.end() == 0
        else:
            t.process.send_signal(signal.SIGKILL)
            t.process.wait()
            os.close(t.master)
        assert gone(server), how


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules["__main__"], "chat"))
