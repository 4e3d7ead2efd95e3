#!/usr/bin/env python3
"""The OpenAPI document against the running server (000-16..19): whole, current in docs/http-api.md, and
schemathesis finds nothing with it, in both validation profiles (C1)."""
import os
import pathlib
import shutil
import subprocess
import sys

import tap
from weir_server import SOURCE, Server, free_port

sys.path.insert(0, str(SOURCE / "data" / "openapi"))
import describe

SCHEMATHESIS = shutil.which("schemathesis", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
server = None


def document():
    return server.get("/openapi.json")[1]


def test_every_route_is_described():
    """000-16"""
    with Server("echo", "frontend.http.admin=true") as other:
        for each in (server, other):
            doc = each.get("/openapi.json")[1]
            assert doc["openapi"] == "3.1.0"
            for path in each.get("/props")[1]["endpoints"]:
                if path.endswith("/"):
                    path += "{id}"
                if path != "/v1/ws":  # no HTTP answer to describe
                    assert path in doc["paths"], path
            assert ("/admin/reload" in doc["paths"]) == ("/v1/profile" in doc["paths"]) == (each is other)


def test_ranges_are_those_enforced():
    """000-17: one step beyond each bound is refused, the bound itself is not."""
    schema = document()["components"]["schemas"]["ChatRequest"]["properties"]
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}], "logprobs": True, "max_tokens": 1}
    checked = 0
    for name, rule in schema.items():
        for bound, step in (("minimum", -1), ("maximum", 1)):
            # The echo backend has no prompt to tell of; tests/unit/test-api-params.c has its range.
            if bound not in rule or name == "prompt_logprobs":
                continue
            for value, status in ((rule[bound], 200), (rule[bound] + step, 400)):
                got = server.post("/v1/chat/completions", {**body, name: value})
                assert got[0] == status, (name, value, got)
                checked += 1
    assert checked > 40


def test_docs_are_current():
    text = (SOURCE / "docs" / "http-api.md").read_text(encoding="utf-8")
    assert text == describe.markdown(document()), "run data/openapi/describe.py"


def test_swagger_ui_page():
    """000-18"""
    status, page, headers = server.get("/docs")
    assert status == 200 and "connect-src 'self'" in headers["Content-Security-Policy"]
    if b"swagger-ui-bundle.js" not in page:
        assert b"swagger-ui-dist" in page
        raise tap.Skip("swagger-ui-dist is not installed")
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "init.js"):
        status, text, headers = server.get(f"/docs/{name}")
        assert status == 200 and len(text) > 100, name
    assert server.get("/docs/package.json")[0] == 404


def test_health_port():
    """003-10, 003-11: pong and state without touching a backend, also with a request running."""
    import urllib.request
    base = f"http://127.0.0.1:{server.health_port}"
    assert urllib.request.urlopen(base + "/ping", timeout=5).read() == b"pong"
    health = urllib.request.urlopen(base + "/health", timeout=5)
    assert health.status == 200 and b'"queue"' in health.read()
    try:
        urllib.request.urlopen(base + "/v1/models", timeout=5)
        raise AssertionError("the health port serves more than health")
    except urllib.error.HTTPError as error:
        assert error.code == 404


def explore(target, *only, **env):
    if not SCHEMATHESIS:
        raise tap.Skip("schemathesis is not installed")
    command = [SCHEMATHESIS, "run", target.url + "/openapi.json", "--checks", "all", "--max-examples", "15",
               "--seed", "7", "--phases", "examples,coverage,fuzzing", "--generation-database", "none",
               "--generation-allow-x00", "false", "--no-color", "--suppress-health-check", "all"]
    for path in only:
        command += ["--include-path", path]
    env = {**os.environ, **env, "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
           "PYTHONPATH": str(pathlib.Path(__file__).resolve().parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd="/", env=env)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_schemathesis_openai():
    """Any model's name is answered, so that requests get as far as a backend."""
    with Server("echo", "server.single_model=true") as other:
        explore(other, "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/infill",
                "/v1/responses/{id}/input_items", "/v1/stream/{id}", "/v1/models", "/v1/models/{id}",
                "/health", "/v1/health", "/ping", "/metrics",
                "/props", "/slots", "/version", "/openapi.json", "/docs")


def test_schemathesis_load_and_unload():
    with Server("echo", "frontend.http.admin=true") as other:
        explore(other, "/v1/models/{id}/load", "/v1/models/{id}/unload", "/v1/models/load", "/v1/models/unload",
                "/models", "/models/load", "/models/unload")


def test_schemathesis_demo_model():
    with Server("default") as other:
        explore(other, "/tokenize", "/detokenize", "/apply-template", "/v1/embeddings", "/v1/rerank", "/rerank", "/v1/reranking",
                "/reranking")


def test_schemathesis_scored_prompts():
    with Server("default", "server.single_model=true") as other:
        explore(other, "/v1/chat/completions", "/v1/completions", WEIR_SCORED="1")


def test_schemathesis_profile():
    with Server("echo", "frontend.http.admin=true") as other:
        explore(other, "/v1/profile", "/v1/profile/start", "/v1/profile/stop", "/v1/profile/trace",
                "/start_profile", "/stop_profile")


def test_schemathesis_fastapi():
    with Server("echo", "frontend.http.api_profile=fastapi", "server.single_model=true") as other:
        assert "422" in other.get("/openapi.json")[1]["paths"]["/v1/completions"]["post"]["responses"]
        explore(other, "/v1/chat/completions", "/v1/completions", "/ping")


if __name__ == "__main__":
    port = free_port()
    with Server("echo", f"frontend.http.health_listen=127.0.0.1:{port}") as server:
        server.health_port = port
        sys.exit(tap.run(sys.modules[__name__], "openapi"))
