#!/usr/bin/env python3
"""Runs qwren bench and other engines' benchmarks on the same shape in turns, and prints medians and their ratios.

    compare.py --peer NAME=BIN,MODEL.gguf ... [--shape 0.8B] [--recipe 6bit] [--threads 2] [--rounds 5]
               [--prompt 512] [--decode 64] [--depth 32768] [--batch 4] [--image 1024 --mmproj FILE] [--out results.json]

BIN is a folder with llama-bench and, for some tests, llama-batched-bench and llama-mtmd-cli; MODEL.gguf a model of that shape (make_random_gguf.py). A round runs every
engine once for every test, one after the other, so that what disturbs the machine disturbs all of them; each program warms up first. Medians are over the rounds.
Python's own library is all that is needed. Nothing else should run meanwhile: the load average is told.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def call(command, env=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        sys.exit("%s\n%s" % (" ".join(map(str, command)), done.stderr[-2000:]))
    return done


class Qwren:
    """The measurements that a test needs, and nothing else."""

    def __init__(self, options):
        self.name, self.options, self.machine = "qwren", options, []
        self.env = {"QWREN_CPU": options.level} if options.level else {}

    def command(self, *what):
        o = self.options
        model = [o.model] if o.model else ["--random", o.shape, "--recipe", o.recipe]
        return [o.qwren, "bench", "-q", "--json", "-t", o.threads, "-r", 1, *what, *model]

    def run(self, test):
        o = self.options
        what = {
            "prefill": ["-p", o.prompt, "-n", 0],
            "decode": ["-p", 0, "-n", o.decode],
            "depth": ["-p", 0, "-n", o.decode, "-d", o.depth],
            "batch": ["-p", 0, "-n", o.decode, "-b", o.batch],
            "image": ["-p", 0, "-n", 0, "--image-size", o.image],
        }[test]
        found = json.loads(call(self.command(*what), self.env).stdout)
        self.machine.append({key: found[key] for key in ("read_bytes_per_s", "dot_ops_per_s", "float_ops_per_s")})
        self.about = {key: found[key] for key in ("version", "cpu", "dot", "float", "bits_per_weight_text", "text_bytes")}
        row = found["tests"][0]
        seconds = row["median_s"] - row.get("prepare_s", 0)
        return {"value": 1 / seconds if test == "image" else row["tokens_per_s"], "read_share": row["read_share"], "peak_share": row["peak_share"]}

    def version(self):
        return call([self.options.qwren, "--version"]).stdout.strip()

    def size(self):
        return "%.3f bits per weight" % self.about["bits_per_weight_text"]


class Peer:
    def __init__(self, options, word):
        name, rest = word.split("=", 1)
        folder, model = rest.rsplit(",", 1)
        self.name, self.folder, self.model, self.options = name, pathlib.Path(folder), pathlib.Path(model), options
        self.depth_by_prompt = "-gp <pp,tg>" in subprocess.run([self.folder / "llama-bench", "--help"], capture_output=True, text=True).stdout

    def can(self, test):
        program = {"batch": "llama-batched-bench", "image": "llama-mtmd-cli"}.get(test, "llama-bench")
        return (self.folder / program).exists()

    def bench(self, *what):
        command = [self.folder / "llama-bench", "-m", self.model, "-t", self.options.threads, "-r", 1, "-o", "json", *what]
        return json.loads(call(command).stdout)[-1]

    def run(self, test):
        return {"value": getattr(self, test)()}

    def prefill(self):
        row = self.bench("-p", self.options.prompt, "-n", 0)
        self.about = row
        return row["avg_ts"]

    def decode(self):
        self.about = row = self.bench("-p", 0, "-n", self.options.decode)
        return row["avg_ts"]

    def depth(self):
        o = self.options
        if self.depth_by_prompt:
            return self.bench("-p", 0, "-n", 0, "-gp", "%d,%d" % (o.depth, o.decode))["avg_ts"]
        return self.bench("-p", 0, "-n", o.decode, "-d", o.depth)["avg_ts"]

    def batch(self):
        o = self.options
        done = call([self.folder / "llama-batched-bench", "-m", self.model, "-t", o.threads, "-npp", 1, "-ntg", o.decode, "-npl", o.batch,
                     "-c", (o.decode + 8) * o.batch + 512, "--output-format", "jsonl"])
        return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])["speed_tg"]

    def image(self):
        """Pictures a second: what the program says of its tower, without bringing the picture to size. Needs a model with a vocabulary."""
        o = self.options
        done = call([self.folder / "llama-mtmd-cli", "-m", self.model, "--mmproj", o.mmproj, "--image", o.picture, "-p", "a", "-n", 1, "-t", o.threads,
                     "--chat-template", "chatml"])
        said = done.stdout + done.stderr
        found = re.search(r"encod(?:ing done|ed) in (\d+) ms", said)
        if not found:
            sys.exit("llama-mtmd-cli does not say how long the tower took:\n" + said[-2000:])
        return 1000 / int(found.group(1))

    def version(self):
        about = getattr(self, "about", {})
        return "%s %s" % (about.get("build_commit", "unknown"), about.get("build_number", ""))

    def size(self):
        about = getattr(self, "about", None)
        return "%.3f bits per weight" % (8 * about["model_size"] / about["model_n_params"]) if about else ""


def write_picture(path, edge):
    """Noise, as a PNG."""
    rows = b"".join(b"\0" + os.urandom(3 * edge) for _ in range(edge))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def wanted_tests(o):
    return [test for test, wanted in (("prefill", o.prompt), ("decode", o.decode), ("depth", o.depth), ("batch", o.batch), ("image", o.image)) if wanted]


def measure(options, engines):
    """test -> engine -> the rounds' results"""
    results = {test: {} for test in wanted_tests(options)}
    for i in range(options.rounds):
        for test in results:
            for engine in engines:
                if isinstance(engine, Peer) and not engine.can(test):
                    continue
                found = engine.run(test)
                results[test].setdefault(engine.name, []).append(found)
                print("round %d, %s, %s: %.4g" % (i + 1, test, engine.name, found["value"]), file=sys.stderr, flush=True)
    return results


