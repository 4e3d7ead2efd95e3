"""Starts the real `weir serve` for a test and ends it: one object, one process.

    with Server("default") as server:
        server.url, server.port, server.pid, server.rss(), server.metric("vllm:num_requests_running")
"""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(os.environ.get("WEIR_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_ROOT", SOURCE / "build"))
WEIR = BUILD / "core" / "weir"
# For tests of memory: AddressSanitizer keeps little of what was freed, so that their bounds are the plain ones.
LEAN = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """profile: a name or path. options: "section.key=value". Ready means /health says so."""

    def __init__(self, profile="default", *options, timeout=90, env=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()  # without a name: nothing is left, however the test ends
        command = [str(WEIR), "serve", str(profile), "--set", f"frontend.http.listen=127.0.0.1:{self.port}"]
        for option in options:
            command += ["--set", option]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        end = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"weir serve ended with {self.process.returncode}:\n{self.text()}")
            try:
                if self.get("/health")[1].get("status") == "ready":
                    return
            except (OSError, ValueError, http.client.HTTPException):
                pass
            if time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"weir serve was not ready in {timeout} s:\n{self.text()}")
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop()
        text = self.text()
        if kind is None:
            assert status == 0, f"weir serve ended with {status}:\n{text[-4000:]}"
            assert "MISBEHAVING" not in text, text[-4000:]
        elif issubclass(kind, Exception):
            print("# server log:\n# " + text[-3000:].replace("\n", "\n# "))

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed: it did not stop in time"

    def text(self):
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode(errors="replace")

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            raw = answer.read()
            is_json = "json" in (answer.getheader("Content-Type") or "")
            return answer.status, json.loads(raw) if is_json else raw, dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body, **kw):
        return self.request("POST", path, body, **kw)

    def metric(self, name):
        """Sum of a series over its labels, from the Prometheus text."""
        text = self.get("/metrics", headers={"Accept": "text/plain"})[1].decode()
        values = [float(m) for m in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M)]
        assert values, f"no metric {name} in:\n{text}"
        return sum(values)

    def rss(self):
        """Resident bytes."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
