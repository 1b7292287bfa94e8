"""How fast every procedural task is, and how wrong an editor is that cheats at it; and the pictures of the gallery.

Milliseconds are of processor time on one core: run it with OMP_NUM_THREADS=1. Errors are mean squares in [0, 1] of the
benchmark's quads. Do-nothing: the source for the target. Wrong relation: the change that other parameters of the same
task make of the same scene, added to the source. Where only the after depends on the parameters, this is the target of
another draw; where only the before does, as for restorations, it is what is left when another draw's damage is undone.

    OMP_NUM_THREADS=1 python benchmarks/procedural.py [--count 10] [--write] [--sheets FOLDER]
"""

from __future__ import annotations

import argparse
import copy
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from relation_adapter.data.procedural_set import ProceduralSet, benchmark, pictures_of
from relation_adapter.data.schema import PICTURES
from relation_adapter.procedural import CATEGORIES, DrawnQuad, Task, quad_at, rng_at, task, tasks
from relation_adapter.procedural.pixels import Picture

PAGE = Path(__file__).parents[1] / "docs" / "procedural.md"
START, END = "<!-- table: benchmarks/procedural.py --write -->", "<!-- end of table -->"
SLIGHT = 0.1
SHEET_ROWS, CELL = 16, 96  # px of a picture
PICKED = {"selective colour": (5, 11, 12)}  # where the measure prefers quads without the colour that is kept
INK = (32, 32, 36)
OTHER = 10_000_000  # numbers from which other parameters are drawn


@dataclass(frozen=True)
class Measured:
    """One task: ms a quad, and the two errors."""

    task: Task
    milliseconds: float
    nothing: float
    wrong: float


def measured(entry: Task, wanted: ProceduralSet, count: int) -> Measured:
    """Draw `count` quads of the task."""
    items = [item for item in wanted.items() if item.task == entry.name][:count]
    quad_at(wanted.seed, entry, items[0].index, wanted.size)  # what is made once and kept is no part of the rate
    began = time.process_time()
    quads = [wanted.draw(item) for item in items]
    milliseconds = (time.process_time() - began) / len(items) * 1000
    nothing = float(np.mean([error(quad.source, quad.target) for quad in quads]))
    wrong = float(np.mean([_wrong(entry, wanted, item.index) for item in items]))
    return Measured(entry, milliseconds, nothing, wrong)


def error(first: Picture, second: Picture) -> float:
    """Mean square difference in [0, 1]."""
    return float(np.mean((first / 255 - second / 255) ** 2))


def _wrong(entry: Task, wanted: ProceduralSet, index: int) -> float:
    """The error of another draw's change."""
    rng = rng_at(wanted.seed, entry.name, index)
    params = entry.draw_params(rng)
    draws = (entry.draw_params(rng_at(wanted.seed, entry.name, index + OTHER + step)) for step in range(100))
    other = next(draw for draw in draws if draw != params)
    entry.draw_pair(rng, params, wanted.size)
    again = copy.deepcopy(rng)
    source, target = (picture / 255 for picture in entry.draw_pair(rng, params, wanted.size))
    first, second = (picture / 255 for picture in entry.draw_pair(again, other, wanted.size))
    return float(np.mean((source + second - first - target) ** 2))


def table(rows: list[Measured]) -> str:
    """Markdown: means and extremes, then a line a task."""
    mean = float(np.mean([row.milliseconds for row in rows]))
    slowest = max(rows, key=lambda row: row.milliseconds)
    lines = [
        f"Mean over all {len(rows)} tasks: {mean:.1f} ms a quad of four pictures, {1000 / mean:.0f} quads a second on "
        f"one core. Slowest: {slowest.task.name}, {slowest.milliseconds:.1f} ms, {1000 / slowest.milliseconds:.0f} "
        "quads a second.",
        "",
        _telling(rows),
    ]
    for category in CATEGORIES:
        lines += [
            "",
            f"### {category}",
            "",
            "| task | ms a quad | quads/s | do-nothing | wrong relation |",
            "|---|---|---|---|---|",
            *(_line(row) for row in rows if row.task.category == category),
        ]
    return "\n".join(lines)


