#!/usr/bin/env python3
"""Golden values of src/convert/encode.c: what mlx.quantize makes of rows of F32, BF16 and F16 (needs mlx, here 0.32.4).

    make_encode.py tests/golden/data/convert

encode.safetensors   for each type T of the source: T.w [rows, 128] (as float: the values that T holds); for each width B and group G
                     T.B.G.codes (I32, the packed words), T.B.G.scales, T.B.G.biases (in T)

The rows: bells of several sizes, one of them too small for F16's normal numbers; zeros; a constant; one sign only; an outlier; two values; halves of a step.
"""
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np

COLS = 128
TYPES = {"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}


def rows():
    rng = np.random.default_rng(4)
    w = rng.standard_normal((12, COLS)) * np.array([.02, .02, 1, 1e-3, 1e-6, 1, 1, 1, 1, .1, 1, 1])[:, None]
    w[5] = 0
    w[6] = -.37
    w[7] = np.abs(w[7])
    w[8] = -np.abs(w[8]) - 2
    w[9, 77] = 30
    w[10] = np.where(w[10] > 0, .5, -.25)
    w[11] = np.round(w[11] * 4) / 8
    return w.astype(np.float32)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, dtype in TYPES.items():
        w = mx.array(rows()).astype(dtype)
        arrays[name + ".w"] = w.astype(mx.float32)
        for bits in (2, 3, 4, 5, 6, 8):
            for group in (32, 64, 128):
                codes, scales, biases = mx.quantize(w, group_size=group, bits=bits)
                key = "%s.%d.%d." % (name, bits, group)
                arrays.update({key + "codes": codes.view(mx.int32), key + "scales": scales, key + "biases": biases})
    mx.save_safetensors(str(out / "encode.safetensors"), arrays, {"format": "mlx"})


if __name__ == "__main__":
    main()
