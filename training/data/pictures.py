"""Pictures of one to four coloured shapes, and questions about them.

Shapes lie anywhere, in any size from about a sixth to a third of the side.  A picture is drawn three to five times too large with hard
edges and then shrunk (bicubic or box), which is what the image processor does to a picture that somebody else has drawn.
Everything that lists shapes lists them from left to right; this order is the skill that the left/right questions need.
"""
import dataclasses
import functools
import math

import numpy as np
from PIL import Image, ImageDraw

from .chat import IMAGE_TOKEN, THOUGHT_END, Group, maybe_system
from .encoding import draw

# each colour lies somewhere between two shades
COLOURS = {"red": ((205, 40, 40), (255, 0, 0)), "green": ((40, 170, 70), (0, 128, 0)),
           "blue": ((50, 90, 225), (0, 0, 255)), "yellow": ((240, 210, 40), (255, 255, 0)),
           "orange": ((240, 130, 25), (255, 165, 0)), "purple": ((150, 60, 180), (128, 0, 128)),
           "black": ((35, 35, 35), (0, 0, 0))}
COLOUR_NAMES, SHAPES = list(COLOURS), ["circle", "square", "triangle", "star", "cross"]
PATCH, CELL = 16, 32                                   # pixels: a patch of the vision tower, a merged token
SIZES = [(96, 96), (64, 96), (96, 64), (64, 128), (128, 64)]   # (height, width), about 9216 pixels
KINDS = {"list": 1.2, "count": 1.5, "colour": 1.0, "shape": 0.8, "left": 2.5}
THICK = 0.36                                           # half the width of a cross's bars


class Shape:
    def __init__(self, colour, form, x, y, radius):
        self.colour, self.form, self.x, self.y, self.radius = colour, form, x, y, radius
        self.name = colour + " " + form


# ---- drawing

def make_names(rng):
    count = rng.choice([1, 2, 2, 3, 3, 3, 4, 4, 4])
    forms = [rng.choice(SHAPES) for _ in range(2)] if rng.random() < 0.4 else SHAPES   # repeats make counting interesting
    colours = [rng.choice(COLOUR_NAMES) for _ in range(2)] if rng.random() < 0.2 else COLOUR_NAMES
    return [(rng.choice(colours), rng.choice(forms)) for _ in range(count)]


def place(rng, names, height, width):
    """Shapes at random places that do not touch each other, from left to right."""
    while True:
        shapes = []
        largest = rng.choice([11, 13, 13, 16])
        for colour, form in names:
            for _ in range(60):
                radius = rng.uniform(8.5, largest)
                x, y = rng.uniform(radius + 1, width - radius - 1), rng.uniform(radius + 1, height - radius - 1)
                if all(math.hypot(x - s.x, y - s.y) > 1.2 * (radius + s.radius) for s in shapes):
                    shapes.append(Shape(colour, form, x, y, radius))
                    break
        if len(shapes) == len(names):
            return sorted(shapes, key=lambda shape: shape.x)


def outline(shape, turn):
    """Corners of a shape around (0, 0) with radius 1; none for a circle."""
    def ring(corners, first, radii):
        angles = [turn + first + 2 * math.pi * i / corners for i in range(corners)]
        return [(math.cos(a) * radii[i % len(radii)], math.sin(a) * radii[i % len(radii)]) for i, a in enumerate(angles)]
    if shape.form == "square":
        return ring(4, math.pi / 4, [1.25])
    if shape.form == "triangle":
        return [(x, y + 0.2) for x, y in ring(3, -math.pi / 2, [1.25])]
    if shape.form == "star":
        return ring(10, -math.pi / 2, [1.25, 0.5])
    t, c, s = THICK, math.cos(turn), math.sin(turn)
    cross = [(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t), (t, 1), (-t, 1), (-t, t), (-1, t), (-1, -t), (-t, -t)]
    return [(x * c - y * s, x * s + y * c) for x, y in cross]


def paint(rng, shapes, height, width):
    """The picture as somebody might have drawn it: three to five times larger than the model sees it, with hard edges."""
    zoom = rng.choice([3, 4, 5])
    light = rng.choice([255, rng.uniform(215, 255)])
    background = tuple(clip_byte(light + rng.uniform(-6, 6)) for _ in range(3)) if light < 255 else (255, 255, 255)
    image = Image.new("RGB", (width * zoom, height * zoom), background)
    canvas = ImageDraw.Draw(image)
    for shape in shapes:
        x, y, r = shape.x * zoom, shape.y * zoom, shape.radius * zoom
        if shape.form == "circle":
            canvas.ellipse((x - r, y - r, x + r, y + r), fill=shade(rng, shape.colour))
        else:
            corners = outline(shape, rng.uniform(-0.15, 0.15))
            canvas.polygon([(x + r * a, y + r * b) for a, b in corners], fill=shade(rng, shape.colour))
    return image


