"""Answers the held-out requests with transformers (fp32, greedy); compare.py compares them with the answers of qwren.

usage: python answers_reference.py MODEL HELDOUT/requests.jsonl reference.jsonl [--limit 500] [--processes 2]

With --limit so many requests are taken, evenly spread.  Answers that are already in the output file are kept, so an
interrupted run goes on.  Each line carries the id of its request.
"""
import argparse
import base64
import io
import json
import multiprocessing
import os
import re

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3_5ForConditionalGeneration

from answers import read_lines


def pictures_of(messages):
    urls = [part["image_url"]["url"] for message in messages if isinstance(message["content"], list)
            for part in message["content"] if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB") for url in urls]


def typed(text, kind):
    if kind in ("integer", "number", "boolean", "array", "object"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def calls_in(text, tools):
    """The tool calls of a raw answer, arguments typed by the tools' schemas."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in tools}
    calls = []
    for name, body in re.findall(r"<tool_call>\n<function=(.*?)>\n(.*?)</function>\n</tool_call>", text, re.S):
        kinds = schemas.get(name, {})
        arguments = {key: typed(value, kinds.get(key, {}).get("type"))
                     for key, value in re.findall(r"<parameter=(.*?)>\n(.*?)\n</parameter>\n", body, re.S)}
        calls.append({"function": {"name": name, "arguments": arguments}})
    return calls


def parse(text, thinking, tools):
    """The object that qwren makes of the same tokens."""
    text = text.removesuffix("<|im_end|>")
    thought, mark, content = text.partition("</think>") if thinking else ("", "", text)
    if thinking and not mark:
        thought, content = text, ""
    return {"reasoning_content": thought.strip(), "content": content.split("<tool_call>")[0].strip(), "tool_calls": calls_in(content, tools)}


class Reference:
    def __init__(self, directory):
        self.processor = AutoProcessor.from_pretrained(directory)
        self.model = Qwen3_5ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()

    @torch.no_grad()
    def answer(self, request):
        messages, tools = request["messages"], request.get("tools")
        thinking = request["chat_template_kwargs"]["enable_thinking"]
        plain = [{**m, "content": [{"type": "image"} if part["type"] == "image_url" else part for part in m["content"]]}
                 if isinstance(m["content"], list) else m for m in messages]
        prompt = self.processor.apply_chat_template(plain, tools=tools, add_generation_prompt=True, enable_thinking=thinking, tokenize=False)
        inputs = self.processor(text=[prompt], images=pictures_of(messages) or None, return_tensors="pt")
        ids = self.model.generate(**inputs, do_sample=False, max_new_tokens=request["max_tokens"])
        text = self.processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=False)
        return {"id": request["id"], **parse(text, thinking, tools or [])}


_reference = {}


def start_process(directory):
    torch.set_num_threads(1)
    _reference["it"] = Reference(directory)


def answer_one(request):
    return _reference["it"].answer(request)


def answer_all(options):
    requests = read_lines(options.requests)
    if options.limit and options.limit < len(requests):
        requests = [requests[i * len(requests) // options.limit] for i in range(options.limit)]
    done = {answer["id"] for answer in read_lines(options.out)} if os.path.exists(options.out) else set()
    left = [request for request in requests if request["id"] not in done]
    with multiprocessing.get_context("spawn").Pool(options.processes, start_process, (options.model,)) as pool:
        with open(options.out, "a", encoding="utf-8") as file:
            for answer in pool.imap(answer_one, left):
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")
                file.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("requests")
    parser.add_argument("out")
    parser.add_argument("--limit", type=int, default=0, help="answer only so many, evenly spread")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    answer_all(options)


if __name__ == "__main__":
    main()
