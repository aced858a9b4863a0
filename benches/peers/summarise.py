#!/usr/bin/env python3
"""Prints the medians of results.jsonl, and each one's ratio to ours on the same work.

A line's work is its bench and its size. What is left of a line beside its work, its figures and
its tags tells variants of one engine apart, such as `poll_ms=1`. A ratio is the other engine's
median over that of our engine `release`: above 1, ours is faster.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict

WORK = ("shape", "n", "runs", "steps")
NOT_NAMING = {
    "bench", "engine", "samples", "side", "round", "note", "asked_n", "steps_per_second",
    "how", "journal", "ratio", "commits",  # what `ours` tells besides
}
OURS = ("ours", "release")


def work(line):
    return (line["bench"], " ".join(f"{key}={line[key]}" for key in WORK if key in line))


def engine(line):
    more = [
        f"{key}={'default' if value is None else value}"
        for key, value in line.items()
        if key not in WORK and key not in NOT_NAMING and not key.startswith("median_")
    ]
    return (line["side"], " ".join([line["engine"], *more]))


def duration(ns):
    for limit, unit, by in ((1e3, "ns", 1), (1e6, "us", 1e3), (1e9, "ms", 1e6)):
        if ns < limit:
            return f"{ns / by:.3g} {unit}" if ns < 100 * by else f"{ns / by:.0f} {unit}"
    return f"{ns / 1e9:.3g} s"


def machine():
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {rustc.stdout.strip()}"


def main(path):
    figures = defaultdict(lambda: defaultdict(list))
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            figures[work(line)][engine(line)].append(line["median_ns_per_step"])
    if not figures:
        sys.exit(f"{path} holds no line")
    print(f"machine: {machine()}\n")
    print(f"{'bench':<16} {'work':<20} {'side':<5} {'engine':<24} {'per step':>9} {'spread':>15} {'ratio':>8}")
    lacking = []
    for (bench, size), engines in figures.items():
        base = statistics.median(engines[OURS]) if OURS in engines else None
        if not base:
            lacking.append(f"{bench} {size}")
        for (side, name), values in engines.items():
            median = statistics.median(values)
            ratio = f"{median / base:.2f}x" if base else "-"
            spread = f"{duration(min(values))}..{duration(max(values))}".replace(" ", "")
            print(f"{bench:<16} {size:<20} {side:<5} {name:<24} {duration(median):>9} {spread:>15} {ratio:>8}")
    if lacking:
        sys.exit("no figure of ours for: " + "; ".join(lacking))


if __name__ == "__main__":
    main(sys.argv[1])
