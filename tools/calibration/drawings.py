"""Small generated pictures as PNG data: URLs, each with a description: gradients, shapes, bars, noise that looks like text."""
import base64
import struct
import zlib

from .chats import request

COLOURS = {"red": (214, 40, 40), "green": (45, 150, 70), "blue": (50, 90, 210), "yellow": (240, 205, 50), "black": (25, 25, 25), "white": (250, 250, 250),
           "grey": (128, 128, 128), "purple": (130, 60, 170)}


def png(rows):
    """rows: lists of (r, g, b), all of one length."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    raw = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def url(rows):
    return "data:image/png;base64," + base64.b64encode(png(rows)).decode()


def gradient(rng, width, height):
    """In steps, so that the file stays small."""
    (first, one), (second, other) = rng.sample(sorted(COLOURS.items()), 2)
    down = rng.random() < 0.5
    steps = 16
    def pixel(x, y):
        part = (y * steps // height if down else x * steps // width) / (steps - 1)
        return tuple(round(a + (b - a) * part) for a, b in zip(one, other))
    rows = [[pixel(x, y) for x in range(width)] for y in range(height)]
    return rows, "A gradient from %s %s to %s %s." % (first, "at the top" if down else "on the left", second, "at the bottom" if down else "on the right")


def shapes(rng, width, height):
    ground, *names = rng.sample(sorted(COLOURS), 3)
    rows = [[COLOURS[ground]] * width for _ in range(height)]
    told = []
    for i, colour in enumerate(names):
        centre_x, centre_y = width * (2 * i + 1) // 4 + rng.randrange(-5, 6), height // 2 + rng.randrange(-8, 9)
        radius, form = rng.randrange(10, 18), rng.choice(["circle", "square", "diamond", "ring"])
        inside = {"circle": lambda x, y: x * x + y * y <= radius * radius, "square": lambda x, y: max(abs(x), abs(y)) <= radius,
                  "diamond": lambda x, y: abs(x) + abs(y) <= radius, "ring": lambda x, y: radius * radius // 3 <= x * x + y * y <= radius * radius}[form]
        for y in range(height):
            for x in range(width):
                if inside(x - centre_x, y - centre_y):
                    rows[y][x] = COLOURS[colour]
        told.append("a %s %s" % (colour, form))
    return rows, "On a %s ground there are, from left to right, %s." % (ground, " and ".join(told))


def bars(rng, width, height):
    count = rng.choice([3, 4, 5])
    tall = [rng.randrange(1, 9) for _ in range(count)]
    colour = COLOURS[rng.choice(["red", "green", "blue", "purple"])]
    def pixel(x, y):
        at = x * count // width
        inside = x * count % width < width * 2 // 3 and height - y <= tall[at] * height // 9
        return colour if inside else COLOURS["white"]
    return [[pixel(x, y) for x in range(width)] for y in range(height)], "A bar chart with %d bars; their heights are %s." % (count, ", ".join(map(str, tall)))


def lettering(rng, width, height):
    """Dark marks in rows on paper, as a page of text looks from afar."""
    rows = [[(245, 243, 236)] * width for _ in range(height)]
    lines = 0
    for top in range(6, height - 8, 10):
        lines += 1
        end = width - 6 - rng.randrange(width // 3)
        x = 6
        while x < end:
            for dx in range(rng.randrange(1, 4)):
                for dy in range(6):
                    if rng.random() < 0.6 and x + dx < end:
                        rows[top + dy][x + dx] = (40, 38, 45)
            x += rng.choice([4, 4, 5, 9])
    return rows, "A page with %d lines of dark text on light paper; the letters cannot be read." % lines


KINDS = [gradient, shapes, bars, lettering]
QUESTIONS = ["What is in the picture?", "Describe this picture.", "What do you see?"]


def picture_request(rng, kind):
    rows, told = kind(rng, *rng.choice([(96, 96), (128, 64), (64, 128), (96, 64)]))
    content = [{"type": "image_url", "image_url": {"url": url(rows)}}, {"type": "text", "text": rng.choice(QUESTIONS)}]
    return request([{"role": "user", "content": content}], told, thought=None if rng.random() < 0.6 else "I look at the picture from left to right.")
