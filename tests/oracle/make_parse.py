#!/usr/bin/env python3
"""Write cases.jsonl and tools.json: raw model output in arbitrary chunks -> reasoning_content, content, tool_calls.

usage: python make_parse.py tests/golden/data/parse
"""
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from parse_ref import parse  # noqa: E402


def fn(name, **props):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": props}}}


STR, INT, NUM, BOOL, OBJ, ARR = ({"type": t} for t in ("string", "integer", "number", "boolean", "object", "array"))
TOOLS = [
    fn("get_weather", city=STR, days=INT), fn("run", command=STR), fn("write", path=STR, text=STR), fn("now"),
    fn("calc", x=NUM, y=NUM, exact=BOOL), fn("set", data=OBJ, tags=ARR, flag=BOOL),
    fn("opt", a={"anyOf": [{"type": "string"}, {"type": "null"}]}, b={"type": ["integer", "null"]}, c={"type": ["string", "number"]},
       d={"enum": ["x", 1, True]}, e={}, f={"$ref": "#/$defs/P"}, g={"const": 5}, h={"oneOf": [{"type": "object"}, {"type": "string"}]}),
]
TOOLS[-1]["function"]["parameters"]["$defs"] = {"P": {"type": "array", "items": {"type": "integer"}}}


def C(name, *pairs, nl="\n"):
    body = "".join(f"<parameter={k}>{nl}{v}{nl}</parameter>{nl}" for k, v in pairs)
    return f"<tool_call>{nl}<function={name}>{nl}{body}</function>{nl}</tool_call>"


