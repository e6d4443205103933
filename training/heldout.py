"""Writes the held-out examination: chat requests, and the answers that are wanted.

usage: python heldout.py OUT_DIR        writes requests.jsonl and expected.jsonl, always the same ones

Line n of one file belongs to line n of the other.  The contents come from the generator's test split, which training never draws.
Pictures are inside the requests as data: URLs, in the size in which they were drawn, so the preprocessing of the engine is examined too.
`qwren eval tasks` lets a model answer the requests, and compares.
"""
import argparse
import base64
import collections
import io
import json
import pathlib
import random

from data import lookup, pictures, sums, tools, translation, unknown
from data.batches import text_group
from data.encoding import encode

PER_KIND = 64                               # requests of each kind, with thinking and without it
LONGEST_TEXT = 500                          # tokens of the longest text in which a value is to be found
LINES = (4, 8, 16, 24, 32, 40, 48)
MAX_TOKENS = 200


def picture_url(drawing):
    colours = drawing.getcolors()
    buffer = io.BytesIO()
    drawing.quantize(len(colours)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def with_picture(messages, url):
    """The messages with the picture's place filled."""
    def fill(part):
        return {"type": "image_url", "image_url": {"url": url}} if part.get("type") == "image" else part
    return [{**m, "content": [fill(part) for part in m["content"]]} if isinstance(m["content"], list) else m for m in messages]


def entry(group, item, url=None):
    """(request, wanted answer) of one item."""
    request = {"messages": with_picture(item.messages, url) if url else item.messages}
    if group.tools:
        request["tools"] = group.tools
    request.update(chat_template_kwargs={"enable_thinking": item.thinking}, temperature=0, max_tokens=MAX_TOKENS)
    calls = [call["function"] for call in item.reply.get("tool_calls", [])]
    wanted = {"kind": item.kind, "thinking": item.thinking, "content": item.reply["content"], "tool_calls": calls}
    return request, wanted


def kind_of(item):
    """Questions that are answered with yes or no are a kind of their own: who guesses has half of them right."""
    return "yes_no" if item.reply["content"] in ("Yes.", "No.") else item.kind


def picture_entries(rng, thinking):
    """PER_KIND questions of every kind about pictures; a picture is asked about each kind at most once."""
    count, entries = collections.Counter(), []
    while min(count[kind] for kind in [*pictures.KINDS, "yes_no"]) < PER_KIND:
        size = pictures.SIZES[0] if rng.random() < 0.6 else rng.choice(pictures.SIZES[1:])
        group = pictures.make_group(rng, "test", 10, thinking, size)
        url, asked = picture_url(group.drawing), set()
        for item in group.items:
            kind = kind_of(item)
            if kind not in asked and count[kind] < PER_KIND:
                asked.add(kind)
                count[kind] += 1
                request, wanted = entry(group, item, url)
                entries.append((request, {**wanted, "kind": kind}))
    return entries


def single_entries(rng, thinking, add_item):
    groups = [text_group(rng, "test", add_item, 1, thinking) for _ in range(PER_KIND)]
    return [entry(group, group.items[0]) for group in groups]


def lookup_entries(rng, thinking):
    entries = []
    while len(entries) < PER_KIND:
        lines = LINES[len(entries) % len(LINES)]
        group = lookup.make_group(rng, "test", lines, 1, thinking)
        if len(encode(group.opening)) <= LONGEST_TEXT:
            request, wanted = entry(group, group.items[0])
            entries.append((request, {**wanted, "lines": lines}))
    return entries


def tool_entries(rng, thinking, no_tool_share):
    groups = [tools.make_call_group(rng, "test", 1, thinking, no_tool_share) for _ in range(PER_KIND)]
    return [entry(group, group.items[0]) for group in groups]


def reply_entries(rng, thinking):
    groups = [tools.make_reply_group(rng, "test", 1, thinking) for _ in range(PER_KIND)]
    return [entry(group, group.items[0]) for group in groups]


def all_entries():
    for thinking in (False, True):
        rng = random.Random("heldout/%d" % thinking)
        yield from picture_entries(rng, thinking)
        for add_item in (sums.add_item, translation.add_item, unknown.add_item):
            yield from single_entries(rng, thinking, add_item)
        yield from lookup_entries(rng, thinking)
        yield from tool_entries(rng, thinking, no_tool_share=0)
        yield from tool_entries(rng, thinking, no_tool_share=1)
        yield from reply_entries(rng, thinking)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    numbers = collections.Counter()
    with open(out / "requests.jsonl", "w", encoding="utf-8") as requests, open(out / "expected.jsonl", "w", encoding="utf-8") as answers:
        for request, wanted in all_entries():
            name = "%s-%s-%03d" % (wanted["kind"], "on" if wanted["thinking"] else "off", numbers[wanted["kind"], wanted["thinking"]])
            numbers[wanted["kind"], wanted["thinking"]] += 1
            for file, line in ((requests, request), (answers, wanted)):
                file.write(json.dumps({"id": name, **line}, ensure_ascii=False, separators=(",", ":")) + "\n")
    print("%d requests in %s" % (sum(numbers.values()), out))


if __name__ == "__main__":
    main()