def _telling(rows: list[Measured]) -> str:
    """How many tasks show whether the pair was read, and which hardly do."""
    shares = {row.task.name: row.wrong / row.nothing for row in rows}
    few = [name for name, share in shares.items() if share < SLIGHT]
    return (
        f"Of the {len(rows)} tasks the wrong relation is at least half as wrong as doing nothing in "
        f"{sum(share >= 0.5 for share in shares.values())}, and less than a tenth in {len(few)}: {', '.join(few)}."
    )


def _line(row: Measured) -> str:
    name = row.task.name if row.task.seen else f"**{row.task.name}** (unseen)"
    return f"| {name} | {row.milliseconds:.1f} | {1000 / row.milliseconds:.0f} | {row.nothing:.4f} | {row.wrong:.4f} |"


def write_table(text: str) -> None:
    """Put the table into the page."""
    page = PAGE.read_text()
    head, rest = page.split(START)
    PAGE.write_text(f"{head}{START}\n\n{text}\n\n{END}{rest.split(END)[1]}")


def write_sheets(folder: Path) -> None:
    """A row a task, a few sheets a category, as JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    for category in CATEGORIES:
        entries = tasks(category)
        count = -(-len(entries) // SHEET_ROWS)
        for number, part in enumerate(np.array_split(np.arange(len(entries)), count), start=1):
            sheet([entries[place] for place in part]).save(folder / f"{category}-{number}.jpg", quality=82)


def sheet(entries: list[Task]) -> Image.Image:
    """A name, then before, after, source, target, CELL px each."""
    gutter, left, top = 4, 128, 20
    sheet = Image.new("RGB", (left + 4 * (CELL + gutter), top + len(entries) * (CELL + gutter)), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for place, title in enumerate(PICTURES):
        canvas.text((left + place * (CELL + gutter) + CELL / 2, 3), title, INK, font, anchor="ma")
    for row, entry in enumerate(entries):
        y = top + row * (CELL + gutter)
        number, quad = clearest(entry)
        lines = [*textwrap.wrap(entry.name, 18), *([] if entry.seen else ["(unseen)"]), f"number {number}"]
        canvas.multiline_text((4, y + CELL / 2), "\n".join(lines), INK, font, anchor="lm")
        for place, picture in enumerate(pictures_of(quad)):
            shown = Image.fromarray(picture).resize((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(shown, (left + place * (CELL + gutter), y))
    return sheet


def clearest(entry: Task) -> tuple[int, DrawnQuad]:
    """The benchmark's quad of a task, and its number, that has the clearest outlines and the most to see."""
    wanted = benchmark()
    items = [item for item in wanted.items() if item.task == entry.name]
    quads = [(item.number, wanted.draw(item)) for item in items if item.number in PICKED.get(entry.name, range(30))]
    return max(quads, key=lambda quad: _clarity(entry, quad[1]))


def _clarity(entry: Task, quad: DrawnQuad) -> float:
    plain = (quad.after, quad.target) if entry.backwards else (quad.before, quad.source)
    changes = error(quad.before, quad.after), error(quad.source, quad.target)
    return min(map(_outlined, plain)) * min(changes) ** 0.5


def _outlined(picture: Picture) -> float:
    """The contrast, times how much of it lies in few places, as of things on a ground: the gradient's kurtosis."""
    gray = picture.mean(axis=2)
    steps = np.concatenate([np.diff(gray, axis=0).ravel(), np.diff(gray, axis=1).ravel()])
    return min(float(np.mean(steps**4) / (np.mean(steps**2) ** 2 + 1e-9)), 20.0) * float(gray.std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10, help="quads of every task, at most 30")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    parser.add_argument("--sheets", type=Path, help="write the gallery's pictures here instead")
    options = parser.parse_args()
    if options.sheets is not None:
        write_sheets(options.sheets)
        return
    wanted = benchmark()
    text = table([measured(task(name), wanted, options.count) for name in wanted.tasks])
    write_table(text) if options.write else print(text)


if __name__ == "__main__":
    main()
