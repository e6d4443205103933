#!/usr/bin/env python3
"""Compare qwren's output parser with parse_ref.py on random markup, cut at random places.

usage: python random_parse.py [--count N] [--seed S] -- build/qwren parse --jsonl

The program after `--` reads {"chunks", "thinking", "tools", "tool_choice", "finish", "reasoning_format"} a line and answers the result a line.
"""
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare  # noqa: E402
import make_parse  # noqa: E402
from parse_ref import parse  # noqa: E402

PIECES = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_call>\n", "\n</tool_call>", "<function=", "<function=calc>", "<function=set>\n", "</function>", "\n</function>\n",
          "<parameter=", "<parameter=x>", "<parameter=data>\n", "<parameter=exact>", "</parameter>", "\n</parameter>\n", ">", "<", "</", "{", "}", "[1]", '{"a": 1}',
          '{"name": "f", "arguments": {"k": "v"}}', '{"name": "f"}', '{"name": 5}', '{"name"', '"', ":", "\\", " ", "\n", "\n\n", "\r\n", "\t", "\f", "word", "12", "-2.5", "1e3", "true",
          "None", "é", "日", "😀", "a b", "</tool", "<tool_c", "<para", "</func", "<thin", "x\ny"]
VALUES = ["1", "-7", "2.5", "3.0", "1e3", "1e22", "-0", "0.1", "007", "12345678901234567890", "true", "False", "null", "None", " 5 ", "abc", "", "\n", "x\n", "[1, 2]", "['a', 1,]", '{"a": 1}',
          "{'b': True}", "{'c': (1, 2)}", "{1: 'x'}", "{'a': 'it\\'s'}", '{"a": 1, "a": 2}', "{'a': 1, 'a': 2}", "[", "{", "{}", "[]", "[01]", "{'a' 'b': 1}", "[1.5, -2, +3, .5, 1_000]", '["\\u00e9"]', "['\\x41\\101\\q']",
          "line\nline", "</parameter>", "<tool_call>", "</think>", "日本", "[1, [2, [3]]]", "{'k': None, 'l': [True]}", "[('a',), ('b')]", "{'a': 1}\n", "[1,,2]", "{,}", "(1, 2)", "[1e5]", "[1E5]", "[-0.0]"]


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def soup(self, n):
        return "".join(self.r.choices(PIECES, k=self.r.randint(0, n)))

    def call(self):
        tool = self.r.choice(make_parse.TOOLS)["function"]
        keys = list(tool["parameters"]["properties"]) + ["zzz"]
        nl = self.r.choice(["\n", "\n", "\n", "", "\r\n", " "])
        return make_parse.C(tool["name"], *[(self.r.choice(keys), self.r.choice(VALUES)) for _ in range(self.r.randint(0, 4))], nl=nl)

    def text(self):
        out = []
        for _ in range(self.r.randint(1, 5)):
            kind = self.r.random()
            out.append(self.call() if kind < 0.35 else self.soup(4) if kind < 0.7 else self.soup(14) if kind < 0.8 else self.r.choice(["Hello.", "\n", "\n\n", "a\n", "</think>\n\n"]))
        text = "".join(out)
        if self.r.random() < 0.3 and text:
            i = self.r.randrange(len(text))
            text = text[:i] + (text[i + 1:] if self.r.random() < 0.5 else self.r.choice(PIECES) + text[i:])
        return text[:self.r.randrange(len(text) + 1)] if self.r.random() < 0.25 else text

    def case(self):
        text = self.text()
        return {"chunks": make_parse.split(text, self.r, self.r.choice(["one", "chars", "random", "random"])), "thinking": self.r.random() < 0.4,
                "tools": make_parse.TOOLS if self.r.random() < 0.85 else None, "tool_choice": self.r.choice(["auto"] * 8 + ["none", "required"]),
                "finish": self.r.choice(["stop", "stop", "length"]), "reasoning_format": "none" if self.r.random() < 0.08 else "auto"}


def reference(case):
    opt = {k: case[k] for k in ("tools", "tool_choice", "finish", "reasoning_format")}
    return parse("".join(case["chunks"]), case["thinking"], **opt)


def main():
    options, program = compare.arguments(__doc__)
    g = Generator(options.seed)
    cases = [g.case() for _ in range(options.count)]
    wanted, wrong = compare.compare(program, cases, reference, lambda got, want: json.dumps(got) == json.dumps(want),
                                    lambda c: {**c, "chunks": "".join(c["chunks"]), "tools": bool(c["tools"])})
    print(f"{len(cases)} outputs, {sum(len(w['tool_calls']) for w in wanted)} calls, {wrong} different")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
