"""Compares answers to the held-out requests with the wanted ones and prints the table (Markdown).

usage: qwren run --jsonl HELDOUT/requests.jsonl > answers.jsonl
       python score.py HELDOUT/expected.jsonl answers.jsonl [--wrong 3]

Leaves with 1 if a bar is not met.
"""
import argparse
import collections
import sys

from answers import calls_of, content_of, is_right, read_lines

PICTURES = ("list", "colour", "shape", "count", "left")
ROWS = [("picture: list all shapes", ("list",)), ("picture: colour of a shape", ("colour",)), ("picture: shape of a colour", ("shape",)),
        ("picture: count", ("count",)), ("picture: which is left / right", ("left",)), ("pictures, all five kinds", PICTURES),
        ("picture: is it left / right of, yes or no", ("yes_no",)),
        ("sums and differences", ("sum",)), ("translation, 7 languages", ("translation",)),
        ("tool call: name and arguments", ("call",)), ("no listed tool fits: say so", ("no_tool",)),
        ("answer from a tool's response", ("reply",)), ("lookup, texts to 500 tokens", ("lookup",)),
        ("\"I don't know.\"", ("unknown",))]
BARS = {"pictures, all five kinds": (95, 95), "sums and differences": (None, 95), "translation, 7 languages": (95, 95),
        "tool call: name and arguments": (95, 95), "lookup, texts to 500 tokens": (85, 85)}
SUM_GAP = 20                                # points between sums with and without thinking


def tally(answers, expected):
    """{(kind, thinking): [right, all]}, and the wrong ones {kind: [(answer, wanted)]}"""
    counts, wrong = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(list)
    for answer, wanted in zip(answers, expected):
        right = "error" not in answer and is_right(answer, wanted)
        names = [wanted["kind"]] + (["lookup, %d lines" % wanted["lines"]] if "lines" in wanted else [])
        for name in names:
            counts[name, wanted["thinking"]][0] += right
            counts[name, wanted["thinking"]][1] += 1
        if not right:
            wrong[wanted["kind"]].append((answer, wanted))
    return counts, wrong


def matching(expected, answers):
    """The wanted answers in the order of the given ones: by id where the answers carry one (they may be a part), else line by line."""
    if all("id" in answer for answer in answers):
        wanted = {line["id"]: line for line in expected}
        return [wanted[answer["id"]] for answer in answers]
    if len(answers) != len(expected):
        sys.exit("score: %d answers to %d requests" % (len(answers), len(expected)))
    return expected


def percent(counts, kinds, thinking):
    """(percent right, number), or None where nothing was asked"""
    right, total = (sum(counts[kind, thinking][i] for kind in kinds) for i in (0, 1))
    return (100 * right / total, total) if total else None


def cell(value):
    return "%.1f %% (%d)" % value if value else ""


def table(counts):
    """(lines, whether every bar is met)"""
    lines, all_met = ["| task | thinking off | thinking on | bar | met |", "|---|---|---|---|---|"], True
    detail = [(name, (name,)) for name in sorted({name for name, _ in counts if "lines" in name}, key=lambda n: int(n.split()[1]))]
    for name, kinds in ROWS + detail:
        values, bars = [percent(counts, kinds, thinking) for thinking in (False, True)], BARS.get(name)
        if values == [None, None]:
            continue
        met = bars and all(bar is None or value and value[0] >= bar for bar, value in zip(bars, values))
        bar = "%d" % bars[1] if bars else ""
        if name == "sums and differences" and all(values):
            gap = values[1][0] - values[0][0]
            met, bar = met and gap >= SUM_GAP, bar + " with thinking, gap %d (it is %.0f)" % (SUM_GAP, gap)
        all_met = all_met and met is not False
        lines.append("| %s | %s | %s | %s | %s |" % (name, cell(values[0]), cell(values[1]), bar, {None: "", True: "yes", False: "no"}[met]))
    return lines, all_met


def print_wrong(wrong, number):
    for kind, pairs in sorted(wrong.items()):
        for answer, wanted in pairs[:number]:
            print("%s: %r %r, wanted %r %r" % (wanted["id"], answer.get("error") or content_of(answer), calls_of(answer),
                                               content_of(wanted), calls_of(wanted)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("expected")
    parser.add_argument("answers")
    parser.add_argument("--wrong", type=int, default=0, help="print so many wrong answers of each kind")
    options = parser.parse_args()
    expected, answers = read_lines(options.expected), read_lines(options.answers)
    counts, wrong = tally(answers, matching(expected, answers))
    lines, met = table(counts)
    print("\n".join(lines))
    print_wrong(wrong, options.wrong)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
