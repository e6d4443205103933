#!/usr/bin/env python3
"""Measures quantised models against the checkpoint that they were made of, and prints the table of docs/quantisation.md.

    measure.py BASE RESULTS MODEL... [--qwren build/qwren] [--tasks] [--jobs 2] [--limit N]

Each MODEL (folder or GGUF file) gets RESULTS/NAME.kld.json and, with --tasks, RESULTS/NAME.tasks.json; what is there and younger than the model is not
measured again. Requests and answers: tests/heldout (500 requests with transformers' answers, thoughts included) for the divergence, all 1664
requests for the tasks.
"""
import argparse
import concurrent.futures
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELDOUT = ROOT / "tests/heldout"


def name_of(model):
    return model.name.removesuffix(".gguf")


def age(path):
    """When the newest file of a model was written."""
    return max(p.stat().st_mtime for p in ([path, *path.rglob("*")] if path.is_dir() else [path]))


def measure(command, model, result):
    if result.exists() and result.stat().st_mtime > age(model):
        return
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("%s\n%s" % (" ".join(map(str, command)), done.stderr))
    result.write_text(done.stdout, encoding="utf-8")


def jobs_of(options):
    limit = ["--limit", options.limit] if options.limit else []
    for model in options.models:
        yield ([options.qwren, "eval", "-q", "-t", 1, "kld", options.base, model, "--requests", HELDOUT / "requests.jsonl",
                "--answers", HELDOUT / "reference.jsonl", "--json", *limit], model, options.results / (name_of(model) + ".kld.json"))
    for model in [options.base, *options.models] if options.tasks else []:
        yield ([options.qwren, "eval", "-q", "-t", 1, "tasks", model, HELDOUT, "--json", *limit], model,
               options.results / (name_of(model) + ".tasks.json"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def row(results, model, base):
    kld, tasks = read(results / (name_of(model) + ".kld.json")), read(results / (name_of(model) + ".tasks.json"))
    score = "%.1f" % (100 * tasks["right"] / tasks["all"]) if tasks else ""
    if model == base:
        return "| %s | %s | %s | 0 | | | | | | %s |" % (name_of(model), "16.000", "", score)
    found = kld["models"][0]
    all_, answers = found["all"], found["answers"]
    return "| %s | %.3f | %d | %.6f ± %.6f | %.6f | %.5f | %.6f | %.2f | %.2f | %s |" % (
        name_of(model), found["bits_per_weight"], found["text_bytes"], all_["mean"], all_["mean_error"], all_["median"], all_["p99"], answers["mean"],
        100 * all_["top1"], 100 * all_["top5"], score)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--qwren", type=pathlib.Path, default=ROOT / "build/qwren")
    parser.add_argument("--tasks", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: measure(*job), jobs_of(options)))
    print("| model | bits per weight | bytes | mean KLD ± 95 % | median | 99 % | mean, answers | top-1 % | top-5 % | tasks % |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model in [options.base, *options.models]:
        print(row(options.results, model, options.base))


if __name__ == "__main__":
    main()
