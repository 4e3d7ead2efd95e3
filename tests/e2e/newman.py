#!/usr/bin/env python3
"""The Postman collection data/postman/weir.json, run by newman against the echo backend (001-20)."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap
from weir_server import SOURCE, Server

here = pathlib.Path(__file__).resolve().parent
NEWMAN = here / "node_modules" / "newman" / "bin" / "newman.js"
node = shutil.which("node", path=f"{pathlib.Path(sys.executable).parent}:{__import__('os').environ['PATH']}")
server = None


def test_collection_is_green():
    if not node or not NEWMAN.is_file():
        raise tap.Skip("Node.js or newman is not installed: ./dev test installs both")
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder) / "results.json"
        done = subprocess.run(
            [node, NEWMAN, "run", SOURCE / "data" / "postman" / "weir.json", "--env-var",
             f"base_url={server.url}/v1", "--env-var", "model=echo", "--reporters", "cli,json",
             "--reporter-json-export", results], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        stats = json.loads(results.read_text())["run"]["stats"]
        assert stats["requests"]["total"] >= 21 and stats["assertions"]["failed"] == 0
        assert stats["assertions"]["total"] >= 40


def test_collection_has_what_is_asked_for():
    doc = json.loads((SOURCE / "data" / "postman" / "weir.json").read_text(encoding="utf-8"))
    variables = {v["key"]: v["value"] for v in doc["variable"]}
    assert variables == {"base_url": "http://localhost:8000/v1", "model": "llama-7b",
                         "embedding_model": "text-embedding-ada-002"}
    assert [i["name"] for i in doc["item"]] == ["Models", "Chat", "Completions", "Responses", "Messages", "Embeddings",
                                                "Tokens", "Streams", "Monitoring", "Errors"]


def test_collection_has_every_route():
    """Each operation of the OpenAPI document, and each path of the route table beside: the WebSocket."""
    doc = json.loads((SOURCE / "data" / "postman" / "weir.json").read_text(encoding="utf-8"))
    ids = re.compile(r"\{\{(model|response_id|stream_id)\}\}")
    asked = set()
    for request in (i["request"] for group in doc["item"] for i in group["item"]):
        path = request["url"]["raw"].replace("{{base_url}}", "/v1").replace("{{server}}", "").split("?")[0]
        asked.add((request["method"], ids.sub("{id}", path)))
    paths = server.get("/openapi.json")[1]["paths"]
    wanted = {(method.upper(), path) for path, item in paths.items() for method in item if method != "parameters"}
    pages = {("GET", "/docs")}
    assert not wanted - asked - pages, sorted(wanted - asked - pages)
    for route in server.get("/props")[1]["endpoints"]:
        assert any(path == route or route.endswith("/") and path.startswith(route) for _, path in asked), route


if __name__ == "__main__":
    with Server("echo", "frontend.http.admin=true") as server:
        sys.exit(tap.run(sys.modules[__name__], "newman"))
