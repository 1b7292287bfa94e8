"""Edit real photos by example with the built-in model: `python examples/demo.py [FOLDER]`, or `make demo`.

Reads examples/quads.jsonl; writes one picture an edit and contact_sheet.png (before, after, source, result) into
FOLDER, by default `demo`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from PIL import Image

from relation_adapter import Quad, RelationPipeline, read_quads
from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.images import open_picture, save_picture

QUADS = Path(__file__).parent / "quads.jsonl"
COLUMNS = ("before", "after", "source", "result")


def edit(pipe: RelationPipeline, quad: Quad) -> list[Image.Image]:
    """The four pictures of a row: before, after, source and what the model makes of it."""
    before, after, source = (open_picture(path) for path in (quad.before, quad.after, quad.source))
    relation = pipe.encode_relation([(before, after)])
    result = pipe(image=source, relation=relation, seed=0).images[0]
    return [before, after, source, result]


def main(folder: Path) -> None:
    """Edit every quad and lay the results out."""
    start = time.perf_counter()
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    print(f"The model mini is loaded ({time.perf_counter() - start:.1f} s).", flush=True)
    quads = read_quads(QUADS)
    rows = []
    for quad in quads:
        start = time.perf_counter()
        rows.append(edit(pipe, quad))
        seconds = time.perf_counter() - start
        path = folder / f"{quad.source.stem}_{quad.before.parent.name}.png"
        save_picture(rows[-1][-1], path)
        size = "x".join(map(str, rows[-1][-1].size))
        print(f"{quad.task:>16} -> {quad.source.name:<14} {size:>8} {seconds:5.2f} s   {path}", flush=True)
    sheet = folder / "contact_sheet.png"
    save_picture(contact_sheet(rows, COLUMNS, [quad.task or "" for quad in quads]), sheet)
    print(f"All of it on one sheet: {sheet}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
