"""What a person watches while a run goes: the first batch, a line of progress, the log, validation sheets.

The loop calls `first_batch` before step one, `step` after every step, `validation` when one is due, and `close`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch
from relation_adapter.errors import InputError
from relation_adapter.files import reason
from relation_adapter.model.components import Components
from relation_adapter.train.presets import TrainConfig
from relation_adapter.train.validate import held_out, validate

LOG_NAME = "log.jsonl"
LOG_EVERY = 10  # steps


class Watch:
    """Of one run, from step `first` on.

    accelerator: reduces what the processes saw, and logs to its trackers; None: one process, no trackers. Every process
    makes the same calls; the main one alone writes.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        first: int = 0,
        accelerator: Any = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config, self.folder, self.accelerator, self.tell = config, folder, accelerator, tell
        self.main = accelerator is None or accelerator.is_main_process
        self.tested = held_out(config)
        self.bar = tqdm(total=config.steps, initial=first, unit="step", dynamic_ncols=True, disable=not self.main)

    def first_batch(self, components: Components, batch: Batch | FeatureBatch) -> None:
        """Draw the batch to `first_batch.png`, once in the life of a run."""

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
        self.bar.update()
        if step % LOG_EVERY and step != self.config.steps:
            return
        ratio = round((errors.mean() / batch.change.mean()).item(), 4)
        speed = round(self.config.batch / (seconds + waited), 2)
        row = {"step": step, "quads": step * self.config.batch, "ratio": ratio, "learning_rate": rate}
        self._log(row | {"quads_per_second": speed})
        self.bar.set_postfix(ratio=f"{ratio:.3f}", refresh=False)

    def validation(self, step: int, components: Components) -> None:
        """Edit the held-out quads with the components as they are, and log how near they come."""
        self._log({"step": step, **validate(components, self.tested)})

    def close(self) -> None:
        """At the end of the run, however it ends."""
        self.bar.close()

    def _log(self, row: Mapping[str, Any]) -> None:
        if not self.main:
            return
        try:
            with (self.folder / LOG_NAME).open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.folder / LOG_NAME}: cannot be written ({reason(error)}); free some space"
            ) from error
