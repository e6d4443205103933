"""Examples of what qwren-nano was trained to do, from the generator of its training; the caller says of which split."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "training"))

from data import lookup, pictures, sums, tools, translation, unknown  # noqa: E402
from data.batches import text_group  # noqa: E402
from heldout import entry, picture_url  # noqa: E402


def line(group, item, url=None):
    asked, _ = entry(group, item, url)
    kept = {"messages": asked["messages"] + [item.reply]}
    if group.tools:
        kept["tools"] = group.tools
    return {**kept, "chat_template_kwargs": {"enable_thinking": item.thinking}}


def text_lines(rng, split, count):
    """Every job in turn, half of it with thoughts."""
    makers = [lambda think: text_group(rng, split, sums.add_item, 1, think), lambda think: text_group(rng, split, translation.add_item, 1, think),
              lambda think: text_group(rng, split, unknown.add_item, 1, think),
              lambda think: lookup.make_group(rng, split, rng.choice([4, 8, 16, 24]), 1, think),
              lambda think: tools.make_call_group(rng, split, 1, think, 0.2), lambda think: tools.make_reply_group(rng, split, 1, think)]
    for number in range(count):
        group = makers[number % len(makers)](number // len(makers) % 2 == 0)
        yield line(group, group.items[0])


def picture_lines(rng, split, count):
    for number in range(count):
        group = pictures.make_group(rng, split, 1, number % 2 == 0, rng.choice(pictures.SIZES), {**pictures.KINDS, "left": 1.5}, 0.0)
        yield line(group, group.items[0], picture_url(group.drawing))
