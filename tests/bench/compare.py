#!/usr/bin/env python3
"""Compares two histories of bench-cpu or `weir bench model` (--json), or makes them: the ratio of each figure.

    compare.py OLD.json NEW.json
    compare.py --run 'OLD COMMAND' 'NEW COMMAND' [-n ROUNDS] OLD.json NEW.json

A history has one line of JSON a run. The n-th run of one is compared with the n-th of the other, so
record them in turns, which --run does (each command gets --json FILE appended, `weir bench model`
--json alone, whose output is the line): what a shared machine does in a minute then meets both.
Shown are the median of those ratios and their spread, and the ratio of each side's best. Decides nothing and asserts nothing: speed is for people to judge.
"""
import argparse
import json
import shlex
import statistics
import subprocess
import sys


def as_run(run):
    """A line of `weir bench model` in the form of bench-cpu's: its medians, which say more than its best."""
    if "cases" not in run:
        return run
    figures = {f"{run['model']}: {case['name']}": {"best": case["median"], "unit": case["unit"]}
               for case in run["cases"]}
    return {"machine": run["machine"], "ceilings": run["ceilings"], "figures": figures}


def read_history(path):
    runs = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                run = as_run(json.loads(line))
                run["figures"].items()
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                sys.exit(f"{path}:{number}: not a run of bench-cpu or weir bench model: {error}")
            runs.append(run)
    if not runs:
        sys.exit(f"{path}: no runs")
    return runs


def best(runs, name):
    return max(run["figures"][name]["best"] for run in runs if name in run["figures"])


def compare(old, new):
    """[(figure, n pairs, low, median, high, ratio of bests, best of new, its unit)]"""
    names = [name for name in old[0]["figures"] if any(name in run["figures"] for run in new)]
    rows = []
    for name in names:
        ratios = [b["figures"][name]["best"] / a["figures"][name]["best"] for a, b in zip(old, new)
                  if name in a["figures"] and name in b["figures"] and a["figures"][name]["best"] > 0]
        if ratios:
            rows.append((name, len(ratios), min(ratios), statistics.median(ratios), max(ratios),
                         best(new, name) / best(old, name), best(new, name),
                         new[0]["figures"][name]["unit"]))
    return rows


def show_ceilings(title, runs):
    parts = []
    for key in runs[0]["ceilings"]:
        values = [run["ceilings"][key] * 1e-9 for run in runs]
        parts.append(f"{key} {min(values):.0f}-{max(values):.0f}")
    print(f"{title}: {runs[0]['machine']}, {len(runs)} runs; ceilings in 1e9/s: {', '.join(parts)}")


def record(command, path):
    words = shlex.split(command)
    if ("bench", "model") not in zip(words, words[1:]):
        subprocess.run(words + ["--json", path], check=True, stdout=subprocess.DEVNULL)
        return
    line = subprocess.run(words + ["--json"], check=True, stdout=subprocess.PIPE, text=True).stdout
    with open(path, "a", encoding="utf-8") as file:
        file.write(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--run", nargs=2, metavar=("OLD", "NEW"), help="commands to record first")
    parser.add_argument("-n", type=int, default=3, help="rounds of --run")
    args = parser.parse_args()
    if args.run:
        for _ in range(args.n):
            for command, path in zip(args.run, (args.old, args.new)):
                record(command, path)
    old, new = read_history(args.old), read_history(args.new)
    show_ceilings("old", old)
    show_ceilings("new", new)
    if old[0]["machine"] != new[0]["machine"]:
        print("these are different machines: the ratios say little")
    print(f"{'figure':42} {'pairs':>5} {'low':>6} {'median':>6} {'high':>6} {'bests':>6}  new best")
    for name, n, low, median, high, bests, value, unit in compare(old, new):
        shown = f"{value:.1f} {unit}" if unit == "tok/s" else f"{value * 1e-9:.1f} G{unit}"
        print(f"{name:42} {n:5} {low:6.2f} {median:6.2f} {high:6.2f} {bests:6.2f}  {shown}")


if __name__ == "__main__":
    main()
