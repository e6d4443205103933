"""Sums and differences of numbers up to three digits.

With thinking on, the thought does the columns from the right: digit op digit op carry = two digits, then the result so far.
"""
from .encoding import draw

ASK = ["What is %s?", "Compute %s.", "%s = ?", "How much is %s?", "%s", "Calculate %s.", "What does %s give?"]


def make_sum(rng):
    a, b, sign = number(rng), number(rng), rng.choice("+-")
    return (b, sign, a) if sign == "-" and a < b else (a, sign, b)


def number(rng):
    return rng.randrange(10 ** rng.choice([1, 2, 2, 3, 3, 3, 3]))


def column_steps(a, sign, b):
    lines, result, carry = [], "", 0
    for power in (1, 10, 100):
        x, y = a // power % 10, b // power % 10
        total = x + y + carry if sign == "+" else x - y - carry
        next_carry = int(total > 9 or total < 0)
        result = str(total % 10) + result
        lines.append("%d%s%d%s%d=%d%d: %s" % (x, sign, y, sign, carry, next_carry, total % 10, result))
        carry = next_carry
    return "\n".join(lines)


def value(a, sign, b):
    return a + b if sign == "+" else a - b


def add_item(group, rng, split, thinking):
    a, sign, b = draw(rng, split, make_sum, lambda s: ("sum",) + s)
    expression = rng.choice(["%d %s %d", "%d %s %d", "%d%s%d"]) % (a, sign, b)
    history = []
    if group.has_history(rng, 0.06):
        c, other, d = draw(rng, split, make_sum, lambda s: ("sum",) + s)
        history = [("%d %s %d" % (c, other, d), str(value(c, other, d)))]
    group.add("sum", rng.choice(ASK) % expression, str(value(a, sign, b)), column_steps(a, sign, b), thinking, history)
