"""Draws the picture of the README's demonstration: three shapes, larger than the model sees them.

usage: python make_demo_picture.py ../models/demo/shapes.png
"""
import pathlib
import sys

from PIL import Image, ImageDraw

SIZE = 320
SHARPER = 4                                 # drawn so many times larger and shrunk: smooth edges


def draw():
    side = SIZE * SHARPER
    image = Image.new("RGB", (side, side), "white")
    canvas = ImageDraw.Draw(image)
    at = lambda *numbers: tuple(number * SHARPER for number in numbers)
    canvas.ellipse(at(30, 40, 120, 130), fill=(220, 30, 30))
    canvas.rectangle(at(190, 60, 280, 150), fill=(40, 80, 230))
    canvas.polygon([at(145, 185), at(195, 275), at(95, 275)], fill=(30, 150, 60))
    return image.resize((SIZE, SIZE), Image.LANCZOS)


def main():
    path = pathlib.Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    draw().save(path, optimize=True)


if __name__ == "__main__":
    main()
