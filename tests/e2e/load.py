#!/usr/bin/env python3
"""Many streams of the demo model at once: no error, bounded memory, no compute for who does not read.

`load.py --minutes 10` is the soak; without it one quick round runs as a test (TAP).
"""
import argparse
import http.client
import json
import socket
import statistics
import sys
import threading
import time

import tap
from weir_server import Server

server = None
STORY = {"model": "weir-demo", "stream": True, "max_tokens": 200, "temperature": 0.9,
         "messages": [{"role": "user", "content": "Tell me a long story about a fox named Mira."}]}


def stream_once(body, timeout=120):
    """Returns (content chunks, finish reason, saw [DONE]) of one streamed chat."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, (answer.status, answer.read())
        chunks, finish, done = 0, None, False
        for line in answer:
            if not line.startswith(b"data: "):
                continue
            if line.strip() == b"data: [DONE]":
                done = True
                break
            choice = json.loads(line[6:])["choices"][0]
            chunks += bool(choice["delta"].get("content"))
            finish = choice["finish_reason"] or finish
        return chunks, finish, done
    finally:
        connection.close()


def parallel(n, work):
    results, errors = [], []

    def one(i):
        try:
            results.append(work(i))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, f"{len(errors)} of {n} failed: {errors[:3]}"
    return results


def idle(timeout=20):
    end = time.monotonic() + timeout
    while server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting") > 0:
        assert time.monotonic() < end, "requests are still running"
        time.sleep(0.05)


def test_64_streams():
    results = parallel(64, lambda i: stream_once({**STORY, "seed": i, "max_tokens": 60}))
    assert len(results) == 64
    assert all(chunks > 0 and finish in ("stop", "length") and done for chunks, finish, done in results)
    idle()


def test_a_batch_changes_no_answer():
    ask = {**STORY, "seed": 5, "stream": False, "max_tokens": 40}
    alone = server.post("/v1/chat/completions", ask)[1]["choices"][0]["message"]["content"]
    others = parallel(16, lambda i: server.post("/v1/chat/completions", ask if i % 4 == 0 else {**ask, "seed": i})[1])
    same = [o["choices"][0]["message"]["content"] for o in others]
    assert same.count(alone) >= 4, same


def test_disconnects_free_everything():
    def hang_up(i):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = {**STORY, "max_tokens": 1500, "ignore_eos": True, "stream": i % 2 == 0}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        time.sleep(0.02 * (i % 5))
        connection.sock.close() if i % 3 else connection.sock.shutdown(socket.SHUT_RDWR)
    parallel(40, hang_up)
    idle()


def test_a_reader_that_stops_costs_no_compute():
    body = json.dumps({**STORY, "max_tokens": 1900, "ignore_eos": True}).encode()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", server.port))
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
              b"Content-Length: %d\r\n\r\n" % len(body) + body)
    before = server.rss()
    last, end = -1, time.monotonic() + 60
    while True:  # until generation stands still although the answer is not complete
        now = server.metric("vllm:generation_tokens_total")
        if now == last and now > 0:
            break
        assert time.monotonic() < end
        last = now
        time.sleep(1)
    cpu = server.cpu_seconds()
    time.sleep(3)
    used = server.cpu_seconds() - cpu
    assert server.metric("vllm:generation_tokens_total") == last, "tokens were made that nobody reads"
    assert used < 0.5, f"{used:.2f} s of processor time in 3 s for a reader that stopped"
    assert server.rss() - before < 16 << 20
    s.close()
    idle()


def soak(minutes):
    """64 streams without a pause; prints a line a minute, fails on an error or on growing memory."""
    sizes, counts, stop = [], [0, 0], time.monotonic() + minutes * 60
    lock = threading.Lock()

    def worker(i):
        k = 0
        while time.monotonic() < stop:
            k += 1
            chunks, finish, done = stream_once({**STORY, "seed": i * 100000 + k})
            assert done and finish, (chunks, finish, done)
            with lock:
                counts[0] += 1
                counts[1] += chunks
    failure = []

    def run():
        try:
            parallel(64, worker)
        except AssertionError as error:
            failure.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    start = time.monotonic()
    while thread.is_alive():
        thread.join(10)
        sizes.append(server.rss() / (1 << 20))
        if len(sizes) % 6 == 0:
            print(f"# {time.monotonic() - start:5.0f} s  {counts[0]} streams  {counts[1]} chunks  "
                  f"{counts[1] / (time.monotonic() - start):.0f} chunks/s  {sizes[-1]:.1f} MiB", flush=True)
    assert not failure, failure
    third = max(1, len(sizes) // 3)
    first, last = statistics.median(sizes[third:2 * third] or sizes), statistics.median(sizes[-third:])
    print(f"# memory: middle third {first:.1f} MiB, last third {last:.1f} MiB, peak {max(sizes):.1f} MiB")
    assert last < first * 1.02 + 1, f"memory grew from {first:.1f} to {last:.1f} MiB"


def main():
    global server
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0, help="soak for so long instead of the quick tests")
    options = parser.parse_args()
    with Server("default") as server:
        if options.minutes:
            soak(options.minutes)
            return 0
        return tap.run(sys.modules[__name__], "load")


if __name__ == "__main__":
    sys.exit(main())
