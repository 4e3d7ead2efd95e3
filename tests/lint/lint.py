#!/usr/bin/env python3
"""House rules that a machine can check (docs/architecture.md): TAP on standard output.

include-direction  who may include what: the SDK stays honest because in-tree plugins live by it
file-length        800 lines at most, one idea a file
format             clang-format leaves every C file as it is
head-comment       every C file begins by saying what it is
words              no left-over notes to self
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = re.compile(r"\.(c|h|cu|comp|py|js|sh)$|^dev$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
C_STANDARD = {"stdbool.h", "stddef.h", "stdint.h", "stdarg.h"}
# Core's floors, lowest first: a file includes its own floor and those below, never above.
CORE_FLOORS = [
    {"core", "log", "fail", "metrics", "metrics-series", "metrics-text", "text-util"},
    {"loop", "request", "blocks", "text", "nearest", "prefix", "tenants", "problems", "ini",
     "options", "guess", "embed-work", "trace", "place",
     "message"},
    {"stream"},
    {"chain", "sequence", "batch", "watchdog", "registry", "plugin-validate"},
    {"scheduler"},
    {"gateway", "router"},
    {"server", "status", "host", "instance", "isolation", "profile", "models"},
    {"signals"},
    {"main", "inspect", "check", "commands", "serve", "help"},
]


def tracked():
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                         capture_output=True, text=True, check=True).stdout
    return [ROOT / p for p in out.splitlines() if (ROOT / p).is_file()]


def rel(path):
    return path.relative_to(ROOT).as_posix()


def includes(path):
    text = path.read_text(encoding="utf-8", errors="replace")
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1) == "<", match.group(2)


def check_includes(files):
    for path in files:
        name = rel(path)
        if not name.endswith((".c", ".h")):
            continue
        top = name.split("/")[0]
        for line, angled, target in includes(path):
            where = f"{name}:{line}: "
            if target.startswith("api/") and top not in ("frontends", "tests"):
                yield where + f"{target}: frontends/api is the frontends' library"
            if name.startswith("frontends/api/") and not angled and "/" in target:
                yield where + f"{target}: frontends/api knows no frontend"
            if name.startswith("sdk/include/"):
                if not (target in C_STANDARD or target.startswith("weir/")):
                    yield where + f"an SDK header includes <{target}>; C standard headers only"
            elif top in ("frontends", "backends", "plugins") or name.startswith("sdk/examples/"):
                if "core/" in target or (not angled and target.startswith("..")):
                    yield where + f"a plugin includes {target}; plugins see <weir/...> and their own folder"
                if top == "backends" and not name.startswith("backends/tensor/") and "tensor/" in target:
                    if name.split("/")[1] not in ("cpu", "cuda", "vulkan"):
                        yield where + f"{target}: backends/tensor is for cpu, cuda and vulkan"
            elif top == "core" and not angled:
                if "/" in target:
                    yield where + f"core includes {target}; core knows its own headers and <weir/...>"


def floor_of(stem):
    for level, names in enumerate(CORE_FLOORS):
        for name in sorted(names, key=len, reverse=True):
            if stem == name or stem.startswith(name + "-"):
                return level
    return None


def check_floors(files):
    for path in files:
        name = rel(path)
        if not re.match(r"core/[^/]+\.[ch]$", name):
            continue
        mine = floor_of(path.stem)
        if mine is None:
            yield f"{name}: not in CORE_FLOORS of tests/lint/lint.py: say on which floor it stands"
            continue
        for line, angled, target in includes(path):
            theirs = floor_of(pathlib.Path(target).stem) if not angled else None
            if theirs is not None and theirs > mine:
                yield f"{name}:{line}: includes {target}, which stands above it"


def check_length(files):
    for path in files:
        if SOURCE.search(path.name):
            n = path.read_bytes().count(b"\n")
            if n > 800 and path.stem != "unicode-tables":
                yield f"{rel(path)}: {n} lines, at most 800"


def check_format(files):
    names = [str(p) for p in files if p.suffix in (".c", ".h") and p.stem != "unicode-tables"]
    out = subprocess.run(["clang-format", "--dry-run", *names], capture_output=True, text=True).stderr
    seen = set()
    for line in out.splitlines():
        match = re.match(r"(.+?):(\d+):\d+: warning: code should be clang-formatted", line)
        if match and match.group(1) not in seen:
            seen.add(match.group(1))
            yield f"{rel(pathlib.Path(match.group(1)))}:{match.group(2)}: run ./dev format"


def check_head(files):
    for path in files:
        if path.suffix in (".c", ".h") and not path.read_text(encoding="utf-8").lstrip().startswith("/*"):
            yield f"{rel(path)}: begins without a comment that says what it is"


def check_words(files):
    # Spelt in pieces so that this file passes its own test.
    bad = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
    for path in files:
        if SOURCE.search(path.name) or path.suffix == ".md":
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                if bad.search(line):
                    yield f"{rel(path)}:{number}: {line.strip()[:80]}"


CHECKS = [
    ("include-direction", check_includes),
    ("core-floors", check_floors),
    ("file-length", check_length),
    ("format", check_format),
    ("head-comment", check_head),
    ("words", check_words),
]


def main():
    files = tracked()
    print(f"1..{len(CHECKS)}")
    failures = 0
    for number, (name, check) in enumerate(CHECKS, 1):
        if name == "format" and not shutil.which("clang-format"):
            print(f"ok {number} lint/{name} # SKIP clang-format is not installed")
            continue
        found = list(check(files))
        failures += bool(found)
        print(f"{'not ok' if found else 'ok'} {number} lint/{name}")
        for text in found[:60]:
            print(f"# {text}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
