#!/usr/bin/env python3
"""Weir's logits against transformers' on the same small random models, end to end through a plugin.

For each model one script of steps runs: a prompt whole, the same in pieces, sequences of several
lengths mixed in batches, decoding alone and in company. Every row's logits are held against the
reference at that position, and the log-probability and rank of each next token against the
reference's. Tolerances: reference/compute.md 6.5 (see LIMITS).

Environment: WEIR_BUILD_ROOT; WEIR_TEST_PYTHON, an interpreter with torch, transformers and gguf.
Exit: 0 all right, 1 wrong, 77 skipped with a reason.
"""
import functools
import glob
import os
import subprocess
import sys
import tempfile

if os.environ.get("WEIR_TEST_PYTHON") and not os.environ.get("WEIR_ORACLE_CHILD"):
    os.environ["WEIR_ORACLE_CHILD"] = "1"
    os.execvp(os.environ["WEIR_TEST_PYTHON"], [os.environ["WEIR_TEST_PYTHON"]] + sys.argv)

try:
    import numpy as np
    import torch

    from tiny_families import FAMILIES
    from tiny_llama import TinyLlama, round_activations
    from tiny_more import MORE
except ImportError as missing:
    print(f"skipped: {missing}; set WEIR_TEST_PYTHON to a Python with torch, transformers, gguf")
    sys.exit(77)

BUILD = os.environ.get("WEIR_BUILD_ROOT", "build")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
TOOL = os.path.join(BUILD, "tests/numeric/logits-tool")

# What a model's logits may differ by; std is that of the reference's logits, cosine is of all rows
# taken as one vector.
#   f32: everything in f32;  half: f16 or bf16 somewhere;  int8: activations quantised to 8 bits
# score (5e-2 unless given): the mean error of log-probabilities, in std.
# excess: the error's energy over that of transformers with its activations rounded to 8 bits;
# kld_excess: the same of the divergence.
LIMITS = {
    "f32": {"max": 1e-4, "kld": 1e-5, "score": 1e-4},
    "half": {"max_of_std": 2e-2, "cosine": 0.9999, "kld": 1e-4},
    "int8": {"cosine": 0.9999, "kld": 1e-3, "excess": 1.3},
    # int8, where rounding transformers' activations alone costs more than that cosine
    "int8-loud": {"excess": 1.3, "kld_excess": 1.3},
    # int8, where matrices of transformers' model are no Linear whose activations could be rounded
    "int8-other": {"cosine": 0.9999, "kld": 1e-3},
}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}

def longrope(original, n):
    return {"rope_type": "longrope", "original_max_position_embeddings": original,
            "short_factor": [1 + 0.1 * i for i in range(n)],
            "long_factor": [1.5 + 0.7 * i for i in range(n)]}


