"""DreamSim (Fu et al. 2023, arXiv 2306.09344), its ensemble, through its own package.

That needs torchvision, and fetches its checkpoints from its releases and DINO's code from its repository.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from relation_adapter.errors import MissingExtraError, WeightsError
from relation_adapter.evaluate.networks import Networks, device
from relation_adapter.evaluate.seen import Scorer, Scores, Seen
from relation_adapter.loading import unusable

# What the package then asks nobody for.
WHOLE = (
    "dino_vitb16_pretrain.pth",
    "clip_vitb16_pretrain.pth.tar",
    "open_clip_vitb16_pretrain.pth.tar",
    "ensemble_lora",
    "facebookresearch_dino_main",
    "checkpoints/dino_vitbase16_pretrain.pth",
)


def dreamsim_scorer(networks: Networks) -> Scorer:
    """The distance of output and target, 0 for equal pictures.

    Raises:
        MissingExtraError: the package cannot be imported.
        WeightsError: its checkpoints are not there, or damaged.
    """
    try:
        from dreamsim import dreamsim
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
        raise MissingExtraError(
            f"dreamsim cannot be imported ({error}); pip install 'relation-adapter[dreamsim]'"
        ) from error
    where, folder = device(), _folder(networks)
    with _put_up_with(), unusable(folder):
        model, prepare = dreamsim(pretrained=True, device=where, cache_dir=str(folder))

    def scorer(seen: Seen) -> Scores:
        output, target = (prepare(seen.picture(name)).to(where) for name in ("output", "target"))
        return {"dreamsim": max(0.0, float(model(output, target)))}  # rounding errors reach below

    return scorer


def _folder(networks: Networks) -> Path:
    """Where the checkpoints lie, or are fetched to. Raises WeightsError."""
    import torch

    given = networks.given.get("dreamsim")
    folder = Path(given).expanduser() if given else Path(torch.hub.get_dir()) / "dreamsim"
    if given and not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder; give the one that DreamSim's checkpoints lie in")
    if networks.places.offline:
        lacking = next((name for name in WHOLE if not (folder / name).exists()), None)
        if lacking:
            raise WeightsError(f"{folder}: has no {lacking}; offline nothing is fetched: run once online")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _put_up_with() -> Iterator[None]:
    """The package prints what it does, and moves torch's cache for all who come after it."""
    import torch

    home = torch.hub.get_dir()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        torch.hub.set_dir(home)
