"""Reference parser: raw generated text of a Qwen3.5 model -> reasoning_content, content, tool_calls.

It looks at the whole text at once and is the meaning of the output parser in src/text/stream*.c, which must give the same result
however the text is cut: make_parse.py makes the golden cases with it, random_parse.py compares the two on random markup.
"""
import ast
import json
import re

WS = " \t\r\n\f\v"
CALL_OPEN = re.compile(r"<tool_call>[ \t\r\n]*(?=<function=|\{)")
FUNC_OPEN = re.compile(r"<function=([^>\n]*)>")
PARAM_OPEN = re.compile(r"[ \t\r\n]*<parameter=([^>\n]*)>")
FUNC_CLOSE = re.compile(r"[ \t\r\n]*</function>")
CALL_CLOSE = re.compile(r"[ \t\r\n]*</tool_call>")
VALUE_END = re.compile(r"</parameter>(?=[ \t\r\n]*(?:<parameter=|</function>|</tool_call>|\Z))"
                       r"|(?=</function>[ \t\r\n]*(?:</tool_call>|\Z))")
CUT_OPEN = re.compile(r"<tool_call>[ \t\r\n]*(?:<(?:f(?:u(?:n(?:c(?:t(?:i(?:o(?:n)?)?)?)?)?)?)?)?)?\Z")   # output cut inside an opener
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")


def deref(schema, root):
    for _ in range(8):
        ref = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(ref, str) or not ref.startswith("#/"):
            break
        node = root
        for part in ref[2:].split("/"):
            node = node.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, dict) else {}
        schema = node
    return schema if isinstance(schema, dict) else {}


def types_of(schema, root, depth=0):
    """Set of JSON types the schema admits; empty set when it does not say."""
    schema = deref(schema, root)
    t = schema.get("type")
    if isinstance(t, str):
        return {t.strip().lower()}
    if isinstance(t, list):
        return {str(x).strip().lower() for x in t}
    if "const" in schema or "enum" in schema:
        vals = [schema["const"]] if "const" in schema else schema["enum"]
        return {json_type(v) for v in vals}
    out = set()
    if depth < 6:
        for key in ("anyOf", "oneOf", "allOf"):
            for sub in schema.get(key) or []:
                out |= types_of(sub, root, depth + 1)
    if not out and "properties" in schema:
        out = {"object"}
    if not out and "items" in schema:
        out = {"array"}
    return out


def json_type(v):
    if v is None:
        return "null"
    if isinstance(v, bool):
        return "boolean"
    if isinstance(v, int):
        return "integer"
    if isinstance(v, float):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(v)]


def convert(raw, schema, root):
    """Parameter text -> JSON value, steered by the schema; the raw string when nothing else fits."""
    types = types_of(schema, root)
    if not types or types == {"string"}:
        return raw
    s = raw.strip(WS)
    if "null" in types and s.lower() in ("null", "none"):
        return None
    if "boolean" in types and s.lower() in ("true", "false"):
        return s.lower() == "true"
    if types & {"integer", "number"} and NUMBER.match(s):
        v = json.loads(s)
        if isinstance(v, int):
            return v
        if v == int(v) and abs(v) < 2**53:
            return int(v)
        if "number" in types:
            return v
    if ("object" in types and s[:1] == "{") or ("array" in types and s[:1] == "["):
        try:
            return json.loads(s)
        except ValueError:
            pass
        try:
            v = ast.literal_eval(s)          # model wrote a Python literal: 'x', True, None
            json.dumps(v, allow_nan=False)
            if isinstance(v, (dict, list)):
                return v
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
    if "string" not in types and "null" not in types and s.lower() in ("null", "none"):
        return None
    return raw


def find_schema(tools, name):
    for t in tools or []:
        f = t.get("function", t)
        if f.get("name") == name:
            p = f.get("parameters")
            return p if isinstance(p, dict) else {}
    return {}


