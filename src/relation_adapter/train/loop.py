"""The training loop: the same command again resumes, to the same weights as a run that was never stopped."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from relation_adapter.config import to_dict
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch, quads_of
from relation_adapter.errors import InputError
from relation_adapter.files import locked_folder, reason, remove_parts, write_whole
from relation_adapter.model.components import Components
from relation_adapter.train.begin import begin
from relation_adapter.train.checkpoints import CHECKPOINTS_NAME
from relation_adapter.train.loss import ShareOfNoise, draw_times, flow_misses, leaning, weigh
from relation_adapter.train.online import encoded
from relation_adapter.train.optimizers import build_optimizers, learning_rate, set_rates
from relation_adapter.train.presets import TrainConfig
from relation_adapter.train.processes import any_process, make_accelerator, prepare, uses_deepspeed
from relation_adapter.train.saving import save_trained
from relation_adapter.train.shares import Share, moved, share_of
from relation_adapter.train.sources import batches
from relation_adapter.train.state import TrainState, trained_parameters, whole_parameters, whole_tensor
from relation_adapter.train.watch import Watch

AnyBatch = Batch | FeatureBatch
PATHS = ("cache", "quads", "init", "init_lora", "base", "image_encoder", "weights")  # of a config
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def train(config: TrainConfig, folder: Path, tell: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Train until `config.steps` and return the files of the averaged weights, as `save_trained` names them.

    The folder also holds config.json, checkpoints (to go on) and what a person watches (`watch`). Started by
    `accelerate launch`, every process calls this, and the main one alone writes and tells. Raises UsageError when
    another process trains there or the batch cannot be shared, InputError when the disk refuses or a gradient is no
    number: the last state is then safe.
    """
    accelerator = make_accelerator(config)
    main = accelerator.is_main_process
    tell = tell if main else lambda _: None
    tell(json.dumps(to_dict(config)))
    if config.threads:
        torch.set_num_threads(config.threads)
    with locked_folder(folder) if main else nullcontext():
        if main:
            remove_parts(folder)
            remove_parts(folder / CHECKPOINTS_NAME)
        accelerator.wait_for_everyone()
        components, origin = begin(config)
        model, state = _prepare(accelerator, components, config)
        state.load(folder, main, tell)
        if state.step:
            tell(f"going on from step {state.step:,} of {config.steps:,}")
        if main:
            _write_config(replace(config, model=components.design), folder)
        _run(accelerator, model, state, folder, tell)
        with state.averaged(), whole_parameters(accelerator.unwrap_model(model), main):
            files = save_trained(components, folder, _provenance(state) | origin) if main else []
        accelerator.wait_for_everyone()
    return files


def _prepare(accelerator: Accelerator, components: Components, config: TrainConfig) -> tuple[nn.Module, TrainState]:
    """The parts as one module over all processes, and the state of a run that has not begun."""
    if config.compile:
        components.transformer.compile_repeated_blocks()
    optimizers = build_optimizers(trained_parameters(components), config)
    model, optimizers = prepare(accelerator, components, optimizers, config)
    # Again: where weights are spread over processes, their parameters are others now.
    parameters = trained_parameters(components)
    return model, TrainState(parameters, optimizers, config, model if uses_deepspeed(accelerator) else None)


def _run(
    accelerator: Accelerator, model: nn.Module, state: TrainState, folder: Path, tell: Callable[[str], None]
) -> None:
    """All steps that are left."""
    config = state.config
    components = accelerator.unwrap_model(model).components
    parts = share_of(config.batch, accelerator.process_index, accelerator.num_processes, config.accumulate)
    share = Share(batches(config, components.design, tell), slice(parts[0].start, parts[-1].stop))
    loader = _loader(share, range(state.step, config.steps), config.workers)
    with closing(Watch(config, folder, state.step, accelerator, tell)) as watch, _stop_requests() as stop:
        for drawn, waited in _timed(loader):
            start, rate = time.perf_counter(), learning_rate(config, state.step)
            batch = moved(encoded(components, drawn), accelerator.device)
            watch.first_batch(components, batch)
            t, errors = _step(accelerator, model, state, batch, parts)
            seconds = time.perf_counter() - start
            watch.step(state.step, batch, t, errors, rate=rate, seconds=seconds, waited=waited)
            last, stopped = state.step == config.steps, any_process(accelerator, bool(stop))
            if state.step % config.save_every == 0 or last or stopped:
                state.save(folder, accelerator.is_main_process)
            if stopped:
                raise KeyboardInterrupt
            if state.step % config.validate_every == 0 or last:
                with state.averaged(), torch.no_grad():
                    model(_validate, watch, state.step)


