"""Conversations as chat requests that end with the assistant's answer: plain, with tools, with thoughts, about a text, about a picture."""
import json

from . import documents, sentences

SYSTEMS = ["You are a helpful assistant.", "Answer in one sentence.", "You are a careful accountant. Show each step.", "Reply in the language of the user.",
           "You write code reviews: short, exact, friendly."]


def request(messages, answer, thought=None, tools=None, call=None):
    """thought None: thinking is off."""
    reply = {"role": "assistant", "content": answer}
    if thought is not None:
        reply["reasoning_content"] = thought
    if call:
        reply["tool_calls"] = [{"type": "function", "function": {"name": call[0], "arguments": call[1]}}]
    line = {"messages": messages + [reply]}
    if tools:
        line["tools"] = tools
    line["chat_template_kwargs"] = {"enable_thinking": thought is not None}
    return line


def opening(rng):
    return [{"role": "system", "content": rng.choice(SYSTEMS)}] if rng.random() < 0.6 else []


def user(text):
    return {"role": "user", "content": text}


def in_language(rng, side):
    """Sentences to be read, and how many there are."""
    language = rng.choice(sorted(sentences.GRAMMARS))
    text = sentences.paragraph(rng, language, side, rng.choice([2, 3, 4]))
    first = sentences.sentence(rng, language, side)
    return request(opening(rng) + [user("Here is a text in %s:\n\n%s\n\nContinue it with one more sentence." % (language, text))], first)


def about_code(rng):
    language = rng.choice(sorted(documents.CODE))
    text = documents.code(rng, language)
    noun = rng.choice(documents.NOUNS)
    return request(opening(rng) + [user("Write a short example in %s about a %s." % (language, noun))],
                   "Here is one:\n\n```%s\n%s```\n\nIt checks its input before it works on it." % (language, text),
                   thought=None if rng.random() < 0.5 else "The user wants a small piece of %s. I keep it short and handle the case that fails." % language)


def sum_of(rng):
    prices = [rng.randrange(2, 400) for _ in range(rng.choice([2, 3, 4]))]
    things = rng.sample(documents.NOUNS, len(prices))
    so_far, steps = 0, []
    for price in prices:
        steps.append("%d + %d = %d" % (so_far, price, so_far + price))
        so_far += price
    question = "I bought " + ", ".join("a %s for %d euros" % pair for pair in zip(things, prices)) + ". How much is that?"
    return request(opening(rng) + [user(question)], "That is **%d euros**." % so_far, "\n".join(steps))


def lookup(rng):
    fields = {documents.name(rng): rng.randrange(10 ** 5) for _ in range(rng.choice([6, 12, 18]))}
    form = rng.choice(["%s: %s", "- %s = %s", "%s -> %s"])
    key = rng.choice(sorted(fields))
    text = "\n".join(form % pair for pair in fields.items())
    asked = [user(text + "\n\nWhat is the value of %s?" % key)]
    if rng.random() < 0.5:
        return request(opening(rng) + asked, str(fields[key]), "%s: %d" % (key, fields[key]))
    other = rng.choice(sorted(fields))
    return request(opening(rng) + asked + [{"role": "assistant", "content": str(fields[key])}, user("And of %s?" % other)], str(fields[other]))


def listing(rng):
    names = [documents.name(rng) for _ in range(rng.choice([4, 6]))]
    return request(opening(rng) + [user("Sort these names: " + ", ".join(names))], "\n".join("%d. %s" % pair for pair in enumerate(sorted(names), 1)))


def tool(name, description, **types):
    return {"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "properties": {key: {"type": kind} for key, kind in types.items()}, "required": list(types)}}}


TOOLS = [tool("get_weather", "Current weather at a place", city="string", unit="string"),
         tool("search_files", "Finds files by name and size", pattern="string", min_bytes="integer"),
         tool("convert_currency", "Converts an amount of money", amount="number", source="string", target="string"),
         tool("book_room", "Books a meeting room", room="string", hour="integer", people="integer"),
         tool("run_query", "Runs an SQL query and returns its rows", query="string")]


def arguments_of(rng, name):
    return {"get_weather": {"city": documents.name(rng), "unit": rng.choice(["celsius", "kelvin"])},
            "search_files": {"pattern": "*.%s" % rng.choice(["csv", "png", "log"]), "min_bytes": rng.randrange(10 ** 6)},
            "convert_currency": {"amount": round(rng.uniform(1, 900), 2), "source": "EUR", "target": rng.choice(["USD", "JPY", "CHF"])},
            "book_room": {"room": documents.name(rng), "hour": rng.randrange(8, 18), "people": rng.randrange(2, 12)},
            "run_query": {"query": "SELECT name FROM %ss WHERE %s > %d" % (rng.choice(documents.NOUNS), rng.choice(documents.FIELDS), rng.randrange(99))},
            }[name]


def result_of(rng, name):
    """(what the tool gives back, what the assistant says then)"""
    number, word = rng.randrange(1, 90), documents.name(rng)
    return {"get_weather": ({"temperature": number, "sky": "cloudy"}, "It is cloudy, with %d degrees." % number),
            "search_files": ({"files": [word.lower() + ".csv"], "total": 1}, "There is one file: `%s.csv`." % word.lower()),
            "convert_currency": ({"amount": number + 0.5}, "That makes %.1f." % (number + 0.5)),
            "book_room": ({"ok": True, "reference": word}, "The room is booked. Your reference is %s." % word),
            "run_query": ({"rows": [{"name": word}]}, "One row matches: %s." % word)}[name]


def tool_call(rng):
    listed = rng.sample(TOOLS, rng.choice([2, 3]))
    name = listed[0]["function"]["name"]
    rng.shuffle(listed)
    arguments = arguments_of(rng, name)
    asked = opening(rng) + [user("Please use %s with %s." % (name.replace("_", " "), ", ".join("%s %s" % pair for pair in arguments.items())))]
    thought = "I call %s." % name if rng.random() < 0.5 else None
    if rng.random() < 0.5:
        return request(asked, "", thought, listed, (name, arguments))
    given, said = result_of(rng, name)
    called = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}
    return request(asked + [called, {"role": "tool", "content": json.dumps(given)}], said, thought, listed)


KINDS = [about_code, sum_of, lookup, listing, tool_call]
