#!/usr/bin/env python3
"""Compare qwren's strict template with jinja2 on random conversations, errors included.

usage: python random_template.py TEMPLATE.jinja [--count N] [--seed S] -- build/qwren template -m MODEL --jsonl

The program after `--` reads {"messages", "tools", "flags", "variant"} a line and answers {"text"} or {"error"} a line.
"""
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare  # noqa: E402
import template_env  # noqa: E402

WORDS = ["Hi", "a", "  ", "\n", "\n\n", "\t", " x ", "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
         "<|im_end|>", "<|im_start|>", "<|image_pad|>", "<function=f>", "<parameter=x>", "\u3000", "\u00a0", "\u2028", "\u0085", "\u200b", "\ufeff", "\u001c",
         "日本", "Grüße", "😀", "{{ x }}", "{% if %}", "'", '"', "\\", "\u0000", "\r\n", "</", "<", "12", "null"]
ROLES = ["user"] * 6 + ["assistant"] * 6 + ["tool"] * 4 + ["system", "developer", "function", "", None, 5]
SCALARS = [None, True, False, 0, -1, 7, 12345678901234567890, -9223372036854775808, -9223372036854775809, 1.0, -0.0, 0.1, 1e16, 1e-5, 123456.789, 1e21, 2.5e-7, 1e22]


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def maybe(self, p):
        return self.r.random() < p

    def text(self):
        if self.maybe(0.15):
            return "<tool_response>" + "".join(self.r.choices(WORDS, k=self.r.randint(0, 3))) + "</tool_response>"
        return "".join(self.r.choices(WORDS, k=self.r.randint(0, 8)))

    def value(self, depth=0):
        kind = self.r.random()
        if kind < 0.4 or depth > 3:
            return self.text()
        if kind < 0.75:
            return self.r.choice(SCALARS) if self.maybe(0.7) else self.r.uniform(-1, 1) * 10 ** self.r.randint(-20, 25)
        if kind < 0.87:
            return [self.value(depth + 1) for _ in range(self.r.randint(0, 3))]
        return {self.text(): self.value(depth + 1) for _ in range(self.r.randint(0, 3))}

    def part(self):
        kind = self.r.random()
        if kind < 0.55:
            return {"type": "text", "text": self.text() if self.maybe(0.95) else self.r.choice(SCALARS)}
        if kind < 0.75:
            return self.r.choice([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "image"}, {"image": "x"}, {"image_url": "y"}])
        if kind < 0.9:
            return self.r.choice([{"type": "video", "video": "v"}, {"video": None}, {"type": "video"}])
        return self.r.choice([{"text": self.text()}, {"type": "audio"}, {}, "text here", "an image", "else", 5, None, True, ["image"], [], {"type": "image", "text": "t"}])

    def content(self):
        kind = self.r.random()
        if kind < 0.7:
            return self.text()
        if kind < 0.95:
            return [self.part() for _ in range(self.r.randint(0, 4))]
        return self.r.choice([None, None, None, 5, 1.5, True, {"text": "x"}])

    def call(self):
        f = {"name": self.r.choice(["f", "get_weather", "x.y", "ü", "<|im_end|>", ""])}
        if self.maybe(0.02):
            f["name"] = self.r.choice([5, None, True, [], {}, 1.5])
        if self.maybe(0.02):
            del f["name"]
        if self.maybe(0.85):
            f["arguments"] = {self.text(): self.value() for _ in range(self.r.randint(0, 4))}
        if self.maybe(0.02):
            f["arguments"] = self.r.choice(["{}", None, [], 5])
        if self.maybe(0.02):
            return self.r.choice([{"function": None}, 5, "abc", None, [], {}, True, 1.5])
        return {"id": "c", "type": "function", "function": f} if self.maybe(0.8) else f

    def message(self):
        role = self.r.choice(ROLES) if self.maybe(0.06) else self.r.choice(["user", "assistant", "assistant", "tool"])
        m = {"role": role}
        if self.maybe(0.97):
            m["content"] = self.content()
        if role == "assistant":
            if self.maybe(0.4):
                m["reasoning_content"] = self.text() if self.maybe(0.9) else self.r.choice([None, 5, ["x"]])
            if self.maybe(0.4):
                m["tool_calls"] = [self.call() for _ in range(self.r.randint(0, 3))]
            if self.maybe(0.03):
                m["tool_calls"] = self.r.choice([None, {}, {"name": "f"}, 5, 0, True, "", "ab"])
        return m

    def tool(self):
        t = {"type": "function", "function": {"name": "f", "description": self.text(), "parameters": {"type": "object", "properties": {"a": self.value(), "ü": self.value()}}}}
        return t if self.maybe(0.8) else self.value()

    def case(self):
        messages = [self.message() for _ in range(self.r.randint(0 if self.maybe(0.02) else 1, 8))]
        if self.maybe(0.4):
            messages.insert(0, {"role": "system", "content": self.content()})
        if self.maybe(0.8):
            messages.insert(self.r.randint(0, len(messages)), {"role": "user", "content": self.text()})
        if messages and messages[0].get("role") != "system" and self.maybe(0.01):
            messages.append(self.r.choice([{}, "x", 5, None]))
        tools = [self.tool() for _ in range(self.r.randint(0, 3))] if self.maybe(0.4) else self.r.choice([None, None, None, [], {"a": 1}, 5])
        flags = {k: self.r.choice(v) for k, v in (("add_generation_prompt", [True, False]), ("enable_thinking", [True, False, None, "false", 1]),
                                                  ("add_vision_id", [True, False])) if self.maybe(0.6)}
        return {"messages": messages, "tools": tools, "flags": flags, "variant": self.r.choice(["4b", "0.8b"])}


def main():
    options, program = compare.arguments(__doc__, "template")
    templates, g = template_env.load(options.template), Generator(options.seed)
    cases = [g.case() for _ in range(options.count)]
    wanted, wrong = compare.compare(program, cases, lambda c: template_env.render(templates, c["variant"], c["messages"], c["tools"], c["flags"]),
                                    lambda got, want: all(got.get(k) == want.get(k) for k in ("text", "error")))
    print(f"{len(cases)} conversations, {sum('error' in w for w in wanted)} of them errors, {wrong} different")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
