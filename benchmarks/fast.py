"""What each approximate way of editing saves, and what it costs: seconds, PSNR against the exact run, and the score.

    python benchmarks/fast.py [--model mini] [--quads 24] [--photos 12] [--only exact,preset] [--threads 1]

Quads of the frozen benchmark, tasks evenly chosen, and edits of real photos (`photos.py`). The ways take turns, edit by
edit, the relation encoded before; seconds are of the pipeline's call. Score: error over that of doing nothing, of the
quads and of the photos. MagCache is calibrated on other quads. 8 bits need torchao. JSON lines, then the table.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import io
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import photos
import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig, TaylorSeerCacheConfig
from PIL import Image

from relation_adapter import RelationPipeline
from relation_adapter.data.procedural_set import benchmark, pictures_of
from relation_adapter.images import open_picture

Quad = Sequence[Image.Image]  # before, after, source, target
Pixels = npt.NDArray[np.float32]
Rows = dict[str, list[dict[str, float]]]  # by way, an edit each
LONG = 24  # steps of the published and the directed design


@dataclass(frozen=True)
class Way:
    """steps: None, the design's. against: the way whose results are the exact ones."""

    steps: int | None
    against: str
    cache: Any = None
    preset: bool = False
    eight_bits: bool = False


def ways(pipe: Any, calibration: Sequence[Quad]) -> dict[str, Way]:
    few, long = f"exact, {pipe.design.steps} steps", f"exact, {LONG} steps"
    found = {few: Way(None, few)}
    if pipe.design.steps != LONG:
        found |= {long: Way(LONG, long), f"--fast, {LONG} steps": Way(LONG, long, preset=True)}
    if importlib.util.find_spec("torchao"):
        found["8-bit matrices"] = Way(None, few, eight_bits=True)
    found |= {f"{steps} steps": Way(steps, long) for steps in (1, 2, 4, 8, 12)}
    for threshold in (0.05, 0.08, 0.1, 0.2):
        found[f"first block, {threshold:g}"] = Way(LONG, long, FirstBlockCacheConfig(threshold=threshold))
    for interval, before in ((2, 6), (3, 3), (5, 3)):
        config = TaylorSeerCacheConfig(interval, before, taylor_factors_dtype=torch.float32, use_lite_mode=True)
        found[f"TaylorSeer of the output, every {interval} from {before}"] = Way(LONG, long, config)
    blocks = TaylorSeerCacheConfig(5, 3, taylor_factors_dtype=torch.float32)
    found["TaylorSeer of the attention, every 5 from 3"] = Way(LONG, long, blocks)
    ratios = calibrated(pipe, calibration)
    for threshold, most in ((0.06, 3), (0.2, 3)):
        config = MagCacheConfig(threshold, most, num_inference_steps=LONG, mag_ratios=ratios)
        found[f"MagCache, {threshold:g}"] = Way(LONG, long, config)
    return found


def chosen(found: dict[str, Way], parts: Sequence[str] | None) -> dict[str, Way]:
    """The ways with one of the parts in their name, and those that they are measured against."""
    names = [name for name in found if not parts or any(part in name for part in parts)]
    names += [found[name].against for name in names]
    return {name: way for name, way in found.items() if name in names}


def calibrated(pipe: Any, quads: Sequence[Quad]) -> list[float]:
    """The ratios that MagCache goes by: their means over some edits. diffusers prints them."""
    runs = []
    with cached(pipe, MagCacheConfig(calibrate=True, num_inference_steps=LONG)):
        for before, after, source, _ in quads:
            told = io.StringIO()
            with redirect_stdout(told):
                pipe(source, pairs=[(before, after)], num_inference_steps=LONG)
            runs.append(ast.literal_eval(told.getvalue().strip().splitlines()[-1]))
    return [statistics.mean(ratios) for ratios in zip(*runs, strict=True)]


@contextmanager
def cached(pipe: Any, config: Any) -> Iterator[None]:
    pipe.transformer.enable_cache(config)
    try:
        yield
    finally:
        pipe.transformer.disable_cache()


@contextmanager
def on_the_way(pipe: Any, eight: Any, way: Way) -> Iterator[Any]:
    """The pipeline as the way has it."""
    if way.preset:
        pipe.enable_fast()
        try:
            yield pipe
        finally:
            pipe.disable_fast()
    elif way.cache is not None:
        with cached(pipe, way.cache):
            yield pipe
    else:
        yield eight if way.eight_bits else pipe


