"""Micro-batches: some groups of one kind, and their arrays for fast.FastModel.

Every micro-batch costs about the same.  Its content follows from (seed, step, slot, kind, level) alone.
"""
import random

import numpy as np

from . import lookup, pictures, sums, tools, translation, unknown
from .chat import Group, maybe_system
from .encoding import IMAGE, PAD, encode, spans

# micro-batch kinds and their basic share; the training shifts the shares towards what is not yet learnt
SHARES = {"pic_off": 3.2, "pic_on": 2.8, "cells": 0.6, "sum_on": 0.8, "sum_off": 0.25, "translation": 0.8,
          "lookup": 1.6, "recall": 1.6, "call": 1.6, "reply": 0.6, "unknown": 0.25}
PICTURE_KINDS = {"list": 1.2, "count": 1.5, "colour": 0.5, "shape": 0.3, "left": 1.3, "yes_no": 3.0}
MAX_LINES = 64


def text_group(rng, split, add_item, items, thinking, history=None):
    """Items without a shared beginning; thinking: True, False, or the share of items that think; history: see Group."""
    group = Group(system=maybe_system(rng), history=history)
    group.separate = True
    for _ in range(items):
        add_item(group, rng, split, thinking if isinstance(thinking, bool) else rng.random() < thinking)
    return group


