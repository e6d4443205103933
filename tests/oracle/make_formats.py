#!/usr/bin/env python3
"""Make blocks of every weight format and the values they stand for.

usage: python make_formats.py tests/golden/data/quant --ggml PATH_OF_LIBGGML_BASE.SO

    mlx_quant.safetensors    weight [6, 256] and what MLX makes of it: affine.bB.gG.{weight,scales,biases,value} for all widths and groups,
                             {mxfp4,nvfp4,mxfp8}.{weight,scales,value}
    gguf_blocks.safetensors  weight [4, 512] and what llama.cpp makes of it: TYPE.raw (bytes, by ggml's own quantiser), TYPE.value

The dequantisers below are written from the description of the formats, independent of both libraries; the script stops when MLX disagrees with them. The
values of GGUF's blocks are those of gguf-py. Needs mlx, gguf, torch, safetensors.
"""
import argparse
import ctypes
import os

import numpy as np
import torch
from safetensors.torch import save_file

GGML = dict(F16=1, Q4_0=2, Q4_1=3, Q5_0=6, Q5_1=7, Q8_0=8, Q2_K=10, Q3_K=11, Q4_K=12, Q5_K=13, Q6_K=14, IQ4_NL=20, IQ4_XS=23, BF16=30)
FP4 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def unpack(words, bits, n):
    """uint32 words -> unsigned codes; one little-endian bit stream, lowest bit first."""
    by = np.ascontiguousarray(words).view(np.uint8).reshape(words.shape[0], -1)
    b = np.unpackbits(by, axis=1, bitorder="little").reshape(words.shape[0], n, bits)
    return (b.astype(np.int64) << np.arange(bits)).sum(-1)


def affine(words, scales, biases, group, bits):
    u = unpack(words, bits, scales.shape[1] * group).astype(np.float32)
    return u * np.repeat(scales, group, 1) + np.repeat(biases, group, 1)


def e4m3(u):
    u = u.astype(np.int64)
    s, e, m = np.where(u & 128, -1.0, 1.0), (u >> 3) & 15, u & 7
    return s * np.where(e == 0, m / 8 * 2.0 ** -6, (1 + m / 8) * 2.0 ** (e - 7.0))


def small_float(words, scales, group, bits, mode):
    u = unpack(words, bits, scales.shape[1] * group)
    s = e4m3(scales) if mode == "nvfp4" else 2.0 ** (scales.astype(np.float64) - 127)
    return ((FP4[u] if bits == 4 else e4m3(u)) * np.repeat(s, group, 1)).astype(np.float32)


def make_mlx(folder):
    import mlx.core as mx
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(5)
    w = rng.standard_normal((6, 256)).astype(np.float32)
    w[1] *= 0.01
    w[2, :64] = 0.0
    w[3] = np.abs(w[3])
    w[4] = -np.abs(w[4]) * 30
    d = {"weight": torch.tensor(w)}
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            q, s, b = mx.quantize(mx.array(w).astype(mx.bfloat16), group_size=group, bits=bits)
            q, s, b = np.array(q), np.array(s.astype(mx.float32)), np.array(b.astype(mx.float32))
            v = np.array(mx.dequantize(mx.array(q), mx.array(s), mx.array(b), group_size=group, bits=bits))
            assert np.array_equal(v, affine(q, s, b, group, bits)), (bits, group)
            k = f"affine.b{bits}.g{group}."
            d.update({k + "weight": torch.tensor(q.view(np.int32)), k + "scales": torch.tensor(s).bfloat16(),
                      k + "biases": torch.tensor(b).bfloat16(), k + "value": torch.tensor(v)})
    for mode, group, bits in (("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)):
        q, s = mx.quantize(mx.array(w), group_size=group, bits=bits, mode=mode)[:2]
        v = np.array(mx.dequantize(q, s, group_size=group, bits=bits, mode=mode).astype(mx.float32))
        q, s = np.array(q), np.array(s)
        assert np.array_equal(v, small_float(q, s, group, bits, mode)), mode
        d.update({f"{mode}.weight": torch.tensor(q.view(np.int32)), f"{mode}.scales": torch.tensor(s), f"{mode}.value": torch.tensor(v)})
    save_file(d, os.path.join(folder, "mlx_quant.safetensors"))


def make_gguf(folder, library):
    import gguf
    lib = ctypes.CDLL(library)
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    rng = np.random.default_rng(11)
    rows, cols = 4, 512
    w = rng.standard_normal((rows, cols)).astype(np.float32)
    w[1] *= 0.02
    w[2] = np.abs(w[2]) * 5
    w[3, :256] = 0
    d = {"weight": torch.tensor(w)}
    importance = np.ones(cols, np.float32)
    for name, t in GGML.items():
        buf = np.zeros(rows * cols * 4, np.uint8)
        n = lib.ggml_quantize_chunk(t, w.ctypes.data, buf.ctypes.data, 0, rows, cols, importance.ctypes.data)
        raw = buf[:n].reshape(rows, -1).copy()
        v = gguf.dequantize(raw, gguf.GGMLQuantizationType(t)).astype(np.float32).reshape(rows, cols)
        print(f"{name:7s} {raw.shape[1] * 8 / cols:.4f} bits a weight, rms error {np.sqrt(((v - w) ** 2).mean()):.4f}")
        d[f"{name}.raw"], d[f"{name}.value"] = torch.tensor(raw), torch.tensor(v)
    save_file(d, os.path.join(folder, "gguf_blocks.safetensors"))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder")
    ap.add_argument("--ggml", required=True, help="libggml-base.so of a built llama.cpp")
    a = ap.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    make_mlx(a.folder)
    make_gguf(a.folder, a.ggml)


if __name__ == "__main__":
    main()
