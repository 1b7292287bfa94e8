"""The training loop: the same command again resumes, to the same weights as a run that was never stopped."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from relation_adapter.config import to_dict
from relation_adapter.data.cached import CachedBatches, FeatureBatch, FeatureCache
from relation_adapter.data.dataset import Batch, ProceduralBatches
from relation_adapter.errors import InputError, UsageError
from relation_adapter.files import SHIPPED, locked_folder, reason, remove_parts, write_whole
from relation_adapter.model.components import Components, build
from relation_adapter.model.flow import sample_times
from relation_adapter.model.weights import load_model, read_info, save_model
from relation_adapter.train.cache_features import told
from relation_adapter.train.loss import flow_errors, weigh
from relation_adapter.train.presets import TrainConfig
from relation_adapter.train.state import STATE_NAME, TrainState, learning_rate
from relation_adapter.train.watch import Watch

MODEL_NAME = "model.safetensors"
AnyBatch = Batch | FeatureBatch
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def train(config: TrainConfig, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Train until `config.steps` and return the file of the averaged weights, `folder/model.safetensors`.

    The folder also holds config.json, state.safetensors (to go on) and what a person watches (`watch`). Raises
    UsageError when another process trains there, InputError when the disk refuses or the loss is no number: the last
    state is then safe.
    """
    tell(json.dumps(to_dict(config)))
    if config.threads:
        torch.set_num_threads(config.threads)
    with locked_folder(folder):
        remove_parts(folder)
        components, began_with = _begin(config)
        state = TrainState(components, config)
        if (folder / STATE_NAME).exists():
            state.load(folder)
            tell(f"going on from step {state.step:,} of {config.steps:,}")
        _write_config(config, folder)
        _run(components, state, folder, tell)
        with averaged(state):
            provenance = _provenance(state) | began_with
            save_model(folder / MODEL_NAME, components, provenance=provenance, dtype=torch.bfloat16)
    return folder / MODEL_NAME


def _begin(config: TrainConfig) -> tuple[Components, dict[str, Any]]:
    """Fresh weights, or those of a file, and what that file says of its origin."""
    components = build(config.model, seed=config.seed)
    if config.init is None:
        return components, {}
    path = SHIPPED.get(config.init, Path(config.init))
    first = load_model(path)
    try:
        components.transformer.load_state_dict(first.transformer.state_dict())
        components.adapter.load_state_dict(first.adapter.state_dict())
    except RuntimeError as error:
        raise UsageError(f"init={config.init}: its weights do not fit the model ({reason(error)})") from error
    return components, {"began_with": read_info(path)[1]}


def _run(components: Components, state: TrainState, folder: Path, tell: Callable[[str], None]) -> None:
    """All steps that are left."""
    config = state.config
    loader = _loader(config, first=state.step)
    with closing(Watch(config, folder, state.step, tell=tell)) as watch, _stop_requests() as stop:
        for batch, waited in _timed(loader):
            watch.first_batch(components, batch)
            rate = learning_rate(config, state.step)
            t, errors, seconds = _step(components, state, batch)
            watch.step(state.step, batch, t, errors, rate=rate, seconds=seconds, waited=waited)
            last = state.step == config.steps
            if state.step % config.save_every == 0 or last or stop:
                state.save(folder)
            if stop:
                raise KeyboardInterrupt
            if state.step % config.validate_every == 0 or last:
                with averaged(state):
                    watch.validation(state.step, components)


def _timed(batches: Iterable[AnyBatch]) -> Iterator[tuple[AnyBatch, float]]:
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


def _loader(config: TrainConfig, first: int) -> Iterable[AnyBatch]:
    """The batches of the steps from `first` on, in order, made ahead by worker processes."""
    batches = _batches(config)
    workers: dict[str, Any] = (
        {"num_workers": config.workers, "prefetch_factor": 4, "worker_init_fn": _ignore_stop} if config.workers else {}
    )
    return DataLoader(batches, batch_size=None, sampler=range(first, config.steps), **workers)


def _batches(config: TrainConfig) -> ProceduralBatches | CachedBatches:
    """What is trained on. Raises UsageError where a cache was made for another design."""
    if config.cache is None:
        return ProceduralBatches(config.data, config.batch, config.steps, config.seed)
    cache = FeatureCache(config.cache)
    cache.check_design(told(config.model))
    return CachedBatches(cache, config.batch, config.steps, config.seed)


def _step(components: Components, state: TrainState, batch: AnyBatch) -> tuple[torch.Tensor, torch.Tensor, float]:
    """One optimiser step; returns every quad's time and error, (B,), and the seconds it took."""
    start = time.perf_counter()
    config, parameters = state.config, list(state.parameters.values())
    rng = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
    t = sample_times(len(batch), config.time_sampling, rng)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
        errors = flow_errors(components, batch, t, rng)
    loss = weigh(errors, batch, config.weighting)
    if not math.isfinite(loss.item()):
        raise InputError(
            f"step {state.step}: the loss is {loss.item()}; the last saved state is safe: set a lower learning_rate "
            "in a new run folder"
        )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    state.ema.step(parameters)
    state.step += 1
    return t, errors.detach(), time.perf_counter() - start


@contextmanager
def averaged(state: TrainState) -> Iterator[None]:
    """The components with the running average of the weights in place."""
    parameters = list(state.parameters.values())
    state.ema.store(parameters)
    state.ema.copy_to(parameters)
    try:
        yield
    finally:
        state.ema.restore(parameters)


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
    # Without the paths of weights and cache, which say something of one machine alone.
    config = state.config
    settings = to_dict(config) | {"model": config.model.name, "init": config.init is not None}
    settings["cache"] = config.cache is not None
    return {
        "trained_on": "procedural" if config.cache is None else "cached features",
        "steps": state.step,
        "quads": state.step * state.config.batch,
        "seed": state.config.seed,
        "train": settings,
    }
