#!/usr/bin/env python3
"""Starts Weir with the demo model and runs sdk_node.mjs (the OpenAI Node SDK) against it."""
import pathlib
import shutil
import subprocess
import sys

from weir_server import Server

here = pathlib.Path(__file__).resolve().parent
node = shutil.which("node", path=f"{pathlib.Path(sys.executable).parent}:{__import__('os').environ['PATH']}")
if not node or not (here / "node_modules" / "openai").is_dir():
    print("1..0 # SKIP Node.js or its openai package is not installed: ./dev test installs both")
    sys.exit(0)
with Server("default") as server:
    status = subprocess.run([node, here / "sdk_node.mjs", server.url], timeout=240).returncode
sys.exit(status)
