#!/usr/bin/env python3
"""The SDK as a third party meets it: TAP on standard output.

header-c / header-cpp  every header alone compiles as C11 (with -Wpadded) and as C++17
sizes                  sizes and offsets are those of sizes-<machine>.txt; --update rewrites it
pure                   the headers include C standard headers and each other only
installed              the SDK installed into an empty folder builds the examples with cc and
                       pkg-config alone, and `weir check` passes them
"""
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_ROOT", SOURCE / "build"))
SDK = SOURCE / "sdk" / "include"
HERE = SOURCE / "tests" / "abi"
STANDARD = {"stdbool.h", "stddef.h", "stdint.h"}
number = 0
failures = 0


def report(name, found, skip=None):
    global number, failures
    number += 1
    if skip:
        print(f"ok {number} abi/{name} # SKIP {skip}")
        return
    failures += bool(found)
    print(f"{'not ok' if found else 'ok'} {number} abi/{name}", flush=True)
    for line in found[:40]:
        print(f"# {line}")


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def headers():
    return sorted(p.relative_to(SDK).as_posix() for p in SDK.rglob("*.h"))


def check_headers(name, compiler, language, standards):
    if not shutil.which(compiler):
        report(name, [], skip=f"{compiler} is not installed")
        return
    found = []
    for standard in standards:
        flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-std={standard}"]
        if language == "c":
            flags.append("-Wpadded")
        for header in headers():
            status, lines = run(compiler, *flags, "-I", SDK, "-x", language, "-",
                                input=f"#include <{header}>\n")
            if status != 0:
                found += [f"{header} as {standard}:"] + lines
    report(name, found)


def check_pure():
    found = []
    for header in headers():
        for target in re.findall(r'#\s*include\s*[<"]([^>"]+)', (SDK / header).read_text()):
            if target not in STANDARD and not target.startswith("weir/"):
                found.append(f"{header} includes {target}")
    report("pure", found)


def check_sizes(folder):
    name = f"sizes-{platform.machine()}.txt"
    table = HERE / name
    source, program = folder / "sizes.c", folder / "sizes"
    source.write_text(subprocess.run([sys.executable, HERE / "sizes.py", SDK], check=True,
                                     capture_output=True, text=True).stdout)
    status, lines = run("cc", "-std=c11", "-I", SDK, source, "-o", program)
    if status != 0:
        report("sizes", lines)
        return
    now = run(program)[1]
    if "--update" in sys.argv:
        table.write_text("\n".join(now) + "\n")
    if not table.exists():
        report("sizes", [], skip=f"there is no {name}; test-abi.py --update makes it")
        return
    committed = table.read_text().splitlines()
    found = [f"in the table, no longer so: {x}" for x in committed if x not in now]
    found += [f"not in the table: {x}" for x in now if x not in committed]
    if not found and now != committed:
        found = ["the same lines in another order"]
    if found:
        found.append("meant so? then raise WEIR_ABI_MINOR and run test-abi.py --update")
    report("sizes", found)


def check_installed(folder):
    if not shutil.which("pkg-config"):
        report("installed", [], skip="pkg-config is not installed")
        return
    dest = folder / "dest"
    status, lines = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", dest)
    if status != 0:
        report("installed", lines)
        return
    pc = next(dest.rglob("weir-sdk.pc"))
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": str(dest)}
    status, flags = run("pkg-config", "--cflags", "weir-sdk", env=env)
    found = flags if status != 0 else []
    sanitizers = sanitizer_flags()
    for example in sorted(dest.rglob("examples/*.c")) if not found else []:
        name = example.stem.split("-", 1)[1]
        library = folder / f"weir-{name}.so"
        status, lines = run("cc", "-std=gnu11", "-Wall", "-Werror", "-shared", "-fPIC",
                            "-fvisibility=hidden", *sanitizers, *" ".join(flags).split(), example,
                            "-o", library, "-pthread")
        if status == 0:
            status, lines = run(BUILD / "core" / "weir", "check", library)
        if status != 0:
            found += [f"{example.name}:"] + lines
    if not list(dest.rglob("examples/*.c")):
        found.append("no example was installed")
    report("installed", found)


def sanitizer_flags():
    """A plugin must be built as the host is."""
    status, lines = run("meson", "introspect", BUILD, "--buildoptions")
    match = re.search(r'"name": "b_sanitize", "value": "([^"]+)"', "".join(lines))
    return [] if not match or match.group(1) == "none" else [f"-fsanitize={match.group(1)}"]


def main():
    print("1..5", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_headers("header-c", "cc", "c", ["c11", "c17"])
        check_headers("header-cpp", "c++", "c++", ["c++17", "c++20"])
        check_pure()
        check_sizes(folder)
        check_installed(folder)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
