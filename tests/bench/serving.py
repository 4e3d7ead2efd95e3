#!/usr/bin/env python3
"""The HTTP frontend beside the bare epoll limit, in turns, in one run: the server on one core, the
client on another. Prints a table and, with --json, everything.

    tests/bench/serving.py BUILD [--rounds 3] [--seconds 8] [--cases ttft,posts,...] [--json]

A case is ttft, posts, sse-N@R (N streams of R tokens a second, each on a connection) or ws-N@RxP (the
same over WebSockets, P streams on each).

The reach (docs/performance.md): time to first token at most 150 us more at p50 and 1 ms at p99;
streams at most 1.3 times the limit's processor time a token (WebSockets 1.5), delivered within 10 ms
at p99; at least 20,000 chats of 1 KB a second on one core.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


def cpu_seconds(pid):
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


class Limit:
    def __init__(self, build, rate, core):
        self.port = free_port()
        self.process = subprocess.Popen([build / "tests/bench/bench-http-limit", str(self.port), str(rate or 20)],
                                        preexec_fn=pinned(core))
        time.sleep(0.3)

    def close(self):
        self.process.kill()
        self.process.wait()


class Weir:
    def __init__(self, build, rate, core):
        self.port = free_port()
        self.script = tempfile.NamedTemporaryFile("w", suffix=".txt")
        self.script.write("clock\nrepeat 10000000\n" if rate else "text fixed\n")
        self.script.flush()
        command = [build / "core/weir", "serve", "echo", "--set", f"frontend.http.listen=127.0.0.1:{self.port}",
                   "--set", f"backend.echo.rate={rate}", "--set", f"backend.echo.script={self.script.name}",
                   "--set", "frontend.http.max_connections=20000", "--set", "server.max_queue=0",
                   "--set", "server.log_level=error"]
        self.process = subprocess.Popen(command, preexec_fn=pinned(core), stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1)
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("weir did not start")

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def measure(server, build, core, *args):
    before, memory = cpu_seconds(server.process.pid), resident(server.process.pid)
    client = subprocess.Popen([build / "tests/bench/bench-http", args[0], str(server.port), *map(str, args[1:])],
                              stdout=subprocess.PIPE, text=True, preexec_fn=pinned(core))
    streams = args[0] in ("streams", "websocket")
    if streams:  # what the opening costs is left out
        time.sleep(1.1 + max(2, args[1] / 2500))
        before = cpu_seconds(server.process.pid)
        took = time.monotonic()
        time.sleep(args[2] - 0.3)
        spent = cpu_seconds(server.process.pid) - before
        took = time.monotonic() - took
        grown = resident(server.process.pid) - memory
    out = client.communicate(timeout=120)[0]
    if client.returncode:
        raise RuntimeError(f"the client failed: {args}")
    result = json.loads(out)
    if streams:
        result["cpu_us_per_token"] = spent / took / max(result["tokens_per_s"], 1) * 1e6
        result["bytes_per_stream"] = grown / args[1]
    return result


def case(name, seconds):
    """(name, tokens a second of a stream, arguments of bench-http)"""
    if name == "ttft":
        return name, 0.5, ("ttft", 1000)
    if name == "posts":
        return name, 0, ("posts", 64, seconds)
    kind, n, rate, per = re.fullmatch(r"(sse|ws)-(\d+)@([\d.]+)(?:x(\d+))?", name).groups()
    if kind == "sse":
        return name, float(rate), ("streams", int(n), seconds)
    return name, float(rate), ("websocket", int(n), seconds, int(per or 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--cases", default="ttft,posts,sse-1000@20,sse-5000@20,sse-10000@10,ws-5000@20x1,ws-5000@20x50")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    build = options.build.resolve()
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    cases = [case(name, options.seconds) for name in options.cases.split(",")]
    results = {}
    for name, rate, args in cases:
        for _ in range(options.rounds):
            for kind in (Limit, Weir):
                server = kind(build, rate, server_core)
                try:
                    result = measure(server, build, client_core, *args)
                finally:
                    server.close()
                results.setdefault(name, {}).setdefault(kind.__name__, []).append(result)
                print(f"# {name} {kind.__name__}: {json.dumps(result)}", flush=True)
    print(f"{'case':<14}{'figure':<20}{'limit':>12}{'weir':>12}{'ratio':>9}{'spread of weir':>22}")
    for name, kinds in results.items():
        for figure in kinds["Weir"][0]:
            limit = statistics.median(r[figure] for r in kinds["Limit"])
            all_ours = [r[figure] for r in kinds["Weir"]]
            ours = statistics.median(all_ours)
            ratio = f"{ours / limit:.2f}" if limit else "-"
            print(f"{name:<14}{figure:<20}{limit:>12.1f}{ours:>12.1f}{ratio:>9}"
                  f"{min(all_ours):>12.1f}-{max(all_ours):.1f}")
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
