#!/usr/bin/env python3
"""Checkpoints that `qwren quantize` makes, as mlx-lm and mlx-vlm see them.

Each source is quantised with each recipe and the result is loaded, unchanged, by mlx-lm (text) and mlx-vlm (text, a picture, the draft head), with strict
names and shapes. The logits must be those of qwren on the same folder: both multiply with the very same codes, so that nothing but the order of float sums
is left between them (MLX's other floats are widened to float32 first, as qwren does). `6bit-plain` must be mlx_lm.convert's file, bit for bit.

    venv/bin/python tests/oracle/roundtrip_mlx.py --qwren build/qwren [--recipes 6bit,4bit] [--sources models/qwren-nano] [--calibrate-tokens 2048]

Prints a line for each check and leaves with 1 when one failed.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The quick brown fox sees 17 + 25 = 42 shapes; \u4f60\u597d, \u043f\u0440\u0438\u0432\u0435\u0442! What is left of the red circle?"
LIMIT = 2e-4  # of the largest logit: float32 sums in another order, through all layers
n_failed = 0


def report(what, good, detail=""):
    global n_failed
    n_failed += not good
    print(f"{'ok    ' if good else 'FAILED'} {what:58} {detail}", flush=True)


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, args))}\n{done.stderr}")
    return done.stdout


def bits(x):
    return np.array(x.view(mx.uint8)) if x.size else np.zeros(0, np.uint8)


def same(a, b):
    """Names of the tensors that are not equal to the last bit."""
    return [k for k in a if k not in b or a[k].dtype != b[k].dtype or a[k].shape != b[k].shape or not np.array_equal(bits(a[k]), bits(b[k]))]


def compare(what, got, want):
    """got, want: logits [n, V]."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        report(what, False, f"shapes {got.shape} and {want.shape}")
        return
    error, scale = np.abs(got - want).max(), np.abs(want).max()
    log = lambda x: x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))
    p, q = log(want), log(got)
    kld = (np.exp(p) * (p - q)).sum(-1).mean()
    report(what, error <= LIMIT * scale, f"largest difference {error:.1e} of logits up to {scale:.1f}, KLD {kld:.1e}")


class Qwren:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def quantize(self, src, dst, *options):
        shutil.rmtree(dst, ignore_errors=True)
        run(self.program, "quantize", "-q", *options, src, dst)

    def ids(self, model):
        """Ids of TEXT; a toy vocabulary gets numbers."""
        n_tokens = json.loads((model / "config.json").read_text())
        n_tokens = n_tokens.get("text_config", n_tokens)["vocab_size"]
        (self.work / "text").write_text(TEXT)
        ids = json.loads(run(self.program, "tokenize", "-m", model, self.work / "text"))
        return ids if len(ids) < 200 and max(ids) < n_tokens else [7 * i % 500 for i in range(60)]

    def logits(self, model, ids, *images):
        (self.work / "ids").write_text(json.dumps(ids))
        run(self.program, "logits", "-q", "-m", model, "--ids", self.work / "ids", "-o", self.work / "logits.npy",
            *(x for image in images for x in ("--image", image)))
        return np.load(self.work / "logits.npy")

    def patches(self, model, image):
        grid = json.loads(run(self.program, "preprocess", "-m", model, "-o", self.work / "patches.npy", image))["grid_thw"]
        return np.load(self.work / "patches.npy"), grid


def check_convert(src, ours, work):
    """6bit-plain against mlx_lm.convert."""
    from mlx_lm import convert
    theirs = work / "mlx"
    shutil.rmtree(theirs, ignore_errors=True)
    convert(str(src), str(theirs), quantize=True, q_bits=6, q_group_size=64)
    a, b = (mx.load(str(d / "model.safetensors")) for d in (theirs, ours))
    wrong = same(a, b)
    extra = [k for k in b if k not in a and not k.startswith("vision_tower.")]
    report(f"{ours.name}: the bits of mlx_lm.convert", not wrong and not extra, f"{len(a)} tensors" + "".join(f", {k}" for k in (wrong + extra)[:3]))


def check_text(qwren, model):
    from mlx_lm.utils import load_model
    net, _ = load_model(model, strict=True)
    net.set_dtype(mx.float32)
    ids = qwren.ids(model)
    compare(f"{model.name}: mlx-lm, text", net(mx.array([ids]))[0], qwren.logits(model, ids))


