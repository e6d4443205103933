#!/usr/bin/env python3
"""Damaged, hostile and foreign files, and what must become of each: hostile.jsonl with the bytes as base64, the status, and a part of the sentence.
Nothing here needs the reference: what must be refused is our decision (Pillow and others accept some of these).

usage: python make_hostile.py tests/golden/data/image
"""
import base64
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from make_pictures import chunk, exif, png, riff, saved, segment, smooth, u24

RNG = np.random.default_rng(23)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB = RNG.integers(0, 256, (9, 11, 3))
PNG = png(RGB, 8, 2)
JPEG = saved(Image.fromarray(smooth(RNG)), "JPEG")
PROGRESSIVE = saved(Image.fromarray(smooth(RNG)[..., 0]), "JPEG", progressive=True)
WEBP = saved(Image.fromarray(smooth(RNG)), "WEBP", quality=70)
LOSSLESS = saved(Image.fromarray(smooth(RNG)), "WEBP", lossless=True)


def raw_png(w, h, data, depth=8, kind=2, extra=b"", interlace=0):
    return (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlace)) + extra + chunk(b"IDAT", data) + chunk(b"IEND"))


def rows(n, length=33):
    return b"".join(b"\0" + bytes(length) for _ in range(n))


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def sof(jpeg, w, h):
    at = jpeg.index(b"\xff\xc0" if b"\xff\xc0\x00" in jpeg else b"\xff\xc2")
    return patched(jpeg, at + 5, struct.pack(">HH", h, w))


def many_scans(n):
    """The first scan of a progressive file n times."""
    first, _ = segment(PROGRESSIVE, 0xda)
    end = first + 2
    while PROGRESSIVE[end] != 0xff or PROGRESSIVE[end + 1] == 0:
        end += 1
    return PROGRESSIVE[:first] + PROGRESSIVE[first:end] * n + PROGRESSIVE[end:]


def app1(data):
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + JPEG[2:]


def png_cases():
    z = zlib.compress(rows(9))
    yield "png signature only", SIGNATURE, "E_FORMAT", "cut off"
    yield "png without its last chunk", PNG[:-12], "E_FORMAT", "cut off"
    yield "png cut in the middle", PNG[:len(PNG) // 2], "E_FORMAT", "cut off"
    yield "png wrong IDAT checksum", PNG.replace(chunk(b"IEND"), chunk(b"IDAT", b"")[:-1] + b"\0" + chunk(b"IEND")), "E_FORMAT", "checksum"
    yield "png wrong IHDR checksum", patched(PNG, 29, b"\0\0\0\0"), "E_FORMAT", "checksum"
    yield "png wrong IEND checksum", PNG[:-1] + b"\0", "E_FORMAT", "checksum"
    yield "png wrong eXIf checksum", png(RGB, 8, 2, chunk(b"eXIf", exif(6))[:-1] + b"\0"), "E_FORMAT", "eXIf"
    yield "png wrong zlib check", raw_png(11, 9, z[:-1] + bytes([z[-1] ^ 1])), "E_FORMAT", "PNG"
    yield "png bomb 60000x60000", raw_png(60000, 60000, bytes(4096)), "E_LIMIT", "60000 x 60000"
    yield "png bomb 2147483647x2147483647", raw_png(2**31 - 1, 2**31 - 1, bytes(64)), "E_LIMIT", "the limit is 100000000 pixels"
    yield "png sides of 2^31", raw_png(2**31, 1, z), "E_FORMAT", "cannot be"
    yield "png 9999x9999 in 4 KB", raw_png(9999, 9999, bytes(4096)), "E_FORMAT", "cannot hold"
    yield "png no width", raw_png(0, 9, z), "E_FORMAT", "0 x 9"
    yield "png no height", raw_png(11, 0, z), "E_FORMAT", "11 x 0"
    yield "png chunk length 0xFFFFFFFF", patched(PNG, 33, b"\xff\xff\xff\xff"), "E_FORMAT", "claims 4294967295 bytes"
    yield "png chunk length 0x7FFFFFFF", patched(PNG, 33, b"\x7f\xff\xff\xff"), "E_FORMAT", "claims"
    yield "png IHDR of 12 bytes", SIGNATURE + chunk(b"IHDR", bytes(12)) + chunk(b"IEND"), "E_FORMAT", "IHDR"
    yield "png without IHDR", SIGNATURE + chunk(b"IDAT", z) + chunk(b"IEND"), "E_FORMAT", "IHDR"
    yield "png two IHDR", SIGNATURE + PNG[8:33] + PNG[8:], "E_FORMAT", "PNG"
    yield "png no pixels", SIGNATURE + PNG[8:33] + chunk(b"IEND"), "E_FORMAT", "PNG"
    yield "png too few rows", raw_png(11, 9, zlib.compress(rows(5))), "E_FORMAT", "too short"
    yield "png more rows than wanted", raw_png(11, 9, zlib.compress(rows(12))), "OK", ""
    yield "png filter 7", raw_png(11, 9, zlib.compress(b"\7" + rows(9)[1:])), "E_FORMAT", "filter"
    yield "png pixel data is noise", raw_png(11, 9, bytes(range(200))), "E_FORMAT", "PNG"
    yield "png depth 3", raw_png(11, 9, z, depth=3), "E_FORMAT", "bit depth"
    yield "png colour type 5", raw_png(11, 9, z, kind=5), "E_FORMAT", "color type"
    yield "png interlace 2", raw_png(11, 9, z, interlace=2), "E_FORMAT", "interlace"
    yield "png palette is missing", raw_png(11, 9, zlib.compress(rows(9, 11)), kind=3), "E_FORMAT", "PLTE"
    indices = zlib.compress(b"".join(b"\0" + bytes(range(k, k + 11)) for k in range(9)))
    yield "png palette index past PLTE", raw_png(11, 9, indices, kind=3, extra=chunk(b"PLTE", bytes(range(12)))), "OK", ""
    yield "png unknown critical chunk", raw_png(11, 9, z, extra=chunk(b"ABCD", b"x")), "E_FORMAT", "critical"
    yield "png exif offset past the end", raw_png(11, 9, z, extra=chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")), "OK", ""
    yield "png compressed text bomb", raw_png(11, 9, z, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))), "OK", ""
    yield "png broken profile", raw_png(11, 9, z, extra=chunk(b"iCCP", b"name\0\0notzlib")), "OK", ""
    yield "png bytes after the end", PNG + b"more", "OK", ""


