"""Compares the generator's conversations with the official chat template and their tokens with those of the whole text.

usage: python -m data.selftest [how many micro-batches of each kind]
"""
import sys
import time

import numpy as np

from . import batches
from .chat import template
from .encoding import encode, tokenizer


def whole(text, group):
    if group.picture is not None:
        tokens = (group.picture.shape[0] // 32) * (group.picture.shape[1] // 32)
        text = text.replace("<|image_pad|>", "<|image_pad|>" * tokens)
    return text


def check_item(group, item):
    options = {"tools": group.tools} if group.tools else {}
    prompt = template().render(messages=item.messages, add_generation_prompt=True, enable_thinking=item.thinking, **options)
    written = group.prefix + item.prompt
    assert whole(prompt, group) == written, (prompt, written)
    full = template().render(messages=item.messages + [item.reply], add_generation_prompt=False, **options)
    assert whole(full, group) == written + item.target + "\n", (full, written + item.target)
    parts = encode(group.prefix) + encode(item.prompt) + encode(item.target)
    assert parts == tokenizer().encode(written + item.target, add_special_tokens=False).ids


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    checked = 0
    for kind in batches.SHARES:
        seconds, sizes = 0.0, []
        for number in range(rounds):
            for split in ("train", "valid", "test"):
                start = time.time()
                groups = batches.micro_batch(kind, "%s/%d" % (split, number), split)
                batch = batches.arrays(groups)
                seconds += time.time() - start
                sizes.append((batch["ids"].size, batch.get("prefix_ids", np.zeros(0)).size, batch["wanted"].sum(),
                              batch["ids"].shape[1], batch.get("prefix_ids", np.zeros((0, 0))).shape[1]))
                for group in groups:
                    for item in group.items:
                        check_item(group, item)
                        checked += 1
        print("%-12s %4.0f ms  suffix %4d  prefix %4d  wanted %4d  (row %d, prefix row %d)"
              % ((kind, 1000 * seconds / rounds / 3) + tuple(np.mean(sizes, 0))))
        print("    ", repr((groups[0].prefix[-80:] + groups[0].items[0].prompt + groups[0].items[0].target)[-260:]))
    print("template and tokens agree on", checked, "examples")


if __name__ == "__main__":
    main()