# device, model, its kv_type, which limits
CASES = [
    ("scalar", dict(name="plain", embd=64, ff=96), "f32", "f32"),
    ("scalar", dict(name="bias", embd=64, ff=96, kv_heads=2, bias=True, tied=True), "f32", "f32"),
    ("scalar", dict(name="yarn", embd=64, ff=96, rope=YARN), "f32", "f32"),
    ("scalar", dict(name="llama3", embd=64, ff=96, rope=LLAMA3), "f32", "f32"),
    ("cpu", dict(name="plain"), "f32", "f32"),
    ("cpu", dict(name="gqa-2", kv_heads=2, base=500000.0), "f32", "f32"),
    ("cpu", dict(name="mqa-tied", heads=8, kv_heads=1, tied=True), "f32", "f32"),
    ("cpu", dict(name="wide-heads", heads=3, kv_heads=3, head_dim=48, embd=96, ff=200, vocab=77),
     "f32", "f32"),
    ("cpu", dict(name="bias", bias=True, kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="linear", rope={"rope_type": "linear", "factor": 4.0}), "f32", "f32"),
    ("cpu", dict(name="yarn", rope=YARN), "f32", "f32"),
    ("cpu", dict(name="llama3", rope=LLAMA3, base=500000.0), "f32", "f32"),
    ("cpu", dict(name="one-layer", layers=1), "f32", "f32"),
    ("cpu", dict(name="kv-f16"), "f16", "half"),
    ("cpu", dict(name="f16", kind="F16", kv_heads=2), "f16", "half"),
    ("cpu", dict(name="bf16", kind="BF16", kv_heads=2), "f16", "half"),
    ("cpu", dict(name="q8_0", kind="Q8_0", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="q4_0", kind="Q4_0", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="q4_k", kind="Q4_K", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="q6_k", kind="Q6_K", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="iq2_xs", kind="IQ2_XS", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="iq3_s", kind="IQ3_S", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="nvfp4", kind="NVFP4", kv_heads=2), "f16", "int8"),
    ("cpu", dict(name="nvfp4-factors", arch="qwen2", kind="NVFP4", kv_heads=2, factors=True), "f16", "int8"),
    ("cpu", dict(name="factors", kv_heads=2, factors=True), "f32", "f32"),
    ("cpu", dict(name="factors-fused", arch="phi3", kv_heads=2, factors=True), "f32", "f32"),
    ("cpu", dict(name="factors-biases", arch="starcoder2", kv_heads=2, factors=True), "f32", "f32"),
    ("cpu", dict(name="factors-output", arch="phi2", factors=True), "f32", "f32"),
    ("cpu", dict(name="iq1_s", kind="IQ1_S", kv_heads=2), "f16", "int8-loud"),
    ("scalar", dict(name="qwen2-small", arch="qwen2", embd=64, ff=96, kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="qwen2", arch="qwen2", kv_heads=2, base=1e6), "f32", "f32"),
    ("cpu", dict(name="qwen2-q4_k", arch="qwen2", kv_heads=2, kind="Q4_K", tied=True), "f16",
     "int8-loud"),
    ("scalar", dict(name="qwen3-small", arch="qwen3", embd=48, ff=96, kv_heads=2, head_dim=32),
     "f32", "f32"),
    ("cpu", dict(name="qwen3", arch="qwen3", kv_heads=2, head_dim=96, base=1e6), "f32", "f32"),
    ("cpu", dict(name="qwen3-q6_k", arch="qwen3", kv_heads=1, head_dim=128, kind="Q6_K"), "f16",
     "int8"),
    ("scalar", dict(name="phi3-small", arch="phi3", embd=64, ff=96, kv_heads=2, window=20), "f32",
     "f32"),
    ("cpu", dict(name="phi3-window", arch="phi3", kv_heads=2, window=20), "f32", "f32"),
    ("cpu", dict(name="phi3-partial", arch="phi3", partial=0.5), "f32", "f32"),
    ("cpu", dict(name="phi3-long", arch="phi3", kv_heads=2, rope=longrope(48, 32)), "f32", "f32"),
    ("cpu", dict(name="phi3-short", arch="phi3", rope=longrope(96, 32), server_context=96), "f32",
     "f32"),
    ("cpu", dict(name="phi3-q4_k", arch="phi3", kv_heads=2, kind="Q4_K", rope=longrope(48, 32)),
     "f16", "int8"),
    ("scalar", dict(name="gemma2-small", arch="gemma2", embd=64, ff=96, kv_heads=2, window=20,
                    attn_cap=2.0, output_cap=3.0), "f32", "f32"),
    ("cpu", dict(name="gemma2", arch="gemma2", layers=3, kv_heads=2, head_dim=96, window=20,
                 attn_cap=2.0, output_cap=3.0, scalar=50), "f32", "f32"),
    ("cpu", dict(name="gemma2-defaults", arch="gemma2", sharp=4.0, window=33), "f32", "f32"),
    ("cpu", dict(name="gemma2-27b", arch="gemma2", layers=46, embd=64, ff=64, heads=2, kv_heads=2,
                 head_dim=48, window=20, scalar=32, writes_scalar=False), "f32", "f32"),
    ("cpu", dict(name="gemma2-q8_0", arch="gemma2", kv_heads=2, head_dim=96, window=20,
                 kind="Q8_0"), "f16", "int8-loud"),
    ("scalar", dict(name="gemma3-small", arch="gemma3", layers=7, embd=32, ff=48, heads=2, kv_heads=1,
                    window=20), "f32", "f32"),
    ("cpu", dict(name="gemma3", arch="gemma3", layers=7, kv_heads=2, head_dim=96, window=20,
                 rope={"rope_type": "linear", "factor": 8.0}, scalar=50), "f32", "f32"),
    ("cpu", dict(name="gemma3-pattern", arch="gemma3", layers=5, kv_heads=1, head_dim=256, window=16,
                 pattern=2), "f32", "f32"),
    ("cpu", dict(name="gemma3-q4_0", arch="gemma3", layers=6, kv_heads=2, window=20, kind="Q4_0"),
     "f16", "int8-loud"),
    ("scalar", dict(name="mixtral-small", arch="mixtral", embd=64, ff=96, kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="mixtral", arch="mixtral", kv_heads=2, ff=208), "f32", "f32"),
    ("cpu", dict(name="mixtral-q4_k", arch="mixtral", kv_heads=2, kind="Q4_K"), "f16", "int8-other"),
    ("cpu", dict(name="mixtral-f16", arch="mixtral", kv_heads=2, kind="F16"), "f16", "half"),
    ("scalar", dict(name="qwen3moe-small", arch="qwen3moe", embd=64, ff=96, head_dim=32, experts=6,
                    used=3, ff_expert=48), "f32", "f32"),
    ("cpu", dict(name="qwen3moe", arch="qwen3moe", kv_heads=2, head_dim=96, experts=32, used=8,
                 ff_expert=96), "f32", "f32"),
    ("cpu", dict(name="qwen3moe-q8_0", arch="qwen3moe", kv_heads=2, head_dim=96, experts=16, used=4,
                 ff_expert=96, kind="Q8_0"), "f16", "int8-other"),
    ("scalar", dict(name="qwen2moe-small", arch="qwen2moe", embd=64, ff=96, ff_expert=48,
                    ff_shared=80), "f32", "f32"),
    ("cpu", dict(name="qwen2moe", arch="qwen2moe", kv_heads=2, experts=16, used=4, ff_expert=112,
                 ff_shared=208), "f32", "f32"),
    ("cpu", dict(name="granite", arch="granite", kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="granitemoe", arch="granitemoe", kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="smollm3", arch="smollm3", layers=5, kv_heads=2), "f32", "f32"),
    ("scalar", dict(name="bitnet-small", arch="bitnet-b1.58", embd=64, ff=96, kv_heads=2), "f32",
     "f32"),
    ("cpu", dict(name="bitnet", arch="bitnet-b1.58", kv_heads=2, tied=True), "f32", "f32"),
    ("cpu", dict(name="bitnet-silu", arch="bitnet-b1.58", silu=True), "f32", "f32"),
    ("cpu", dict(name="bitnet-unscaled", arch="bitnet-b1.58", kv_heads=2, scales=False), "f32",
     "f32"),
    ("scalar", dict(name="starcoder2-small", arch="starcoder2", embd=64, ff=96, kv_heads=2), "f32",
     "f32"),
    ("cpu", dict(name="starcoder2", arch="starcoder2", kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="gptneox", arch="gptneox"), "f32", "f32"),
    ("cpu", dict(name="gptneox-serial", arch="gptneox", parallel=False, partial=0.5), "f32", "f32"),
    ("scalar", dict(name="falcon-small", arch="falcon", embd=64, ff=96, kv_heads=1), "f32", "f32"),
    ("cpu", dict(name="falcon-7b", arch="falcon", kv_heads=1), "f32", "f32"),
    ("cpu", dict(name="falcon-40b", arch="falcon", two=True, heads=8, kv_heads=2), "f32", "f32"),
    ("cpu", dict(name="phi2", arch="phi2"), "f32", "f32"),
    ("cpu", dict(name="phi2-fused", arch="phi2", fused=True), "f32", "f32"),
    ("cpu", dict(name="gpt2", arch="gpt2"), "f32", "f32"),
    ("cpu", dict(name="gpt2-q8_0", arch="gpt2", tied=True, kind="Q8_0"), "f16", "int8-other"),
    ("cpu", dict(name="starcoder", arch="starcoder", kv_heads=1), "f32", "f32"),
    ("cpu", dict(name="weir-demo", path="data/models/weir-demo.gguf"), "f16", "int8-loud"),
    # A few by Vulkan: tests/unit/test-vulkan-models.c holds the others against the cpu's.
    ("vulkan", dict(name="vulkan-llama", kv_heads=2, base=500000.0, rope=YARN), "f32", "f32"),
    ("vulkan", dict(name="vulkan-q4_k", kind="Q4_K", kv_heads=2), "f16", "int8"),
    ("vulkan", dict(name="vulkan-nvfp4", kind="NVFP4", kv_heads=2, factors=True), "f16", "int8"),
    ("vulkan", dict(name="vulkan-gemma3", arch="gemma3", layers=7, kv_heads=2, head_dim=96, window=20,
                    rope={"rope_type": "linear", "factor": 8.0}, scalar=50), "f32", "f32"),
    ("vulkan", dict(name="vulkan-qwen3moe", arch="qwen3moe", kv_heads=2, head_dim=96, experts=32, used=8,
                    ff_expert=96), "f32", "f32"),
]


