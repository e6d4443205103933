#!/usr/bin/env python3
"""Golden values of src/runtime/divergence.c: scipy's KL divergence and numpy's percentiles, in double precision.

    make_divergence.py tests/golden/data/runtime

divergence.jsonl   a case a line: rows of logits (floats, exactly) of a base and of another model, and of each row the divergence, the difference of the
                   likeliest token's probability, whether it is the same, how many of the five likeliest are; then what they say together
"""
import json
import math
import random
import sys
from pathlib import Path

import numpy as np
from scipy.special import log_softmax, rel_entr

Z95 = 1.959963984540054


def row(rng, n, spread):
    """Multiples of 1/64: short to write, and floats add them exactly."""
    return np.array([round(rng.gauss(0, spread) * 64) / 64 for _ in range(n)], np.float32)


def top(x, k):
    """Of equal values the lower id first."""
    return sorted(range(len(x)), key=lambda i: (-x[i], i))[:k]


def measure(base, other):
    log_p, log_q = log_softmax(base.astype(np.float64)), log_softmax(other.astype(np.float64))
    best = top(base, 5)
    return {"kld": float(np.sum(rel_entr(np.exp(log_p), np.exp(log_q)))), "top_dp": float(abs(np.exp(log_p[best[0]]) - np.exp(log_q[best[0]]))),
            "top1": best[0] == top(other, 5)[0], "top5": len(set(best) & set(top(other, 5)))}


def grouped_error(values, samples):
    """Half of the 95 % interval of a mean whose draws are groups: the sandwich estimator of a ratio."""
    groups = sorted(set(samples))
    if len(groups) < 2:
        return None
    values, samples, mean = np.array(values), np.array(samples), np.mean(values)
    rests = [np.sum(values[samples == g] - mean) for g in groups]
    return float(Z95 * math.sqrt(np.sum(np.square(rests)) * len(groups) / (len(groups) - 1)) / len(values))


def case(rng, n, rows, groups, spread, noise):
    samples = sorted(rng.randrange(groups) for _ in range(rows))
    bases = [row(rng, n, spread) for _ in range(rows)]
    if n > 6:
        bases[0][3] = bases[0][5]                      # equal logits
        bases[-1][1] = -np.inf                         # a token without a chance
    others = [(b + row(rng, n, noise)).astype(np.float32) for b in bases]
    points = [measure(b, o) for b, o in zip(bases, others)]
    klds = [p["kld"] for p in points]
    together = {"mean": float(np.mean(klds)), "mean_error": grouped_error(klds, samples), "median": float(np.median(klds)),
                "p90": float(np.percentile(klds, 90)), "p99": float(np.percentile(klds, 99)), "max": max(klds),
                "top1": float(np.mean([p["top1"] for p in points])), "top5": float(np.mean([p["top5"] / 5 for p in points])),
                "top_dp": float(np.mean([p["top_dp"] for p in points]))}
    lists = [[[None if math.isinf(x) else float(x) for x in r] for r in rows_] for rows_ in (bases, others)]
    return {"base": lists[0], "other": lists[1], "samples": samples, "points": points, "together": together}


def main():
    rng = random.Random("divergence")
    cases = [case(rng, *shape) for shape in ((11, 1, 1, 2, 0.5), (40, 9, 3, 4, 0.1), (40, 30, 12, 8, 1), (200, 5, 5, 20, 3), (7, 64, 1, 1, 0.05))]
    text = "".join(json.dumps(c) + "\n" for c in cases)
    (Path(sys.argv[1]) / "divergence.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
