#!/usr/bin/env python3
"""Grammars against independent judges (issue B, structured output): what random walks along masks
write meets the schema by jsonschema, the expression by re, the grammar by a matcher of its own; and
values that meet a random schema are accepted token by token.

Environment: WEIR_BUILD_ROOT, WEIR_SOURCE_ROOT, WEIR_TEST_DATA; WEIR_TEST_PYTHON, a Python with
jsonschema; WEIR_GRAMMAR_SEED and WEIR_GRAMMAR_ROUNDS for longer runs. Exit: 0 all right, 1 wrong,
77 skipped with a reason.
"""
import datetime
import json
import os
import pathlib
import random
import re
import subprocess
import sys

if os.environ.get("WEIR_TEST_PYTHON") and not os.environ.get("WEIR_ORACLE_CHILD"):
    os.environ["WEIR_ORACLE_CHILD"] = "1"
    os.execvp(os.environ["WEIR_TEST_PYTHON"], [os.environ["WEIR_TEST_PYTHON"]] + sys.argv)

try:
    import jsonschema
except ImportError as missing:
    print(f"skipped: {missing}; set WEIR_TEST_PYTHON to a Python with jsonschema")
    sys.exit(77)

from grammar_cases import Gbnf, compact, schema

SOURCE = pathlib.Path(os.environ.get("WEIR_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_ROOT", SOURCE / "build"))
DATA = pathlib.Path(os.environ.get("WEIR_TEST_DATA", SOURCE / "../shared/data"))
SEED = int(os.environ.get("WEIR_GRAMMAR_SEED", "1"))
ROUNDS = int(os.environ.get("WEIR_GRAMMAR_ROUNDS", "150"))
wrong, counts = [], {}


class Tool:
    def __init__(self, vocabulary):
        self.process = subprocess.Popen([BUILD / "tests/numeric/grammar-tool", vocabulary], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n")
        if not answer:
            raise RuntimeError(f"grammar-tool ended ({self.process.wait()}) at: {line[:2000]}")
        return answer

    def grammar(self, kind, value):
        return self.ask("grammar " + json.dumps({"type": kind, "value": value}, ensure_ascii=False))

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def complain(what, **where):
    wrong.append(what)
    if len(wrong) <= 20:
        print(f"not ok: {what}: " + json.dumps(where, ensure_ascii=False, default=str)[:1500])


def count(what):
    counts[what] = counts.get(what, 0) + 1


formats = jsonschema.FormatChecker(formats=("date", "ipv4", "ipv6", "email", "uuid"))
for name, read in (("date-time", datetime.datetime.fromisoformat), ("time", datetime.time.fromisoformat)):
    formats.checks(name, ValueError)(lambda text, read=read: not isinstance(text, str) or read(text) is not None)


def check_json(value):
    checker = jsonschema.Draft202012Validator(value, format_checker=formats)
    return lambda text: [e.message for e in checker.iter_errors(json.loads(text))][:1]


def walks(tool, what, judge, n, tokens):
    for seed in range(n):
        kind, *rest = tool.ask(f"walk {SEED * 1000 + seed} {tokens}").rsplit(" ", 1)
        count(kind.split(" ")[0])
        if kind == "open":
            continue
        if kind != "whole":
            complain(kind, of=what, seed=seed, text=rest)
            continue
        text = bytes.fromhex(rest[0])
        try:
            errors = judge(text.decode())
        except ValueError as error:
            errors = [str(error)]
        if errors:
            complain("does not fit", of=what, text=text.decode(errors="replace"), errors=errors)


def random_schemas(tool):
    r = random.Random(SEED)
    for _ in range(ROUNDS):
        value, make = schema(r)
        answer = tool.grammar("json_schema", value)
        if answer != "ok":
            complain("refused", schema=value, answer=answer)
            continue
        judge = check_json(value)
        for _ in range(4):
            text = compact(make())
            assert not judge(text), (value, text)
            count("accepted")
            if tool.ask("accept " + text.encode().hex()) != "yes":
                complain("not accepted", schema=value, text=text)
        walks(tool, value, judge, 3, r.choice([5, 40]))


def written_ones(tool):
    for path in sorted((SOURCE / "tests/bench/schemas").iterdir()):
        text = path.read_text()
        if path.suffix == ".json":
            value, kind, judge = json.loads(text), "json_schema", check_json(json.loads(text))
        elif path.suffix == ".regex":
            value, kind = text.rstrip("\n"), "regex"
            judge = (lambda e: lambda t: [] if e.fullmatch(t) else ["no match"])(re.compile(value))
        else:
            value, kind, gbnf = text, "gbnf", Gbnf(text)
            judge = (lambda g: lambda t: [] if g.matches(t) else ["no match"])(gbnf)
        answer = tool.grammar(kind, value)
        if answer != "ok":
            complain("refused", file=path.name, answer=answer)
            continue
        walks(tool, path.name, judge, 4, 60)
    words = ["yes", "no", "maybe so", "é", "yesterday", "{}"]
    tool.grammar("choice", words)
    walks(tool, "choice", lambda t: [] if t in words else ["none of them"], 12, 4)
    for word in words:
        if tool.ask("accept " + word.encode().hex()) != "yes":
            complain("not accepted", choice=word)


def main():
    vocabularies = [SOURCE / "data/models/weir-demo.gguf", DATA / "vocab/ggml-vocab-llama-spm.gguf"]
    for vocabulary in vocabularies:
        if not vocabulary.exists():
            print(f"# {vocabulary.name} is not there")
            continue
        tool = Tool(vocabulary)
        written_ones(tool)
        random_schemas(tool)
        if tool.end() != 0:
            complain("grammar-tool failed")
    print(counts, f"{len(wrong)} wrong")
    # What never ends is a walk's fault, but must stay rare: it proves nothing.
    if counts.get("open", 0) * 4 > counts.get("whole", 0):
        complain("too many walks do not end", counts=counts)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
