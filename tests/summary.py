#!/usr/bin/env python3
"""Adds up what meson's test runs left and prints the last line of `./dev test`: N passed, N failed, N skipped.

    tests/summary.py LABEL=DIR ...

DIR is a folder with testlog.junit.xml (every case) and testlog.json (every program). Both are needed:
a program that dies after its last case, that a sanitizer stops at its end or that runs out of time has
only passed cases in the first. Before the last line: skips by reason, then each failure with the end
of what its test printed, then the failures by name, so that the tail of a long log says what is wrong.
Exit status 1 if anything failed or nothing ran.
"""
import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

LINES = 30  # of output, a failure
SHOWN = 20  # failures with their output; what follows is named only
BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}
RESULT = re.compile(r"(not )?ok\b")
REPORT = re.compile(r"(ERROR|WARNING): \w+Sanitizer|: runtime error: ")

Failure = collections.namedtuple("Failure", "name output")


def read_cases(path):
    """Yields (program, case, kind, reason) for every case of a JUnit file of meson."""
    for suite in ET.parse(path).iter("testsuite"):
        for case in suite.iter("testcase"):
            tags = {child.tag for child in case}
            kind = ("failed" if tags & {"failure", "error"} else
                    "skipped" if "skipped" in tags else "passed")
            program, name = case.get("classname", ""), case.get("name", "")
            if "time" in case.attrib:  # a program that reported no cases is one itself
                program, name = f"{program}.{name}", ""
            yield program, name, kind, (case.findtext("system-out") or "").strip()


def read_programs(path):
    """The programs of testlog.json by the name that the JUnit file has for them."""
    programs = {}
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            entry = json.loads(line)
            programs["weir." + entry["name"]] = entry
    return programs


def short(program):
    """weir.weir:e2e / curl -> e2e / curl"""
    return program.removeprefix("weir.").removeprefix("weir:")


def reason_of(text):
    """Why a case was skipped; a program that was skipped whole says it behind its plan."""
    match = re.search(r"^1\.\.0\s*#\s*skip\w*:?\s*(.*)$", text, re.I | re.M)
    line = match.group(1) if match else text.splitlines()[0] if text else ""
    return line.strip() or "no reason given"


def report(stderr):
    """The end of what a program wrote as errors, or the beginning of a sanitizer's report."""
    lines = stderr.rstrip().splitlines()
    for i, line in enumerate(lines):
        if REPORT.search(line):
            return lines[i:i + LINES]
    return lines[-LINES:]


def case_output(stdout, number):
    """The lines of one case: from the result before its own to the one after it."""
    lines = stdout.splitlines()
    results = [i for i, line in enumerate(lines) if RESULT.match(line)]
    own = next((i for i in results if re.match(rf"(not )?ok {number}\b", lines[i])), None)
    if own is None:
        return lines[-LINES:]
    before = max((i for i in results if i < own), default=-1)
    after = min((i for i in results if i > own), default=len(lines))
    head, tail = lines[before + 1:own + 1], lines[own + 1:after]
    return tail[-LINES:] if len(tail) >= LINES else head[len(tail) - LINES:] + tail


def fate(entry):
    """How a program ended, in words."""
    if entry["result"] == "TIMEOUT":
        return f"ran out of time after {entry['duration']:.0f} s"
    code = entry["returncode"]
    if code:
        return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return "did not report all its tests"


def read_run(label, folder, counts, skips):
    """One run of meson: counts its cases, notes its skips, returns its failures."""
    failures, accused = [], set()
    programs = read_programs(folder / "testlog.json")
    for program, case, kind, text in read_cases(folder / "testlog.junit.xml"):
        if not case and kind == "passed" and programs.get(program, {}).get("result") in BAD:
            kind = "failed"  # a program without cases that ran out of time
        counts[kind] += 1
        if kind == "skipped":
            skips[reason_of(text)].append(f"{label}: {short(program)}")
        elif kind == "failed":
            accused.add(program)
            entry = programs.get(program, {})
            output = case_output(entry.get("stdout", text), case.split(" ")[0])
            errors = report(entry.get("stderr", ""))
            if entry and not case:
                output.append(f"# the program {fate(entry)}")
            failures.append(Failure(f"{label}: {short(program)} {case}".rstrip(), output + errors))
    for program, entry in programs.items():
        if entry["result"] in BAD and program not in accused:
            counts["failed"] += 1
            output = entry.get("stdout", "").splitlines()[-LINES:] + report(entry.get("stderr", ""))
            failures.append(Failure(f"{label}: {short(program)} (the program {fate(entry)})", output))
    return failures


def main(arguments):
    counts, skips, failures = collections.Counter(), collections.defaultdict(list), []
    for argument in arguments:
        label, _, folder = argument.partition("=")
        failures += read_run(label, pathlib.Path(folder), counts, skips)
    for reason, places in sorted(skips.items(), key=lambda item: (-len(item[1]), item[0])):
        names = sorted(set(places))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        print(f"skipped {len(places):4}  {reason}  ({', '.join(names[:3])}{more})")
    for failure in failures[:SHOWN]:
        print(f"\n---- FAILED  {failure.name}")
        print("\n".join(failure.output) or "(it printed nothing)")
    if failures:
        print(f"\n{len(failures)} failed:")
    for failure in failures:
        print(f"FAILED   {failure.name}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")
    sys.exit(main(sys.argv[1:]))
