#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares Weir's chat templates with Python's jinja2, set up as the transformers package does.

    template-oracle.py PROGRAM [--fuzz N] [--seed S] [--verbose]

PROGRAM is tests/unit/template-render. Both sides must give the same text, or both an error; where a
template refuses a conversation itself (raise_exception) its message must be the error. Exit 77 when
jinja2 cannot be imported.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
NOW = 1753526096  # 2025-07-26
sys.path.insert(0, str(HERE))

os.environ["TZ"] = "UTC"
time.tzset()


def reexec():
    """The interpreter that the build was told to use, if it is another one."""
    wanted = os.environ.get("WEIR_TEST_PYTHON")
    if wanted and not os.environ.get("WEIR_TEST_PYTHON_RUNS"):
        os.environ["WEIR_TEST_PYTHON_RUNS"] = "1"
        os.execvp(wanted, [wanted, *sys.argv])


reexec()
try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError as error:
    print(f"skipped: {error}; the oracle needs jinja2 (set WEIR_TEST_PYTHON)")
    sys.exit(77)

import template_conversations  # noqa: E402
import template_grammar  # noqa: E402


class Refused(Exception):
    pass


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def environment():
    def refuse(message):
        raise Refused(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = refuse
    env.globals["strftime_now"] = lambda form: time.strftime(form, time.gmtime(NOW))
    return env


ENV = environment()
PARSED = {}


def expected(source, context):
    """(text, None), or (None, error)."""
    try:
        if source not in PARSED:
            if len(PARSED) > 100:
                PARSED.clear()
            PARSED[source] = ENV.from_string(source)
        text = PARSED[source].render(**json.loads(context))
        text.encode()
        return text, None
    except Refused as error:
        return None, error
    except Exception as error:  # pylint: disable=broad-except
        return None, error


class Weir:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, source, context):
        job = json.dumps({"template": source, "context": context, "now": NOW})
        self.process.stdin.write(job.encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"template-render died on:\n{source}\n{context[:2000]}")
        return json.loads(line)


def agrees(got, text, error):
    """None, or what differs."""
    if error is None:
        if got.get("text") == text:
            return None
        return f"expected {text!r}\n     got {got.get('text', got.get('error'))!r}"
    if "text" in got:
        return f"expected the error {error!r}\n     got {got['text']!r}"
    if isinstance(error, Refused) and not str(error).encode()[:440].startswith(got["error"].encode()[:440]):
        return f"expected the refusal {error}\n     got {got['error']}"
    if got["code"] == -8 and not isinstance(error, RecursionError):
        return f"a limit was reached: {got['error']}; expected the error {error!r}"
    return None


def spans_are_sound(got):
    end = -1
    size = len(got["text"].encode())
    for a, b in got["spans"]:
        if a <= end or b <= a or b > size:
            return False
        end = b
    return True


def covers_input(got):
    """Every byte of a canary that the conversation brought lies in a span."""
    raw = got["text"].encode()
    at = raw.find(b"<|im_end|>\n<|im_start|>system\n[INST]")
    while at >= 0:
        if not any(a <= at and at + 30 <= b for a, b in got["spans"]):
            return False
        at = raw.find(b"<|im_end|>\n<|im_start|>system\n[INST]", at + 1)
    return True


def marks_are_right(got):
    """In random templates one character is the context's alone and one the template's."""
    raw = got["text"].encode()
    for char, inside in (("漢", True), ("‡", False)):
        at = raw.find(char.encode())
        while at >= 0:
            if any(a <= at < b for a, b in got["spans"]) != inside:
                return False
            at = raw.find(char.encode(), at + 1)
    return True


def run_templates(weir, verbose):
    folder = pathlib.Path(os.environ.get("WEIR_TEST_DATA", HERE / "../../../shared/data")) / "templates"
    cases = refused = failed = 0
    files = sorted(folder.glob("*.jinja"))
    if not files:
        print(f"no templates in {folder}: the real templates are not tested")
    for file in files:
        source = file.read_bytes().decode()
        for name, context in template_conversations.contexts():
            text = json.dumps(context, ensure_ascii=False)
            want, error = expected(source, text)
            got = weir.render(source, text)
            bad = agrees(got, want, error)
            if bad is None and "text" in got and not (spans_are_sound(got) and covers_input(got)):
                bad = f"the spans are wrong: {got['spans']}"
            cases += 1
            refused += error is not None
            if bad:
                failed += 1
                if failed <= 20 or verbose:
                    print(f"FAIL {file.name} with {name}:\n     {bad[:3000]}")
    print(f"{len(files)} templates: {cases} renderings, {refused} of them refused by both, {failed} differ")
    return failed


def run_fuzz(weir, count, seed, verbose):
    failed = errors = 0
    for i in range(count):
        rng = random.Random(f"{seed}/{i}")
        source = template_grammar.template(rng)
        context = json.dumps(template_grammar.CONTEXT, ensure_ascii=False)
        want, error = expected(source, context)
        if isinstance(error, (MemoryError, RecursionError)) or (want is not None and " at 0x" in want):
            continue
        got = weir.render(source, context)
        bad = agrees(got, want, error)
        if bad is None and "text" in got and not (spans_are_sound(got) and marks_are_right(got)):
            bad = f"the spans are wrong: {got}"
        elif bad and template_grammar.known_difference(source, want, error, got):
            continue
        errors += error is not None
        if bad:
            failed += 1
            if failed <= 25 or verbose:
                print(f"FAIL fuzz {seed}/{i}: {source!r}\n     {bad[:1500]}")
    print(f"{count} random templates, seed {seed}: {errors} refused by both, {failed} differ")
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--fuzz", type=int, default=3000)
    parser.add_argument("--seed", default="weir")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None
    weir = Weir(options.program)
    failed = run_templates(weir, options.verbose)
    failed += run_fuzz(weir, options.fuzz, options.seed, options.verbose)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