def _validate(components: Components, watch: Watch, step: int) -> None:
    watch.validation(step, components)


def _timed(batches: Iterable[Any]) -> Iterator[tuple[Any, float]]:
    """Each batch, and the seconds that it was waited for."""
    start = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - start
        start = time.perf_counter()


def _write_config(config: TrainConfig, folder: Path) -> None:
    try:
        write_whole(folder / "config.json", json.dumps(to_dict(config), indent=1).encode())
    except OSError as error:
        raise InputError(f"{folder / 'config.json'}: cannot be written ({reason(error)}); free some space") from error


def _loader(batches: Share, steps: range, count: int) -> Iterable[Any]:
    """The batches of these steps in order, made ahead by worker processes, or where there are none in between."""
    workers: dict[str, Any] = (
        {"num_workers": count, "prefetch_factor": 4, "worker_init_fn": _ignore_stop} if count else {}
    )
    return DataLoader(batches, batch_size=None, sampler=steps, **workers)


def _step(
    accelerator: Accelerator, model: nn.Module, state: TrainState, share: AnyBatch, parts: list[slice]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One optimiser step; returns the time and the error of every quad of the share, (B,).

    parts: which quads of the whole batch the share is, part by part.
    """
    config, parameters, seen = state.config, list(state.parameters.values()), []
    set_rates(state.optimizers, config, state.step)
    for rows in parts:
        batch = quads_of(share, slice(rows.start - parts[0].start, rows.stop - parts[0].start))
        # All that is random is a function of the seed, the step and the quad's place in the batch.
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
        t = draw_times(config, batch, rng)[rows]
        with accelerator.accumulate(model):
            errors, leanings = model(_errors, batch, t, ShareOfNoise(rng, config.batch, rows), config).unbind()
            accelerator.backward(weigh(errors, batch, config.weighting, t) + config.others * leanings.mean())
        seen.append((t, errors.detach()))
    norm = float(whole_tensor(accelerator.clip_grad_norm_(parameters, config.clip)))
    if not math.isfinite(norm):
        raise InputError(
            f"step {state.step}: the gradient is {norm}; the last saved state is safe: set a lower learning_rate in a "
            "new run folder"
        )
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.ema.step(parameters)
    state.step += 1
    t, errors = (torch.cat(values) for values in zip(*seen, strict=True))
    return t, errors


def _errors(
    components: Components, batch: AnyBatch, t: torch.Tensor, noise: ShareOfNoise, config: TrainConfig
) -> torch.Tensor:
    """(2, B): every quad's error, and how it leans."""
    with torch.autocast(batch.source.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        misses, others = flow_misses(components, batch, t, noise, config.guidance)
    errors = misses.square().mean(dim=(1, 2))
    return torch.stack([errors, torch.zeros_like(errors) if others is None else leaning(misses, others)])


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Ctrl-C and a polite kill only leave their number in the list: a step that has begun is finished first."""
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Only there may signals be handled.
        yield requests
        return
    old = {name: signal.signal(name, lambda number, _: requests.append(number)) for name in STOP_SIGNALS}
    try:
        yield requests
    finally:
        for name, handler in old.items():
            signal.signal(name, handler)


def _ignore_stop(worker: int) -> None:
    """In a worker process: the loop decides when to stop."""
    for name in STOP_SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def _provenance(state: TrainState) -> dict[str, Any]:
    # Without paths, which say something of one machine alone.
    config = state.config
    settings = to_dict(config) | {"model": config.model.name}
    settings |= {name: getattr(config, name) is not None for name in PATHS}
    return {
        "trained_on": "procedural" if config.cache is None and config.quads is None else "quads",
        "steps": state.step,
        "quads": state.step * state.config.batch,
        "seed": state.config.seed,
        "train": settings,
    }
