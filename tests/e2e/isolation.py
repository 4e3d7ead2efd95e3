#!/usr/bin/env python3
"""isolation = process with a real model: the answers are those of a backend in-process, whatever happens to the
process while they are written."""
import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

import tap
from isolation_raw import gone, process, ready, until
from weir_server import SOURCE, Server

MODEL = SOURCE / "data" / "models" / "weir-demo.gguf"
PROFILE = """
[server]
drain_timeout = 20s
[frontend.http]
plugin = http
admin = true
[backend.main]
plugin = cpu
model = {model}
serves = demo
context = 1024
max_sequences = 16
isolation = {isolation}
hang_timeout = {hang}
{more}
[backend.plain]
plugin = cpu
model = {model}
serves = plain
context = 1024
max_sequences = 16
"""
ESSAY = [{"role": "user", "content": "write an essay about the sea"}]


class Isolated(Server):
    def __init__(self, isolation="process", hang="30s", more="", **kw):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name, "isolated.ini")
        self.path.write_text(PROFILE.format(model=MODEL, isolation=isolation, hang=hang, more=more))
        super().__init__(self.path, **kw)


def both(server, path, body):
    """The same request to the isolated backend and to the one in-process."""
    got = []
    for model in ("demo", "plain"):
        status, answer, _ = server.post(path, {**body, "model": model})
        for key in ("id", "created", "model", "timings", "response_id"):
            if isinstance(answer, dict):
                answer.pop(key, None)
        got.append((status, answer))
    assert got[0] == got[1], f"{path}\n{got[0]}\n{got[1]}"
    return got[0][1]


def stream(server, seed, n=900, model="demo", **more):
    """Text, finish reason and how often it was said to be done."""
    status, raw, _ = server.post("/v1/chat/completions", {
        "model": model, "messages": ESSAY, "max_tokens": n, "seed": seed, "temperature": 0.9, "stream": True, "ignore_eos": True,
        "stream_options": {"include_usage": True}, **more}, timeout=120)
    if status != 200:
        return status, raw
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    records = [json.loads(line) for line in lines if line != "[DONE]"]
    text = "".join((r["choices"][0]["delta"].get("content") or "") for r in records if r.get("choices"))
    usage = [r["usage"]["completion_tokens"] for r in records if r.get("usage")]
    why = [r["choices"][0]["finish_reason"] for r in records if r.get("choices") and r["choices"][0]["finish_reason"]]
    errors = [r for r in records if "error" in r]
    return text, usage, why, lines.count("[DONE]"), errors


def in_parallel(n, call):
    got = [None] * n

    def run(i):
        got[i] = call(i)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    return got, threads


def test_all_that_a_model_does():
    with Isolated() as server:
        chat = {"messages": ESSAY, "max_tokens": 30, "temperature": 0}
        both(server, "/v1/chat/completions", chat)
        both(server, "/v1/chat/completions", {**chat, "temperature": 1.1, "seed": 18446744073709551615 >> 1,
                                              "top_p": 0.87, "min_p": 0.013, "top_k": 40, "frequency_penalty": 0.3})
        both(server, "/v1/chat/completions", {**chat, "logprobs": True, "top_logprobs": 5, "n": 3, "seed": 5,
                                              "temperature": 1})
        both(server, "/v1/chat/completions", {**chat, "stop": [" the", "sea"], "logit_bias": {"300": -100, "17": 2.5}})
        both(server, "/v1/chat/completions", {**chat, "response_format": {"type": "json_object"}})
        both(server, "/v1/completions", {"prompt": "Once upon a", "max_tokens": 8, "temperature": 0, "echo": True,
                                         "logprobs": 3})
        both(server, "/v1/completions", {"prompt": [[1, 2, 3], [4, 5]], "max_tokens": 4, "temperature": 0})
        both(server, "/v1/embeddings", {"input": ["The sea is blue", "naïve 日本 🚀", "x"]})
        both(server, "/v1/rerank", {"query": "sea", "documents": ["a cat", "the blue sea", "x"]})
        both(server, "/tokenize", {"prompt": "Hello naïve 🚀 world"})
        both(server, "/detokenize", {"tokens": [300, 301, 302]})
        both(server, "/v1/chat/completions", {**chat, "max_tokens": 5000})
        both(server, "/v1/completions", {"prompt": "x " * 5000, "max_tokens": 4})
        both(server, "/v1/chat/completions", {**chat, "lora": "none"})
        ids = {m["id"]: m for m in server.get("/v1/models")[1]["data"]}
        assert ids["demo"]["max_model_len"] == 1024 == ids["plain"]["max_model_len"]
        assert ids["demo"]["bytes"] == ids["plain"]["bytes"] > 1 << 20
        health = {b["name"]: b for b in server.get("/health")[1]["backends"]}
        mine, plain = health["backend.main"], health["backend.plain"]
        assert mine["component"] == "cpu" and mine["model"] == plain["model"] and mine["process"]["state"] == "ready"
        assert mine["queue"]["max_concurrent"] == plain["queue"]["max_concurrent"] == 16
        until("its series arrive", lambda: abs(tokens(server, "demo") - tokens(server, "plain")) < 1)
        text = server.get("/metrics", headers={"Accept": "text/plain"})[1].decode()
        for line in text.splitlines():
            if 'model_name="plain"' in line and "cache_config_info" not in line:
                name = line.split("}")[0].replace('model_name="plain"', 'model_name="demo"')
                assert name in text, line
        assert 'model_name="main"' not in text and "line_connections" not in text


def tokens(server, model):
    text = server.get("/metrics", headers={"Accept": "text/plain"})[1].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("vllm:generation_tokens_total{") and f'"{model}"' in line)


