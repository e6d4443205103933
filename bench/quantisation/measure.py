#!/usr/bin/env python3
"""Measures quantised models against the checkpoint that they were made of, and prints the table of docs/quantisation.md.

    measure.py BASE RESULTS MODEL... [--qwren build/qwren] [--tasks] [--jobs 2] [--limit N] [--task-limit N]

Each MODEL (folder or GGUF file) gets RESULTS/NAME.kld.json and, with --tasks, RESULTS/NAME.tasks.json; what is there and younger than the model is not
measured again. Requests and answers: tests/heldout (500 requests with transformers' answers, thoughts included) for the divergence, all 1664
requests for the tasks; the limits take a part of them, evenly spread.
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


def is_fresh(model, result):
    return result.exists() and result.stat().st_mtime > age(model)


def ask(options, *words):
    """What qwren eval prints as JSON."""
    command = [str(word) for word in (options.qwren, "eval", "-q", "--exact", "-t", 1, *words, "--json")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("%s\n%s" % (" ".join(command), done.stderr))
    return json.loads(done.stdout)


def measure_kld(options, models):
    """Several models share the pass of the base."""
    limit = ["--limit", options.limit] if options.limit else []
    found = ask(options, "kld", options.base, *models, "--requests", HELDOUT / "requests.jsonl", "--answers", HELDOUT / "reference.jsonl", *limit)
    for model, measured in zip(models, found["models"]):
        (options.results / (name_of(model) + ".kld.json")).write_text(json.dumps({**found, "models": [measured]}) + "\n", encoding="utf-8")


def measure_tasks(options, model):
    limit = ["--limit", options.task_limit] if options.task_limit else []
    found = ask(options, "tasks", model, HELDOUT, *limit)
    (options.results / (name_of(model) + ".tasks.json")).write_text(json.dumps(found) + "\n", encoding="utf-8")


def measure_all(options):
    stale = [m for m in options.models if not is_fresh(m, options.results / (name_of(m) + ".kld.json"))]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(measure_kld, options, stale[i::options.jobs]) for i in range(min(options.jobs, len(stale)))]
        jobs += [pool.submit(measure_tasks, options, m) for m in [options.base, *options.models]
                 if options.tasks and not is_fresh(m, options.results / (name_of(m) + ".tasks.json"))]
        for job in jobs:
            job.result()


def read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def percent(tasks, pictures):
    """Of the requests with pictures, or of those without."""
    rows = [row for row in tasks["tasks"] if row["task"].startswith("picture:") == pictures and row["task"] not in ("all", "pictures, all five kinds")]
    right, total = (sum(row[way][key] for row in rows for way in ("thinking_off", "thinking_on")) for key in ("right", "all"))
    return "%.1f" % (100 * right / total)


def row(results, model, base):
    kld, tasks = read(results / (name_of(model) + ".kld.json")), read(results / (name_of(model) + ".tasks.json"))
    has_tower = (model / "preprocessor_config.json").exists()
    scores = [percent(tasks, pictures) if tasks and (has_tower or not pictures) else "" for pictures in (False, True)]
    if model == base:
        return "| %s | 16.000 | | 0 | 0 | 0 | 0 | 100 | 100 | %s | %s |" % (name_of(model), *scores)
    found = kld["models"][0]
    both, answers = found["all"], found["answers"]
    return "| %s | %.3f | %d | %.5f ± %.5f | %.5f | %.4f | %.6f | %.2f | %.2f | %s | %s |" % (
        name_of(model), found["bits_per_weight"], found["text_bytes"], both["mean"], both["mean_error"], both["median"], both["p99"], answers["mean"],
        100 * both["top1"], 100 * both["top5"], *scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--qwren", type=pathlib.Path, default=ROOT / "build/qwren")
    parser.add_argument("--tasks", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--task-limit", type=int)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    measure_all(options)
    print("| model | bits per weight | bytes | mean KLD ± 95 % | median | 99 % | mean, answers | top-1 % | top-5 % | tasks % | with pictures % |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for model in [options.base, *options.models]:
        print(row(options.results, model, options.base))


if __name__ == "__main__":
    main()
