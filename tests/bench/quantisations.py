#!/usr/bin/env python3
"""What each weight type costs the demo model in quality: the table of docs/performance.md.

    quantisations.py [--weir build/core/weir] [--model data/models/weir-demo.gguf] [--documents 150]

The text are documents of the demo model's grammars with a seed and names that training never used.
The model is turned into F32 first and from there into every type; each is measured against it.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = ["F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K", "Q4_1", "IQ4_NL", "IQ4_XS",
         "Q4_0", "NVFP4", "MXFP4", "Q3_K_L", "Q3_K_M", "Q3_K", "Q2_K", "TQ2_0", "TQ1_0"]
HELD_OUT_SEED = 987654321


def held_out_text(documents):
    """Chats and plain texts one after the other, with the control tokens written out."""
    sys.path.insert(0, str(ROOT / "data" / "models"))
    from demo.corpus import document, render
    rng = random.Random(HELD_OUT_SEED)
    pieces = []
    for _ in range(documents):
        pieces += [text for text, _ in render(*document(rng, held_out=True))]
    return "".join(pieces)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", default=ROOT / "build" / "core" / "weir")
    parser.add_argument("--model", default=ROOT / "data" / "models" / "weir-demo.gguf")
    parser.add_argument("--documents", type=int, default=150)
    args = parser.parse_args()

    def weir(*words):
        return subprocess.run([args.weir, *map(str, words)], check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        text = place / "text.txt"
        text.write_text(held_out_text(args.documents), encoding="utf-8")
        base = place / "F32.gguf"
        weir("model", "quantize", args.model, base, "F32")
        print("| type | bytes | error of the weights | perplexity | divergence | same token |\n|---|---|---|---|---|---|")
        for name in ["F32", *TYPES]:
            path = place / f"{name}.gguf"
            report = weir("model", "quantize", base, path, name, "--force") if name != "F32" else ""
            errors = [line.split("error")[1].split()[0] for line in report.splitlines() if "error" in line]
            got = json.loads(weir("model", "perplexity", path, "--text", text, "--special", "--context", 512,
                                  "--kl", base, "--json"))
            print(f"| {name} | {path.stat().st_size:,} | {' and '.join(errors) + ' %' if errors else ''} | "
                  f"{got['perplexity']:.4f} ± {got['error']:.4f} | {got['kl']['mean']:.5f} | "
                  f"{100 * got['same_top']:.2f} % |", flush=True)
        print(f"\n{got['tokens']} scored tokens in {got['windows']} windows of {got['context']}.")


if __name__ == "__main__":
    main()
