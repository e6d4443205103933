#!/usr/bin/env python3
"""Draws what quantised models lost against their size, from files that `qwren eval kld --json` wrote.

    plot_kld.py OUT.svg FILE.json... [--what all|text|pictures|answers] [--statistic mean|median|p99]

OUT ends in .svg or .png. A model's label is the name of its folder or file; names that begin alike, up to the first "-", share a colour. Needs matplotlib.
"""
import argparse
import json
import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402


def read_models(paths):
    """{label: its object in the files}, each measured against a base of the same size"""
    models = {}
    for path in paths:
        for model in json.loads(path.read_text(encoding="utf-8"))["models"]:
            models[pathlib.PurePath(model["path"]).name.removesuffix(".gguf")] = model
    return models


def draw(models, what, statistic, out):
    groups = {}
    for label, model in models.items():
        if model[what]["tokens"] and model[what][statistic]:
            groups.setdefault(label.split("-")[0], []).append((model["bits_per_weight"], model[what][statistic], label))
    figure, axes = plt.subplots(figsize=(9, 5.5))
    for (name, points), marker in zip(sorted(groups.items()), "os^DvPX*" * len(groups)):
        points.sort()
        axes.plot([p[0] for p in points], [p[1] for p in points], marker, label=name, alpha=0.85)
        for bits, loss, label in points:
            axes.annotate(label.removeprefix(name + "-"), (bits, loss), textcoords="offset points", xytext=(5, 3), fontsize=7)
    axes.set(xlabel="bits per weight of the text model", ylabel="%s KL divergence, nats (%s)" % (statistic, what), yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.tight_layout()
    plt.rcParams["svg.hashsalt"] = "plot_kld"          # the same picture, the same bytes
    figure.savefig(out, dpi=150, metadata={"Date": None} if out.suffix == ".svg" else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    parser.add_argument("--what", choices=["all", "text", "pictures", "answers"], default="all")
    parser.add_argument("--statistic", choices=["mean", "median", "p99"], default="mean")
    options = parser.parse_args()
    draw(read_models(options.files), options.what, options.statistic, options.out)


if __name__ == "__main__":
    main()
