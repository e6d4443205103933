#!/usr/bin/env python3
"""Golden values of src/runtime/sampler.c: what transformers' logits processors leave of a row, in double precision.

    make_sampler.py tests/golden/data/runtime

sampler.jsonl   a case a line: logits (floats, exactly), settings, the ids of prompt and output, and what may be drawn: ids and probabilities

transformers has no presence and frequency penalty; those two are vLLM's formula. The row is rounded to floats after the bias and after the
penalties, as the engine keeps it. Left out are rows with equal logits (there transformers keeps more, or lets its sort decide) and cases in which a
threshold of top-p or min-p lies so near to an id that rounding decides.
"""
import json
import math
import random
import struct
import sys
from pathlib import Path

import torch
from transformers.generation.logits_process import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, SequenceBiasLogitsProcessor,
                                                    TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

N_CASES = 500
NEAR = 1e-7


def single(x):
    return struct.unpack('<f', struct.pack('<f', x))[0]


def short(x):
    """The shortest decimal that gives the same float."""
    for digits in range(1, 10):
        text = f'{x:.{digits}g}'
        if single(float(text)) == x:
            return float(text)
    return x


def logits_of(rng, n):
    kind = rng.randrange(4)
    if kind == 0:
        row = [rng.gauss(0, 3) for _ in range(n)]
    elif kind == 1:
        row = [rng.gauss(-5, 1) for _ in range(n)]
    elif kind == 2:
        row = [rng.uniform(-0.1, 0.1) for _ in range(n)]
    else:
        row = [rng.gauss(0, 1) for _ in range(n)]
        for _ in range(3):
            row[rng.randrange(n)] += rng.uniform(3, 20)
    row = [single(float(f'{x:.6g}')) for x in row]
    return row if len(set(row)) == n else logits_of(rng, n)


def settings_of(rng):
    def sometimes(off, value):
        return off if rng.random() < 0.6 else value
    return {
        'temperature': sometimes(1, rng.choice([0.05, 0.3, 0.6, 0.7, 1.3, 2, 10])),
        'top_k': sometimes(0, rng.choice([1, 2, 3, 5, 20, 40, 1000])),
        'top_p': sometimes(1, rng.choice([0, 0.001, 0.1, 0.5, 0.8, 0.95, 0.99, 0.9999])),
        'min_p': sometimes(0, rng.choice([0.001, 0.01, 0.05, 0.1, 0.5, 0.9, 1])),
        'presence_penalty': sometimes(0, rng.choice([-1, 0.5, 1.5, 2])),
        'frequency_penalty': sometimes(0, rng.choice([-0.25, 0.1, 0.5, 1])),
        'repetition_penalty': sometimes(1, rng.choice([0.7, 1.05, 1.1, 1.5, 3])),
    }


def case_of(rng):
    n = rng.choice([2, 5, 17, 50, 64, 100])
    ids = range(n)
    case = {'logits': logits_of(rng, n), **settings_of(rng)}
    case['bias'] = [[i, single(rng.choice([-100, -2.5, -0.5, 0.75, 4]))] for i in rng.sample(ids, min(n, rng.choice([0, 0, 1, 4])))]
    case['prompt'] = [rng.choice(ids) for _ in range(rng.choice([0, 3, 30]))]
    case['output'] = [rng.choice(ids) for _ in range(rng.choice([0, 1, 10, 60]))]
    return case


def near_a_threshold(scores, case):
    """Whether the next stage, top-p or min-p, meets a number that rounding could move over its threshold."""
    p = torch.sort(torch.softmax(scores, -1)[0], descending=True).values
    p = p[p > 0]
    cumulative = p.cumsum(0)
    if 0 < case['top_p'] < 1 and bool(((cumulative - case['top_p']).abs() < NEAR).any()):
        return True
    return case['min_p'] > 0 and bool((p[1:] / p[0] / case['min_p'] - 1).abs().lt(NEAR).any())


def answer(case):
    """Ids and probabilities that remain, or None when rounding would decide."""
    n = len(case['logits'])
    scores = torch.tensor([case['logits']], dtype=torch.float64)
    history = torch.tensor([case['prompt'] + case['output']], dtype=torch.long)
    if case['bias']:
        scores = SequenceBiasLogitsProcessor({(i,): b for i, b in case['bias']})(history, scores).float().double()
    if history.shape[1]:
        scores = RepetitionPenaltyLogitsProcessor(float(case['repetition_penalty']))(history, scores)
    counts = torch.bincount(torch.tensor(case['output'], dtype=torch.long), minlength=n).double()
    scores = scores - (case['presence_penalty'] * (counts > 0).double() + case['frequency_penalty'] * counts)
    scores = scores.float().double()
    if len(set(scores[0].tolist())) < n:
        return None
    scores = TemperatureLogitsWarper(float(case['temperature']))(history, scores)
    if case['top_k']:
        scores = TopKLogitsWarper(case['top_k'])(history, scores)
    if near_a_threshold(scores, case):
        return None
    if case['top_p'] < 1:
        scores = TopPLogitsWarper(case['top_p'])(history, scores)
    if case['min_p'] > 0:
        scores = MinPLogitsWarper(case['min_p'])(history, scores)
    p = torch.softmax(scores, -1)[0]
    ids = [i for i in range(n) if scores[0, i] > -math.inf]
    return ids, [float(f'{p[i].item():.9g}') for i in ids]


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(35)
    rows = []
    while len(rows) < N_CASES:
        case = case_of(rng)
        found = answer(case)
        if found:
            case['logits'] = [short(x) for x in case['logits']]
            case['ids'], case['probabilities'] = found
            rows.append(json.dumps(case, separators=(',', ':')))
    (out / 'sampler.jsonl').write_text('\n'.join(rows) + '\n')


main()