@functools.cache
def has_vulkan():
    done = subprocess.run([os.path.join(BUILD, "core/weir"), "inspect", "vulkan"], capture_output=True, text=True)
    return "can run here" in done.stdout


def plugin(device):
    where = {"cpu": "backends/cpu/*.so", "scalar": "tests/numeric/*scalar*.so",
             "vulkan": "backends/vulkan/*.so"}[device]
    found = sorted(glob.glob(os.path.join(BUILD, where)))
    return found[0] if found and (device != "vulkan" or has_vulkan()) else None


def script(vocab):
    """Sequences and steps: (tokens of each, lines)."""
    rng = np.random.default_rng(9)
    long = rng.integers(0, vocab, 70).tolist()
    seqs = [long[:60], long[:60], long[:60], rng.integers(0, vocab, 9).tolist(), long,
            rng.integers(0, vocab, 37).tolist()]
    steps = ["0:50"]                                        # whole
    steps += [f"1:{n}" for n in (1, 31, 1, 2, 15)]          # in pieces, across block borders
    steps += ["2:50"] + ["0:1"] * 10                        # 0 decodes alone
    steps += ["3:4 4:33 5:12", "3:1 4:1 5:25", "4:36"]      # mixed lengths
    steps += ["2:1 1:1 3:1"] * 4 + ["2:1 1:1"] * 6          # 2 decodes in company
    lines = ["seq " + " ".join(map(str, s)) for s in seqs] + ["step " + s for s in steps]
    return seqs, "\n".join(lines) + "\n"


