#!/usr/bin/env python3
"""What isolation = process costs: the same backend in-process and in a process of its own, in turns, in one server.

    python3 tests/bench/isolation.py [ROUNDS]

Echo: tokens a second and processor time a token of many streams at once; the demo model: tokens a second of 8
answers, time to the first token of one. Ratios are of the medians."""
import http.client
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from weir_server import SOURCE, Server  # noqa: E402

MODEL = SOURCE / "data" / "models" / "weir-demo.gguf"
PROFILE = f"""
[frontend.http]
plugin = http
[backend.echo]
plugin = echo
script = SCRIPT
[backend.echo-apart]
plugin = echo
script = SCRIPT
isolation = process
[backend.demo]
plugin = cpu
model = {MODEL}
[backend.demo-apart]
plugin = cpu
model = {MODEL}
isolation = process
"""


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor(server):
    pids = [b["process"]["pid"] for b in server.get("/health")[1]["backends"] if "process" in b]
    return sum(cpu_of(pid) for pid in [server.pid, *pids])


def read(server, model, n, first=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps({
        "model": model, "stream": True, "max_tokens": n, "temperature": 0, "ignore_eos": True,
        "messages": [{"role": "user", "content": "write an essay about the sea"}]}),
        {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = b""
    while True:
        part = answer.read1(65536)
        if first is not None and not data.count(b'"content":"') and part.count(b'"content":"'):
            first.append(time.perf_counter() - began)
        data += part if first is not None else b""
        if not part:
            break
    connection.close()


def many(server, model, streams, n):
    threads = [threading.Thread(target=read, args=(server, model, n)) for _ in range(streams)]
    before, began = processor(server), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return streams * n / seconds, (processor(server) - before) / (streams * n) * 1e6


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        script, path = pathlib.Path(folder, "script"), pathlib.Path(folder, "bench.ini")
        script.write_text("text word \nrepeat 2000\n")
        path.write_text(PROFILE.replace("SCRIPT", str(script)))
        with Server(path) as server:
            rate = {name: [] for name in ("echo", "echo-apart", "demo", "demo-apart")}
            cpu = {name: [] for name in rate}
            first = {name: [] for name in rate}
            for name in rate:
                read(server, name, 50)
            for _ in range(rounds):
                for name in rate:
                    streams, n = (64, 2000) if name.startswith("echo") else (8, 300)
                    r, c = many(server, name, streams, n)
                    rate[name].append(r)
                    cpu[name].append(c)
                    for _ in range(20):
                        read(server, name, 2, first[name])
    for kind in ("echo", "demo"):
        for what, table, unit, scale in (("tokens a second", rate, "/s", 1), ("processor time a token", cpu, " us", 1),
                                         ("first token", first, " ms", 1e3)):
            one, two = (statistics.median(table[name]) * scale for name in (kind, f"{kind}-apart"))
            print(f"{kind}: {what}: {one:.2f}{unit} in-process, {two:.2f}{unit} apart, {two / one:.2f} x")


if __name__ == "__main__":
    main()
