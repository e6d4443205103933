"""Finding the value of a key in a text: lists of two to some sixty lines, in several styles.

Two kinds of question.  "lookup" asks for one value; that is the job that is tested.  "recall" asks for several values in one answer;
it teaches the same skill with ten times as many learning signals per position, and is useful by itself.
"""
from .chat import Group, maybe_system
from .encoding import draw

NOUNS = """apple bag ball bank bed bell bird boat book box bread brush bus cake car card cat chair clock coat coin cup desk dog
door drum egg farm fish flag fork gate glove hat horse house jar key kite knife lamp leaf lock map milk moon nail nest oven pen
phone piano plate pond pot ring road rock roof rope sail seed shirt shoe soap sock spoon star stone sun table tent tower train
tree wall watch wheel window""".split()
FIELDS = """name port host user file date time size width height level code type mode color color2 title author price year
number path style state status group list index limit offset count order event event2 email link page city street room floor
source target length weight speed score rank team owner label version format image label2 day month hour minute address""".split()
FIELDS = [f for f in FIELDS if f.isalpha()]
KEYS = NOUNS + FIELDS
WORD_VALUES = """red green blue yellow black white north south east west open closed big small left right high low on off yes no
true false new old full empty hot cold fast slow hard soft good bad long short top bottom first last day night in out up down
gold silver wood iron""".split()
SYLLABLES = "ba be bo da de do fa fi ga go ka ki ko la le lo ma me mi mo na ne no pa pe po ra re ri ro sa se so ta te to va vi wa zo".split()
STYLES = [("- %s: %s", "\n"), ("%s: %s", "\n"), ("%s = %s", "\n"), ("The value of %s is %s.", "\n"), ("The value of %s is %s.", " "),
          ("%s is %s.", " "), ("%s -> %s", "\n"), ("%s: %s", ", "), ("* %s = %s", "\n")]
OPENINGS = ["Here is a list.\n", "Read this:\n", "Read this text.\n", "", "Settings:\n", "Remember:\n"]
ASK_ONE = ["What is the value of %s?", "What is the value of %s?", "Which value has %s?", "Find %s.", "What is %s?", "Look up %s.",
           "Give me the value of %s."]
ASK_MANY = ["Give the values of %s.", "List these: %s.", "What are the values of %s?"]
ABSENT = "It is not in the text."


def invented_word(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([2, 2, 3])))


def make_keys(rng, lines):
    pool = NOUNS if rng.random() < 0.35 else FIELDS if rng.random() < 0.2 and lines < 40 else KEYS
    keys = rng.sample(pool, min(len(pool), lines + 1))
    if rng.random() < 0.2:                              # words that were never seen: nothing but the text can tell
        keys = list(dict.fromkeys(invented_word(rng) for _ in range(3 * len(keys))))[:len(keys)]
    return keys[:-1], keys[-1]                          # the last one is absent from the text


def make_value(rng):
    chance = rng.random()
    if chance < 0.65:
        return str(rng.randrange(10 ** rng.choice([2, 3, 3, 4, 4])))
    return rng.choice(WORD_VALUES) if chance < 0.95 else invented_word(rng)


def make_text(rng, split, lines):
    """(text, keys, values, where each value begins in the text, absent key)"""
    keys, absent = make_keys(rng, lines)
    values = draw(rng, split, lambda r: [make_value(r) for _ in keys], lambda v: ("lookup", tuple(keys), tuple(v)))
    form, between = rng.choice(STYLES)
    text, places, behind = rng.choice(OPENINGS), [], len(form.rsplit("%s", 1)[1])
    for at, pair in enumerate(zip(keys, values)):
        text += (between if at else "") + form % pair
        places.append(len(text) - behind - len(pair[1]))
    return text + "\n", keys, values, places, absent


def make_group(rng, split, lines, questions, thinking=None, history=None):
    text, keys, values, places, absent = make_text(rng, split, lines)
    group = Group(opening=text, system=maybe_system(rng), history=history)
    start = len(group.prefix) - len(text)
    for _ in range(questions):
        think = rng.random() < 0.3 if thinking is None else thinking
        history = []
        if group.has_history(rng, 0.05):
            at = rng.randrange(len(keys))
            history = [("What is the value of %s?" % keys[at], values[at])]
        if rng.random() < 0.07:
            key, content, thought, source = absent, ABSENT, absent + ": not there", (len(absent) + 2 if think else 0, 1, 0)
        else:
            at = rng.randrange(len(keys))
            key, content, thought = keys[at], values[at], keys[at] + ": " + values[at]
            source = (len(key) + 2 if think else 0, len(content), start + places[at])
        group.add("lookup", rng.choice(ASK_ONE) % key, content, thought, think, history, sources=[source])
    return group


def make_recall_group(rng, split, lines, questions, asked=8):
    text, keys, values, places, _ = make_text(rng, split, lines)
    group = Group(opening=text, system=maybe_system(rng))
    start = len(group.prefix) - len(text)
    for _ in range(questions):
        chosen = rng.sample(range(len(keys)), min(asked, len(keys)))
        names = [keys[at] for at in chosen]
        wanted = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
        content, sources = "", []
        for at in chosen:
            content += ("\n" if content else "") + keys[at] + ": "
            sources.append((len(content), len(values[at]), start + places[at]))
            content += values[at]
        group.add("recall", rng.choice(ASK_MANY) % wanted, content, sources=sources)
    return group