def test_killed_in_the_middle():
    """Eight streams go on in another process: not a token is lost, repeated or another one."""
    with Isolated() as server:
        whole = [stream(server, seed) for seed in range(8)]
        assert all(w[3] == 1 and not w[4] for w in whole) and len({w[0] for w in whole}) > 4, whole
        before = tokens(server, "demo")
        got, threads = in_parallel(8, lambda i: stream(server, i))
        until("they run", lambda: server.metric("http_streams") == 8)
        time.sleep(0.15)
        first = process(server, "main")["pid"]
        os.kill(first, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert got == whole, [(g, w) for g, w in zip(got, whole) if g != w][:1]
        assert process(server, "main")["starts"] == 2 and gone(first)
        assert server.metric("weir_process_resumed_total") >= 1, server.text()
        until("counters go on", lambda: tokens(server, "demo") > before)


def test_killed_with_everything_on():
    """Choices, log-probabilities, stop strings, grammars and an echoed prompt across a death."""
    bodies = [
        ("/v1/chat/completions", {"messages": ESSAY, "n": 3, "max_tokens": 150, "seed": 7, "temperature": 1}),
        ("/v1/chat/completions", {"messages": ESSAY, "max_tokens": 150, "logprobs": True, "top_logprobs": 3,
                                  "temperature": 0}),
        ("/v1/completions", {"prompt": "The sea", "echo": True, "logprobs": 2, "max_tokens": 150, "temperature": 0}),
        ("/v1/chat/completions", {"messages": ESSAY, "max_tokens": 150, "seed": 3, "response_format": {
            "type": "json_schema", "json_schema": {"name": "x", "schema": {
                "type": "array", "items": {"type": "integer"}, "minItems": 30, "maxItems": 60}}}}),
        ("/v1/embeddings", {"input": [f"text number {i} of many" * 20 for i in range(40)]}),
        ("/v1/rerank", {"query": "sea", "documents": [f"the sea {i} " * 30 for i in range(40)]}),
    ]
    with Isolated() as server:
        def ask(i):
            status, answer, _ = server.post(bodies[i][0], {**bodies[i][1], "model": "demo"}, timeout=120)
            answer.pop("id", None), answer.pop("created", None)
            if "usage" in answer:  # what the cache had differs
                answer["usage"].pop("prompt_tokens_details", None)
            return status, answer
        whole = [ask(i) for i in range(len(bodies))]
        assert all(status == 200 for status, _ in whole), whole
        got, threads = in_parallel(len(bodies), ask)
        time.sleep(0.12)
        os.kill(process(server, "main")["pid"], signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert process(server, "main")["starts"] == 2 and server.metric("weir_process_resumed_total") >= 3
        for i, (g, w) in enumerate(zip(got, whole)):
            assert g == w, f"{bodies[i]}\n{g}\n{w}"


def test_stopped_in_the_middle():
    """SIGSTOP: it hangs, is killed, and its streams go on in the next one."""
    with Isolated(hang="3s") as server:
        whole = [stream(server, seed) for seed in range(3)]
        got, threads = in_parallel(3, lambda i: stream(server, i))
        until("they run", lambda: server.metric("http_streams") == 3)
        time.sleep(0.1)
        first = process(server, "main")["pid"]
        os.kill(first, signal.SIGSTOP)
        for thread in threads:
            thread.join()
        assert got == whole and gone(first)
        assert stream(server, 0, model="plain", n=20)[3] == 1


def test_nobody_else_notices():
    """The other backend's streams go on while a process dies again and again."""
    with Isolated() as server:
        whole = stream(server, 1, model="plain")
        got, threads = in_parallel(2, lambda i: [stream(server, 1, model="plain") for _ in range(3)])
        for n in range(2, 5):
            os.kill(process(server, "main")["pid"], signal.SIGKILL)
            until("another one", lambda: process(server, "main")["starts"] >= n)
            ready(server, "main")
        for thread in threads:
            thread.join()
        assert got == [[whole] * 3] * 2


def test_model_that_is_not_there():
    """The process's own words, in the parent's status, as in-process."""
    errors = []
    for isolation in ("process", "none"):
        with Isolated(isolation=isolation, more="autoload = false") as server:
            text = server.path.read_text().replace(str(MODEL), "/no/such/model.gguf", 1).replace("autoload = false", "")
            server.path.write_text(text)
            server.process.send_signal(signal.SIGHUP)
            until("it has failed", lambda: server.get("/v1/models/demo")[1]["state"] == "failed")
            errors.append([b["error"] for b in server.get("/health")[1]["backends"] if b["name"] == "backend.main"][0])
            assert stream(server, 1, n=10, model="plain")[3] == 1
            assert "/no/such/model.gguf" in server.text(), "for the log only"
    assert errors[0].startswith("model.gguf: cannot open") and errors[0] == errors[1], errors


def test_replace_beside():
    """A reload with a stream open: the old process ends its request, the new one takes the next."""
    with Isolated(more="replace = beside") as server:
        whole = stream(server, 1, n=900)
        got, threads = in_parallel(1, lambda i: stream(server, 1, n=900))
        until("it runs", lambda: server.metric("http_streams") == 1 or got[0])
        first = process(server, "main")["pid"]
        server.path.write_text(server.path.read_text().replace("context = 1024", "context = 768", 1))
        server.process.send_signal(signal.SIGHUP)
        until("the old one goes", lambda: gone(first))
        threads[0].join()
        assert got[0] == whole
        assert [m["max_model_len"] for m in server.get("/v1/models")[1]["data"] if m["id"] == "demo"] == [768]


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "isolation"))
