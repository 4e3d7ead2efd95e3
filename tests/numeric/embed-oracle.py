#!/usr/bin/env python3
"""Weir's embeddings against transformers' on the same small random models, end to end through a
plugin: encoders with each pooling, cross-encoders' scores, and decoders used for embeddings.

f32 models must agree within 1e-4 (as Infinity asks); 8-bit ones by cosine. A text's vector must have
the same bits alone and in company.

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

    from tiny_decoders import decoder
    from tiny_encoders import CLS, LAST, MEAN, RANK, TinyBert, TinyNomic
except ImportError as missing:
    print(f"skipped: {missing}; set WEIR_TEST_PYTHON to a Python with torch, transformers, gguf")
    sys.exit(77)

BUILD = os.environ.get("WEIR_BUILD_ROOT", "build")
TOOL = os.path.join(BUILD, "tests/numeric/embed-tool")

# device, model, limits: the largest difference of a number, the least cosine
F32, HALF, INT8 = (1e-4, 0.999999), (5e-3, 0.9999), (1e-1, 0.995)
CASES = [
    ("scalar", TinyBert("mean", embd=48, ff=64, layers=2), F32),
    ("scalar", TinyNomic("nomic-small", embd=48, ff=64, layers=2), F32),
    ("cpu", TinyBert("mean"), F32),
    ("cpu", TinyBert("cls", pooling=CLS), F32),
    ("cpu", TinyBert("last", pooling=LAST, heads=3, types=1), F32),
    ("cpu", TinyBert("one-layer", layers=1, pooling=CLS), F32),
    ("cpu", TinyBert("deep", layers=12, embd=128, heads=4, ff=512), F32),
    ("cpu", TinyBert("rank", pooling=RANK), F32),
    ("cpu", TinyBert("rank-one-type", pooling=RANK, types=1), F32),
    ("cpu", TinyNomic("nomic"), F32),
    ("cpu", TinyNomic("nomic-cls", pooling=CLS, heads=6), F32),
    ("cpu", TinyBert("f16", kind="F16"), HALF),
    ("cpu", TinyBert("q8_0", kind="Q8_0", embd=128, ff=256), INT8),
    ("cpu", TinyNomic("nomic-q8_0", kind="Q8_0", embd=128, ff=256, pooling=CLS), INT8),
    # Decoders: what each does differently in a layer, the three poolings, texts of one token.
    ("scalar", decoder("llama-small", embd=64, ff=96, kv_heads=2), F32),
    ("scalar", decoder("gemma2-small", "gemma2", LAST, embd=64, ff=96, kv_heads=2, window=20,
                       attn_cap=2.0, output_cap=3.0), F32),
    ("scalar", decoder("qwen3-small", "qwen3", LAST, embd=48, ff=96, kv_heads=2, head_dim=32), F32),
    ("cpu", decoder("llama"), F32),
    ("cpu", decoder("llama-last", pooling=LAST, kv_heads=2, tied=True, bias=True), F32),
    ("cpu", decoder("llama-cls", pooling=CLS, kv_heads=1, heads=8), F32),
    ("cpu", decoder("llama-eos", pooling=None, ends=True), F32),
    ("cpu", decoder("llama-silent", pooling=None), F32),
    ("cpu", decoder("llama-one-layer", layers=1, pooling=LAST), F32),
    ("cpu", decoder("llama-yarn", rope={"rope_type": "yarn", "factor": 4.0,
                                        "original_max_position_embeddings": 64}), F32),
    ("cpu", decoder("qwen2", "qwen2", kv_heads=2, base=1e6), F32),
    ("cpu", decoder("qwen3", "qwen3", LAST, kv_heads=2, head_dim=96, base=1e6), F32),
    ("cpu", decoder("phi3-window", "phi3", kv_heads=2, window=20), F32),
    ("cpu", decoder("gemma2", "gemma2", layers=3, kv_heads=2, head_dim=96, window=20, attn_cap=2.0,
                    output_cap=3.0, scalar=50), F32),
    ("cpu", decoder("gemma3", "gemma3", LAST, layers=7, kv_heads=2, head_dim=96, window=20), F32),
    ("cpu", decoder("mixtral", "mixtral", kv_heads=2, ff=208), F32),
    ("cpu", decoder("qwen3moe", "qwen3moe", LAST, kv_heads=2, head_dim=96, experts=32, used=8,
                    ff_expert=96), F32),
    ("cpu", decoder("qwen2moe", "qwen2moe", kv_heads=2, experts=16, used=4, ff_expert=112,
                    ff_shared=208), F32),
    ("cpu", decoder("granite", "granite", kv_heads=2), F32),
    ("cpu", decoder("smollm3", "smollm3", LAST, layers=5, kv_heads=2), F32),
    ("cpu", decoder("bitnet", "bitnet-b1.58", kv_heads=2, tied=True), F32),
    ("cpu", decoder("starcoder2", "starcoder2", kv_heads=2), F32),
    ("cpu", decoder("gptneox", "gptneox", LAST), F32),
    ("cpu", decoder("falcon-7b", "falcon", LAST, kv_heads=1), F32),
    ("cpu", decoder("falcon-40b", "falcon", LAST, two=True, heads=8, kv_heads=2), F32),
    ("cpu", decoder("phi2", "phi2", LAST), F32),
    ("cpu", decoder("gpt2", "gpt2"), F32),
    ("cpu", decoder("llama-f16", kind="F16", kv_heads=2), HALF),
    ("cpu", decoder("llama-q8_0", kind="Q8_0", kv_heads=2), INT8),
    ("cpu", decoder("qwen2-q4_k", "qwen2", LAST, kind="Q4_K", kv_heads=2), INT8),
    ("vulkan", TinyBert("vulkan-mean"), F32),
    ("vulkan", TinyNomic("vulkan-nomic"), F32),
    ("vulkan", TinyBert("vulkan-q8_0", kind="Q8_0", embd=128, ff=256), INT8),
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


def texts_of(model):
    rng = np.random.default_rng(8)
    lengths = [1, 2, 15, 16, 17, 40, 80, 33, 3, 64, 5]
    if not isinstance(model, TinyBert):
        lengths += [130, 1, 213]  # longer than a step: the program is made anew
    texts = [rng.integers(3, model.vocab, min(n, model.context)).tolist() for n in lengths]
    for text in texts[5:8]:  # pairs
        text[0], text[len(text) // 2], text[-1] = 1, 2, 2
    return texts


def run(device, path, texts, folder):
    """All in one call, then each alone, then backwards; checked to be the same to the bit."""
    out = os.path.join(folder, "vectors.bin")
    line = ["text " + " ".join(map(str, t)) for t in texts]
    script = line + ["run"] + [x for t in line for x in (t, "run")] + line[::-1] + ["run"]
    done = subprocess.run([TOOL, plugin(device), device, out, f"model={path}",
                           "max_batch_tokens=100", "max_sequences=4"],
                          input="\n".join(script) + "\n", capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"embed-tool ended with {done.returncode}:\n{done.stderr}")
    n_dim = int(done.stdout.split()[1])
    got = np.fromfile(out, dtype=np.float32).reshape(3, len(texts), n_dim)
    same = got[0].tobytes() == got[1].tobytes() == np.ascontiguousarray(got[2][::-1]).tobytes()
    return torch.from_numpy(got[0]).double(), same


def check(device, model, limits, folder):
    path = os.path.join(folder, "model.gguf")
    model.build().write(path)
    texts = texts_of(model)
    got, same = run(device, path, texts, folder)
    reference = model.reference()
    want = torch.stack([model.vector_of(reference, t) for t in texts])
    worst = (got - want).abs().max().item()
    cosine = torch.nn.functional.cosine_similarity(got, want, 1).min().item()
    wrong = [what for what, bad in (("max", worst > limits[0]), ("cosine", cosine < limits[1]),
                                    ("company", not same)) if bad]
    print(f"{'not ok' if wrong else 'ok'} {device} {model.name}: max {worst:.2e}, cosine {cosine:.7f}"
          + (f"  WRONG: {', '.join(wrong)}" if wrong else ""), flush=True)
    return not wrong


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    wanted = sys.argv[1:]
    right = ran = 0
    for device, model, limits in CASES:
        if wanted and device not in wanted and model.name not in wanted:
            continue
        if plugin(device) is None:
            print(f"# {device} {model.name}: no plugin in this build, or no device for it")
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran += 1
            right += check(device, model, limits, folder)
    print(f"{right} of {ran} right")
    if ran == 0:
        sys.exit(77)
    sys.exit(0 if right == ran else 1)


main()
