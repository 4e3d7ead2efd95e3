#!/usr/bin/env python3
"""Builds the CPU kernels for AArch64 with Debian's cross compiler and runs cpu-levels.c on them under
qemu: on a processor with the dot product, and on one without. Skipped where either is missing.
Prints TAP.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPU = ROOT / "backends/cpu"
GGUF = ROOT / "backends/tensor/gguf"
GCC, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-static", "-ffp-contract=off", "-fno-strict-aliasing",
         f"-I{ROOT / 'sdk/include'}", f"-I{CPU}", f"-I{GGUF}"]
# object: what it is built of, and for
OBJECTS = {
    "check": (ROOT / "tests/numeric/cpu-levels.c", []),
    "isa": (CPU / "isa.c", []), "codes": (CPU / "codes.c", []), "dequant": (CPU / "dequant.c", []),
    "iquant": (GGUF / "iquant.c", []), "iquant-tables": (GGUF / "iquant-tables.c", []),
    "repack": (CPU / "repack.c", []), "scalar": (CPU / "level-scalar.c", []),
    "neon": (CPU / "level-neon.c", []),
    "dotprod": (CPU / "level-neon.c", ["-march=armv8.2-a+dotprod"]),
}


def main():
    missing = [tool for tool in (GCC, QEMU) if not shutil.which(tool)]
    if missing:
        print(f"1..0 # SKIP {' and '.join(missing)} not installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for name, (source, flags) in OBJECTS.items():
            out = os.path.join(folder, name + ".o")
            jobs.append((out, subprocess.Popen([GCC, *FLAGS, *flags, "-c", source, "-o", out])))
        failed = [out for out, job in jobs if job.wait()]
        binary = os.path.join(folder, "cpu-levels")
        if failed or subprocess.call([GCC, *FLAGS, *[out for out, _ in jobs], "-lm", "-o", binary]):
            print("1..1\nnot ok 1 it does not build")
            return 1
        # cortex-a53 has no dot product: the level must be refused, and the other must do
        n, bad = 0, 0
        for model, dotprod in ("cortex-a53", False), ("max", True):
            run = subprocess.run([QEMU, "-cpu", model, binary, "neon", "dotprod"],
                                 stdout=subprocess.PIPE, text=True)
            results = [line for line in run.stdout.splitlines() if "ok " in line[:7]]
            skipped = any("dotprod # SKIP" in line for line in results)
            ok = run.returncode == 0 and len(results) > 20 and skipped != dotprod
            for line in results:
                n += 1
                verdict, text = line.split(" ", 2 if line[0] == "o" else 3)[0], line.split(" ")[-1]
                if "# SKIP" in line:
                    text = line.split(" ", 2)[2]
                print(f"{'not ok' if verdict == 'not' else 'ok'} {n} {model}/{text}")
                bad += verdict == "not"
            n += 1
            bad += not ok
            print(f"{'ok' if ok else 'not ok'} {n} {model}: exit status {run.returncode}")
        print(f"1..{n}")
        return 1 if bad else 0


sys.exit(main())
