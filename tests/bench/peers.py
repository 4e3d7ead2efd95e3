#!/usr/bin/env python3
"""Weir and llama.cpp (by the package llama-cpp-python) on the same GGUF files, taking turns.

    peers.py [--rounds N] [--threads N] [--peer-python PYTHON] MODEL.gguf...

Prints, for each file, tokens a second of a prompt, of an answer and of 8 answers together for both,
as the median of the rounds with the least and the most, and the median of the rounds' ratios. On a machine that others
use too only the ratios mean something: within a round both run one right after the other, and who
begins changes from round to round. Skips, with the reason, where the package is not installed.

--peer-python names the interpreter that has the package, e.g. that of an environment of its own:
    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install llama-cpp-python
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

TOGETHER = 8
ROOT = pathlib.Path(__file__).resolve().parents[2]


def serve_peer(path, threads, prompt, answer):
    """The child: loads once, then measures one round for each line of standard input."""
    import llama_cpp as lib
    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, None)
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_seq_max = TOGETHER
    params.n_ctx = TOGETHER * ((max(prompt, answer) + 256) // 256 * 256)  # each sequence has its part
    params.n_batch = params.n_ubatch = max(prompt, TOGETHER)
    params.n_threads = params.n_threads_batch = threads
    context = lib.llama_init_from_model(model, params)
    batch = lib.llama_batch_init(max(prompt, TOGETHER), 0, 1)
    n = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))

    def step(first, count, n_sequences):
        """count tokens from position `first` on, of each sequence; logits of each one's last."""
        batch.n_tokens = count * n_sequences
        for i in range(batch.n_tokens):
            batch.token[i], batch.pos[i] = (first + i) * 7919 % n, first + i % count
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, i // count
            batch.logits[i] = i % count == count - 1
        if lib.llama_decode(context, batch):
            sys.exit("llama_decode failed")
        lib.llama_synchronize(context)

    print(json.dumps({"version": lib.__version__}), flush=True)
    for _ in sys.stdin:
        rates = []
        for count, steps, n_sequences in ((prompt, 1, 1), (1, answer, 1), (1, answer, TOGETHER)):
            lib.llama_memory_clear(lib.llama_get_memory(context), True)
            start = time.perf_counter()
            for i in range(steps):
                step(i, count, n_sequences)
            rates.append(count * steps * n_sequences / (time.perf_counter() - start))
        print(json.dumps(rates), flush=True)


class Peer:
    def __init__(self, python, path, threads, prompt, answer):
        self.process = subprocess.Popen([python, __file__, "--serve", str(path), str(threads), str(prompt), str(answer)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = json.loads(self.process.stdout.readline())["version"]

    def measure(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure_weir(weir, path, threads, prompt, answer):
    out = subprocess.run([weir, "bench", "model", path, "-p", str(prompt), "-n", str(answer), "-b", f"1,{TOGETHER}",
                          "-r", "1", "-t", str(threads), "--json"], check=True, capture_output=True, text=True).stdout
    facts = json.loads(out)
    return [case["median"] for case in facts["cases"]], facts


def compare(args, path):
    peer = Peer(args.peer_python, path, args.threads, args.prompt, args.answer)
    ours, theirs, facts = [], [], None
    try:
        peer.measure()  # pages and clocks wake up
        for number in range(args.rounds):
            for who in (0, 1) if number % 2 else (1, 0):
                if who:
                    rates, facts = measure_weir(args.weir, path, args.threads, args.prompt, args.answer)
                    ours.append(rates)
                else:
                    theirs.append(peer.measure())
    finally:
        peer.close()
    print(f"{path.name}: {facts['machine']}; Weir {facts['version']}, llama-cpp-python {peer.version}")
    for column, name in enumerate([f"prompt of {args.prompt}", f"answer of {args.answer}", f"{TOGETHER} together"]):
        mine, other = [r[column] for r in ours], [r[column] for r in theirs]
        ratios = [a / b for a, b in zip(mine, other)]
        print(f"  {name:16s} Weir {statistics.median(mine):8.1f} ({min(mine):.1f}-{max(mine):.1f})   llama.cpp "
              f"{statistics.median(other):8.1f} ({min(other):.1f}-{max(other):.1f}) tok/s   ratio "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})", flush=True)


def main():
    if sys.argv[1:2] == ["--serve"]:
        serve_peer(sys.argv[2], *map(int, sys.argv[3:6]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--weir", default=ROOT / "build" / "core" / "weir")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--answer", type=int, default=32)
    args = parser.parse_args()
    found = subprocess.run([args.peer_python, "-c", "import llama_cpp"], capture_output=True, text=True)
    if found.returncode != 0:
        print(f"SKIP {args.peer_python} has no llama-cpp-python; see --help")
        return
    for path in args.models:
        compare(args, path)


if __name__ == "__main__":
    main()
