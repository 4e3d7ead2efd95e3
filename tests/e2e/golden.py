#!/usr/bin/env python3
"""A transcript for each endpoint, compared with golden/*.txt byte by byte once what differs from run to run
(ids, times, the port) is made equal. `golden.py --update` writes them anew: look at the difference."""
import http.client
import json
import pathlib
import re
import sys
import tempfile

from weir_server import Server

FOLDER = pathlib.Path(__file__).resolve().parent / "golden"
HI = [{"role": "user", "content": "one two"}]
TURN = r"""reasoning hm yes
tool {"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\":"}}
tool {"index":0,"function":{"arguments":"1}"}}
words it is done
finish tool
"""
CALL = r"""tool {"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}
finish tool
"""
VOLATILE = [
    (r'\b(chatcmpl|cmpl|embd|rerank|tok)-[0-9a-f]{24,32}\b', r'\1-ID'),
    (r'\b(resp|msg|rs|fc|toolu|req)_[0-9a-f]{24,32}\b', r'\1_ID'),
    (r'"(created_at|completed_at)":\d+', r'"\1":TIME'),
    (r'"created":\d+', '"created":TIME'),
    (r'"(uptime|elapsed)":[\d.]+', r'"\1":SECONDS'),
    (r'"load_seconds":[\d.]+', '"load_seconds":SECONDS'),
    (r"weir-\d+\.\d+\.\d+", "weir-VERSION"),
    (r'"version":"[^"]*"', '"version":"VERSION"'),
    (r"^Date: .*$", "Date: DATE"),
    # A vector's last digits are the machine's.
    (r"-?\d\.\d+(e-\d+)?(?=[,\]])", "X"),
    (r'":-\d+\.\d+(?=\})', '":X'),
    (r'"embedding":"[A-Za-z0-9+/]+(=*)"', r'"embedding":"BASE64\1"'),
    (r'"relevance_score":[\d.e-]+', '"relevance_score":X'),
    (r"^(X-)?Request-Id: req_ID$", r"\1Request-Id: REQUEST"),
]
GOLDEN = {
    "chat": ("echo", "POST", "/v1/chat/completions", {"model": "echo", "messages": HI}),
    "chat-stream": ("echo", "POST", "/v1/chat/completions",
                    {"model": "echo", "messages": HI, "stream": True, "stream_options": {"include_usage": True}}),
    "chat-batched": ("echo", "POST", "/v1/chat/completions",
                     {"model": "echo", "messages": [{"role": "user", "content": "a b c d e f"}], "stream": True,
                      "stream_options": {"batch_tokens": 3, "batch_timeout_ms": 10000}}),
    "chat-tools": ("tools", "POST", "/v1/chat/completions",
                   {"model": "echo", "messages": HI,
                    "tools": [{"type": "function", "function": {"name": "f"}}]}),
    "chat-temperature": ("echo", "POST", "/v1/chat/completions",
                         {"model": "echo", "messages": HI, "temperature": 3.0}),
    "chat-no-model": ("echo", "POST", "/v1/chat/completions", {"messages": HI}),
    "chat-unknown-model": ("echo", "POST", "/v1/chat/completions", {"model": "x", "messages": HI}),
    "chat-no-json": ("echo", "POST", "/v1/chat/completions", "{"),
    "completions": ("echo", "POST", "/v1/completions", {"model": "echo", "prompt": ["one two", "three"], "echo": True}),
    "completions-stream": ("echo", "POST", "/v1/completions", {"model": "echo", "prompt": "one two", "stream": True}),
    "completions-scored": ("demo", "POST", "/v1/completions",
                           {"model": "weir-demo", "prompt": "The sea", "echo": True, "logprobs": 1, "max_tokens": 0}),
    "completions-suffix": ("demo", "POST", "/v1/completions", {"model": "weir-demo", "prompt": "a", "suffix": "b"}),
    "completions-no-scores": ("echo", "POST", "/v1/completions",
                              {"model": "echo", "prompt": "a", "echo": True, "logprobs": 1}),
    "embeddings-unsupported": ("echo", "POST", "/v1/embeddings", {"model": "echo", "input": "x"}),
    "embeddings-empty": ("echo", "POST", "/v1/embeddings", {"model": "echo", "input": ""}),
    "embeddings": ("demo", "POST", "/v1/embeddings",
                   {"model": "weir-demo", "input": ["hello", [5, 6, 7]], "encoding_format": "float"}),
    "embeddings-base64": ("demo", "POST", "/v1/embeddings",
                          {"model": "weir-demo", "input": "hello", "encoding_format": "base64", "dimensions": 8}),
    "embeddings-dimensions": ("demo", "POST", "/v1/embeddings",
                              {"model": "weir-demo", "input": "hello", "dimensions": 100000}),
    "embeddings-token": ("demo", "POST", "/v1/embeddings", {"model": "weir-demo", "input": [[100000000]]}),
    "rerank": ("demo", "POST", "/v1/rerank",
               {"model": "weir-demo", "query": "hello", "documents": ["hello", "one two", "three"], "top_n": 2}),
    "rerank-no-query": ("demo", "POST", "/v1/rerank", {"model": "weir-demo", "documents": ["x"]}),
    "rerank-empty": ("echo", "POST", "/v1/rerank", {"model": "echo", "query": "q", "documents": []}),
    "responses": ("echo", "POST", "/v1/responses",
                  {"model": "echo", "input": "one two", "instructions": "be brief", "metadata": {"a": "b"}}),
    "responses-stream": ("turn", "POST", "/v1/responses", {"model": "echo", "input": "x", "stream": True}),
    "responses-background": ("echo", "POST", "/v1/responses", {"model": "echo", "input": "x", "background": True}),
    "responses-previous": ("echo", "POST", "/v1/responses",
                           {"model": "echo", "input": "x", "previous_response_id": "resp_x"}),
    "responses-not-found": ("echo", "GET", "/v1/responses/resp_x", None),
    "messages": ("turn", "POST", "/v1/messages",
                 {"model": "echo", "max_tokens": 9, "messages": HI, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    "messages-stream": ("turn", "POST", "/v1/messages",
                        {"model": "echo", "max_tokens": 9, "messages": HI, "stream": True,
                         "thinking": {"type": "enabled", "budget_tokens": 1024}}),
    "messages-no-max-tokens": ("echo", "POST", "/v1/messages", {"model": "echo", "messages": HI}),
    "messages-unknown-model": ("echo", "POST", "/v1/messages", {"model": "x", "max_tokens": 9, "messages": HI}),
    "count-tokens": ("demo", "POST", "/v1/messages/count_tokens",
                     {"model": "weir-demo", "system": "be brief", "messages": HI}),
    "count-tokens-unsupported": ("echo", "POST", "/v1/messages/count_tokens", {"model": "echo", "messages": HI}),
    "template": ("demo", "POST", "/apply-template", {"messages": HI}),
    "template-unsupported": ("echo", "POST", "/apply-template", {"messages": HI}),
    "infill": ("echo", "POST", "/infill", {"input_prefix": "one ", "input_suffix": "", "response_fields": ["content", "stop_type"]}),
    "infill-no-suffix": ("echo", "POST", "/infill", {"input_prefix": "one "}),
    "infill-unsupported": ("demo", "POST", "/infill", {"input_prefix": "one ", "input_suffix": "two"}),
    "tokenize-chat": ("demo", "POST", "/tokenize", {"messages": HI, "with_pieces": True}),
    "stream-resumable": ("echo", "POST", "/v1/chat/completions",
                         {"model": "echo", "messages": HI, "stream": True, "stream_options": {"resume": True}}),
    "stream-not-found": ("echo", "GET", "/v1/stream/chatcmpl-x", None),
    "models": ("echo", "GET", "/v1/models", None),
    "model": ("echo", "GET", "/v1/models/echo", None),
    "model-load": ("admin", "POST", "/v1/models/echo/load", {}),
    "model-load-wait": ("admin", "POST", "/models/load", {"model": "echo", "wait": True}),
    "model-load-nameless": ("admin", "POST", "/v1/models/load", {}),
    "model-load-unknown": ("admin", "POST", "/v1/models/none/load", None),
    "model-load-denied": ("echo", "POST", "/v1/models/echo/load", {}),
    "model-unload": ("admin", "POST", "/v1/models/echo/unload?wait=true", {}),
    "model-unloaded": ("admin", "GET", "/v1/models/echo", None),
    "model-unloaded-chat": ("admin", "POST", "/v1/chat/completions", {"model": "echo", "messages": HI}),
    "model-load-again": ("admin", "POST", "/v1/models/echo/load?wait=true", None),
    "ping": ("echo", "GET", "/ping", None),
    "version": ("echo", "GET", "/version", None),
    "health": ("echo", "GET", "/health", None),
    "profile": ("admin", "GET", "/v1/profile", None),
    "profile-no-trace": ("admin", "GET", "/v1/profile/trace", None),
    "profile-wrong": ("admin", "POST", "/v1/profile/start", {"seconds": 0}),
    "profile-start": ("admin", "POST", "/v1/profile/start", {"seconds": 30, "events": 100}),
    "profile-start-again": ("admin", "POST", "/v1/profile/start", {}),
    "profile-stop": ("admin", "POST", "/v1/profile/stop", None),
    "profile-off": ("echo", "POST", "/v1/profile/start", {}),
    "not-found": ("echo", "GET", "/v1/invalid", None),
    "wrong-method": ("echo", "GET", "/v1/chat/completions", None),
    "fastapi-several": ("fastapi", "POST", "/v1/chat/completions",
                        {"messages": HI, "temperature": 3, "top_p": 2, "top_k": 1001, "max_tokens": 4097}),
    "fastapi-not-found": ("fastapi", "GET", "/nothing", None),
}


def normalised(text):
    for pattern, put in VOLATILE:
        text = re.sub(pattern, put, text, flags=re.M)
    return text


def transcript(server, method, path, body):
    data = body if isinstance(body, (str, type(None))) else json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, data, {"Content-Type": "application/json"} if data is not None else {})
    answer = connection.getresponse()
    head = "\n".join(f"{k}: {v}" for k, v in answer.getheaders() if k != "Content-Length")
    text = answer.read().decode()
    connection.close()
    return normalised(f"{method} {path}\n{data or ''}\n\nHTTP {answer.status} {answer.reason}\n{head}\n\n{text}\n")


def check(name, servers, update):
    where, method, path, body = GOLDEN[name]
    got, file = transcript(servers[where], method, path, body), FOLDER / f"{name}.txt"
    if update:
        FOLDER.mkdir(exist_ok=True)
        file.write_text(got, encoding="utf-8")
    want = file.read_text(encoding="utf-8")
    assert got == want, f"{name}:\n--- golden\n{want}--- now\n{got}"


def main(update):
    failures = 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script, \
            tempfile.NamedTemporaryFile("w", suffix=".txt") as turns:
        script.write(CALL)
        script.flush()
        turns.write(TURN)
        turns.flush()
        with Server("default") as demo, Server("echo") as echo, \
                Server("echo", f"backend.echo.script={script.name}") as tools, \
                Server("echo", f"backend.echo.script={turns.name}") as turn, \
                Server("echo", "frontend.http.admin=true") as admin, \
                Server("echo", "frontend.http.api_profile=fastapi") as fastapi:
            servers = {"demo": demo, "echo": echo, "tools": tools, "turn": turn, "admin": admin, "fastapi": fastapi}
            print(f"1..{len(GOLDEN)}")
            for number, name in enumerate(GOLDEN, 1):
                try:
                    check(name, servers, update)
                    print(f"ok {number} golden/{name}")
                except Exception as error:
                    failures += 1
                    print(f"not ok {number} golden/{name}")
                    print("\n".join("# " + line for line in str(error).splitlines()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main("--update" in sys.argv))
