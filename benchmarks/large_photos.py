"""How near an edit of a photo larger than the model sees comes to the true one; the edits are Pillow's, not ours.

For each edit and long side, every photo in turn is the pair and the next one the source. Figures are mean squared
errors at full size over those of leaving the source as it is: of the small result enlarged, with all of the source's
own fine detail, and with what the pair keeps of it (the default). --jpeg: the pair's result is a JPEG of that quality.

    python benchmarks/large_photos.py [--model mini|FILE] [--sides 128 256 512] [--jpeg QUALITY] [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from photos import PHOTOS, Row, mse
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from relation_adapter import RelationPipeline
from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.images import open_picture, save_picture

SEPIA = (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0)
GRAIN = 25  # standard deviation of the noise, in 1/255


def hue(image: Image.Image) -> Image.Image:
    turned, *others = image.convert("HSV").split()
    return Image.merge("HSV", [turned.point(lambda value: (value + 90) % 256), *others]).convert("RGB")


def vivid(image: Image.Image) -> Image.Image:
    hues, colourful, light = image.convert("HSV").split()
    return Image.merge("HSV", [hues, colourful.point(lambda value: min(255, value * 8 // 5)), light]).convert("RGB")


def bleached(image: Image.Image) -> Image.Image:
    return ImageChops.overlay(image, image.convert("L").convert("RGB"))


def pixels(image: Image.Image) -> Image.Image:
    small = image.resize((max(1, image.width // 8), max(1, image.height // 8)), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def framed(image: Image.Image) -> Image.Image:
    width = max(1, image.width // 25)
    return ImageOps.expand(ImageOps.crop(image, width), width, "white")


def grainy(image: Image.Image) -> Image.Image:
    values = np.asarray(image) + np.random.default_rng(image.size).normal(0, GRAIN, (image.height, image.width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "sepia": lambda image: image.convert("RGB", SEPIA),
    "grayscale": lambda image: image.convert("L").convert("RGB"),
    "negative": ImageOps.invert,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.6),
    "more colour": lambda image: ImageEnhance.Color(image).enhance(1.8),
    "lighter shadows": lambda image: image.point([round(255 * (value / 255) ** 0.6) for value in range(256)] * 3),
    "solarize": lambda image: ImageOps.solarize(image, 128),
    "posterize": lambda image: ImageOps.posterize(image, 2),
    "hue": hue,
    "saturation": vivid,
    "bleach bypass": bleached,
    "mirror": ImageOps.mirror,
    "frame": framed,
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 100)),
    "slight blur": lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 300)),
    "sharpen": lambda image: image.filter(ImageFilter.UnsharpMask(2, 150, 0)),
    "median": lambda image: image.filter(ImageFilter.MedianFilter(7)),
    "pixels": pixels,
    "edges": lambda image: image.filter(ImageFilter.FIND_EDGES),
    "denoise": lambda image: image,  # of a grainy photo
}


def main() -> None:
    options = _options()
    pipe = RelationPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    photos = [open_picture(path) for path in sorted(PHOTOS.iterdir()) if path.suffix in (".jpg", ".png")]
    heads = [f"{side} px: {way}" for side in options.sides for way in ("enlarged", "all", "the pair's")]
    print(f"| edit | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
    found, rows = [], []
    for name in options.edits:
        ratios = []
        for side in options.sides:
            quads = drawn(name, [ImageOps.contain(photo, (side, side)) for photo in photos])
            errors, shown = measured(pipe, quads, options.jpeg)
            ratios += list(errors / sum(mse(source, target) for _, _, source, target in quads))
        found.append(ratios)
        rows.append([*quads[0], shown])
        print(f"| {name} | {' | '.join(f'{ratio:.3f}' for ratio in ratios)} |", flush=True)
    print(f"| mean | {' | '.join(f'{ratio:.3f}' for ratio in np.mean(found, axis=0))} |")
    if options.sheet:
        columns = ("before", "after", "source", "truth", "result")
        save_picture(contact_sheet(rows, columns, options.edits, cell=options.sides[-1]), options.sheet)


def drawn(name: str, photos: list[Image.Image]) -> list[Row]:
    """before, after, source, target: every photo as the pair, the next one as the source."""
    make = EDITS[name]
    shown = [(grainy(photo), photo) if name == "denoise" else (photo, make(photo)) for photo in photos]
    return [[*pair, *source] for pair, source in zip(shown, [*shown[1:], shown[0]], strict=True)]


def measured(pipe: RelationPipeline, quads: list[Row], jpeg: int | None) -> tuple[np.ndarray, Image.Image]:
    """Sums of the errors of the three ways, and the last way's first result."""
    errors, results = np.zeros(3), []
    for before, after, source, target in quads:
        relation = pipe.encode_relation([(before, after if jpeg is None else saved(after, jpeg))])
        kept_all = replace(relation, provenance={**relation.provenance, "detail": []})
        ways = ((kept_all, False), (kept_all, True), (relation, True))
        made = [pipe(image=source, relation=one, seed=0, detail=detail).images[0] for one, detail in ways]
        errors += [mse(image, target) for image in made]
        results.append(made[-1])
    return errors, results[0]


def saved(image: Image.Image, quality: int) -> Image.Image:
    """As a JPEG shows it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256, 512], help="long sides, px")
    parser.add_argument("--edits", nargs="+", default=[*EDITS], choices=EDITS)
    parser.add_argument("--jpeg", type=int, metavar="QUALITY", help="save the pair's result so before it is read")
    parser.add_argument("--sheet", help="write a contact sheet of one source an edit, at the last side")
    return parser.parse_args()


if __name__ == "__main__":
    main()
