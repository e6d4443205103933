"""A checkpoint's logits through qwren and through transformers (fp32): the largest difference, and whether every position agrees about the best id.

usage: python compare_logits.py MODEL PROGRAM [--image FILE]... [--text TEXT]

The text stands behind the pictures. For checkpoints of any size, the random ones of tools/random_checkpoint.py too; the tests compare tiny ones without
transformers.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoTokenizer, Qwen2VLImageProcessor, Qwen3_5ForConditionalGeneration

TEXT = "The quick brown fox, 17 + 25 = 42: Grüße aus 北京, مرحبا, नमस्ते."


def prompt_ids(tokenizer, n_images, text):
    """One pad for each picture, as qwren takes them."""
    pictures = "<|vision_start|><|image_pad|><|vision_end|>" * n_images
    return tokenizer("<|im_start|>user\n" + pictures + text + "<|im_end|>\n<|im_start|>assistant\n")["input_ids"]


def expanded(ids, pad, counts):
    """Every pad as often as its picture has rows."""
    counts = iter(counts)
    return [copy for i in ids for copy in [i] * (next(counts) if i == pad else 1)]


def by_reference(model_dir, ids, images):
    config = AutoConfig.from_pretrained(model_dir)
    model = Qwen3_5ForConditionalGeneration.from_pretrained(model_dir, dtype=torch.float32).eval()
    inputs = {}
    if images:
        pictures = Qwen2VLImageProcessor.from_pretrained(model_dir)(images=images, return_tensors="pt")
        grids = pictures["image_grid_thw"]
        ids = expanded(ids, config.image_token_id, [int(g.prod()) // 4 for g in grids])
        kinds = [[int(i == config.image_token_id) for i in ids]]
        inputs = {"pixel_values": pictures["pixel_values"], "image_grid_thw": grids, "mm_token_type_ids": torch.tensor(kinds)}
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), **inputs).logits[0].numpy()


def by_qwren(program, model_dir, ids, files):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "ids.json").write_text(json.dumps(ids))
        images = [word for file in files for word in ("--image", file)]
        subprocess.run([program, "logits", "-q", "-m", model_dir, "--ids", folder / "ids.json", *images, "-o", folder / "out.npy", "--ctx", "4096"], check=True)
        return np.load(folder / "out.npy")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model")
    p.add_argument("program")
    p.add_argument("--image", action="append", default=[])
    p.add_argument("--text", default=TEXT)
    o = p.parse_args()
    ids = prompt_ids(AutoTokenizer.from_pretrained(o.model), len(o.image), o.text)
    got = by_qwren(o.program, o.model, ids, o.image)
    want = by_reference(o.model, ids, [Image.open(f).convert("RGB") for f in o.image])
    if got.shape != want.shape:
        sys.exit("shapes differ: %s and %s" % (got.shape, want.shape))
    difference, spread = np.abs(got - want), want.max() - want.min()
    same = (got.argmax(1) == want.argmax(1)).sum()
    print("%d positions, %d logits each: largest difference %.3g, rms %.3g, range %.4g, ratio %.3g; the same best id at %d"
          % (*got.shape, difference.max(), np.sqrt((difference ** 2).mean()), spread, difference.max() / spread, same))
    sys.exit(0 if difference.max() <= 1e-3 * spread else 1)


if __name__ == "__main__":
    main()
