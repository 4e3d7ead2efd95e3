#!/usr/bin/env python3
"""`weir model quantize`, `weir model perplexity` and `weir bench model` as users call them.

The independent readers are the gguf package (files, every block type) and the numpy network of
data/models/demo (logits).
"""
import json
import math
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

import tap
from weir_server import SOURCE, WEIR

from model_tool import DEMO, weir

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
         "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0"]
MIXES = ["Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M"]
sys.path[:0] = [str(SOURCE / "tests" / "bench"), str(SOURCE / "data" / "models")]
from quantisations import held_out_text

TEXT = held_out_text(25).encode()
folder = None


def made(name, *flags, source=DEMO):
    """The demo model as `name`, made once."""
    global folder
    if folder is None:
        folder = tempfile.TemporaryDirectory()
    path = pathlib.Path(folder.name) / ("-".join([name, *flags]).replace("/", "").replace("*", "") + ".gguf")
    if not path.exists():
        weir("model", "quantize", source, path, name, *flags)
    return path


def tensors(path):
    try:
        import gguf
        import numpy
    except ImportError as missing:
        raise tap.Skip(f"{missing}: run ./dev test, which installs tests/requirements.txt")
    reader = gguf.GGUFReader(path)
    return {t.name: (t.tensor_type.name, gguf.dequantize(t.data, t.tensor_type).astype(numpy.float32).ravel())
            for t in reader.tensors}, reader


def measured(path, *flags, text=TEXT):
    answer = weir("model", "perplexity", path, "--text", "-", "--special", "--context", 128, "--json", *flags,
                  stdin=text)
    return json.loads(answer[0])


def test_every_type_reads_the_same_elsewhere():
    """gguf's numpy decoders and ours see the same numbers, bit for bit; metadata stays."""
    import numpy
    whole, before = tensors(made("F32"))
    for name in TYPES[1:]:
        path = made(name)
        theirs, reader = tensors(path)
        ours, _ = tensors(as_floats(path))
        for tensor, (kind, values) in theirs.items():
            assert kind == ("F32" if "norm" in tensor else name), (tensor, kind)
            assert numpy.array_equal(values, ours[tensor][1]), (name, tensor)
        assert list(theirs) == list(whole)
        changed = {"general.file_type", "general.quantization_version", "general.alignment"}
        for key, field in before.fields.items():
            if not key.startswith("GGUF.") and key not in changed:
                assert field.contents() == reader.fields[key].contents(), key


def as_floats(path):
    floats = path.with_suffix(".f32")
    weir("model", "quantize", path, floats, "F32", "--force")
    return floats


def test_every_type_runs():
    base = made("F32")
    limits = {"F16": 1e-4, "BF16": 1e-3, "Q8_0": 1e-3, "Q6_K": 0.02, "Q5_K": 0.08, "Q5_K_M": 0.08, "Q4_K": 0.4,
              "Q4_K_M": 0.3, "IQ4_NL": 0.4, "Q5_1": 0.08, "Q5_0": 0.1}
    for name in TYPES[1:] + MIXES:
        got = measured(made(name), "--kl", base, "--windows", "4")
        assert math.isfinite(got["perplexity"]) and got["tokens"] == 4 * 63, got
        assert got["kl"]["mean"] <= limits.get(name, 20), (name, got)


def test_mixes_and_wishes():
    kinds = {n: k for n, (k, _) in tensors(made("Q4_K_M"))[0].items()}
    assert kinds["token_embd.weight"] == "Q6_K" and kinds["blk.2.ffn_down.weight"] == "Q6_K", kinds
    assert kinds["blk.0.attn_q.weight"] == "Q4_K" and kinds["blk.0.attn_norm.weight"] == "F32"
    path = made("q4_0", "--embedding", "Q5_K", "--keep", "blk.1.*,blk.0.attn_v*")
    kinds = {n: k for n, (k, _) in tensors(path)[0].items()}
    assert kinds["token_embd.weight"] == "Q5_K" and kinds["blk.1.ffn_up.weight"] == "Q8_0"
    assert kinds["blk.0.attn_v.weight"] == "Q8_0" and kinds["blk.0.attn_q.weight"] == "Q4_0"
    one, two = made("Q4_K", "--threads", "1"), made("Q4_K", "--threads", "3")
    assert one.read_bytes() == two.read_bytes(), "threads change the result"


def test_refusals_leave_nothing():
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        out = place / "out.gguf"
        assert "no type 'Q9'" in weir("model", "quantize", DEMO, out, "Q9", status=2)[1]
        assert "one type" in weir("model", "quantize", DEMO, out, "Q4_0", "--output", "Q4_K_M", status=2)[1]
        assert "no/such" in weir("model", "quantize", DEMO, place / "no/such/dir.gguf", "Q4_0", status=1)[1]
        out.write_text("precious")
        assert "--force" in weir("model", "quantize", DEMO, out, "Q4_0", status=1)[1]
        assert out.read_text() == "precious"
        # What is no file is not replaced by one.
        os.mkfifo(place / "pipe")
        os.mkdir(place / "folder")
        for what in ["pipe", "folder"]:
            assert "no file" in weir("model", "quantize", DEMO, place / what, "Q4_0", "--force", status=1)[1]
        assert (place / "pipe").is_fifo() and sorted(os.listdir(place)) == ["folder", "out.gguf", "pipe"]
        os.unlink(place / "pipe")
        os.rmdir(place / "folder")
        # A disk that is full, as far as this process can see.
        done = subprocess.run([WEIR, "model", "quantize", DEMO, out, "F16", "--force"], capture_output=True, text=True,
                              preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(
                                  resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))))
        assert done.returncode == 1 and "no room" in done.stderr, done
        assert out.read_text() == "precious" and os.listdir(place) == ["out.gguf"]
        # Numbers that are none, in the middle of a tensor.
        whole = bytearray(made("F32").read_bytes())
        at = len(whole) // 2 & ~3
        whole[at:at + 4] = b"\x00\x00\xc0\x7f"
        bad = place / "bad.gguf"
        bad.write_bytes(whole)
        assert "damaged" in weir("model", "quantize", bad, place / "x.gguf", "Q4_K", status=1)[1]
        assert sorted(os.listdir(place)) == ["bad.gguf", "out.gguf"]
        weir("model", "quantize", DEMO, out, "Q4_0", "--force")
        assert out.read_bytes()[:4] == b"GGUF" and sorted(os.listdir(place)) == ["bad.gguf", "out.gguf"]


