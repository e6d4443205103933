#!/usr/bin/env python3
"""Small pictures of every kind that the readers take, and their pixels: pictures/* and pictures.jsonl (rgb as hex). Expected pixels come from Pillow
with transparency laid on white by transformers. Where Pillow has another opinion than the PNG standard (16-bit grey, tRNS of shallow grey) the rule is
computed here and the row says so.

usage: python make_pictures.py tests/golden/data/image
"""
import io
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb

W, H = 19, 13
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


# ------------------------------------------------------------------ PNG, written by hand
def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(samples, depth):
    """[h, w, c] samples -> rows of bytes."""
    h = samples.shape[0]
    flat = samples.reshape(h, -1)
    if depth == 16:
        return [r.astype(">u2").tobytes() for r in flat]
    if depth == 8:
        return [r.astype(np.uint8).tobytes() for r in flat]
    bits = (flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(r.reshape(-1).astype(np.uint8)).tobytes() for r in bits]


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def filtered(rows, bpp):
    """Every filter type in turn."""
    out, prev = b"", None
    for y, row in enumerate(rows):
        prev = prev or bytes(len(row))
        line = bytearray()
        for i, v in enumerate(row):
            a, b, c = row[i - bpp] if i >= bpp else 0, prev[i], prev[i - bpp] if i >= bpp else 0
            line.append(v - (0, a, b, (a + b) // 2, paeth(a, b, c))[y % 5] & 255)
        out += bytes([y % 5]) + bytes(line)
        prev = row
    return out


def png(samples, depth, kind, extra=b"", interlaced=False, after=b""):
    h, w = samples.shape[:2]
    bpp = max(1, depth * CHANNELS[kind] // 8)
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    data = b"".join(filtered(pack(p, depth), bpp) for p in parts if p.size)
    z = zlib.compress(data)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced)) + extra +
            chunk(b"IDAT", z[:len(z) // 2]) + chunk(b"IDAT", z[len(z) // 2:]) + after + chunk(b"IEND"))


def over_white(rgb, alpha):
    rgb, alpha = rgb.astype(int), alpha.astype(int)[..., None]
    return ((2 * (alpha * rgb + (255 - alpha) * 255) + 255) // 510).astype(np.uint8)


def standard(samples, depth, kind, palette=None, trns=None):
    """What the PNG standard says, 16-bit samples cut to their high byte."""
    top = samples >> 8 if depth == 16 else samples * 255 // (2 ** depth - 1)
    if kind == 3:
        index = samples[..., 0]
        alpha = np.concatenate([np.array(trns or [], int), np.full(256 - len(trns or []), 255)])
        return over_white(palette[index], alpha[index])
    rgb = top[..., :3] if kind in (2, 6) else np.repeat(top[..., :1], 3, -1)
    alpha = top[..., -1] if kind in (4, 6) else np.full(top.shape[:2], 255)
    if trns is not None:
        alpha = np.where((samples == np.array(trns)).all(-1), 0, 255)
    return over_white(rgb, alpha)


def png_pictures(rng):
    for kind, depths in [(0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))]:
        for depth in depths:
            for variant in ("plain", "adam7") + (("trns",) if kind in (0, 2, 3) else ()):
                s = rng.integers(0, 2 ** depth, (H, W, CHANNELS[kind]))
                palette, trns, extra = rng.integers(0, 256, (2 ** min(depth, 8), 3)), None, b""
                if kind == 3:
                    extra = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
                if variant == "trns":
                    trns = [0, 128, 77][:2 ** depth] if kind == 3 else s[H // 2, W // 2].tolist()
                    s[2:5, 3:9] = s[H // 2, W // 2]
                    extra += chunk(b"tRNS", bytes(trns) if kind == 3 else struct.pack(f">{len(trns)}H", *trns))
                yield (f"{'grey rgb palette grey-alpha rgba'.split()[(0, 2, 3, 4, 6).index(kind)]}-{depth}-{variant}.png",
                       png(s, depth, kind, extra, variant == "adam7"), standard(s, depth, kind, palette, trns))
    for w, h in [(1, 1), (2, 1), (1, 5), (5, 3)]:  # Adam7 with empty passes
        s = rng.integers(0, 256, (h, w, 3))
        yield f"rgb-8-adam7-{w}x{h}.png", png(s, 8, 2, b"", True), standard(s, 8, 2)
    s = rng.integers(0, 256, (H, W, 3))
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5") + chunk(b"bKGD", bytes(6)) + chunk(b"tEXt", b"a\0b")
    yield "rgb-8-ancillary.png", png(s, 8, 2, extra), standard(s, 8, 2)
    s = rng.integers(0, 256, (H, W, 3))
    yield "rgb-8-exif-last.png", png(s, 8, 2, after=chunk(b"eXIf", exif(8))), None
    frames = [Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)) for _ in range(3)]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), np.asarray(frames[0])


# ------------------------------------------------------------------ JPEG and WebP, written by Pillow and altered
def exif(orientation, order="<"):
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def saved(image, form, **options):
    f = io.BytesIO()
    image.save(f, form, **options)
    return f.getvalue()


def smooth(rng, w=W, h=H, c=3):
    """Colours that a JPEG keeps roughly."""
    a = rng.integers(0, 256, (4, 4, c), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(a[..., k]).resize((w, h))) for k in range(c)], -1)


