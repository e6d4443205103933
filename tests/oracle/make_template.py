#!/usr/bin/env python3
"""Write cases.jsonl: messages + tools + flags -> rendered prompt (or error).

usage: python make_template.py tests/golden/data/template/chat_template.jinja tests/golden/data/template
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import template_env  # noqa: E402


def S(c):
    return {"role": "system", "content": c}


def U(c):
    return {"role": "user", "content": c}


def T(c, **k):
    return {"role": "tool", "content": c, **k}


def A(c=None, reasoning=None, calls=None, **k):
    m = {"role": "assistant", "content": c, **k}
    if reasoning is not None:
        m["reasoning_content"] = reasoning
    if calls is not None:
        m["tool_calls"] = calls
    return m


def call(name, args=None, wrap=True, **k):
    f = {"name": name}
    if args is not None:
        f["arguments"] = args
    return {"id": k.get("id", "call_1"), "type": "function", "function": f} if wrap else f


def tool(name, desc="", props=None, required=None, **extra):
    f = {"name": name}
    if desc:
        f["description"] = desc
    f["parameters"] = {"type": "object", "properties": props or {}}
    if required is not None:
        f["parameters"]["required"] = required
    f.update(extra)
    return {"type": "function", "function": f}


WEATHER = tool("get_weather", "Look up the weather.", {"city": {"type": "string", "description": "Town"},
               "unit": {"type": "string", "enum": ["C", "F"]}}, ["city"])
ADD = tool("add", "Add <two> & \"numbers\".", {"a": {"type": "number"}, "b": {"type": "number", "default": 0.5}}, ["a"])
NOPARAM = tool("now")
UNICODE = tool("übersetze", "Переводит текст → 日本語 😀", {"текст": {"type": "string"}})
FLAT = {"name": "flat", "description": "not wrapped", "parameters": {"type": "object", "properties": {}}}
IMG = {"type": "image_url", "image_url": {"url": "file:///x.png"}}
IMG2 = {"type": "image", "image": "x.png"}
IMG3 = {"image": "x.png"}
VID = {"type": "video", "video": "x.mp4"}


def TXT(s):
    return {"type": "text", "text": s}


def conversations():
    """(name, messages, tools)"""
    hi = U("Hi")
    yield "user", [hi], None
    yield "system", [S("Be brief."), hi], None
    yield "system-empty", [S(""), hi], None
    yield "system-spaces", [S("  \n x \n "), hi], None
    yield "system-none", [S(None), hi], None
    yield "system-missing", [{"role": "system"}, hi], None
    yield "system-parts", [S([TXT("a "), TXT(" b")]), hi], None
    yield "system-image", [S([IMG]), hi], None
    yield "system-video", [S([TXT("x"), VID]), hi], None
    yield "system-late", [hi, S("late")], None
    yield "system-twice", [S("one"), S("two"), hi], None
    yield "system-only", [S("one")], None
    yield "empty", [], None
    yield "user-empty", [U("")], None
    yield "user-none", [U(None)], None
    yield "user-missing", [{"role": "user"}], None
    yield "user-int", [U(5)], None
    yield "user-dict", [U({"text": "x"})], None
    yield "user-trim", [U(" \n\t Hello \r\n ")], None
    yield "user-trim-unicode", [U("\u3000\u00a0\u2028x\u0085\u001c\u001f ")], None
    yield "user-notrim", [U("\u200bx\ufeff")], None
    yield "user-nul", [U("a\u0000b")], None
    yield "user-multiline", [U("a\n\nb\n")], None
    yield "user-unicode", [U("Grüße 日本 😀 \"q\" <b> & '")], None
    yield "user-specials", [U("a<|im_end|>\n<|im_start|>system\nb <think>c</think>")], None
    yield "user-braces", [U("{{ 7*7 }} {% raw %}")], None
    yield "user-parts", [U([TXT("one"), TXT(" two ")])], None
    yield "user-parts-empty", [U([])], None
    yield "user-part-unknown", [U([{"type": "audio", "audio": "x"}])], None
    yield "user-image", [U([IMG, TXT("what?")])], None
    yield "user-image2", [U([TXT("what?"), IMG2])], None
    yield "user-image3", [U([IMG3, IMG3])], None
    yield "user-video", [U([VID, TXT("describe")])], None
    yield "user-mixed-media", [U([TXT("a"), IMG, TXT("b"), VID, IMG2, TXT("c")]), A("ok"), U([IMG, TXT("d"), VID])], None
    yield "user-type-only", [U([{"type": "video"}, {"type": "image"}])], None
    yield "user-image-url-str", [U([{"type": "image_url", "image_url": "x"}])], None
    yield "role-unknown", [hi, {"role": "developer", "content": "x"}], None
    yield "role-function", [hi, {"role": "function", "content": "x", "name": "f"}], None
    yield "role-missing", [hi, {"content": "x"}], None
    yield "no-user", [A("hello")], None
    yield "no-user-tool", [T("x")], None
    yield "only-tool-response-user", [U("<tool_response>\nx\n</tool_response>")], None
    yield "two-users", [U("a"), U("b")], None
    yield "turns", [U("a"), A("b"), U("c")], None
    yield "turns4", [S("s"), U("a"), A("b"), U("c"), A("d"), U("e")], None
    yield "last-assistant", [U("a"), A("b")], None
    yield "last-assistant-reason", [U("a"), A("b", "why")], None
    yield "reason-old", [U("a"), A("b", "old thoughts"), U("c")], None
    yield "reason-inline-old", [U("a"), A("<think>\nold\n</think>\n\nb"), U("c")], None
    yield "reason-inline-new", [U("a"), A("<think>\nnew\n</think>\n\nb")], None
    yield "reason-inline-noopen", [U("a"), A("new\n</think>\n\nb")], None
    yield "reason-inline-two", [U("a"), A("<think>x</think>m<think>y</think>n")], None
    yield "reason-inline-open-only", [U("a"), A("<think>x")], None
    yield "reason-field-and-inline", [U("a"), A("<think>i</think>b", "field")], None
    yield "reason-empty", [U("a"), A("b", "")], None
    yield "reason-spaces", [U("a"), A("b", " \n r \n ")], None
    yield "reason-not-string", [U("a"), A("b", ["x"])], None
    yield "assistant-none", [U("a"), A(None), U("b")], None
    yield "assistant-parts", [U("a"), A([TXT("x"), TXT("y")]), U("b")], None
    yield "assistant-image", [U("a"), A([IMG, TXT("y")]), U("b")], None
    yield "assistant-trim", [U("a"), A("\n  b  \n"), U("c")], None
    yield "tools", [hi], [WEATHER]
    yield "tools-system", [S("Be brief."), hi], [WEATHER]
    yield "tools-system-empty", [S("  "), hi], [WEATHER]
    yield "tools-two", [hi], [WEATHER, ADD]
    yield "tools-noparam", [hi], [NOPARAM]
    yield "tools-unicode", [hi], [UNICODE]
    yield "tools-flat", [hi], [FLAT]
    yield "tools-empty", [hi], []
    yield "tools-dict", [hi], {"a": 1}
    yield "tools-odd-order", [hi], [{"function": {"parameters": {"properties": {"z": {"type": "integer"}, "a": {"type": "integer"}}, "type": "object"}, "name": "zed"}, "type": "function"}]
    yield "tools-escapes", [hi], [tool("esc", "tab\t nl\n cr\r bs\b ff\f quote\" back\\ slash/ nul\u0000 del\u007f esc\u001b sep\u2028 <>&'")]
    yield "tools-numbers", [hi], [tool("num", "", {"x": {"type": "number", "minimum": -1.5, "maximum": 1e20, "multipleOf": 0.1, "default": 1.0, "examples": [0, -0.0, 1e-7, 123456789012345678901234567890, 1e16, 123456.789, True, False, None, 5e-324, 1.7976931348623157e308]}})]
    yield "tools-deep", [hi], [tool("deep", "", {"o": {"type": "object", "properties": {"l": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, "additionalProperties": False}}, [], strict=True)]
    c1 = call("get_weather", {"city": "Paris"})
    base = [U("Weather?"), A("", "Need the tool.", [c1]), T("12 C", tool_call_id="call_1")]
    yield "tool-loop", base, [WEATHER]
    yield "tool-loop-answer", base + [A("It is 12 C.", "Done.")], [WEATHER]
    yield "tool-loop-next", base + [A("It is 12 C.", "Done."), U("And Rome?")], [WEATHER]
    yield "tool-loop-second-call", base + [A("Also Rome.", "More.", [call("get_weather", {"city": "Rome", "unit": "F"})]), T("60 F")], [WEATHER]
    yield "tool-call-content", [U("q"), A("Looking it up.", "hm", [c1]), T("r")], [WEATHER]
    yield "tool-call-no-reason", [U("q"), A(None, None, [c1]), T("r")], [WEATHER]
    yield "tool-call-old", [U("q"), A("", "hm", [c1]), T("r"), A("ans", "hm2"), U("next")], [WEATHER]
    yield "tool-call-two", [U("q"), A("", "hm", [c1, call("add", {"a": 1, "b": 2.5}, id="call_2")]), T("r1"), T("r2")], [WEATHER, ADD]
    yield "tool-call-two-content", [U("q"), A("Both:", "hm", [c1, c1]), T("r1"), T("r2"), A("done")], [WEATHER]
    yield "tool-three-results", [U("q"), A("", "", [c1, c1, c1]), T("1"), T("2"), T("3"), U("thanks")], [WEATHER]
    yield "tool-call-unwrapped", [U("q"), A("", "", [call("get_weather", {"city": "X"}, wrap=False)]), T("r")], [WEATHER]
    yield "tool-call-noargs", [U("q"), A("", "", [call("now")]), T("r")], [NOPARAM]
    yield "tool-call-emptyargs", [U("q"), A("", "", [call("now", {})]), T("r")], [NOPARAM]
    yield "tool-call-strargs", [U("q"), A("", "", [call("now", "{\"a\": 1}")]), T("r")], [NOPARAM]
    yield "tool-call-nullargs", [U("q"), A("", "", [{"type": "function", "function": {"name": "now", "arguments": None}}]), T("r")], [NOPARAM]
    yield "tool-call-listargs", [U("q"), A("", "", [call("now", [1, 2])]), T("r")], [NOPARAM]
    yield "tool-call-noname", [U("q"), A("", "", [{"type": "function", "function": {"arguments": {}}}]), T("r")], [NOPARAM]
    yield "tool-calls-dict", [U("q"), A("x", "", {"name": "now"}), U("r")], [NOPARAM]
    yield "tool-calls-empty", [U("q"), A("x", "", []), U("r")], [NOPARAM]
    yield "tool-call-types", [U("q"), A("", "", [call("t", {"s": "a b", "i": 7, "neg": -3, "big": 12345678901234567890, "f": 1.5, "one": 1.0, "e": 1e21, "tiny": 1e-7, "t": True, "n": None,
                              "l": [1, "x", None, True, 2.0], "d": {"k": "v", "ü": [{}]}, "el": [], "ed": {}, "empty": "", "json": "{\"a\":1}"})]), T("r")], None
    yield "tool-call-multiline", [U("q"), A("", "", [call("write", {"path": "a.py", "text": "def f():\n    return '</parameter>'\n"})]), T("ok")], None
    yield "tool-call-special-text", [U("q"), A("", "", [call("write", {"text": "<|im_end|></tool_call>"})]), T("<|im_end|>")], None
    yield "tool-call-key-odd", [U("q"), A("", "", [call("x.y-z", {"a b": 1, "": 2, "ключ": "з"})]), T("r")], None
    yield "tool-empty", [U("q"), A("", "", [c1]), T("")], [WEATHER]
    yield "tool-parts", [U("q"), A("", "", [c1]), T([TXT("a"), TXT("b")])], [WEATHER]
    yield "tool-image", [U("q"), A("", "", [c1]), T([IMG, TXT("b")])], [WEATHER]
    yield "tool-none", [U("q"), A("", "", [c1]), T(None)], [WEATHER]
    yield "tool-trim", [U("q"), A("", "", [c1]), T("  r \n")], [WEATHER]
    yield "tool-after-user", [U("q"), T("stray")], None
    yield "tool-first", [T("stray"), U("q")], None
    yield "tool-then-user", [U("q"), A("", "", [c1]), T("r"), U("go on"), A("ok", "r2", [c1]), T("r3")], [WEATHER]
    yield "tool-response-user", [U("q"), A("", "think", [c1]), U("<tool_response>\nr\n</tool_response>")], [WEATHER]
    yield "tool-response-user-trim", [U("q"), A("", "think", [c1]), U("  <tool_response>r</tool_response>\n")], [WEATHER]
    yield "tool-response-half", [U("q"), A("", "think", [c1]), U("<tool_response>r")], [WEATHER]
    yield "long", [S("s")] + [m for i in range(12) for m in (U(f"q{i}"), A(f"a{i}", f"r{i}"))] + [U("end")], None
    yield "extra-fields", [{"role": "user", "content": "x", "name": "bob", "metadata": {"a": 1}}, {"role": "assistant", "content": "y", "refusal": None, "audio": None, "tool_calls": None}, U("z")], None


def main():
    src, out = sys.argv[1], pathlib.Path(sys.argv[2])
    tpl = template_env.load(src)
    rows = []
    for name, msgs, tools in conversations():
        combos = [("4b", {"add_generation_prompt": True})]
        if name in ("user", "tools", "tool-loop", "turns4", "reason-old", "last-assistant", "user-image", "tool-call-two"):
            combos += [("4b", {"add_generation_prompt": True, "enable_thinking": True}), ("4b", {"add_generation_prompt": True, "enable_thinking": False}),
                       ("0.8b", {"add_generation_prompt": True}), ("0.8b", {"add_generation_prompt": True, "enable_thinking": True}),
                       ("0.8b", {"add_generation_prompt": True, "enable_thinking": False}), ("4b", {"add_generation_prompt": False}), ("4b", {})]
        if name in ("user", "reason-old"):
            combos += [("4b", {"add_generation_prompt": True, "enable_thinking": None}), ("4b", {"add_generation_prompt": True, "enable_thinking": "false"}),
                       ("0.8b", {"add_generation_prompt": True, "enable_thinking": 1})]
        if "image" in name or "video" in name or "media" in name:
            combos += [("4b", {"add_generation_prompt": True, "add_vision_id": True})]
        if name.startswith(("last-assistant", "reason-inline", "tool-loop-answer")):
            combos += [("4b", {"add_generation_prompt": False})]
        for i, (variant, flags) in enumerate(combos):
            rows.append({"id": f"{name}/{i}", "variant": variant, "messages": msgs, "tools": tools, "flags": flags,
                         **template_env.render(tpl, variant, msgs, tools, flags)})
    with open(out / "cases.jsonl", "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=True) + "\n")
    print(len(rows), "cases,", sum("error" in r for r in rows), "errors")


if __name__ == "__main__":
    main()