def test_ctrl_c_leaves_nothing():
    for _ in range(10):
        with tempfile.TemporaryDirectory() as place:
            process = subprocess.Popen([WEIR, "model", "quantize", made("F32"), place + "/out.gguf", "IQ4_XS",
                                        "--threads", "1"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            while process.poll() is None and not os.listdir(place):
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
            message = process.communicate(timeout=60)[1].decode()
            if process.returncode == 0:
                continue  # it was quicker
            assert process.returncode == 130 and "ctrl-C" in message, (process.returncode, message)
            assert os.listdir(place) == []
            return
    raise AssertionError("ten conversions were all quicker than a signal")


def test_perplexity_is_what_numpy_finds():
    try:
        import numpy
        from demo.runner import Runner
    except ImportError as missing:
        raise tap.Skip(f"{missing}: run ./dev test, which installs tests/requirements.txt")
    ids = [int(i) for i in weir("model", "tokenize", DEMO, "--special", stdin=TEXT)[0].split()]
    size, total, count = 64, 0.0, 0
    runner = Runner(DEMO)
    for start in range(0, 3 * size, size):
        runner.reset()
        logits = numpy.asarray(runner.logits(ids[start:start + size]), dtype=numpy.float64)
        for at in range(size // 2, size - 1):
            row = logits[at] - logits[at].max()
            total += math.log(numpy.exp(row).sum()) - row[ids[start + at + 1]]
            count += 1
    answer = weir("model", "perplexity", DEMO, "--text", "-", "--special", "--context", size, "--windows", 3,
                  "--json", stdin=TEXT)
    got = json.loads(answer[0])
    assert got["tokens"] == count and got["windows"] == 3
    assert abs(got["loss"] - total / count) < 0.01, (got, total / count)


def test_perplexity_says():
    same = measured(DEMO, "--kl", DEMO)
    assert same["kl"]["max"] == 0 and same["same_top"] == 1
    assert same["perplexity"] == same["base"]["perplexity"] == measured(DEMO, "--threads", "1")["perplexity"]
    refused = weir("model", "perplexity", DEMO, "--text", "-", stdin=b"short", status=1)[1]
    assert "longer text" in refused
    assert "--text is missing" in weir("model", "perplexity", DEMO, status=2)[1]
    assert "no such" in weir("model", "perplexity", DEMO, "--text", "/nowhere", status=1)[1].lower()


def test_perplexity_of_broken_models():
    whole = made("F32").read_bytes()
    norm = next(t for t in tensors(made("F32"))[1].tensors if t.name == "output_norm.weight")
    at, n = int(norm.data_offset), int(norm.n_elements)
    with tempfile.TemporaryDirectory() as name:
        bad = pathlib.Path(name) / "bad.gguf"
        bad.write_bytes(whole[:at] + b"\0\0\x7f\x60" * n + whole[at + 4 * n:])  # 7e19: the loss overflows exp()
        got = measured(bad, "--kl", DEMO)
        assert got["perplexity"] is None and got["loss"] > 1e9 and got["base"]["perplexity"] > 1, got
        bad.write_bytes(whole[:at] + b"\0\0\xc0\x7f" * n + whole[at + 4 * n:])
        said = weir("model", "perplexity", bad, "--text", "-", "--context", 128, stdin=TEXT, status=1)[1]
        assert "arithmetic failed" in said, said


def test_bench_reports():
    flags = ["-p", 64, "-n", 4, "-b", "1,3", "-c", "96", "-r", 2, "-t", 2]
    facts = json.loads(weir("bench", "model", DEMO, *flags, "--json")[0])
    cases = {(c["kind"], c["sequences"], c["depth"]): c for c in facts["cases"]}
    assert set(cases) == {("prefill", 1, 0), ("decode", 1, 0), ("decode", 3, 0), ("decode", 1, 96)}
    for case in cases.values():
        assert len(case["all"]) == 2 and 0 < case["min"] <= case["median"] <= case["max"], case
    assert facts["ceilings"]["read"] > 0 and facts["threads"] == 2
    text = weir("bench", "model", DEMO, *flags)[0].decode()
    assert "3 answers of 4" in text and "GB/s" in text
    assert "-b is '1;2'" in weir("bench", "model", DEMO, "-b", "1;2", status=2)[1]
    assert "nothing to measure" in weir("bench", "model", DEMO, "-p", 0, "-n", 0, status=2)[1]


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "model-convert"))
