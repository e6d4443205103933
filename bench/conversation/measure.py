#!/usr/bin/env python3
"""What a long conversation costs: tokens that were computed against tokens that are new, turn by turn.

Holds conversations with pictures and thinking through one `qwren run --jsonl` (one after the other, or several in turns), as a client would that keeps nothing
but messages. A turn's new tokens are those of its prompt behind what the prompt before it had up to its generation prompt: nobody can have computed
these before, for the template drops the former thought, so that the former answer stands in another context. Prints a line a turn, and at
the end the worst ratio of computed to new tokens.

    python measure.py --qwren build/qwren --model models/qwren-nano --turns 20 --chats 2
    python measure.py ... --cache-dir DIR --restart 10     # another process goes on after ten turns
"""
import argparse
import base64
import io
import json
import random
import subprocess
import sys


def picture(seed, side):
    """A PNG of coloured rectangles as a data: URL."""
    from PIL import Image, ImageDraw
    rng = random.Random(seed)
    image = Image.new("RGB", (side, side), tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = rng.randrange(side - 8), rng.randrange(side - 8)
        draw.rectangle([x, y, x + side // 4, y + side // 4], fill=tuple(rng.randrange(256) for _ in range(3)))
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


QUESTIONS = ["What is 17 + 25?", "Translate red to German.", "What do you see here?", "And what is 2 + 3?", "Which colour is it?", "Say that again, please."]


class Engine:
    """One process that answers requests, a line each."""

    def __init__(self, args):
        command = [args.qwren, "run", "-q", "-m", args.model, "--jsonl", "--greedy", "--ctx", str(args.ctx)]
        if args.cache_dir:
            command += ["--cache-dir", args.cache_dir]
        self.process = subprocess.Popen(command + args.more, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            sys.exit(f"measure.py: {answer['error']}")
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Chat:
    def __init__(self, number, args):
        self.args, self.number, self.messages, self.before = args, number, [], None
        self.messages.append({"role": "system", "content": f"You are helper {number}. " + "Be short and kind. " * args.system})

    def turn(self, engine, i):
        thinking = i % 3 != 2
        question = f"{QUESTIONS[(i + self.number) % len(QUESTIONS)]} ({self.number}.{i})"
        content = question
        if i % 5 == 2:
            content = [{"type": "image_url", "image_url": {"url": picture(100 * self.number + i, self.args.side)}}, {"type": "text", "text": question}]
        self.messages.append({"role": "user", "content": content})
        answer = engine.ask({"messages": self.messages, "enable_thinking": thinking, "max_tokens": self.args.max_tokens})
        # clients send back what they were given, with the thought or without
        message = {"role": "assistant", "content": answer["content"] or ""}
        if answer.get("reasoning_content") and i % 2:
            message["reasoning_content"] = answer["reasoning_content"]
        self.messages.append(message)
        return self.count(answer["usage"], thinking)

    def count(self, usage, thinking):
        """(prompt, new, computed); of the generation prompt nothing behind <|im_start|>assistant is in a later prompt."""
        prompt, cached = usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
        known = self.before or 0
        self.before = prompt - self.args.opening[thinking]
        return prompt, prompt - known, prompt - cached


def tokens(args, text):
    out = subprocess.run([args.qwren, "tokenize", "-m", args.model], input=text, capture_output=True, text=True, check=True)
    return len(json.loads(out.stdout))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--qwren", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--turns", type=int, default=20)
    p.add_argument("--chats", type=int, default=1, help="so many conversations in turns")
    p.add_argument("--restart", type=int, default=0, help="begin a new process after so many turns")
    p.add_argument("--cache-dir")
    p.add_argument("--ctx", type=int, default=4096)
    p.add_argument("--max-tokens", type=int, default=24)
    p.add_argument("--side", type=int, default=64, help="of the pictures, in pixels")
    p.add_argument("--system", type=int, default=4, help="length of the system prompt, in sentences")
    p.add_argument("more", nargs="*", help="further options of qwren run, behind --")
    args = p.parse_args()
    args.opening = {True: tokens(args, "<think>\n"), False: tokens(args, "<think>\n\n</think>\n\n")}
    chats, engine, worst = [Chat(n, args) for n in range(args.chats)], Engine(args), 0
    print("turn  chat  prompt     new  computed  ratio")
    for i in range(args.turns):
        if args.restart and i == args.restart:
            engine.close()
            engine = Engine(args)
        for chat in chats:
            prompt, new, computed = chat.turn(engine, i)
            worst = max(worst, computed / new)
            print(f"{i + 1:4}  {chat.number:4}  {prompt:6}  {new:6}  {computed:8}  {computed / new:5.3f}", flush=True)
    engine.close()
    print(f"worst ratio {worst:.3f}")


if __name__ == "__main__":
    main()
