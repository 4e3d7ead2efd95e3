#!/usr/bin/env python3
"""The Postman collection data/postman/weir.json, run by newman against the echo backend (001-20)."""
import json
import pathlib
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
    assert [i["name"] for i in doc["item"]] == ["Models", "Chat", "Completions", "Embeddings", "Monitoring",
                                                "Errors"]


if __name__ == "__main__":
    with Server("echo", "frontend.http.admin=true") as server:
        sys.exit(tap.run(sys.modules[__name__], "newman"))
