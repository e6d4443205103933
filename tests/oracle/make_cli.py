#!/usr/bin/env python3
"""Writes what the program must print for the stored cases: tests/cli/expected/{template,parse}.out from tests/golden/data/*/cases.jsonl.

usage: python3 tests/oracle/make_cli.py

The cases themselves come from make_template.py and make_parse.py; here they are only put into the form of `qwren template --jsonl` and `qwren parse --jsonl`.
"""
import json
import pathlib

TESTS = pathlib.Path(__file__).resolve().parent.parent


def answer(case):
    if "expect" in case:
        return case["expect"]
    return {key: case[key] for key in ("text", "error") if key in case}


def main():
    for area in ("template", "parse"):
        cases = (TESTS / "golden" / "data" / area / "cases.jsonl").read_text(encoding="utf-8").split("\n")
        lines = [json.dumps(answer(json.loads(line)), ensure_ascii=False) for line in cases if line]
        (TESTS / "cli" / "expected" / f"{area}.out").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