def measure(pipe: Any, eight: Any, found: dict[str, Way], quads: Sequence[Quad]) -> Rows:
    """By way a row an edit: seconds, PSNR against the exact run, error, and that of doing nothing."""
    rows: Rows = {name: [] for name in found}
    for before, after, source, target in quads:
        relation = pipe.encode_relation([(before, after)])
        results: dict[str, Pixels] = {}
        truth = pixels(target)
        for name, way in found.items():
            with on_the_way(pipe, eight, way) as used:
                steps = {} if way.steps is None else {"num_inference_steps": way.steps}
                start = time.perf_counter()
                results[name] = used(source, relation=relation, output_type="np", **steps).images[0]
                seconds = time.perf_counter() - start
            told = {"error": mse(results[name], truth), "nothing": mse(pixels(source), truth), "seconds": seconds}
            rows[name].append(told | {"psnr": psnr(results[name], results[way.against])})
    return rows


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, np.float32) / np.float32(255)


def mse(first: Pixels, second: Pixels) -> float:
    return float(np.mean((first.astype(np.float64) - second) ** 2))


def psnr(first: Pixels, second: Pixels) -> float:
    """In dB; 100 for equal pictures."""
    return float(10 * np.log10(1 / max(1e-10, mse(first, second))))


def summed(
    rows: dict[str, list[dict[str, float]]], found: dict[str, Way], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """A line a way. kinds: of every edit, `quads` or `photos`."""
    lines = []
    for name, way in found.items():
        seconds = [row["seconds"] for row in rows[name]]
        exact = [row["seconds"] for row in rows[way.against]]
        line: dict[str, Any] = {"way": name, "against": way.against, "seconds": statistics.median(seconds)}
        line["times_as_fast"] = statistics.median(b / a for a, b in zip(seconds, exact, strict=True))
        for kind in dict.fromkeys(kinds):
            own = [row for row, of in zip(rows[name], kinds, strict=True) if of == kind]
            values = [row["psnr"] for row in own]
            line |= {f"psnr_{kind}": statistics.mean(values), f"worst_psnr_{kind}": min(values)}
            line[f"score_{kind}"] = sum(row["error"] for row in own) / sum(row["nothing"] for row in own)
        lines.append(line)
    return lines


def table(lines: Sequence[dict[str, Any]], kinds: Sequence[str]) -> str:
    head = " | ".join(f"PSNR of {kind}, mean (worst) | score of {kind}" for kind in kinds)
    text = [f"| way | against | s | times as fast | {head} |", "|---" * (4 + 2 * len(kinds)) + "|"]
    for line in lines:
        cells = [line["way"], line["against"], f"{line['seconds']:.3f}", f"{line['times_as_fast']:.2f}"]
        for kind in kinds:
            worst = line[f"worst_psnr_{kind}"]
            cells += [f"{line[f'psnr_{kind}']:.1f} ({worst:.1f})", f"{line[f'score_{kind}']:.4f}"]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)


def drawn(count: int, number: int) -> list[Quad]:
    """Quads of so many tasks of the frozen benchmark, the one of that number of each."""
    wanted = replace(benchmark(), count=number + 1)
    items = [item for item in wanted.items() if item.number == number]
    step = max(1, len(items) // count) if count else 1
    return [[Image.fromarray(one) for one in pictures_of(wanted.draw(item))] for item in items[::step][:count]]


def photo_quads(count: int) -> list[Quad]:
    read = [np.asarray(open_picture(path)) for path in sorted(photos.PHOTOS.glob("*.jpg"))]
    numbers = [divmod(index, len(photos.EDITS)) for index in range(count)]
    return [photos.draw(photos.EDITS[edit], read, edit, item) for item, edit in numbers]


def in_eight_bits(model: str) -> Any:
    """The same model with the blocks' matrices, and what goes into them, in 8 bits; None without torchao.

    But for the text's: of a source that runs alone it is empty, and torchao 0.18 knows no scale of nothing.
    """
    if not importlib.util.find_spec("torchao"):
        return None
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    pipe = opened(model)

    def wanted(module: torch.nn.Module, name: str) -> bool:
        return (
            isinstance(module, torch.nn.Linear) and "blocks." in name and "add_" not in name and "context" not in name
        )

    quantize_(pipe.transformer, Int8DynamicActivationInt8WeightConfig(), wanted)
    return pipe


def opened(model: str) -> Any:
    pipe = RelationPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    pipe = opened(options.model)
    found = chosen(ways(pipe, drawn(3, 1)), options.only)
    quads, real = drawn(options.quads, 0), photo_quads(options.photos)
    kinds = ["quads"] * len(quads) + ["photos"] * len(real)
    lines = summed(measure(pipe, in_eight_bits(options.model), found, [*quads, *real]), found, kinds)
    for line in lines:
        print(json.dumps(line | {"quads": len(quads), "photos": len(real), "threads": options.threads}))
    print("\n" + table(lines, list(dict.fromkeys(kinds))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--quads", type=int, default=24)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--only", type=lambda text: text.split(","), help="parts of the names of ways, with commas")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