def micro_batch(kind, seed, split="train", level=MAX_LINES, picture_kinds=PICTURE_KINDS):
    """Groups of one micro-batch.  level: greatest number of lines of a list to look things up in.
    Items with an earlier question come together, in some batches: a single one would make all rows of a batch long."""
    rng = random.Random(seed)
    history = 0.5 if rng.random() < 0.15 else 0.0
    if kind in ("pic_off", "pic_on", "cells"):
        size = pictures.SIZES[0] if rng.random() < 0.6 else rng.choice(pictures.SIZES[1:])
        count, questions = {"pic_off": (6, 8), "pic_on": (5, 6), "cells": (24, 1)}[kind]
        return [pictures.make_group(rng, split, questions, kind == "pic_on", size, picture_kinds, history) for _ in range(count)]
    if kind in ("lookup", "recall"):
        lines = max(2, round(level ** rng.uniform(0.35, 1.0)))
        if kind == "lookup":
            count = max(1, min(6, 1300 // (10 * lines + 12 * 26)))
            return [lookup.make_group(rng, split, lines, 12 if count > 1 else 24, history=history) for _ in range(count)]
        asked = min(8, lines)
        count = max(1, min(8, 1300 // (10 * lines + 4 * (20 + 9 * asked))))
        return [lookup.make_recall_group(rng, split, lines, 4 if count > 1 else 8, asked) for _ in range(count)]
    if kind == "call":
        return [tools.make_call_group(rng, split, 14)]
    if kind == "reply":
        return [tools.make_reply_group(rng, split, 8)]
    add_item, items, thinking = {
        "sum_on": (sums.add_item, 16, True), "sum_off": (sums.add_item, 24, False),
        "translation": (translation.add_item, 20, 0.3), "unknown": (unknown.add_item, 16, 0.4)}[kind]
    return [text_group(rng, split, add_item, items, thinking, history)]


def positions_of(ids, grid):
    """M-RoPE positions (time, row, column) of a prefix, and the next free one."""
    places, at, i = [], 0, 0
    while i < len(ids):
        if ids[i] == IMAGE:
            rows, columns = grid
            places += [(at, at + row, at + column) for row in range(rows) for column in range(columns)]
            at, i = at + max(rows, columns), i + rows * columns
        else:
            places.append((at, at, at))
            at, i = at + 1, i + 1
    return np.array(places).T, at


def arrays(groups):
    """Groups with equally many items each, as arrays:
    ids, labels [N, T] and wanted [N, T] (where there is a loss) of the suffixes, positions [3, N, T];
    with a shared beginning also prefix_ids, prefix_mask [G, P] (padded on the left), prefix_positions [3, G, P];
    where something is copied from it, copies [M, 5]: row, suffix position that predicts the copy, prefix position of the original,
    1 if the copy begins with this token, attention head;
    with pictures also pixels [G, patches, 1536], grid, image_mask [G, P], cell_class, cell_place."""
    items = [item for group in groups for item in group.items]
    separate = getattr(groups[0], "separate", False)
    before = groups[0].prefix if separate else ""
    prompts = [encode(before + item.prompt) for item in items]
    targets = [encode(item.target) for item in items]
    length = max(len(p) + len(t) for p, t in zip(prompts, targets)) - 1
    ids = np.full((len(items), length + 1), PAD, np.int64)
    wanted = np.zeros((len(items), length), bool)
    for row, (prompt, target) in enumerate(zip(prompts, targets)):
        end = len(prompt) + len(target)
        ids[row, :end] = prompt + target
        wanted[row, len(prompt) - 1:end - 1] = True
    batch = {"ids": ids[:, :-1], "labels": ids[:, 1:], "wanted": wanted}
    start = np.zeros(len(items), np.int64)
    if not separate and any(group.prefix for group in groups):
        start = add_prefixes(batch, groups, len(items) // len(groups))
        copies = find_copies(groups, batch["prefix_ids"].shape[1], [len(prompt) for prompt in prompts])
        if copies:
            batch["copies"] = np.array(copies)
    batch["positions"] = np.broadcast_to(start[:, None] + np.arange(length), (3, len(items), length)).copy()
    return batch


def find_copies(groups, prefix_length, prompt_lengths):
    """Rows of the array copies, see arrays()."""
    copies, row = [], 0
    for group in groups:
        prefix = spans(group.prefix) if any(item.sources for item in group.items) else []
        token_at = [token for token, (begin, end) in enumerate(prefix) for _ in range(begin, end)]
        padding = prefix_length - len(prefix)
        for item in group.items:
            for token, char, begins, head in copied_tokens(item):
                copies.append((row, prompt_lengths[row] - 1 + token, padding + token_at[char], int(begins), head))
            row += 1
    return copies


def copied_tokens(item):
    """(number of the target's token, the character of the prefix that it is copied from, whether the copy begins with it, the head that looks)"""
    for token, (begin, end) in enumerate(spans(item.target)) if item.sources else ():
        for place, length, original, *head in item.sources:
            if begin < place + length and end > place:
                yield token, original + min(max(end - 1, place), place + length - 1) - place, begin <= place, head[0] if head else 0


def add_prefixes(batch, groups, items_per_group):
    """The shared beginnings; returns the first position of each suffix."""
    picture = groups[0].picture
    grid = (picture.shape[0] // 32, picture.shape[1] // 32) if picture is not None else None
    prefixes = [encode(group.prefix) for group in groups]
    longest = max(map(len, prefixes))
    ids = np.full((len(groups), longest), PAD, np.int64)
    mask = np.zeros((len(groups), longest), bool)
    positions = np.zeros((3, len(groups), longest), np.int64)
    start = np.zeros(len(groups), np.int64)
    for row, prefix in enumerate(prefixes):
        pad = longest - len(prefix)
        ids[row, pad:], mask[row, pad:] = prefix, True
        positions[:, row, pad:], start[row] = positions_of(prefix, grid)
    batch.update(prefix_ids=ids, prefix_mask=mask, prefix_positions=positions)
    if picture is not None:
        cells = [pictures.cell_targets(group.shapes, *group.picture.shape[:2]) for group in groups]
        batch.update(pixels=np.stack([pictures.patches(group.picture) for group in groups]),
                     grid=(grid[0] * 2, grid[1] * 2), image_mask=ids == IMAGE,
                     cell_class=np.stack([c for c, _ in cells]), cell_place=np.stack([p for _, p in cells]))
    return np.repeat(start, items_per_group)
