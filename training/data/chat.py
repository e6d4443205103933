"""Conversations as text, exactly as the official chat template writes them.

A Group is the shared beginning of several conversations (a system message, a picture, a tool list, a text to read); each of
its Items continues it with a question and the wanted answer.  The beginning is computed once in training.  selftest.py
compares prefix + prompt + target with the rendering of chat_template.jinja.
"""
import dataclasses
import json
import pathlib

THOUGHT_BEGIN, THOUGHT_END = "<think>\n", "\n</think>\n\n"
USER, ASSISTANT, END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n"
IMAGE_TOKEN = "<|image_pad|>"
SYSTEM_TEXTS = ["You are a helpful assistant.", "You are qwren-nano.", "Answer briefly.", "Be kind and exact."]
TEMPLATE_FILE = pathlib.Path(__file__).resolve().parent.parent / "chat_template.jinja"


@dataclasses.dataclass
class Item:
    kind: str
    thinking: bool
    prompt: str          # what follows the group's prefix, up to and including the generation prompt
    target: str          # what the model is to write, up to and including <|im_end|>
    messages: list       # the same conversation as an API request
    reply: dict          # the wanted assistant message: content or tool_calls, maybe reasoning_content
    sources: list        # what is copied or read off: (where in target, length, where in the group's prefix), in characters; maybe the head


class Group:
    def __init__(self, opening="", picture=None, shapes=None, tools=None, system=None, history=None):
        """history: the share of items that have an earlier question and its answer; None: as is usual for the job"""
        self.opening, self.picture, self.shapes, self.tools, self.system = opening, picture, shapes, tools, system
        self.history = history
        self.items = []
        self.opened = bool(opening) or picture is not None
        self.prefix = system_block(system, tools)
        if self.opened:
            self.prefix += USER + (image_text(picture) if picture is not None else "") + opening

    def add(self, kind, question, content=None, thought="", thinking=False, history=(), call=None, round_trip=None, sources=()):
        """One question.  history: earlier (question, answer) pairs.  call: (name, arguments) is the wanted answer.
        round_trip: (name, arguments, thought, response): the tool was already called and has answered.  sources: see Item."""
        prompt, messages = "", self._system_message()
        for index, (asked, answered) in enumerate([*history, (question, None)]):
            prompt += ("" if index == 0 and self.opened else USER) + asked + END
            messages.append({"role": "user", "content": self._user_content(index, asked)})
            if answered is not None:
                prompt += ASSISTANT + answered + END
                messages.append({"role": "assistant", "content": answered})
        if round_trip:
            prompt += self._add_round_trip(messages, *round_trip)
        prompt += ASSISTANT + THOUGHT_BEGIN + ("" if thinking else THOUGHT_END)
        body = call_text(*call) if call else content
        target = (thought + THOUGHT_END if thinking else "") + body + "<|im_end|>"
        reply = {"role": "assistant", "content": "" if call else content}
        if call:
            reply["tool_calls"] = [{"function": {"name": call[0], "arguments": call[1]}}]
        if thinking:
            reply["reasoning_content"] = thought
        self.items.append(Item(kind, thinking, prompt, target, messages, reply, list(sources)))

    def has_history(self, rng, usual):
        return rng.random() < (usual if self.history is None else self.history)

    def _system_message(self):
        return [{"role": "system", "content": self.system}] if self.system else []

    def _user_content(self, index, text):
        if index > 0 or not self.opened:
            return text
        if self.picture is None:
            return self.opening + text
        return [{"type": "image"}, {"type": "text", "text": self.opening + text}]

    @staticmethod
    def _add_round_trip(messages, name, arguments, thought, response):
        called = {"role": "assistant", "content": "",
                  "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}
        if thought:
            called["reasoning_content"] = thought
        messages += [called, {"role": "tool", "content": response}]
        return (ASSISTANT + "<think>\n" + thought + "\n</think>\n\n" + call_text(name, arguments) + END
                + USER + "<tool_response>\n" + response + "\n</tool_response>" + END)


def maybe_system(rng):
    return rng.choice(SYSTEM_TEXTS) if rng.random() < 0.12 else None


def image_text(picture):
    tokens = (picture.shape[0] // 32) * (picture.shape[1] // 32)
    return "<|vision_start|>" + IMAGE_TOKEN * tokens + "<|vision_end|>"


def call_text(name, arguments):
    parameters = "".join("<parameter=%s>\n%s\n</parameter>\n" % pair for pair in arguments.items())
    return "<tool_call>\n<function=%s>\n%s</function>\n</tool_call>" % (name, parameters)


# ---- the official template, for the tool list (it is long and fixed) and for the self-test
_templates = {}


def template():
    if not _templates:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        environment.globals["raise_exception"] = _raise
        _templates["chat"] = environment.from_string(TEMPLATE_FILE.read_text(encoding="utf-8"))
    return _templates["chat"]


def _raise(message):
    raise ValueError(message)


_tool_blocks = {}


def system_block(system, tools):
    if not tools:
        return "<|im_start|>system\n" + system + END if system else ""
    key = (system, tuple(tool["function"]["name"] for tool in tools))
    if key not in _tool_blocks:
        messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": "@@"}]
        text = template().render(messages=messages, tools=tools, add_generation_prompt=False)
        if len(_tool_blocks) > 5000:
            _tool_blocks.clear()
        _tool_blocks[key] = text[:text.index(USER + "@@")]
    return _tool_blocks[key]
