"""Examines an exported checkpoint quickly: exactness under teacher forcing by job, and the MTP head's, on contents never trained.

usage: python examine.py ../models/qwren-nano [--rounds 6] [--split test]

An answer counts as right if every arg max on its way is right, which is what greedy decoding would write (the matrix products are bf16, as in
training, so a few in a thousand differ from the engine's).  Wrong pictures' listings in another order count as wrong here, but not in `qwren eval tasks`.
"""
import argparse
import collections
import math

import torch

import fast
from data import batches
from model import load_exported, make_model, named_parameters
from train import exact, examination


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    options = parser.parse_args()
    model, mtp = make_model()
    load_exported(options.model, named_parameters(model, mtp))
    fast_model, found = fast.FastModel(model, mtp), collections.defaultdict(list)
    tests = examination()
    for turn in range(options.rounds * len(tests)):
        kind, level = tests[turn % len(tests)]
        groups = batches.micro_batch(kind, "examine/%d" % turn, options.split, level=level)
        right, accepted = exact(fast_model, groups)
        found["mtp"] += accepted
        for item, is_right in zip((item for group in groups for item in group.items), right):
            found["%s %s" % (item.kind, "on" if item.thinking else "off")].append(is_right)
            if item.kind in ("lookup", "recall"):
                found["%s/%d" % (item.kind, level)].append(is_right)
    print("| job | right | number | +- |\n|---|---|---|---|")
    for name, values in sorted(found.items()):
        share = sum(values) / len(values)
        print("| %s | %.1f %% | %d | %.1f |" % (name, 100 * share, len(values), 196 * math.sqrt(share * (1 - share) / len(values))))


if __name__ == "__main__":
    main()
