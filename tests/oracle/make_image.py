#!/usr/bin/env python3
"""Write what the reference makes of the vision pictures (reference.jsonl), target sizes (smart_resize.jsonl) and resizes of pictures that a formula
gives (resize.jsonl). Pixels are stored as FNV-1a hashes of their bytes.

usage: python make_image.py tests/golden/data/vision/images tests/golden/data/image
"""
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F
from transformers import Qwen2VLImageProcessor
from transformers.image_transforms import convert_to_rgb
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

PUBLISHED = (65536, 16777216)


def fnv(data):
    h = 0xcbf29ce484222325
    for b in bytes(data):
        h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return f"{h:016x}"


def processor(lo, hi, mean=(.5, .5, .5), std=(.5, .5, .5)):
    return Qwen2VLImageProcessor(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=list(mean), image_std=list(std),
                                 size=dict(shortest_edge=lo, longest_edge=hi))


def unpatch(values, t, h, w):
    """[t*h*w, 1536] -> [16h, 16w, 3] bytes of the first frame."""
    a = np.asarray(values, np.float64).reshape(t, h // 2, w // 2, 2, 2, 3, 2, 16, 16)
    a = a.transpose(0, 6, 1, 3, 7, 2, 4, 8, 5).reshape(2 * t, 16 * h, 16 * w, 3)
    return np.rint(a * 127.5 + 127.5).astype(np.uint8)[0]


def reference(folder):
    for path in sorted(folder.iterdir()):
        rgb = convert_to_rgb(ImageOps.exif_transpose(Image.open(path)), return_numpy=True)
        for lo, hi in [PUBLISHED, (4096, 65536)]:
            out = processor(lo, hi)(images=[Image.fromarray(rgb)], return_tensors="np")
            grid, values = out["image_grid_thw"][0].tolist(), out["pixel_values"].astype(np.float32)
            row = dict(file=path.name, min_pixels=lo, max_pixels=hi, width=rgb.shape[1], height=rgb.shape[0], decoded=fnv(rgb.tobytes()),
                       grid=grid, resized=fnv(unpatch(values, *grid).tobytes()))
            if path.name.startswith("grey") and lo == 4096:  # the arithmetic is the same for all: one hash of floats, two normalisations
                row["values"] = fnv(values.tobytes())
                mean, std = (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711)
                other = processor(lo, hi, mean, std)(images=[Image.fromarray(rgb)], return_tensors="np")
                row.update(mean=mean, std=std, values_other=fnv(other["pixel_values"].astype(np.float32).tobytes()))
            yield row


def sizes():
    rng = np.random.default_rng(5)
    hw = [(1, 1), (1, 200), (1, 201), (32, 32), (48, 48), (16, 16), (80, 80), (112, 112), (144, 240), (517, 333), (900, 28),
          (1024, 1024), (4096, 4096), (4112, 4112), (5000, 7000), (10, 2000), (3, 600), (2160, 3840), (65535, 400),
          (1080, 1920), (256, 256), (255, 257), (208, 336)] + [tuple(map(int, rng.integers(1, 3000, 2))) for _ in range(60)]
    for h, w in hw:
        for lo, hi in (PUBLISHED, (4096, 262144)):
            try:
                yield dict(height=h, width=w, min=lo, max=hi, size=list(smart_resize(h, w, factor=32, min_pixels=lo, max_pixels=hi)))
            except ValueError:
                yield dict(height=h, width=w, min=lo, max=hi)


def formula(h, w, kind):
    """Byte i of the picture: noise, or noise of black and white, or stripes with a gradient. The tests have the same formula."""
    i = np.arange(h * w * 3, dtype=np.uint32)
    noise = (i * np.uint32(2654435761) >> np.uint32(13)) & np.uint32(255)
    if kind == "noise":
        a = noise
    elif kind == "contrast":
        a = (noise >> 7) * 255
    else:
        a = np.where(i // 3 % w // 3 % 2, 255 - i % 256, i % 256)
    return a.astype(np.uint8).reshape(h, w, 3)


def resizes():
    rng = np.random.default_rng(7)
    shapes = [(1, 1, 32, 32), (2, 2, 1, 1), (64, 64, 64, 32), (64, 64, 32, 64), (300, 2, 20, 40), (3, 500, 200, 7), (37, 53, 37, 53), (600, 500, 32, 32),
              (4, 9000, 3, 11), (9000, 3, 13, 4), (2, 20000, 2, 7)]  # weights so small that 22 bits are the limit
    shapes += [tuple(map(int, rng.integers(1, 160, 4))) for _ in range(40)]
    for k, (h, w, oh, ow) in enumerate(shapes):
        kind = ("noise", "contrast", "stripes")[k % 3]
        a = torch.from_numpy(formula(h, w, kind)).permute(2, 0, 1)
        out = F.resize(a, [oh, ow], interpolation=InterpolationMode.BICUBIC, antialias=True).permute(1, 2, 0).numpy()
        yield dict(kind=kind, height=h, width=w, to_height=oh, to_width=ow, pixels=fnv(np.ascontiguousarray(out).tobytes()))


def write(path, rows):
    with open(path, "w") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")


def main():
    pictures, out = map(pathlib.Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    write(out / "reference.jsonl", reference(pictures))
    write(out / "smart_resize.jsonl", sizes())
    write(out / "resize.jsonl", resizes())


main()