def run(device, path, kv_type, context, text, folder):
    out = os.path.join(folder, "logits.bin")
    done = subprocess.run([TOOL, plugin(device), device, out, f"model={path}", f"kv_type={kv_type}",
                           "max_batch_tokens=96", "max_sequences=8", f"context={context}"],
                          input=text, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"logits-tool ended with {done.returncode}:\n{done.stderr}")
    rows = [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("row ")]
    logits = np.fromfile(out, dtype=np.float32).reshape(len(rows), -1)
    scores = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("score ")]
    return [(int(seq), int(end)) for seq, end in rows], logits, scores


def measure(got, want):
    p, q = torch.log_softmax(want, 1), torch.log_softmax(got, 1)
    std = want.std().item()
    worst = (got - want).abs().max().item()
    return {"max": worst, "max_of_std": worst / std, "std": std,
            "cosine": torch.nn.functional.cosine_similarity(got.flatten(), want.flatten(), 0).item(),
            "kld": (p.exp() * (p - q)).sum(1).mean().item(),
            "greedy": (got.argmax(1) == want.argmax(1)).float().mean().item()}


def score_errors(scores, seqs, full, worst):
    """Of each scored token: how far its log-probability is off, and the best one's; ranks that cannot be."""
    errors, wrong = [], 0
    for seq, pos, logprob, rank, best in scores:
        want = torch.log_softmax(full[int(seq)][int(pos) - 1], 0)
        token = seqs[int(seq)][int(pos)]
        errors += [abs(float(logprob) - want[token].item()), abs(float(best) - want.max().item())]
        # Tokens that are as likely within the error may stand before it or behind.
        slack = 4 * worst + 1e-3
        wrong += not (want > want[token] + slack).sum() < int(rank) <= (want >= want[token] - slack).sum()
    return np.array(errors), wrong


