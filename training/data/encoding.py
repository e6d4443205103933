"""Text to token ids, and the rule that divides contents into train, valid and test."""
import json
import zlib

from tokenizers import Tokenizer

import tokenizer as nano_tokenizer

PAD = nano_tokenizer.SPECIAL_ID["<|endoftext|>"]
IMAGE = nano_tokenizer.SPECIAL_ID["<|image_pad|>"]

_state = {"tokenizer": None, "cache": {}}


def tokenizer():
    if _state["tokenizer"] is None:
        _state["tokenizer"] = Tokenizer.from_str(json.dumps(nano_tokenizer.tokenizer_json()))
    return _state["tokenizer"]


def encode(text):
    """Token ids of a text; short texts are remembered, because question wordings come again and again."""
    cache = _state["cache"]
    ids = cache.get(text)
    if ids is None:
        ids = tokenizer().encode(text, add_special_tokens=False).ids
        if len(cache) < 20000 and len(text) < 200:
            cache[text] = ids
    return ids


def split_of(*content):
    """A tenth of all contents is for the final test, a twentieth for the curve during training."""
    bucket = zlib.crc32(repr(content).encode()) % 20
    return "test" if bucket < 2 else "valid" if bucket == 2 else "train"


def draw(rng, split, make, content_of):
    """Draws with make(rng) until the content belongs to the wanted split."""
    for _ in range(100000):
        example = make(rng)
        if split_of(*content_of(example)) == split:
            return example
    raise RuntimeError("no content left in split " + split)


def spans(text):
    """The characters of each token: (first, one behind the last)."""
    return tokenizer().encode(text, add_special_tokens=False).offsets
