#!/usr/bin/env python3
"""The commands that README.md shows, run by curl itself (001-12, 001-24)."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

import tap
from weir_server import SOURCE, Server

server = None


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "60", *arguments], capture_output=True, text=True)


def streamed(command):
    done = subprocess.run(["sh", "-c", command.replace("curl ", "curl -sS --max-time 60 ", 1)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = [line[6:] for line in done.stdout.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events[:-1])


def test_the_readme_chat_streams():
    block = re.search(r"```sh\n(curl .*?)```", (SOURCE / "README.md").read_text(), re.S).group(1)
    command = block.replace("localhost:8000", f"127.0.0.1:{server.port}")
    assert len(streamed(command)) > 40  # drawn at random: now and then the fox has another name
    likely = command.replace('"stream": true', '"stream": true, "temperature": 0')
    assert likely != command and "Mira" in streamed(likely)


def test_without_a_content_type():
    body = json.dumps({"model": "weir-demo", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello!"}]})
    answer = json.loads(curl(server.url + "/v1/chat/completions", "-d", body).stdout)
    assert answer["choices"][0]["message"]["content"]


def test_status_line_and_head():
    done = curl("-i", server.url + "/v1/models")
    assert done.stdout.startswith("HTTP/1.1 200 OK") and "application/json" in done.stdout
    done = curl("-I", server.url + "/ping")
    assert done.stdout.startswith("HTTP/1.1 200 OK") and "pong" not in done.stdout
    assert curl(server.url + "/ping").stdout == "pong"


def test_a_body_from_a_pipe_in_chunks():
    body = json.dumps({"model": "weir-demo", "max_tokens": 4, "prompt": "Once upon a time"})
    done = subprocess.run(["curl", "-sS", "--max-time", "60", "-H", "Transfer-Encoding: chunked", "-T", "-", "-X", "POST",
                           server.url + "/v1/completions"], input=body, capture_output=True, text=True)
    assert json.loads(done.stdout)["object"] == "text_completion", done


def test_nobody_listens():
    done = curl("http://127.0.0.1:1/v1/models")
    assert done.returncode == 7, done


def main():
    global server
    if not shutil.which("curl"):
        print("1..0 # SKIP curl is not installed: ./dev test installs it")
        return 0
    with Server("default") as server:
        return tap.run(sys.modules[__name__], pathlib.Path(__file__).stem)


if __name__ == "__main__":
    sys.exit(main())