def parse_call(text, pos, tools):
    """text[pos:] starts right after '<tool_call>' + blanks. -> (call, end) | ('partial', None) | None"""
    if text[pos] == "{":                      # older Qwen style: a JSON object
        try:
            obj, end = json.JSONDecoder().raw_decode(text, pos)
        except ValueError:
            return None if "</tool_call>" in text[pos:] else ("partial", None)
        if not isinstance(obj, dict) or not isinstance(obj.get("name"), str) or not isinstance(obj.get("arguments", {}), dict):
            return None
        m = CALL_CLOSE.match(text, end)
        if not m and text[end:].strip(WS):
            return None
        return {"name": obj["name"], "arguments": obj.get("arguments", {})}, m.end() if m else len(text)
    m = FUNC_OPEN.match(text, pos)
    if not m:
        return ("partial", None) if ">" not in text[pos:] and "\n" not in text[pos:] else None
    name, pos = m.group(1).strip(), m.end()
    root = find_schema(tools, name)
    props = root.get("properties") if isinstance(root.get("properties"), dict) else {}
    args = {}
    while True:
        m = FUNC_CLOSE.match(text, pos)
        if m:
            c = CALL_CLOSE.match(text, m.end())
            return {"name": name, "arguments": args}, c.end() if c else m.end()
        m = PARAM_OPEN.match(text, pos)
        if not m:
            return ("partial", None) if not text[pos:].strip(WS) or "<parameter=".startswith(text[pos:].strip(WS)[:11]) \
                or "</function>".startswith(text[pos:].strip(WS)) or PARAM_OPEN.match(text[pos:] + ">") else None
        key, pos = m.group(1).strip(), m.end()
        e = VALUE_END.search(text, pos)
        if not e or (e.end() == len(text) and e.group(0)):     # value not known to be finished
            return "partial", None
        raw, pos = text[pos:e.start()], e.end()
        raw = raw[1:] if raw.startswith("\n") else raw[2:] if raw.startswith("\r\n") else raw
        raw = raw[:-1] if raw.endswith("\n") else raw
        raw = raw[:-1] if raw.endswith("\r") else raw
        args[key] = convert(raw, props.get(key, {}), root)


def parse(text, thinking, tools=None, finish="stop", tool_choice="auto", reasoning_format="auto"):
    """thinking: the prompt ended inside an open <think> block."""
    use_tools = bool(tools) and tool_choice != "none"
    reasoning, content, calls = "", "", []
    if reasoning_format == "none":
        text = ("<think>\n" if thinking else "") + text
    else:
        head = text.lstrip(WS)
        if head.startswith("<think>"):        # the model opened the block itself
            thinking, text = True, head[len("<think>"):]
        elif not thinking and head.startswith("</think>"):
            text = head[len("</think>"):].lstrip(WS)
        if thinking:
            end = text.find("</think>")
            m = CALL_OPEN.search(text) if use_tools else None
            if m and (end < 0 or m.start() < end):
                reasoning, text = text[:m.start()], text[m.start():]
            elif end >= 0:
                reasoning, text = text[:end], text[end + len("</think>"):].lstrip(WS)
            else:
                reasoning, text = text, ""
            reasoning = reasoning.strip(WS)
    partial = False
    pos = 0
    while use_tools:
        m = CALL_OPEN.search(text, pos) or (CUT_OPEN.search(text, pos) if finish == "length" else None)
        if not m:
            break
        got = parse_call(text, m.end(), tools) if m.re is CALL_OPEN else ("partial", None)
        if got is None:                        # not a call after all: literal text
            nxt = m.end()
            content, pos = content + text[pos:nxt], nxt
            continue
        before = text[pos:m.start()]
        if calls:
            before = before.strip(WS)
            before = "\n" + before if before and content else before
        content = (content + before).rstrip(WS)
        if got[0] == "partial":
            partial, pos = True, len(text)
            break
        calls.append(got[0])
        pos = got[1]
    rest = text[pos:]
    if calls:
        rest = rest.strip(WS)
        rest = "\n" + rest if rest and content else rest
    if not partial:
        content += rest
    if not content.strip(WS) and (calls or partial or reasoning):
        content = ""
    reason = "length" if finish == "length" else "tool_calls" if calls else "stop"
    return {"reasoning_content": reasoning or None, "content": content or None, "tool_calls": calls, "finish_reason": reason}
