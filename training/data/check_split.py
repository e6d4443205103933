"""Checks that nothing of the held-out examination can be met in training.

usage: python -m data.check_split [micro-batches of each kind] [requests.jsonl]

Draws from the train, valid and test split, and compares the contents: a picture's shapes; of the others the question with the text or the tool
it is about.  Questions of the test split are those of the requests file too.  Leaves with 1 if two splits share a content.
"""
import collections
import itertools
import json
import pathlib
import sys

from . import batches

REQUESTS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "heldout" / "requests.jsonl"
FIXED = ("about",)                         # trained only, and never asked in the examination


def contents(groups):
    for group in groups:
        if group.shapes is not None:
            yield "picture: " + ", ".join(sorted(shape.name for shape in group.shapes))
            continue
        for item in group.items:
            if item.kind not in FIXED:
                yield content(item.kind, item.messages)


def content(kind, messages):
    """The last question; recall's and lookup's begin with the text, which is the first question's in a longer conversation."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    if kind in ("lookup", "recall"):
        return "text: " + asked[0].rsplit("\n", 1)[0]
    return "tool: " + asked[-1] if kind in ("call", "no_tool", "reply") else kind + ": " + asked[-1]


def examined(path):
    """Contents of the requests; a picture is in them as pixels, so its shapes come from the generator only."""
    for line in path.read_text(encoding="utf-8").splitlines():
        request = json.loads(line)
        if all(isinstance(message["content"], str) for message in request["messages"]):
            yield content(request["id"].split("-")[0], request["messages"])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    path = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else REQUESTS
    found = collections.defaultdict(set)
    for split, kind, number in itertools.product(("train", "valid", "test"), batches.SHARES, range(rounds)):
        found[split].update(contents(batches.micro_batch(kind, "split/%d" % number, split)))
    requests = set(examined(path))
    found["test"] |= requests
    print(", ".join("%d contents of %s" % (len(names), split) for split, names in found.items()), "(%d of the requests)" % len(requests))
    shared = [(a, b, name) for a, b in itertools.combinations(found, 2) for name in found[a] & found[b]]
    for a, b, name in shared[:20]:
        print("both in %s and in %s: %r" % (a, b, name))
    sys.exit(bool(shared))


if __name__ == "__main__":
    main()
