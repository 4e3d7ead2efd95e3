#!/usr/bin/env python3
"""Starts Weir with the echo backend and runs ws_node.mjs (`ws`, Node's WebSocket, weir-client.js) against it."""
import os
import pathlib
import shutil
import subprocess
import sys

from weir_server import SOURCE, Server
from ws_socket import ports

here = pathlib.Path(__file__).resolve().parent
node = shutil.which("node", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
if not node or not (here / "node_modules" / "ws").is_dir():
    print("1..0 # SKIP Node.js or its ws package is not installed: ./dev test installs both")
    sys.exit(0)
with Server("echo", "frontend.ws.plugin=websocket", "frontend.ws.listen=127.0.0.1:0", "frontend.ws.compression=on",
            "backend.echo.rate=20000") as server:
    port = str(ports(server)[0])
    status = subprocess.run([node, here / "ws_node.mjs", port, SOURCE / "data" / "www" / "weir-client.js"],
                            timeout=240).returncode
sys.exit(status)