def cases():
    """(name, thinking, text, options)"""
    P = C("get_weather", ("city", "Paris"))
    yield "plain", False, "Hello there.", {}
    yield "plain-empty", False, "", {}
    yield "plain-spaces", False, "  Hello \n", {}
    yield "plain-unicode", False, "Grüße 日本 😀👨‍👩‍👧\n", {}
    yield "plain-angle", False, "if (a < b && c > d) x <<= 1; <div></div>", {}
    yield "plain-length", False, "Hello th", {"finish": "length"}
    yield "think", True, "Let me see.\n\nOK.\n</think>\n\nThe answer is 4.", {}
    yield "think-no-newlines", True, "x</think>y", {}
    yield "think-empty", True, "\n</think>\n\nAnswer.", {}
    yield "think-empty2", True, "</think>Answer.", {}
    yield "think-only", True, "all thoughts\n</think>\n\n", {}
    yield "think-truncated", True, "still thinking about", {"finish": "length"}
    yield "think-truncated-tag", True, "still thinking</thi", {"finish": "length"}
    yield "think-reopened", True, "<think>\nabc\n</think>\n\nd", {}
    yield "think-second-close", True, "a</think>b</think>c", {}
    yield "think-mentions-tags", True, "I could use <tool_call> here, or <think>.\n</think>\n\nFine.", {"tools": TOOLS}
    yield "think-lookalikes", True, "a </ think> </thinks> < /think>\n</think>ok", {}
    yield "think-trailing-ws", True, "a\n\n\n</think>\n\n\n  b  ", {}
    yield "nothink-model-thinks", False, "<think>\nhm\n</think>\n\nok", {}
    yield "nothink-stray-close", False, "</think>\n\nok", {}
    yield "nothink-inner-tag", False, "The tag <think> is used.", {}
    yield "format-none", True, "abc\n</think>\n\ndef", {"reasoning_format": "none"}
    yield "format-none-off", False, "abc", {"reasoning_format": "none"}
    yield "call", False, P, {"tools": TOOLS}
    yield "call-after-think", True, "need it\n</think>\n\n" + P, {"tools": TOOLS}
    yield "call-inside-think", True, "need it\n" + P, {"tools": TOOLS}
    yield "call-at-once-in-think", True, P, {"tools": TOOLS}
    yield "call-content", False, "Let me look.\n\n" + P, {"tools": TOOLS}
    yield "call-think-content", True, "hm\n</think>\n\nLet me look.\n" + P, {"tools": TOOLS}
    yield "call-two", False, P + "\n" + C("now"), {"tools": TOOLS}
    yield "call-three", True, "x\n</think>\n\n" + P + "\n" + P + "\n\n" + C("calc", ("x", "1"), ("y", "2.5")), {"tools": TOOLS}
    yield "call-two-tight", False, P + P, {"tools": TOOLS}
    yield "call-text-between", False, P + "\nand then\n" + P, {"tools": TOOLS}
    yield "call-text-after", False, "a\n" + P + "\nDone.", {"tools": TOOLS}
    yield "call-noargs", False, C("now"), {"tools": TOOLS}
    yield "call-noargs-tight", False, "<tool_call><function=now></function></tool_call>", {"tools": TOOLS}
    yield "call-tight", False, C("get_weather", ("city", "Rome"), nl=""), {"tools": TOOLS}
    yield "call-crlf", False, C("get_weather", ("city", "Rome"), nl="\r\n"), {"tools": TOOLS}
    yield "call-multiline", False, C("write", ("path", "a.py"), ("text", "def f():\n    return 1\n\nf()")), {"tools": TOOLS}
    yield "call-trailing-newline", False, C("write", ("path", "a"), ("text", "x\n")), {"tools": TOOLS}
    yield "call-leading-indent", False, C("write", ("path", "a"), ("text", "    x")), {"tools": TOOLS}
    yield "call-blank-value", False, C("write", ("path", ""), ("text", "\n\n")), {"tools": TOOLS}
    yield "call-xml-value", False, C("write", ("path", "a"), ("text", "<a>\n</parameter>\n</a> <parameter=q> </function> done")), {"tools": TOOLS}
    yield "call-nested-text", False, C("write", ("path", "a"), ("text", "say <tool_call> and </tool_call> and </think>")), {"tools": TOOLS}
    yield "call-types", False, C("calc", ("x", "3"), ("y", "-2.50e3"), ("exact", "true")), {"tools": TOOLS}
    yield "call-bool-python", False, C("calc", ("x", "3.0"), ("exact", "False")), {"tools": TOOLS}
    yield "call-bad-number", False, C("calc", ("x", "three"), ("y", "1,5"), ("exact", "yes")), {"tools": TOOLS}
    yield "call-int-float", False, C("get_weather", ("city", "7"), ("days", "3.0")), {"tools": TOOLS}
    yield "call-int-bad", False, C("get_weather", ("days", "3.5"), ("city", "null")), {"tools": TOOLS}
    yield "call-int-spaces", False, C("get_weather", ("days", "  12 ")), {"tools": TOOLS}
    yield "call-int-leading0", False, C("get_weather", ("days", "007")), {"tools": TOOLS}
    yield "call-big-int", False, C("get_weather", ("days", "123456789012345678901")), {"tools": TOOLS}
    yield "call-null", False, C("get_weather", ("days", "null"), ("city", "None")), {"tools": TOOLS}
    yield "call-object", False, C("set", ("data", '{"a": [1, {"b": null}], "ü": "\\u00e9"}'), ("tags", '["x", "y"]')), {"tools": TOOLS}
    yield "call-object-pretty", False, C("set", ("data", '{\n  "a": 1\n}'), ("tags", "[\n]")), {"tools": TOOLS}
    yield "call-object-python", False, C("set", ("data", "{'a': True, 'b': None, 'c': 'it\\'s'}"), ("tags", "['x', 1,]")), {"tools": TOOLS}
    yield "call-object-broken", False, C("set", ("data", '{"a": '), ("tags", "x, y")), {"tools": TOOLS}
    yield "call-object-wrong-kind", False, C("set", ("data", "[1]"), ("tags", '{"a":1}')), {"tools": TOOLS}
    yield "call-opt-null", False, C("opt", ("a", "null"), ("b", "None"), ("c", "null")), {"tools": TOOLS}
    yield "call-opt-values", False, C("opt", ("a", "12"), ("b", "12"), ("c", "12")), {"tools": TOOLS}
    yield "call-opt-more", False, C("opt", ("d", "1"), ("e", "[1]"), ("f", "[1, 2]"), ("g", "5"), ("h", '{"k": 1}')), {"tools": TOOLS}
    yield "call-opt-more2", False, C("opt", ("d", "true"), ("f", "oops"), ("g", "6"), ("h", "{not json"), ("c", "abc")), {"tools": TOOLS}
    yield "call-unknown-param", False, C("get_weather", ("city", "A"), ("zip", "123")), {"tools": TOOLS}
    yield "call-unknown-function", False, C("launch", ("x", "1")), {"tools": TOOLS}
    yield "call-repeated-param", False, C("get_weather", ("city", "A"), ("city", "B")), {"tools": TOOLS}
    yield "call-no-tools", False, P, {}
    yield "call-choice-none", False, "x " + P, {"tools": TOOLS, "tool_choice": "none"}
    yield "call-no-tools-think", True, "a\n" + P + "\n</think>\n\nb", {}
    yield "call-missing-close", False, P[:-len("\n</tool_call>")], {"tools": TOOLS}
    yield "call-missing-param-close", False, "<tool_call>\n<function=run>\n<parameter=command>\nls\n</function>\n</tool_call>", {"tools": TOOLS}
    yield "call-cut-in-value", False, "Sure.\n\n" + P[:-40], {"tools": TOOLS, "finish": "length"}
    yield "call-cut-in-tag", False, "Sure.\n\n<tool_call>\n<funct", {"tools": TOOLS, "finish": "length"}
    yield "call-cut-after-param", False, "<tool_call>\n<function=run>\n<parameter=command>\nls\n</parameter>\n", {"tools": TOOLS, "finish": "length"}
    yield "call-second-cut", False, P + "\n<tool_call>\n<function=run>\n<parameter=comm", {"tools": TOOLS, "finish": "length"}
    yield "call-json-style", False, '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>', {"tools": TOOLS}
    yield "call-json-bad", False, '<tool_call>\n{"nome": 1}\n</tool_call>', {"tools": TOOLS}
    yield "call-not-a-call", False, "The <tool_call> tag wraps a call; </tool_call> ends it.", {"tools": TOOLS}
    yield "call-code-fence", False, "```cpp\n#include <functional>\nstd::function<void()> f;\n```\n", {"tools": TOOLS}
    yield "call-bare-function", False, "<function=now>\n</function>", {"tools": TOOLS}
    yield "call-spaces-in-name", False, "<tool_call>\n<function= now >\n</function>\n</tool_call>", {"tools": TOOLS}
    yield "call-dotted-name", False, C("mcp__fs.read-file", ("a b", "1")), {"tools": TOOLS}
    yield "call-long-value", False, C("write", ("path", "p"), ("text", "line of text\n" * 400)), {"tools": TOOLS}
    yield "json-answer", True, "format\n</think>\n\n{\"a\": 1}", {}


def split(text, rnd, how):
    if how == "one":
        return [text]
    if how == "chars":
        return list(text)
    out, i = [], 0
    while i < len(text):
        n = rnd.randint(1, 7)
        out.append(text[i:i + n])
        i += n
    return out


def main():
    out, rnd, n = pathlib.Path(sys.argv[1]), random.Random(5), 0
    with open(out / "cases.jsonl", "w", encoding="utf-8") as f:
        for name, thinking, text, opt in cases():
            want = parse(text, thinking, **opt)
            how = "chars" if n % 3 == 0 and len(text) < 1500 else "random"
            row = {"id": name, "thinking": thinking, "tools": opt.get("tools"), "tool_choice": opt.get("tool_choice", "auto"),
                   "reasoning_format": opt.get("reasoning_format", "auto"), "finish": opt.get("finish", "stop"),
                   "chunks": split(text, rnd, how), "expect": want}
            if row["tools"]:
                row["tools"] = "TOOLS"        # the shared list, stored once in tools.json
            f.write(json.dumps(row, ensure_ascii=True) + "\n")
            n += 1
    (out / "tools.json").write_text(json.dumps(TOOLS, indent=1) + "\n")
    print(n, "cases")


if __name__ == "__main__":
    main()