def jpeg_cases():
    yield "jpeg signature only", b"\xff\xd8\xff", "E_FORMAT", "JPEG"
    yield "jpeg cut in the middle", JPEG[:len(JPEG) - 40], "E_FORMAT", "Premature end"
    yield "jpeg cut in its header", JPEG[:100], "E_FORMAT", "Premature end"
    yield "jpeg without its end mark", JPEG[:-2], "E_FORMAT", "Premature end"
    yield "jpeg cut, with an end mark", JPEG[:-40] + b"\xff\xd9", "E_FORMAT", "premature end"
    yield "jpeg progressive, cut", PROGRESSIVE[:len(PROGRESSIVE) * 3 // 4], "E_FORMAT", "Premature end"
    yield "jpeg of 65500x65500", sof(JPEG, 65500, 65500), "E_LIMIT", "65500 x 65500"
    yield "jpeg of 65535x65535", sof(JPEG, 65535, 65535), "E_FORMAT", "65500"
    yield "jpeg of 9999x9999", sof(JPEG, 9999, 9999), "E_FORMAT", "JPEG"
    yield "jpeg no width", sof(JPEG, 0, 9), "E_FORMAT", "JPEG"
    yield "jpeg no height", sof(JPEG, 9, 0), "E_FORMAT", "JPEG"
    yield "jpeg 12 bits", JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "E_UNSUPPORTED", "precision"
    yield "jpeg lossless", JPEG.replace(b"\xff\xc0", b"\xff\xc3"), "E_UNSUPPORTED", "SOF"
    yield "jpeg two components", patched(PROGRESSIVE, PROGRESSIVE.index(b"\xff\xc2") + 9, b"\2"), "E_FORMAT", "JPEG"
    yield "jpeg 300 scans", many_scans(300), "E_LIMIT", "100 scans"
    yield "jpeg 50 scans", many_scans(50), "OK", ""
    yield "jpeg exif loops", app1(b"Exif\0\0" + b"II*\0\0\0\0\0" + bytes(20)), "OK", ""
    yield "jpeg exif of one byte", app1(b"Exif\0\0I"), "OK", ""
    yield "jpeg exif longer than the file", JPEG[:2] + b"\xff\xe1\xff\xffExif\0\0" + JPEG[2:], "E_FORMAT", "JPEG"
    yield "jpeg bytes after the end", JPEG + b"more", "OK", ""


def webp_cases():
    size = struct.unpack("<I", WEBP[4:8])[0]
    yield "webp signature only", b"RIFF\x04\0\0\0WEBP", "E_FORMAT", "WebP"
    yield "webp cut in the middle", WEBP[:len(WEBP) // 2], "E_FORMAT", "cut off"
    yield "webp lossless, cut", LOSSLESS[:len(LOSSLESS) // 2], "E_FORMAT", "cut off"
    for delta in (-10, -2, 2, 1000000):
        yield f"webp RIFF size wrong by {delta}", patched(WEBP, 4, struct.pack("<I", size + delta)), "E_FORMAT", "WebP"
    yield "webp RIFF size 0xFFFFFFFF", patched(WEBP, 4, b"\xff" * 4), "E_FORMAT", "WebP"
    yield "webp cut, sizes mended", riff((b"VP8 ", WEBP[20:len(WEBP) - 60])), "E_FORMAT", "WebP"
    yield "webp lossless cut, sizes mended", riff((b"VP8L", LOSSLESS[20:len(LOSSLESS) // 2])), "E_FORMAT", "WebP"
    yield "webp 16383x16383", patched(WEBP, 26, b"\xff\x3f\xff\x3f"), "E_LIMIT", "16383 x 16383"
    yield "webp no width", patched(WEBP, 26, b"\0\0"), "E_FORMAT", "WebP"
    yield "webp canvas 65535x65535", riff((b"VP8X", bytes(4) + u24(65534) * 2), (b"VP8 ", WEBP[20:])), "E_FORMAT", "WebP"
    anmf = u24(5) + u24(5) + u24(18) + u24(12) + u24(9) + b"\0" + WEBP[12:]
    yield "webp frame outside of its canvas", riff((b"VP8X", b"\2\0\0\0" + u24(18) + u24(12)), (b"ANIM", bytes(6)), (b"ANMF", anmf)), "E_FORMAT", "WebP"
    yield "webp animation of no frames", riff((b"VP8X", b"\2\0\0\0" + u24(18) + u24(12)), (b"ANIM", bytes(6))), "E_FORMAT", "WebP"
    yield "webp exif is noise", riff((b"VP8X", b"\x08\0\0\0" + u24(18) + u24(12)), (b"VP8 ", WEBP[20:]), (b"EXIF", bytes(range(50)))), "OK", ""
    yield "webp bytes after the end", WEBP + b"more", "OK", ""


def foreign_cases():
    image = Image.fromarray(smooth(RNG))
    for form in ("GIF", "TIFF", "BMP", "ICO"):
        yield form.lower(), saved(image, form)[:120], "E_UNSUPPORTED", f"format {form} is not supported; PNG, JPEG and WebP are"
    box = b"\0\0\0\x1cftyp%s\0\0\0\0mif1miaf"
    texts = [("PDF", b"%PDF-1.7\n%"), ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), ("SVG", b"\xef\xbb\xbf \n<?xml version='1.0'?><svg/>"),
             ("HTML", b"<!DOCTYPE html><p>404"), ("HEIC", box % b"heic"), ("HEIC", box % b"mif1"), ("AVIF", box % b"avif"), ("AVIF", box % b"avis"),
             ("MP4", box % b"isom"), ("JPEG XL", b"\xff\x0a\xfa"), ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"), ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
             ("PNM", b"P6\n1 1\n255\nabc"), ("PSD", b"8BPS\0\1"), ("OpenEXR", b"\x76\x2f\x31\x01\2\0\0\0"), ("WebM", b"\x1a\x45\xdf\xa3\x9f"), ("QOI", b"qoif")]
    for k, (name, data) in enumerate(texts):
        yield f"foreign {k}", data, "E_UNSUPPORTED", f"format {name} is not supported; PNG, JPEG and WebP are"
    yield "empty", b"", "E_FORMAT", "empty"
    yield "text", b"hello, world\n", "E_FORMAT", "PNG, JPEG and WebP"
    yield "one byte", b"\x89", "E_FORMAT", "PNG, JPEG and WebP"
    yield "riff that is sound", b"RIFF\x24\0\0\0WAVEfmt ", "E_FORMAT", "PNG, JPEG and WebP"


def main():
    with open(pathlib.Path(sys.argv[1]) / "hostile.jsonl", "w") as f:
        for make in (png_cases, jpeg_cases, webp_cases, foreign_cases):
            for name, data, status, text in make():
                f.write(json.dumps(dict(name=name, bytes=base64.b64encode(data).decode(), status=status, text=text)) + "\n")


main()
