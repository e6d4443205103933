"""Answers to chat requests: reading them from files, and comparing two of them.

An answer is an object with content, reasoning_content and tool_calls, as `qwren run --jsonl` prints it and as answers_reference.py writes it.
"""
import json


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def content_of(answer):
    return (answer.get("content") or "").strip()


def calls_of(answer):
    """[(name, arguments)]: arguments may be an object or, as in OpenAI's form, its JSON text."""
    calls = []
    for call in answer.get("tool_calls") or []:
        function = call.get("function", call)
        arguments = function.get("arguments")
        calls.append((function.get("name"), json.loads(arguments) if isinstance(arguments, str) else arguments))
    return calls


def same_values(a, b):
    """Equal, and of equal types: 1 is not True and not "1"."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def identical(a, b):
    """Whether two engines said the same: thought, content and calls."""
    thoughts = [(answer.get("reasoning_content") or "").strip() for answer in (a, b)]
    return thoughts[0] == thoughts[1] and content_of(a) == content_of(b) and same_values(calls_of(a), calls_of(b))
