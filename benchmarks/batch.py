"""A batch of edits with the disk's work done meanwhile, against one thing after the other: pictures a second.

    python benchmarks/batch.py [--sizes 512x384 2000x1500] [--items 12] [--rounds 3] [--threads 1] [--waiting S]

The photos of examples/ with grain, as JPEG, one pair for all, results as PNG. The ways take turns, so that a machine
that others use as well slows all of them alike; medians. `busy` is the share of the time in which the editor works.
`--waiting`: instead of `mini` an editor that waits S seconds, as this process does for an accelerator.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from relation_adapter import images
from relation_adapter.data.schema import Quad
from relation_adapter.data.spread import Spread, serially
from relation_adapter.editor import Editor, EditRequest, EditResult, FunctionEditor, begin
from relation_adapter.evaluate.generate import generate_with
from relation_adapter.images import Size, open_picture, save_picture
from relation_adapter.units import to_unit

PHOTOS = sorted((Path(__file__).parents[1] / "examples" / "photos").glob("*.jpg"))
ZLIBS_OWN = {"compress_level": 6}
# How the batch is worked through, and how PNGs are packed.
WAYS: dict[str, tuple[Spread | None, dict[str, int]]] = {
    "one after the other, PNGs as zlib packs": (serially, ZLIBS_OWN),
    "one after the other": (serially, images.PNG_PACKING),
    "disk meanwhile": (None, images.PNG_PACKING),
}


def main() -> None:
    options = _options()
    editor = open_editor(options)
    lines = ["| pictures | way | pictures a second | busy | times as fast |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            quads = make_quads(Path(folder) / size, size_of(size), options.items)
            found = measure(quads, editor, Path(folder) / "out", options.rounds)
            first = found[next(iter(WAYS))][0]
            for way, (rate, busy) in found.items():
                told = {"size": size, "way": way, "pictures_a_second": rate, "busy": busy}
                print(json.dumps(told | {"items": options.items, "threads": options.threads}))
                lines.append(f"| {size} | {way} | {rate:.2f} | {busy:.0%} | {rate / first:.2f} |")
    print("\n" + "\n".join(lines))


def make_quads(folder: Path, size: Size, items: int) -> list[Quad]:
    """Quads of one pair, a photo and its negative."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(items):
        photo = ImageOps.fit(open_picture(PHOTOS[number % len(PHOTOS)]), size)
        grained = to_unit(photo) + rng.normal(0, 0.01, (*photo.size[::-1], 1))
        paths.append(folder / f"{number}.jpg")
        save_picture(Image.fromarray(np.rint(np.clip(grained, 0, 1) * 255).astype(np.uint8)), paths[-1])
    after = folder / "after.jpg"
    save_picture(ImageOps.invert(open_picture(paths[0])), after)
    return [Quad(paths[0], after, path) for path in paths]


def measure(quads: list[Quad], editor: Editor, out: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """By way the median pictures a second and share of the editor, after one round that does not count."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    timed = Timed(editor)
    for number in range(rounds + 1):
        for way, (spread, images.PNG_PACKING) in WAYS.items():
            start, timed.seconds = time.perf_counter(), 0.0
            generate_with(spread, quads, timed.name, lambda: timed, out)
            seconds = time.perf_counter() - start
            if number:
                found[way].append((len(quads) / seconds, timed.seconds / seconds))
            shutil.rmtree(out)
    return {way: (_median(0, runs), _median(1, runs)) for way, runs in found.items()}


class Timed:
    """An editor, and the seconds in which it was at work itself."""

    def __init__(self, editor: Editor) -> None:
        self.editor, self.name, self.seconds = editor, editor.name, 0.0

    def begin(self, request: EditRequest) -> Callable[[], EditResult]:
        start = time.perf_counter()
        complete = begin(self.editor, request)
        self.seconds += time.perf_counter() - start
        return complete

    def edit(self, request: EditRequest) -> EditResult:
        return self.begin(request)()


def _median(place: int, runs: list[tuple[float, float]]) -> float:
    return statistics.median(run[place] for run in runs)


def open_editor(options: argparse.Namespace) -> Editor:
    """`mini`, or one that waits and gives the source back."""
    if options.waiting is not None:

        def wait(request: EditRequest) -> Image.Image:
            time.sleep(options.waiting)
            return request.source

        return FunctionEditor(wait, "waiting")
    import torch

    from relation_adapter import RelationPipeline
    from relation_adapter.pipeline import RelationEditor

    torch.set_num_threads(options.threads)
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.set_progress_bar_config(disable=True)
    return RelationEditor(pipe)


def size_of(text: str) -> Size:
    """From WxH."""
    width, height = map(int, text.split("x"))
    return width, height


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["512x384", "2000x1500"], metavar="WxH")
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--waiting", type=float, metavar="S", help="an editor that waits instead of mini")
    return parser.parse_args()


if __name__ == "__main__":
    main()