def check_vision(qwren, model, image):
    from mlx_vlm.utils import load_model
    net = load_model(model)
    net.set_dtype(mx.float32)
    config = json.loads((model / "config.json").read_text())
    ids = qwren.ids(model)
    compare(f"{model.name}: mlx-vlm, text", net(mx.array([ids])).logits[0], qwren.logits(model, ids))
    patches, grid = qwren.patches(model, image)
    n = grid[0] * grid[1] * grid[2] // 4
    pad, start, end = (config[k] for k in ("image_token_id", "vision_start_token_id", "vision_end_token_id"))
    seen = net(mx.array([ids[:5] + [start] + [pad] * n + [end] + ids[5:]]), pixel_values=mx.array(patches), image_grid_thw=mx.array([grid]))
    compare(f"{model.name}: mlx-vlm, picture of {n} tokens", seen.logits[0], qwren.logits(model, ids[:5] + [start, pad, end] + ids[5:], image))
    return net


def draft(drafter, net, ids):
    """The draft head's logits behind ids, on made-up hidden states (of the size that a norm leaves)."""
    drafter.set_dtype(mx.float32)
    drafter.reset(net.language_model)
    size = drafter.config.text_config.hidden_size
    hidden = mx.array(np.random.default_rng(1).standard_normal((1, len(ids), size)).astype(np.float32))
    return np.array(drafter._lm_head_fn(drafter._forward_tokens(mx.array([ids]), hidden, mx.int32)))[0]


def check_draft(qwren, src, model, net):
    """The head in 16 bits is what mlx-vlm itself splits off; in 8 bits it answers the same up to their error."""
    from mlx_vlm.speculative.drafters import load_drafter
    from mlx_vlm.speculative.drafters.qwen3_5_mtp.split import Qwen3_5MTPSplitter
    from mlx_vlm.utils import load_model
    drafter, kind = load_drafter(str(model / "mtp"))
    report(f"{model.name}: mlx-vlm loads the draft head", kind == "mtp")
    ids = qwren.ids(model)
    got = draft(drafter, net, ids)
    config, weights = Qwen3_5MTPSplitter().prepare(Path(src))
    ours = mx.load(str(model / "mtp" / "model.safetensors"))
    floats = {k: v for k, v in weights.items() if k in ours and ours[k].dtype == v.dtype}
    wrong = same(floats, ours)
    report(f"{model.name}: its floats are those of mlx-vlm's split", not wrong and len(floats) > 3, f"{len(floats)} of {len(weights)} tensors")
    own = json.loads((model / "mtp" / "config.json").read_text())
    wrong = [k for k in config if own.get(k) != config[k]]
    report(f"{model.name}: and its settings", not wrong, ", ".join(wrong))
    whole = model.parent / "whole-mtp"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree(model / "mtp", whole)
    mx.save_safetensors(str(whole / "model.safetensors"), weights, metadata={"format": "mlx"})
    (whole / "config.json").write_text(json.dumps(config))
    want = draft(load_model(whole), net, ids)
    error = np.sqrt(((got - want) ** 2).mean() / (want ** 2).mean())
    report(f"{model.name}: draft logits near those of 16 bits", error < 0.05, f"relative error {error:.1e}")


def check_source(qwren, src, recipes, work, options, image):
    config = json.loads((src / "config.json").read_text())
    name = src.parent.name if src.name == "hf" else src.name
    for recipe in recipes:
        dst = work / f"{name}-{recipe}"
        calibrate = [] if recipe.endswith("plain") else ["--calibrate-tokens", options.calibrate_tokens]
        qwren.quantize(src, dst, *(["--bpw", recipe[5:]] if recipe.startswith("auto:") else ["--recipe", recipe]), *calibrate)
        if recipe == "6bit-plain" and config["model_type"] != "qwen3_5_text":
            check_convert(src, dst, work)
        check_text(qwren, dst)
        net = check_vision(qwren, dst, image) if "vision_config" in config and (src / "preprocessor_config.json").exists() else None
        if net and (dst / "mtp").exists():
            check_draft(qwren, src, dst, net)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = ROOT / "tests/golden/data/text"
    parser.add_argument("--qwren", type=Path, default=ROOT / "build/qwren")
    parser.add_argument("--recipes", default="6bit-plain,6bit,5bit,4bit,8bit,auto:5")
    parser.add_argument("--sources", type=Path, nargs="*", default=[ROOT / "models/qwren-nano", *(text / f"tiny-{x}" / "hf" for x in "abc")])
    parser.add_argument("--image", type=Path, default=ROOT / "models/demo/shapes.png")
    parser.add_argument("--calibrate-tokens", type=int, default=2048)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        qwren = Qwren(options.qwren, Path(work))
        for src in options.sources:
            check_source(qwren, src, options.recipes.split(","), Path(work), options, options.image)
    print(f"{n_failed} failed")
    sys.exit(n_failed != 0)


if __name__ == "__main__":
    main()