def shrink(rng, drawing, height, width):
    method = Image.BICUBIC if rng.random() < 0.7 else Image.BOX
    return np.asarray(drawing.resize((width, height), method))


def shade(rng, colour):
    one, other = COLOURS[colour]
    mix = rng.random()
    return tuple(clip_byte(a + (b - a) * mix + rng.uniform(-8, 8)) for a, b in zip(one, other))


def clip_byte(value):
    return int(min(255, max(0, round(value))))


def patches(image):
    """uint8 [H, W, 3] to float [patches, 3 * 2 * 16 * 16], in the processor's order: 2 x 2 patches of a token together."""
    height, width, _ = image.shape
    x = (image.astype(np.float32) / 255 - 0.5) / 0.5
    x = x.transpose(2, 0, 1).reshape(3, height // CELL, 2, PATCH, width // CELL, 2, PATCH)
    x = x.transpose(1, 4, 2, 5, 0, 3, 6)                # cell row, cell column, patch row, patch column, channel, y, x
    x = np.repeat(x[:, :, :, :, :, None], 2, axis=5)    # a still picture counts as two equal frames
    return np.ascontiguousarray(x.reshape(-1, 3 * 2 * PATCH * PATCH))


# ---- questions: each function returns what is Asked, or None if the picture does not allow it

@dataclasses.dataclass
class Asked:
    kind: str
    question: str
    content: str
    thought: str
    said: list           # the shapes that the content names; None: it says that there is none
    thought_of: list     # the shapes that the thought names or counts
    compared: tuple = () # the two shapes of a yes/no question


def listing(shapes):
    names = [("an " if s.name[0] in "aeiou" else "a ") + s.name for s in shapes]
    text = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    return text[0].upper() + text[1:] + "."


def from_left(shapes):
    return "from left: " + ", ".join(s.name for s in shapes)


def ask_list(rng, shapes):
    question = rng.choice(["What is in the picture?", "What is in the picture?", "What do you see?", "What is this?",
                           "Describe the picture.", "Name the shapes.", "What shapes are there?"])
    return Asked("list", question, listing(shapes), from_left(shapes), shapes, shapes)


def ask_count(rng, shapes):
    chance = rng.random()
    if chance < 0.25:
        matching, what = shapes, "shapes"
    elif chance < 0.7:
        form = rng.choice([s.form for s in shapes] if rng.random() < 0.8 else SHAPES)
        matching, what = [s for s in shapes if s.form == form], form + ("es" if form == "cross" else "s")
    else:
        colour = rng.choice([s.colour for s in shapes] if rng.random() < 0.8 else COLOUR_NAMES)
        matching, what = [s for s in shapes if s.colour == colour], colour + " shapes"
    thought = "%s: %d" % (what, len(matching))
    question = rng.choice(["How many %s are there?", "How many %s are there?", "How many %s do you see?", "Count the %s."])
    return Asked("count", question % what, "%d." % len(matching), thought, [], matching)


def ask_colour(rng, shapes):
    single = [s for s in shapes if sum(other.form == s.form for other in shapes) == 1]
    missing = [form for form in SHAPES if all(s.form != form for s in shapes)]
    wording = rng.choice(["What colour is the %s?", "What colour is the %s?", "Which colour has the %s?",
                          "What color is the %s?"])
    if single and (rng.random() < 0.85 or not missing):
        shape = rng.choice(single)
        return Asked("colour", wording % shape.form, shape.colour.capitalize() + ".", shape.name, [shape], [shape])
    form = rng.choice(missing)
    return Asked("colour", wording % form, "There is no %s." % form, "no " + form, None, [])


def ask_shape(rng, shapes):
    single = [s for s in shapes if sum(other.colour == s.colour for other in shapes) == 1]
    if not single:
        return None
    shape = rng.choice(single)
    wording = rng.choice(["What shape is %s?", "Which shape is %s?", "What is %s?"])
    return Asked("shape", wording % shape.colour, "The %s." % shape.form, shape.name, [shape], [shape])


def ask_left(rng, shapes, yes_no=0.4):
    """yes_no: the share of questions that are answered with one of these words"""
    single = [s for s in shapes if sum(other.name == s.name for other in shapes) == 1]
    pairs = [(a, b) for a in single for b in single if a.x + 8 < b.x]
    if not pairs:
        return None
    left, right = rng.choice(pairs)
    side = rng.choice(["left", "left", "right"])
    wanted = left if side == "left" else right
    first, second = (left, right) if rng.random() < 0.5 else (right, left)
    thought = "%s: %s" % (side, wanted.name)
    if rng.random() < 1 - yes_no:
        wording = rng.choice(["Which is %s, the %s or the %s?", "Which is further %s, the %s or the %s?",
                              "Which one is %s: the %s or the %s?"])
        return Asked("left", wording % (side, first.name, second.name), "The %s." % wanted.name, thought, [wanted], [wanted])
    question = "Is the %s %s of the %s?" % (first.name, side, second.name)
    return Asked("left", question, "Yes." if first is wanted else "No.", thought, [], [wanted], (first, second))


ASK = {"list": ask_list, "count": ask_count, "colour": ask_colour, "shape": ask_shape, "left": ask_left,
       "yes_no": functools.partial(ask_left, yes_no=1)}


def make_group(rng, split, questions, thinking, size=(96, 96), kinds=None, history=None):
    """kinds: weights of the kinds of question."""
    kinds = kinds or KINDS
    names = draw(rng, split, make_names, lambda names: ("picture",) + tuple(sorted(names)))
    shapes = place(rng, names, *size)
    drawing = paint(rng, shapes, *size)
    group = Group(picture=shrink(rng, drawing, *size), shapes=shapes, system=maybe_system(rng), history=history)
    group.drawing = drawing
    while len(group.items) < questions:
        kind = rng.choices(list(kinds), kinds.values())[0]
        asked = ASK[kind](rng, shapes)
        if asked is None:
            if len(kinds) == 1:
                return make_group(rng, split, questions, thinking, size, kinds, history)
            continue
        history = []
        if group.has_history(rng, 0.1):
            earlier = ASK[rng.choice(["list", "count", "colour"])](rng, shapes)
            history = [(earlier.question, earlier.content)]
        group.add(asked.kind, asked.question, asked.content, asked.thought, thinking, history, sources=looked_at(group, asked, thinking))
    return group


def cell_place(group, shape):
    """Where in the group's prefix the merged token stands in which a shape is centred."""
    cell = int(shape.y // CELL) * (group.picture.shape[1] // CELL) + int(shape.x // CELL)
    return group.prefix.index(IMAGE_TOKEN) + cell * len(IMAGE_TOKEN)


def named_sources(group, text, named, start):
    """Sources (see chat.Item) of the words that name shapes in a text that begins at start: each comes from where its shape is.
    The article before them already does. Also where in the target the last of them ends."""
    sources, at = [], 0
    for shape in named:
        for word in (shape.colour, shape.form):
            place = text.lower().find(word, at)
            if place >= 0:
                before = len("an ") if text[:place].lower().endswith("an ") else len("a ") if text[:place].lower().endswith(("a ", " a ")) else 0
                sources.append((start + place - before, before + len(word), cell_place(group, shape)))
                at = place + len(word)
    return sources, start + at


def looked_at(group, asked, thinking):
    """Sources of an answer. Words that name shapes: see named_sources. A number: all that it counts, and the very first token. Where nothing
    is to be seen, or nothing more, the very first token alone is looked at. For yes or no the first two heads look at one shape each."""
    nothing = [(0, 1, 0)]
    if asked.kind == "count":
        place = len(asked.thought) - 1 if thinking else 0
        return [(place, 1, cell_place(group, shape)) for shape in asked.thought_of] + [(place, 1, 0)]
    sources, start = [], len(asked.thought) + len(THOUGHT_END) if thinking else 0
    if thinking:
        sources, end = named_sources(group, asked.thought, asked.thought_of, 0)
        sources += [(end, 1, 0)] if asked.thought_of else nothing
    if asked.said is None:
        return sources or nothing
    said, end = named_sources(group, asked.content, asked.said, start)
    sources += said + ([(end, 1, 0)] if asked.kind == "list" else [])
    return sources + [(start, 1, cell_place(group, shape), head) for head, shape in enumerate(asked.compared)]


def cell_targets(shapes, height, width):
    """What the auxiliary head is to see in each merged token: the class of the shape centred there (0: none, -1: two),
    and its centre, x and y in units of cells, x twice: within the picture and within the cell."""
    rows, columns = height // CELL, width // CELL
    classes, places = np.zeros(rows * columns, np.int64), np.zeros((rows * columns, 3), np.float32)
    for shape in shapes:
        cell = int(shape.y // CELL) * columns + int(shape.x // CELL)
        named = 1 + COLOUR_NAMES.index(shape.colour) * len(SHAPES) + SHAPES.index(shape.form)
        classes[cell] = named if classes[cell] == 0 else -1
        places[cell] = (shape.x / CELL, shape.x / CELL % 1, shape.y / CELL % 1)
    return classes, places
