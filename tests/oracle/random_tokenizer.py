#!/usr/bin/env python3
"""Compare qwren's tokenizer with the `tokenizers` package on random texts, and on random ids the way back.

usage: python random_tokenizer.py MODEL_DIR [--count N] [--seed S] -- build/qwren

The program after `--` is asked as `tokenize -m MODEL_DIR --jsonl` ({"text", "mode"} a line, {"ids"} back) and as
`detokenize -m MODEL_DIR --jsonl`, without and with --skip-special ({"ids"} a line, {"text"} back).
"""
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer, normalizers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare  # noqa: E402
from languages import LANG  # noqa: E402

RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0, 0x1F), (0x7F, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x591, 0x6FF), (0x900, 0xDFF), (0xE00, 0xFFF),
          (0x1000, 0x10FF), (0x1100, 0x11FF), (0x1DC0, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x20D0, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
          (0xA640, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFAFF), (0xFB00, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x11FFF), (0x16000, 0x16FFF),
          (0x1D100, 0x1D1FF), (0x1E000, 0x1F0FF), (0x1F300, 0x1FAFF), (0x2F800, 0x2FA1F), (0xE0000, 0xE01EF), (0, 0x10FFFF)]
SPACES = [" ", " ", " ", "  ", "\n", "\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\x0b", "\x1c", "\u200b"]
BITS = ["'s", "'S", "'ſ", "'T", "'re", "'vE", "'m", "'LL", "'d", "'l", "’s", "'", "''", "!", "...", "?!", "-", "_", "0", "42", "½", "Ⅷ", "٣", "{", "}", "();", "\\n", "://", "é", "e\u0301",
        "\u1100\u1161\u11a8", "\uac00\u11a8", "\u0344", "\u0f73", "\u1ebf", "\u200d", "\ufe0f", "👍🏽", "hello", "World", "the", "function", "नमस्ते", "ไทย", "漢字", "한국어", "שלום"]
CUTS = ["<", "<|", "|>", "<|im_", "im_end|>", "<thi", "nk>", "</", "<tool", "_call>"]


class Generator:
    def __init__(self, seed, added, n_ids):
        self.r, self.added, self.n_ids = random.Random(seed), added, n_ids
        self.marks = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and not self.stays(chr(c))]

    @staticmethod
    def stays(ch):
        """Whether NFC leaves the character alone wherever it stands: those that it moves or replaces are worth more tries."""
        nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
        return nfc(ch) == ch and nfd(ch) == ch and nfd("\u0345" + ch) == "\u0345" + ch and nfd(ch + "\u0334") == ch + "\u0334"

    def character(self):
        low, high = self.r.choice(RANGES)
        c = self.r.randint(low, high)
        return chr(c) if not 0xD800 <= c < 0xE000 else "\ufffd"

    def word(self):
        s = self.r.choice(list(LANG.values()))
        at = self.r.randrange(len(s))
        return s[at:at + self.r.randint(1, 30)]

    def piece(self, repeated=False):
        kind = self.r.uniform(0, 0.93 if repeated else 1)
        if kind < 0.30:
            return self.character()
        if kind < 0.45:
            return self.r.choice(SPACES)
        if kind < 0.60:
            return self.r.choice(BITS)
        if kind < 0.70:
            return chr(self.r.choice(self.marks))
        if kind < 0.85:
            return self.word()
        if kind < 0.90:
            return self.r.choice(self.added)
        if kind < 0.93:
            return self.r.choice(CUTS)
        return self.piece(True) * self.r.randint(2, 60)

    def text(self):
        few = self.r.random() < 0.3
        pool = [self.piece() for _ in range(self.r.randint(1, 5))] if few else None
        return "".join(self.r.choice(pool) if few else self.piece() for _ in range(self.r.randint(0, 40)))

    def case(self):
        return {"text": self.text(), "mode": self.r.choice(["all", "all", "no_special", "none"])}

    def ids(self):
        top = self.r.choice([256, 2000, self.n_ids])
        ids = [self.r.randrange(top) if self.r.random() < 0.9 else self.n_ids - 1 - self.r.randrange(len(self.added)) for _ in range(self.r.randint(0, 40))]
        return {"ids": ids}


def encoders(path):
    """mode -> Tokenizer"""
    text = path.read_text(encoding="utf-8")
    some = Tokenizer.from_str(text)
    some.encode_special_tokens = True
    return {"all": Tokenizer.from_str(text), "no_special": some, "none": Tokenizer.from_str(json.dumps({**json.loads(text), "added_tokens": []}))}


def main():
    options, program = compare.arguments(__doc__, "model")
    reference = encoders(pathlib.Path(options.model) / "tokenizer.json")
    whole = reference["all"]
    g = Generator(options.seed, [t.content for t in whole.get_added_tokens_decoder().values()], whole.get_vocab_size())
    ask = lambda verb: [*program, verb, "-m", options.model, "--jsonl"]
    same = lambda key: lambda got, want: got.get(key) == want[key]

    texts = [g.case() for _ in range(options.count)]
    encode = lambda c: {"ids": reference[c["mode"]].encode(c["text"], add_special_tokens=False).ids}
    wanted, wrong = compare.compare(ask("tokenize"), texts, encode, same("ids"))
    print(f"{len(texts)} texts, {sum(len(w['ids']) for w in wanted)} ids, {wrong} texts different")

    back = 0
    for skip in (False, True):
        lists = [g.ids() for _ in range(options.count)]
        decode = lambda c: {"text": whole.decode(c["ids"], skip_special_tokens=skip)}
        different = compare.compare(ask("detokenize") + ["--skip-special"] * skip, lists, decode, same("text"))[1]
        print(f"{len(lists)} lists of ids, special tokens {'skipped' if skip else 'spelled'}, {different} different")
        back += different
    return wrong + back > 0


if __name__ == "__main__":
    sys.exit(main())
