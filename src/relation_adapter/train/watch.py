"""What a person watches while a run goes: the first batch, a line of progress, the log, validation sheets.

The loop calls `first_batch` before step one, `step` after every step, `validation` when one is due, and `close`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from tqdm.auto import tqdm

from relation_adapter.config import to_dict
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch, ProceduralBatches
from relation_adapter.data.passes import BucketBatches
from relation_adapter.data.quad_pictures import PictureBatch
from relation_adapter.errors import InputError
from relation_adapter.files import reason, write_whole
from relation_adapter.images import save_picture
from relation_adapter.model.components import Components
from relation_adapter.train.presets import TrainConfig
from relation_adapter.train.run_folder import explain
from relation_adapter.train.sheets import batch_sheet
from relation_adapter.train.tally import Tally
from relation_adapter.train.trackers import Trackers
from relation_adapter.train.validate import held_out, validate, validation_sheet

LOG_NAME, FIRST_BATCH_NAME, VALIDATION_NAME = "log.jsonl", "first_batch.png", "validation"
LOG_EVERY = 10  # steps
TELL_EVERY = 60.0  # seconds, where there is no terminal to draw a bar on


class Watch:
    """Of one run, from step `first` on.

    accelerator: adds up what the processes saw; None: one process. Every process makes the same calls; the main one
    alone writes. Raises UsageError or MissingExtraError on a tracker that cannot be used.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        first: int = 0,
        accelerator: Any = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config, self.folder, self.tell = config, folder, tell
        self.main = accelerator is None or accelerator.is_main_process
        self.tally = Tally(config, accelerator)
        self.told = time.monotonic()
        self.trackers: Trackers | None = None
        if self.main:
            explain(folder, first, getattr(accelerator, "num_processes", 1))
            forget_after(folder / LOG_NAME, first)
            self.trackers = Trackers(config.tracker, folder, to_dict(config), first, tell)
        self.bar = tqdm(
            total=config.steps,
            initial=first,
            unit="step",
            dynamic_ncols=True,
            disable=not (self.main and sys.stderr.isatty()),
        )

    @cached_property
    def tested(self) -> ProceduralBatches | BucketBatches | None:
        """The quads to validate with, the same all through the run."""
        return held_out(self.config)

    def first_batch(self, components: Components, batch: Batch | FeatureBatch | PictureBatch) -> None:
        """Draw the batch to `first_batch.png`, once in the life of a run."""
        path = self.folder / FIRST_BATCH_NAME
        if self.main and not path.exists():
            save_picture(batch_sheet(components, batch), path)
            self.tell(f"{path} shows what the run learns from")

    def step(
        self,
        step: int,
        batch: Batch | FeatureBatch,
        t: Tensor,
        errors: Tensor,
        *,
        rate: float,
        seconds: float,
        waited: float,
    ) -> None:
        """After each step. step: how many are done. t, errors: (B,), of this process's share of the batch.

        rate: the learning rate. seconds: that the step took; waited: seconds before it, for its batch.
        """
        self.tally.add(batch, t, errors, seconds, waited)
        if step % LOG_EVERY == 0 or step == self.config.steps:
            found = self.tally.taken()
            row = {"step": step, "quads": step * self.config.batch, **found}
            self._log(row | {"learning_rate": rate, "memory_gib": memory_gib()})
            self._show(row)
        self.bar.update()

    def validation(self, step: int, components: Components) -> None:
        """Log how near the components, as they are, come on held-out quads; and draw the edits of some."""
        self._log({"step": step, **validate(components, self.tested)})
        if self.tested is not None:
            drawn = validation_sheet(components, self.tested[0])
            if self.main:
                save_picture(drawn, self.folder / VALIDATION_NAME / f"{step:07d}.png")

    def close(self) -> None:
        """At the end of the run, however it ends."""
        self.bar.close()
        if self.trackers is not None:
            self.trackers.close()

    def _log(self, row: Mapping[str, Any]) -> None:
        if self.trackers is None:
            return
        try:
            with (self.folder / LOG_NAME).open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.folder / LOG_NAME}: cannot be written ({reason(error)}); free some space"
            ) from error
        self.trackers.log({key: value for key, value in row.items() if key != "step"}, int(row["step"]))

    def _show(self, row: Mapping[str, Any]) -> None:
        """On the bar, or now and then as a line where nothing can be drawn over."""
        measure = "ratio" if "ratio" in row else "loss"
        shown = {
            measure: f"{row[measure]:.3f}",
            "quads/s": f"{row['quads_per_second']:.3g}",
            "waiting": f"{row['waiting']:.0%}",
            "GiB": f"{memory_gib():.1f}",
        }
        self.bar.set_postfix(shown, refresh=False)
        if self.main and self.bar.disable and time.monotonic() - self.told >= TELL_EVERY:
            self.told = time.monotonic()
            left = (self.config.steps * self.config.batch - row["quads"]) / row["quads_per_second"]
            values = ", ".join(f"{name} {value}" for name, value in shown.items())
            self.tell(f"step {row['step']:,} of {self.config.steps:,}: {values}, {tqdm.format_interval(left)} left")


def memory_gib() -> float:
    """The most that this process has taken of its GPU, or where there is none what it holds of the memory."""
    taken = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    return round(taken / 2**30, 2)


def forget_after(log: Path, step: int) -> None:
    """Take the rows of later steps out of a log: a run that goes on from `step` writes them again."""
    try:
        lines = log.read_text().splitlines()
    except FileNotFoundError:
        return
    kept = [line for line in lines if (number := _step_of(line)) is not None and number <= step]
    if len(kept) < len(lines):
        try:
            write_whole(log, "".join(f"{line}\n" for line in kept).encode())
        except OSError as error:
            raise InputError(f"{log}: cannot be written ({reason(error)}); free some space") from error


def _step_of(line: str) -> int | None:
    """None of a line that a kill has cut."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
