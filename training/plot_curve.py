"""Draws the curve of a training from its curve.jsonl, and prints it as a Markdown table.

usage: python plot_curve.py STATE_DIR/curve.jsonl curve.svg
"""
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from answers import read_lines

GROUPS = {"pictures": ["list", "colour", "shape", "count", "left"], "sums": ["sum"], "translation": ["translation"], "tool call": ["call"],
          "no tool": ["no_tool"], "lookup": ["lookup"]}
SMOOTH = 3                                  # examinations per plotted mean: each is small


def value(line, names, mode):
    found = [line["%s %s" % (name, mode)] for name in names if "%s %s" % (name, mode) in line]
    return sum(found) / len(found) if found else None


def smooth(values):
    means = []
    for end in range(1, len(values) + 1):
        window = [v for v in values[max(0, end - SMOOTH):end] if v is not None]
        means.append(sum(window) / len(window) if window else None)
    return means


def draw(lines, path):
    minutes = [line["minutes"] for line in lines]
    figure, sides = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for side, mode in zip(sides, ("off", "on")):
        for name, kinds in GROUPS.items():
            values = smooth([value(line, kinds, mode) for line in lines])
            side.plot(minutes, [float("nan") if v is None else v for v in values], label=name)
        side.set(title="thinking " + mode, xlabel="minutes", ylim=(0, 101))
        side.grid(alpha=0.3)
    sides[0].set_ylabel("right, %% (mean of %d examinations)" % SMOOTH)
    sides[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def table(lines):
    columns = [(name, mode) for name in GROUPS for mode in ("off", "on")]
    print("| step | minutes | " + " | ".join("%s %s" % column for column in columns) + " | MTP |")
    print("|---" * (len(columns) + 3) + "|")
    for line in lines:
        cells = [value(line, GROUPS[name], mode) for name, mode in columns] + [line.get("mtp")]
        print("| %d | %.0f | " % (line["step"], line["minutes"]) + " | ".join("" if c is None else "%.0f" % c for c in cells) + " |")


def main():
    lines = read_lines(sys.argv[1])
    draw(lines, sys.argv[2])
    table(lines)


if __name__ == "__main__":
    main()