def compute(reference, seqs, rows, least):
    """The reference's logits for each row of the script; what follows a token changes nothing."""
    with torch.no_grad():
        full = [reference(torch.tensor([s + [0] * (least - len(s))])).logits[0].double()
                for s in seqs]
    return torch.stack([full[seq][end - 1] for seq, end in rows]), full


def check(device, spec, kv_type, kind, folder):
    if "path" in spec:
        path = os.path.join(SOURCE, spec["path"])
        model = TinyLlama.read(spec["name"], path)
    else:
        path = os.path.join(folder, "model.gguf")
        spec = dict(spec)
        model = {**FAMILIES, **MORE}[spec.pop("arch", "llama")](**spec).build()
        model.write(path)
    seqs, text = script(model.vocab)
    rows, got, scores = run(device, path, kv_type, model.server_context, text, folder)
    reference = model.reference()
    want, full = compute(reference, seqs, rows, model.least_length)
    m = measure(torch.from_numpy(got).double(), want)
    errors, ranks = score_errors(scores, seqs, full, m["max"])
    if "excess" in LIMITS[kind]:
        round_activations(reference)
        rounded, _ = compute(reference, seqs, rows, model.least_length)
        least = (rounded - want).square().sum()
        m["excess"] = ((torch.from_numpy(got).double() - want).square().sum() / least).item()
        m["kld_excess"] = m["kld"] / measure(rounded, want)["kld"]
    wrong = [k for k, limit in LIMITS[kind].items() if k != "score"
             and not (m[k] >= limit if k == "cosine" else m[k] <= limit)]
    if len(errors) < 300 or ranks or errors.mean() > LIMITS[kind].get("score", 0.05) * m["std"]:
        wrong.append(f"scores ({len(errors)}, {ranks} wrong ranks)")
    # Decoding alone and in a batch, from prompts computed alike: the same bits.
    at = {row: i for i, row in enumerate(rows)}
    if any(got[at[0, end]].tobytes() != got[at[2, end]].tobytes() for end in range(51, 61)):
        wrong.append("batch")
    print(f"{'not ok' if wrong else 'ok'} {device} {model.name}: max {m['max']:.2e} "
          f"(std {m['std']:.2f}), cosine {m['cosine']:.7f}, kld {m['kld']:.2e}, "
          f"greedy {m['greedy']:.3f}, scores {errors.mean():.2e}"
          + (f", excess {m['excess']:.2f}, of kld {m['kld_excess']:.2f}" if "excess" in m else "")
          + (f"  WRONG: {', '.join(wrong)}" if wrong else ""), flush=True)
    return not wrong


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    wanted = sys.argv[1:]
    right = ran = 0
    for device, spec, kv_type, kind in CASES:
        if wanted and device not in wanted and spec["name"] not in wanted:
            continue
        if plugin(device) is None:
            print(f"# {device} {spec['name']}: no plugin in this build, or no device for it")
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran += 1
            right += check(device, spec, kv_type, kind, folder)
    print(f"{right} of {ran} right")
    if ran == 0:
        sys.exit(77)
    sys.exit(0 if right == ran else 1)


main()