def title(o, test):
    return {"prefill": "prompt of %d, tokens/s" % o.prompt, "decode": "decode %d, tokens/s" % o.decode,
            "depth": "decode %d behind %d, tokens/s" % (o.decode, o.depth), "batch": "%d sequences decode %d, tokens/s together" % (o.batch, o.decode),
            "image": "pictures of %d x %d, pictures/s" % (o.image, o.image)}[test]


def share(rows, key):
    known = [row[key] for row in rows if row.get(key) is not None]
    return "%.0f %%" % (100 * statistics.median(known)) if known else ""


def print_table(options, results, engines):
    print("| test | engine | median | lowest to highest | qwren is | of read | of peak |\n|---|---|---|---|---|---|---|")
    for test, by_engine in results.items():
        ours = statistics.median(row["value"] for row in by_engine["qwren"])
        for engine in engines:
            rows = by_engine.get(engine.name)
            if not rows:
                continue
            values = [row["value"] for row in rows]
            median = statistics.median(values)
            ratio = "" if engine.name == "qwren" else "%.2f x" % (ours / median)
            print("| %s | %s | %.4g | %.4g to %.4g | %s | %s | %s |" % (title(options, test), engine.name, median, min(values), max(values), ratio,
                                                                       share(rows, "read_share"), share(rows, "peak_share")))


def machine_text(qwren, options):
    cpu, best = qwren.about["cpu"], {key: max(m[key] for m in qwren.machine) for key in qwren.machine[0]}
    return "%s, %d of %d cores, %s %s; read %.1f GB/s, %s %.0f Gop/s, %s %.0f Gop/s" % (
        cpu["processor"], options.threads, cpu["cores"], platform.system(), platform.release(), best["read_bytes_per_s"] / 1e9, qwren.about["dot"],
        best["dot_ops_per_s"] / 1e9, qwren.about["float"], best["float_ops_per_s"] / 1e9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qwren", type=pathlib.Path, default=ROOT / "build/qwren")
    parser.add_argument("--level", help="QWREN_CPU for qwren")
    parser.add_argument("--model", help="a model in files rather than a made-up one")
    parser.add_argument("--shape", default="0.8B")
    parser.add_argument("--recipe", default="6bit")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BIN,MODEL.gguf")
    parser.add_argument("--mmproj", type=pathlib.Path)
    for name, default in (("threads", 2), ("rounds", 5), ("prompt", 512), ("decode", 64), ("depth", 0), ("batch", 0), ("image", 0)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--out", type=pathlib.Path, help="everything as JSON")
    options = parser.parse_args()
    if not any((options.prompt, options.decode, options.image)):
        parser.error("nothing to measure: --prompt, --decode and --image are all 0")
    if options.image and options.peer and not options.mmproj:
        parser.error("--image with a peer needs --mmproj")
    with tempfile.TemporaryDirectory() as folder:
        options.picture = pathlib.Path(folder) / "noise.png"
        if options.image:
            write_picture(options.picture, options.image)
        engines = [Qwren(options)] + [Peer(options, word) for word in options.peer]
        load = os.getloadavg()[0]
        results = measure(options, engines)
    print("\nMachine: %s. Load average before: %.2f.  " % (machine_text(engines[0], options), load))
    for engine in engines:
        print("%s: %s, %s  " % (engine.name, engine.version(), engine.size()))
    print("Command: `%s`, %d rounds in turns\n" % (" ".join(["compare.py", *sys.argv[1:]]), options.rounds))
    print_table(options, results, engines)
    if options.out:
        known = {"command": sys.argv, "load": load, "machine": engines[0].machine, "qwren": engines[0].about, "results": results,
                 "versions": {engine.name: engine.version() for engine in engines}}
        options.out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
