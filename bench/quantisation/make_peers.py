#!/usr/bin/env python3
"""Makes the files of other quantisers from a checkpoint, to be compared with qwren's.

    make_peers.py MODEL OUT --qwren build/qwren [--mlx PYTHON] [--llama DIR]

MODEL   a Hugging Face directory of bf16
OUT     the folder that gets mlx-6bit/, mlx-mixed_4_6/, gguf-Q6_K.gguf, imatrix-Q6_K.gguf, ...; what is there already is left alone
PYTHON  an interpreter that has mlx-lm (0.32.2 was used; on Linux with mlx[cpu])
DIR     a checkout of llama.cpp, v0.5.0, with llama-quantize and llama-imatrix in build/bin, and an interpreter with its converter's needs as --mlx or this one

The importance matrix sees the bundled calibration set (data/calibration.jsonl) without its pictures, as text with the special tokens in it; qwren calibrates
with the same set. MLX's files hold the text model alone. Recipes of llama.cpp and MLX are left as they are.
"""
import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MLX_BITS = (3, 4, 5, 6, 8)
MLX_MIXED = ("mixed_3_6", "mixed_4_6")
GGUF_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")
# llama.cpp's converter knows a tokenizer by a hash of what it does to a text, and refuses those that it has not met. qwren-nano's splits text as Qwen
# 3.5's does, with fewer merges.
CONVERT = """
import runpy, sys
llama, *sys.argv = sys.argv[1:]
sys.path[:0] = [llama, llama + "/gguf-py"]
import conversion.base as base
for c in (base.ModelBase, base.TextModel):
    if hasattr(c, "get_vocab_base_pre"):
        c.get_vocab_base_pre = lambda self, tokenizer: "qwen35"
runpy.run_path(llama + "/convert_hf_to_gguf.py", run_name="__main__")
"""


def call(*command):
    """Shows what a command said only if it fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("%s\n%s" % (" ".join(map(str, command)), done.stdout))
    return done.stdout


def make(path, *command):
    if path.exists():
        return
    print(path.name, flush=True)
    call(*command)


def make_mlx(python, model, out):
    convert = [python, "-m", "mlx_lm", "convert", "--hf-path", model, "-q"]
    for bits in MLX_BITS:
        path = out / ("mlx-%dbit" % bits)
        make(path, *convert, "--q-bits", bits, "--mlx-path", path)
    for recipe in MLX_MIXED:
        path = out / ("mlx-" + recipe)
        make(path, *convert, "--quant-predicate", recipe, "--mlx-path", path)


def write_calibration(qwren, model, path):
    """The bundled set as one text."""
    parts = []
    for line in (ROOT / "data/calibration.jsonl").read_text(encoding="utf-8").splitlines():
        if "text" in json.loads(line):
            parts.append(json.loads(line)["text"])
        elif "data:image" not in line:
            request = {**json.loads(line), "add_generation_prompt": False}
            done = subprocess.run([qwren, "template", "-m", model, "-"], input=json.dumps(request), capture_output=True, text=True, check=True)
            parts.append(done.stdout)
    path.write_text("\n".join(parts), encoding="utf-8")


def make_llama(python, llama, qwren, model, out):
    whole, mmproj, text, matrix = out / "gguf-BF16.gguf", out / "mmproj.gguf", out / "calibration.txt", out / "imatrix.gguf"
    convert = [python, "-c", CONVERT, llama, "convert_hf_to_gguf.py", model, "--outtype", "bf16", "--outfile"]
    make(whole, *convert, whole)
    make(mmproj, *convert, mmproj, "--mmproj")
    if not text.exists():
        write_calibration(qwren, model, text)
    make(matrix, llama / "build/bin/llama-imatrix", "-m", whole, "-f", text, "-o", matrix, "--parse-special", "-t", 2, "-ngl", 0)
    for name in GGUF_TYPES:
        plain, guided = out / ("gguf-%s.gguf" % name), out / ("imatrix-%s.gguf" % name)
        make(plain, llama / "build/bin/llama-quantize", whole, plain, name)
        make(guided, llama / "build/bin/llama-quantize", "--imatrix", matrix, whole, guided, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--qwren", type=pathlib.Path, default=ROOT / "build/qwren")
    parser.add_argument("--mlx", help="interpreter with mlx-lm")
    parser.add_argument("--llama", type=pathlib.Path, help="checkout of llama.cpp")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.mlx:
        make_mlx(options.mlx, options.model, options.out)
    if options.llama:
        make_llama(options.mlx or sys.executable, options.llama, options.qwren, options.model, options.out)


if __name__ == "__main__":
    main()