def segment(jpeg, marker):
    at = jpeg.index(b"\xff" + bytes([marker]))
    return at, at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]


def upright_sampling(jpeg):
    """4:2:2 -> 4:4:0: a picture whose sides are equal has as many blocks in both."""
    at, _ = segment(jpeg, 0xc0)
    assert jpeg[at + 11] == 0x21
    return jpeg[:at + 11] + b"\x12" + jpeg[at + 12:]


def jpeg_pictures(rng):
    for name, options in [("444", dict(subsampling=0)), ("422", dict(subsampling=1)), ("420", dict(subsampling=2)), ("q100", dict(quality=100)),
                          ("progressive", dict(progressive=True)), ("rgb", dict(keep_rgb=True)), ("restart", dict(restart_marker_blocks=1))]:
        yield f"{name}.jpg", saved(Image.fromarray(smooth(rng, 37, 35)), "JPEG", **options)
    yield "440.jpg", upright_sampling(saved(Image.fromarray(smooth(rng, 32, 32)), "JPEG", subsampling=1))
    yield "grey.jpg", saved(Image.fromarray(smooth(rng)[..., 0]), "JPEG")
    yield "grey-progressive.jpg", saved(Image.fromarray(smooth(rng)[..., 0]), "JPEG", progressive=True)
    cmyk = saved(Image.fromarray(smooth(rng, c=4), "CMYK"), "JPEG")
    at, end = segment(cmyk, 0xee)
    yield "cmyk-adobe.jpg", cmyk
    yield "cmyk.jpg", cmyk[:at] + cmyk[end:]
    yield "ycck-adobe.jpg", cmyk[:end - 1] + b"\2" + cmyk[end:]
    yield "cmyk-progressive.jpg", saved(Image.fromarray(smooth(rng, c=4), "CMYK"), "JPEG", progressive=True)


def riff(*chunks):
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(d)) + d + b"\0" * (len(d) % 2) for k, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(v):
    return struct.pack("<I", v)[:3]


def small_first_frame(rng, alpha):
    """An animation of 19x13 whose first frame covers 8x6 pixels at (4, 2)."""
    frame = saved(Image.fromarray(rng.integers(0, 256, (6, 8, 4 if alpha else 3), dtype=np.uint8)), "WEBP", lossless=True, exact=True)[12:]
    anmf = u24(2) + u24(1) + u24(7) + u24(5) + u24(100) + b"\0" + frame
    return riff((b"VP8X", bytes([0x12 if alpha else 2, 0, 0, 0]) + u24(W - 1) + u24(H - 1)), (b"ANIM", b"\x10\x20\x30\xff\0\0"), (b"ANMF", anmf),
                (b"ANMF", anmf))


def webp_pictures(rng):
    rgb, rgba = (Image.fromarray(rng.integers(0, 256, (H, W, c), dtype=np.uint8)) for c in (3, 4))
    yield "lossy.webp", saved(Image.fromarray(smooth(rng, 37, 35)), "WEBP", quality=70)
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossy-alpha.webp", saved(Image.fromarray(smooth(rng, 37, 35, 4)), "WEBP", quality=70)
    yield "lossless-alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    second = Image.fromarray(rng.integers(0, 256, (H, W, 4), dtype=np.uint8))
    yield "animated.webp", saved(rgb, "WEBP", save_all=True, append_images=[second.convert("RGB")], lossless=True)
    yield "animated-alpha.webp", saved(rgba, "WEBP", save_all=True, append_images=[second], lossless=True, exact=True)
    yield "animated-small.webp", small_first_frame(rng, False)
    yield "animated-small-alpha.webp", small_first_frame(rng, True)


def turned_pictures(rng):
    for k in range(1, 9):
        image = Image.fromarray(smooth(rng, 7, 5))
        for form, ext, options in [("PNG", "png", {}), ("JPEG", "jpg", dict(quality=95, subsampling=0)), ("WEBP", "webp", dict(lossless=True))]:
            yield f"exif{k}.{ext}", saved(image, form, exif=b"Exif\0\0" + exif(k, "<>"[k % 2]), **options)
    yield "exif9.jpg", saved(image, "JPEG", exif=b"Exif\0\0" + exif(9))
    yield "exif0.png", saved(image, "PNG", exif=exif(0))


def reference(data):
    return convert_to_rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), return_numpy=True)


def main():
    out = pathlib.Path(sys.argv[1])
    folder = out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    rows = list(png_pictures(rng))
    for make in (jpeg_pictures, webp_pictures, turned_pictures):
        rows += [(name, data, None) for name, data in make(rng)]
    with open(out / "pictures.jsonl", "w") as f:
        for name, data, want in rows:
            (folder / name).write_bytes(data)
            pillow = reference(data)
            if want is None:
                want = pillow
            rule = "standard" if not np.array_equal(pillow, want) else "pillow"
            if rule == "standard":
                print("Pillow differs:", name)
            f.write(json.dumps(dict(file=name, rule=rule, width=want.shape[1], height=want.shape[0], rgb=want.tobytes().hex())) + "\n")
    print(len(rows), "pictures")


if __name__ == "__main__":
    main()
