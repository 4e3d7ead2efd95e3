#!/usr/bin/env python3
"""Adds up JUnit files of meson and prints the last line of `./dev test`: N passed, N failed, N skipped.

Prints each failed test and each reason for a skip once. Exit status 1 if anything failed or nothing ran.
"""
import collections
import pathlib
import sys
import xml.etree.ElementTree as ET


def verdict(case):
    for child in case:
        if child.tag in ("failure", "error"):
            return "failed"
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def main(paths):
    counts = collections.Counter()
    failed, skipped = [], []
    for path in paths:
        label = pathlib.Path(path).stem.removeprefix("junit-")
        for case in ET.parse(path).iter("testcase"):
            kind = verdict(case)
            counts[kind] += 1
            name = f"{label}: {case.get('classname', '')} {case.get('name', '')}"
            if kind == "failed":
                failed.append(name)
            elif kind == "skipped":
                skipped.append(name)
    for name in skipped:
        print(f"skipped  {name}")
    for name in failed:
        print(f"FAILED   {name}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
