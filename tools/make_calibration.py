#!/usr/bin/env python3
"""Writes data/calibration.jsonl, which `qwren quantize` calibrates with, and data/evaluation.jsonl, which `qwren eval kld` compares with.

    make_calibration.py OUT_DIR      needs numpy, Pillow and tokenizers (training/requirements.txt), and no network

A line is a chat request that ends with the assistant's answer, or {"text": ...}. Everything is generated (calibration/) and drawn with fixed seeds, so
the files are always the same; they are built into the library. The order is shuffled: the first part of a file is a fair sample of the whole. No
sentence of one file stands in the other, and of qwren-nano's own jobs the calibration has what its training may draw, the evaluation what training
never draws and the examination (tests/heldout) does not have.
"""
import argparse
import json
import pathlib
import random

from calibration import chats, documents, drawings, nano, sentences


def text(content):
    return {"text": content}


def languages(rng, side, paragraphs, length):
    for language in sorted(sentences.GRAMMARS):
        for _ in range(paragraphs):
            yield text(sentences.paragraph(rng, language, side, length))


def papers(rng, each):
    """Code, data, notes, arithmetic."""
    for _ in range(each):
        for language in sorted(documents.CODE):
            yield text(documents.code(rng, language))
        for form in documents.FORMS:
            yield text(documents.data(rng, form))
        yield text(documents.arithmetic(rng))


def conversations(rng, side, each):
    for _ in range(each):
        for kind in chats.KINDS:
            yield kind(rng)
        yield chats.in_language(rng, side)
        yield chats.in_language(rng, side)


def pictures(rng, each):
    for _ in range(each):
        for kind in drawings.KINDS:
            yield drawings.picture_request(rng, kind)


def lines(name, side, split, size):
    """size: how often each kind of thing occurs."""
    rng = random.Random(name)
    made = [*languages(rng, side, size["paragraphs"], 4), *papers(rng, size["papers"]), *conversations(rng, side, size["conversations"]),
            *pictures(rng, size["pictures"]), *nano.text_lines(rng, split, size["nano"]), *nano.picture_lines(rng, split, size["nano_pictures"])]
    rng.shuffle(made)
    return made


SETS = {
    "calibration": (0, "train", {"paragraphs": 2, "papers": 2, "conversations": 5, "pictures": 3, "nano": 120, "nano_pictures": 24}),
    "evaluation": (1, "valid", {"paragraphs": 1, "papers": 1, "conversations": 3, "pictures": 2, "nano": 60, "nano_pictures": 12}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    for name, parts in SETS.items():
        made = lines(name, *parts)
        body = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in made)
        (out / (name + ".jsonl")).write_text(body, encoding="utf-8")
        print("%s.jsonl: %d lines, %d bytes" % (name, len(made), len(body.encode())))


if __name__ == "__main__":
    main()
