#!/usr/bin/env python3
"""Adapters by request through the whole server: two random ones for the demo model, written by the gguf
package; chosen by model name and by field, side by side with the model itself, prefix cache included."""
import concurrent.futures
import os
import pathlib
import sys
import tempfile

try:
    import gguf
    import numpy
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

import tap
from weir_server import SOURCE, Server

MODEL = SOURCE / "data/models/weir-demo.gguf"
PROMPT = "Write a short poem about the sea. Once upon a time there was a kind clock called Mei, and every day it said"
server = None


def write_adapter(path, seed, strength):
    """Rank 4 on every layer's query and down matrices."""
    random = numpy.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    for tensor in gguf.GGUFReader(MODEL).tensors:
        if not tensor.name.endswith(("attn_q.weight", "ffn_down.weight")):
            continue
        n_in, n_out = int(tensor.shape[0]), int(tensor.shape[1])
        writer.add_tensor(tensor.name + ".lora_a", (random.normal(size=(4, n_in)) * strength).astype(numpy.float32))
        writer.add_tensor(tensor.name + ".lora_b", (random.normal(size=(n_out, 4)) * strength).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def text(model="weir-demo", **more):
    body = {"model": model, "prompt": PROMPT, "max_tokens": 40, "temperature": 0, "ignore_eos": True, **more}
    status, answer, _ = server.post("/v1/completions", body)
    assert status == 200, answer
    return answer["choices"][0]["text"]


def test_names():
    ids = [m["id"] for m in server.get("/v1/models")[1]["data"]]
    assert {"weir-demo", "weir-demo:one", "weir-demo:two"} <= set(ids), ids


def test_each_is_itself():
    plain, one, two = text(), text("weir-demo:one"), text("weir-demo:two")
    assert len({plain, one, two}) == 3, (plain, one, two)
    assert text(lora="one") == one and text(lora="two") == two
    # Again, with the prompt in the prefix cache of each: KV is never shared between adapters.
    assert (text(), text("weir-demo:one"), text("weir-demo:two")) == (plain, one, two)


def test_side_by_side():
    models = ["weir-demo", "weir-demo:one", "weir-demo:two"] * 4
    alone = {m: text(m) for m in models}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert list(pool.map(text, models)) == [alone[m] for m in models]


def test_unknown():
    status, answer, _ = server.post("/v1/completions", {"model": "weir-demo:three", "prompt": "x"})
    assert status == 404, answer
    status, answer, _ = server.post("/v1/completions", {"model": "weir-demo", "prompt": "x", "lora": "three"})
    assert status in (400, 404) and "three" in answer["error"]["message"], answer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in enumerate(("one", "two")):
            write_adapter(os.path.join(folder, name + ".gguf"), seed, 0.12)
        adapters = ",".join(f"{n}={pathlib.Path(folder) / n}.gguf" for n in ("one", "two"))
        with Server("default", f"backend.main.lora={adapters}") as server:
            sys.exit(tap.run(sys.modules[__name__], "lora"))
