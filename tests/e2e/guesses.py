#!/usr/bin/env python3
"""Guessed tokens (weir_row.n_draft) through the whole server: the demo model writes the same text
with and without them, alone and side by side, streamed and not."""
import concurrent.futures
import json
import sys

import tap
from weir_server import SOURCE, Server

PROMPTS = ["Once upon a time", "1 2 3 4 5 6 7 8 9 10 1 2 3 4 5 6 7 8", "one two one two one two one",
           "The cat sat on the mat. The cat sat on the mat. The cat"]
REQUESTS = [{"model": "weir-demo", "prompt": prompt, "max_tokens": 150, "ignore_eos": True, "seed": seed,
             "temperature": temperature, "n": n}
            for seed, (prompt, temperature, n) in
            enumerate((p, t, n) for p in PROMPTS for t, n in ((0, 1), (0.8, 1), (0.8, 3)))]


def texts(server, workers):
    def ask(body):
        status, answer, _ = server.post("/v1/completions", body)
        assert status == 200, answer
        return [c["text"] for c in answer["choices"]]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(ask, REQUESTS))


def test_same_text():
    with Server("default", "backend.main.guesses=0") as server:
        plain = texts(server, 1)
        assert server.metric("vllm:spec_decode_num_drafts_total") == 0
    with Server("default") as server:
        assert texts(server, 1) == plain
        assert server.metric("vllm:spec_decode_num_accepted_tokens_total") > 0
        assert texts(server, 6) == plain
        made = server.metric("vllm:spec_decode_num_draft_tokens_total")
        right = server.metric("vllm:spec_decode_num_accepted_tokens_total")
        by_place = server.metric("vllm:spec_decode_num_accepted_tokens_per_pos_total")
        assert right <= made and by_place == right, (made, right, by_place)
    with Server("default", "backend.main.draft_model=" + str(SOURCE / "data/models/weir-demo.gguf")) as server:
        assert texts(server, 1) == plain
        # Its own draft model is no cheaper than itself: it is tried, and found not to pay.
        assert server.metric("vllm:spec_decode_num_accepted_tokens_total") > 0
        assert texts(server, 6) == plain


def test_logprobs_and_stops():
    """Rows that want logprobs are never guessed; a stop string inside of right guesses cuts there."""
    body = {"model": "weir-demo", "prompt": "1 2 3 1 2 3 1 2 3 1 2 3 1 2", "max_tokens": 60, "temperature": 0}
    with Server("default", "backend.main.guesses=0") as server:
        plain = server.post("/v1/completions", body)[1]["choices"][0]["text"]
    stop = plain[len(plain) // 2:len(plain) // 2 + 3]
    with Server("default") as server:
        for extra in ({}, {"logprobs": 2}, {"stop": [stop]}):
            text = server.post("/v1/completions", {**body, **extra})[1]["choices"][0]["text"]
            assert text == (plain[:plain.index(stop)] if "stop" in extra else plain), (extra, text, plain)
        status, raw, _ = server.post("/v1/completions", {**body, "stream": True})
        chunks = [json.loads(line[6:]) for line in raw.decode().splitlines()
                  if line.startswith("data: {")]
        assert status == 200 and "".join(c["choices"][0]["text"] for c in chunks if c["choices"]) == plain


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "guesses"))
