#!/usr/bin/env python3
"""`weir model` as users call it: real files, real processes, published token ids, a real server."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import tap
from weir_server import SOURCE, WEIR, Server

DEMO = SOURCE / "data" / "models" / "weir-demo.gguf"
VOCABULARIES = pathlib.Path(os.environ.get("WEIR_TEST_DATA", SOURCE / "../shared/data")) / "vocab"


def weir(*args, stdin=b"", status=0, timeout=240):
    """Runs `weir ARGS`; returns (stdout, stderr) as bytes and text."""
    done = subprocess.run([WEIR, *map(str, args)], input=stdin, capture_output=True, timeout=timeout)
    assert done.returncode == status, f"{args}: status {done.returncode}\n{done.stderr.decode()}"
    assert b"\x1b" not in done.stdout + done.stderr, "colours or a bar in a pipe"
    return done.stdout, done.stderr.decode()


def test_help():
    listed = weir("help")[0].decode()
    assert re.search(r"^ +model +\w", listed, re.M) and re.search(r"^ +bench +\w", listed, re.M)
    verbs = re.findall(r"^  (\w+)  ", weir("model", "--help")[0].decode(), re.M)
    assert {"info", "plan", "tokenize", "quantize", "perplexity"} <= set(verbs), verbs
    assert "Examples" in weir("bench", "model", "--help")[0].decode()
    for verb in verbs:
        text = weir("model", verb, "--help")[0].decode()
        assert "Examples" in text and "exit status" in text, verb
    assert "no verb 'inf'" in weir("model", "inf", status=2)[1]
    assert "FILE is missing" in weir("model", "info", status=2)[1]
    assert "--tensor is not understood" in weir("model", "info", DEMO, "--tensor", status=2)[1]
    assert "from 1 to" in weir("model", "plan", DEMO, "--context", "-1", status=2)[1]


def test_info():
    text = weir("model", "info", DEMO, "--tensors", "--keys")[0].decode()
    for part in ["llama", "3476224", "2048 tokens", "gpt2", "<tool_call>", "blk.4.ffn_down.weight", "rope.freq_base"]:
        assert part in text, part
    facts = json.loads(weir("model", "info", DEMO, "--json")[0])
    assert facts["parameters"] == 3476224 and facts["vocabulary"] == 2048 and facts["served_here"]
    assert sum(t["bytes"] for t in facts["tensor_list"]) == facts["bytes"]
    assert facts["types"]["Q8_0"]["tensors"] == 36


def test_info_hostile():
    whole = DEMO.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "bad.gguf"
        for bad in [b"", b"GGUF", whole[:1000], whole[:-1000], b"PK\3\4" + whole[4:],
                    whole[:8] + b"\xff" * 16 + whole[24:]]:
            path.write_bytes(bad)
            for verb in ["info", "plan", "tokenize"]:
                message = weir("model", verb, path, status=1)[1]
                assert len(message.splitlines()) == 1 and "bad.gguf" in message, message
    assert "no such file" in weir("model", "info", "/nowhere.gguf", status=1)[1].lower()


def test_vocabulary_only():
    path = VOCABULARIES / "ggml-vocab-llama-spm.gguf"
    if not path.exists():
        raise tap.Skip(f"no {path}; set WEIR_TEST_DATA")
    assert "a vocabulary only" in weir("model", "info", path)[0].decode()


def test_tokenize_published():
    """The ids that come with the vocabularies; every third text of each, a process each."""
    paths = sorted(VOCABULARIES.glob("*.inp"))
    if not paths:
        raise tap.Skip(f"no *.inp in {VOCABULARIES}; set WEIR_TEST_DATA")
    for number, path in enumerate(paths):
        model = path.with_suffix("")
        texts = path.read_bytes().split(b"\n__ggml_vocab_test__\n")
        answers = pathlib.Path(str(model) + ".out").read_text().splitlines()
        assert len(answers) in (len(texts), len(texts) - 1), model
        for text, answer in list(zip(texts, answers))[number % 3::3]:
            got = weir("model", "tokenize", model, "--no-bos", stdin=text)[0].decode()
            assert got.split() == answer.split(), (model.name, text, got, answer)


def test_tokenize_forms():
    text = "<|im_start|>user\nHi, Mira! grüße\n".encode()
    plain = weir("model", "tokenize", DEMO, stdin=text)[0].split()
    special = weir("model", "tokenize", DEMO, "--special", stdin=text)[0].split()
    assert len(special) < len(plain) and special[0] == b"1"
    for ids, flags in [(plain, []), (special, ["--special"])]:
        assert weir("model", "tokenize", DEMO, "--decode", *flags, stdin=b" ".join(ids))[0] == text
    as_json = json.loads(weir("model", "tokenize", DEMO, "--json", stdin=text)[0])
    assert as_json == [int(i) for i in plain]
    pieces = json.loads(weir("model", "tokenize", DEMO, "--pieces", "--json", stdin=b"Hello world")[0])
    assert "".join(p[1] for p in pieces) == "Hello world"
    assert weir("model", "tokenize", DEMO, stdin=b"")[0] == b"\n"
    assert "no token" in weir("model", "tokenize", DEMO, "--decode", stdin=b"1 999999", status=1)[1]
    assert "byte 2" in weir("model", "tokenize", DEMO, "--decode", stdin=b"1 x", status=1)[1]


def test_plan_is_what_a_server_takes():
    options = [("context", 1024), ("max_sequences", 5), ("kv_type", "q8_0")]
    plan = json.loads(weir("model", "plan", DEMO, "--context", 1024, "--sequences", 5, "--kv", "q8_0", "--json")[0])
    with Server("default", *[f"backend.main.{key}={value}" for key, value in options]) as server:
        said = re.search(r"weights (\d+) bytes.*KV cache (\d+) bytes .*= (\d+) blocks of (\d+) tokens", server.text())
        assert said, server.text()
        weights, kv, blocks, block = map(int, said.groups())
    assert (plan["bytes"]["file_weights"], plan["bytes"]["kv"]) == (weights, kv)
    assert (plan["kv_blocks"], plan["block_tokens"]) == (blocks, block) == (160, 32)
    assert plan["bytes"]["total"] == sum(plan["bytes"][k] for k in ["matrices", "vectors", "kv", "arena", "program"])
    assert plan["longest_context"] == 2048 and plan["fits"]
    assert plan["kv_bytes_per_token"] * blocks * block == kv


def test_plan_refuses():
    assert "kv_type" in weir("model", "plan", DEMO, "--kv", "q3", status=1)[1]
    huge = json.loads(weir("model", "plan", DEMO, "--context", 30000000, "--json")[0])
    assert not huge["fits"] and huge["bytes"]["kv"] > huge["memory_free"]


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "model-tool"))
