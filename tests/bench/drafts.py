#!/usr/bin/env python3
"""What guesses bring: a model of some size alone, with guesses from its own text, and with draft models.

    drafts.py BUILD [--make FOLDER] [--rounds N] [--tokens N] [--streams 1,4] [--only CASES] [--prompts NAMES]

A pair of which the agreement is known is built from the demo model: the large one has its five layers in wider matrices
(1024 instead of 256, feed-forward 4096, 16 heads), with zeros where it has no more weights, and 19
layers more whose results are multiplied by zero. So it says what the demo model says, at the cost of 380 million
parameters; RMS norm over four times the width is made up for by norm weights (half) and epsilon (a quarter).
Drafts: the demo model (agrees nearly always), it in Q4_0, Q2_K and TQ2_0 (agree less and less), and the large one
itself, which cannot pay. What is measured is
what speculation costs and saves; how often real pairs of models agree it does not say.

Needs the package gguf. Prints tokens a second of the whole server, and the share of guesses that came true.
"""
import argparse
import concurrent.futures
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "data/models/weir-demo.gguf"
WIDTH, FEED, HEADS, KV_HEADS, LAYERS, SIZE = 1024, 4096, 16, 8, 24, 64
OLD_WIDTH, OLD_LAYERS = 256, 5
PROMPTS = {"prose": "Once upon a time there was a", "repeats": "1 2 3 4 5 6 7 8 9 10 1 2 3 4 5 6 7 8 9 10 1 2 3"}


def enlarge(path):
    import gguf
    import numpy as np
    reader = gguf.GGUFReader(DEMO)
    old = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    writer = gguf.GGUFWriter(path, "llama")
    changed = {"llama.embedding_length": WIDTH, "llama.feed_forward_length": FEED, "llama.block_count": LAYERS,
               "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS}
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, value = field.types[0], changed.get(field.name, field.contents())
        if field.name.endswith("layer_norm_rms_epsilon"):
            value = value * OLD_WIDTH / WIDTH
        writer.add_key_value(field.name, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    rng = np.random.default_rng(1)
    shapes = {"attn_q": (HEADS * SIZE, WIDTH), "attn_k": (KV_HEADS * SIZE, WIDTH), "attn_v": (KV_HEADS * SIZE, WIDTH),
              "attn_output": (WIDTH, HEADS * SIZE), "ffn_gate": (FEED, WIDTH), "ffn_up": (FEED, WIDTH),
              "ffn_down": (WIDTH, FEED)}

    def add(name, rows, columns, quiet):
        """The demo's matrix in the corner of a larger one; quiet: zeros elsewhere."""
        x = np.zeros((rows, columns), np.float32) if quiet else rng.normal(0, 0.02, (rows, columns)).astype(np.float32)
        if name in old:
            r, c = old[name].shape
            x[:r, :] = 0 if quiet else x[:r, :]
            x[:r, c:] = 0
            x[:r, :c] = old[name]
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)

    def add_norm(name):
        x = np.ones(WIDTH, np.float32)
        if name in old:
            x[:OLD_WIDTH] = old[name] * (OLD_WIDTH / WIDTH) ** 0.5
        writer.add_tensor(name, x)

    for name in ("token_embd.weight", "output.weight"):
        if name in old:
            add(name, old[name].shape[0], WIDTH, True)
    add_norm("output_norm.weight")
    for layer in range(LAYERS):
        for name, (rows, columns) in shapes.items():
            add(f"blk.{layer}.{name}.weight", rows, columns, name in ("attn_output", "ffn_down"))
        add_norm(f"blk.{layer}.attn_norm.weight")
        add_norm(f"blk.{layer}.ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(folder, weir):
    folder.mkdir(parents=True, exist_ok=True)
    large = folder / "large.gguf"
    if not large.exists():
        enlarge(large)
    drafts = {"demo": DEMO, "large": large}
    for kind in ("Q4_0", "Q2_K", "TQ2_0"):
        drafts[kind] = folder / f"demo-{kind}.gguf"
        if not drafts[kind].exists():
            subprocess.run([weir, "model", "quantize", DEMO, drafts[kind], kind], check=True,
                           stdout=subprocess.DEVNULL)
    return large, drafts


def measure(server, prompt, streams, tokens):
    def ask(seed):
        status, answer, _ = server.post("/v1/completions", {
            "model": "weir-demo", "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "temperature": 0.7,
            "seed": seed})
        assert status == 200, answer
        return answer["choices"][0]["text"]
    names = ("vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total")
    before, start = [server.metric(n) for n in names], time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(streams) as pool:
        texts = list(pool.map(ask, range(streams)))
    rate = streams * tokens / (time.perf_counter() - start)
    return rate, [server.metric(n) - b for n, b in zip(names, before)], texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--make", type=pathlib.Path, default=pathlib.Path("drafts"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--streams", default="1,4")
    parser.add_argument("--only", default="", help="e.g. 'alone,draft demo'")
    parser.add_argument("--prompts", default=",".join(PROMPTS))
    args = parser.parse_args()
    os.environ["WEIR_BUILD_ROOT"] = str(args.build.resolve())
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    from weir_server import WEIR, Server
    large, drafts = make(args.make, WEIR)
    base = f"backend.main.model={large.resolve()}"
    cases = {"alone": ("backend.main.guesses=0",), "own text": ()}
    cases |= {f"draft {n}": (f"backend.main.draft_model={p.resolve()}",) for n, p in drafts.items()}
    cases = {n: c for n, c in cases.items() if not args.only or n in args.only.split(",")}
    servers = {name: Server("default", base, *options) for name, options in cases.items()}
    try:
        for what, prompt in ((n, PROMPTS[n]) for n in args.prompts.split(",")):
            for streams in map(int, args.streams.split(",")):
                rates, made, texts = {n: [] for n in servers}, {n: [0, 0] for n in servers}, {}
                for i in range(args.rounds + 1):
                    for name, server in servers.items():
                        rate, counts, texts[name] = measure(server, prompt, streams, args.tokens)
                        if i == 0:  # the prompt is cached from here on
                            continue
                        rates[name].append(rate)
                        made[name] = [a + b for a, b in zip(made[name], counts)]
                    assert all(t == texts[name] for t in texts.values()), "guesses changed a text"
                first = next(iter(rates))
                for name in servers:
                    ratios = [a / b for a, b in zip(rates[name], rates[first])]
                    guesses, right = made[name]
                    print(f"{what:8} {streams} streams  {name:12} {statistics.median(rates[name]):7.1f} tok/s "
                          f"{statistics.median(ratios):5.2f} x ({min(ratios):.2f}-{max(ratios):.2f})  "
                          f"{guesses:5.0f} guesses, {100 * right / max(guesses, 1):3.0f} % right", flush=True)
    finally:
        for server in servers.values():
            server.stop()


if __name__ == "__main__":
    main()
