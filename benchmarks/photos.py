"""How near a model comes to the true result on real photos that it never trained on.

For each edit, parameters are drawn once per item; the pair is a crop of one photo, the source a crop of another, both
at the model's own resolution. Figures are mean squared errors in [0, 1] pixels, and their ratio to leaving the source
as it is. The last two lines swap before and after of a brightening (darkening) pair and count how often the output
gets darker (brighter).

    python benchmarks/photos.py [--model mini|FILE|BASELINE] [--items 20] [--steps N] [--json] [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from relation_adapter import RelationPipeline
from relation_adapter.baselines import EDITORS, Choices
from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.editor import Editor, EditRequest
from relation_adapter.images import open_picture, save_picture
from relation_adapter.pipeline import RelationEditor
from relation_adapter.procedural import task
from relation_adapter.procedural.pixels import Picture
from relation_adapter.procedural.task import crop_photo

PHOTOS = Path(__file__).parent.parent / "examples" / "photos"
EDITS = (
    *("grayscale", "negative", "brighten", "darken", "raise contrast"),
    *("sepia", "tint", "blur", "horizontal flip", "posterize"),
)
SETTLED = {"horizontal flip": ("flip", {"axis": "horizontal"})}  # rows of one draw of a task: the task, its parameters
SIZE = 128
Row = list[Image.Image]


@dataclass(frozen=True)
class Found:
    """By edit its errors, by edit the share of swapped pairs that lead the other way, seconds an edit, and a sheet."""

    results: dict[str, dict[str, float]]
    direction: dict[str, float]
    seconds: float
    rows: list[Row]


def main() -> None:
    options = _options()
    found = run(open_editor(options), options.items)
    if options.json:
        told = {"mean_ratio": mean_ratio(found), "swapped": found.direction, "seconds": found.seconds}
        print(json.dumps({"edits": found.results, **told}))
    else:
        print(table(found))
    if options.sheet:
        save_picture(sheet(found), options.sheet)


def run(editor: Editor, items: int) -> Found:
    """Every edit on `items` pairs of crops."""
    photos = [np.asarray(open_picture(path)) for path in sorted(PHOTOS.iterdir()) if path.suffix in (".jpg", ".png")]
    seconds: list[float] = []
    results, rows = {}, []
    for number, name in enumerate(EDITS):
        quads = [draw(name, photos, number, item) for item in range(items)]
        outputs = edit(editor, [quad[:3] for quad in quads], seconds)
        results[name] = score(quads, outputs)
        rows += [[*quads[0], outputs[0]]]
    direction = {
        name: swapped(editor, [draw(name, photos, EDITS.index(name), item) for item in range(items)])
        for name in ("brighten", "darken")
    }
    return Found(results, direction, float(np.mean(seconds)), rows)


def sheet(found: Found) -> Image.Image:
    """One item an edit."""
    return contact_sheet(found.rows, ("before", "after", "source", "truth", "result"), EDITS, cell=128)


def draw(name: str, photos: Sequence[Picture], number: int, item: int) -> Row:
    """before, after, source, target of one item, each SIZE x SIZE."""
    rng = np.random.default_rng([number, item])
    of, settled = SETTLED.get(name, (name, None))
    chosen = task(of)
    params = chosen.draw_params(rng) if settled is None else settled
    first, second = rng.choice(len(photos), 2, replace=False)
    pictures = []
    for index in (first, second):
        before = crop_photo(rng, photos[int(index)], SIZE)
        pictures += [before, chosen.apply(before, params)]
    return [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]


def open_editor(options: argparse.Namespace) -> Editor:
    """A baseline by its name, or a model."""
    if options.model in EDITORS:
        return EDITORS[options.model].make(Choices(steps=options.steps))
    pipe = RelationPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    return RelationEditor(pipe, **({"num_inference_steps": options.steps} if options.steps else {}))


def edit(editor: Editor, items: Sequence[Row], seconds: list[float]) -> Row:
    """One edit per (before, after, source); how long each took is added to seconds."""
    results = [editor.edit(EditRequest([(before, after)], source)) for before, after, source in items]
    seconds += [result.seconds for result in results]
    return [result.image for result in results]


def score(quads: Sequence[Row], outputs: Row) -> dict[str, float]:
    error = float(np.mean([mse(out, quad[3]) for quad, out in zip(quads, outputs, strict=True)]))
    nothing = float(np.mean([mse(quad[2], quad[3]) for quad in quads]))
    return {"mse": error, "nothing": nothing, "ratio": error / nothing}


def swapped(editor: Editor, quads: Sequence[Row]) -> float:
    """Share of items whose brightness goes the other way once before and after are swapped."""
    outputs = edit(editor, [[after, before, source] for before, after, source, _ in quads], [])
    signs = [np.sign(brightness(after) - brightness(before)) for before, after, *_ in quads]
    changes = [brightness(out) - brightness(quad[2]) for out, quad in zip(outputs, quads, strict=True)]
    return float(np.mean([sign * change < 0 for sign, change in zip(signs, changes, strict=True)]))


def mse(first: Image.Image, second: Image.Image) -> float:
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(np.mean((difference / 255) ** 2))


def brightness(image: Image.Image) -> float:
    return float(np.asarray(image, np.float64).mean())


def mean_ratio(found: Found) -> float:
    """Error over that of doing nothing, mean over the edits."""
    return float(np.mean([row["ratio"] for row in found.results.values()]))


def table(found: Found) -> str:
    """Markdown, and what else was measured."""
    lines = ["| edit | error | doing nothing | ratio |", "|---|---|---|---|"]
    for name, row in found.results.items():
        lines.append(f"| {name} | {row['mse']:.5f} | {row['nothing']:.5f} | {row['ratio']:.2f} |")
    lines += [f"| mean | | | {mean_ratio(found):.2f} |", "", f"seconds per edit: {found.seconds:.2f}"]
    for name, share in found.direction.items():
        lines.append(f"{name}, before and after swapped: the other way in {share:.0%}")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--items", type=int, default=20, help="pictures per edit")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sheet", help="write a contact sheet of one item per edit")
    return parser.parse_args()


if __name__ == "__main__":
    main()
