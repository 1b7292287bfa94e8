"""Weights that are published as one file behind a plain address: a given path, the weights folder, torch's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relation_adapter.errors import WeightsError
from relation_adapter.files import reason
from relation_adapter.hub import Places
from relation_adapter.hub.lookup import weights_folder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WeightFile:
    """name: of the file, as published; others: names that the same weights have elsewhere.

    sha256: how its checksum starts; size: bytes, about.
    """

    name: str
    address: str
    sha256: str
    size: int
    licence: str
    others: tuple[str, ...] = ()


ALEXNET = WeightFile(
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "7be5be79",
    244_408_911,
    "BSD-3-Clause",
)
INCEPTION = WeightFile(
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d",
    95_628_359,
    "Apache-2.0",
    others=("weights-inception-2015-12-05-6726825d.pth",),
)


def find_file(file: WeightFile, places: Places, given: str | None = None) -> Path:
    """Where a file lies; fetched into torch's cache if need be, whole or not at all. Raises WeightsError."""
    import torch

    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise WeightsError(f"{path}: no such file; check the path, or leave it out for the published {file.name}")
        return path
    folder, cache = weights_folder(places), Path(torch.hub.get_dir()) / "checkpoints"
    names = (file.name, *file.others)
    found = (place / name for place in (folder, cache) if place is not None for name in names)
    for path in found:
        if path.is_file():
            return path
    if places.offline:
        raise WeightsError(
            f"{file.name}: not in {cache}; offline nothing is fetched: run once online "
            f"({file.size / 1e6:.0f} MB), or copy it to a folder of weights, from {file.address}"
        )
    return _fetched(file, cache)


def _fetched(file: WeightFile, cache: Path) -> Path:
    import torch

    path = cache / file.name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(file.address, str(path), hash_prefix=file.sha256)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{file.address}: cannot be fetched ({reason(error)}); check the network, or copy it to a folder of weights"
        ) from error
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises WeightsError where it is damaged, or holds anything else."""
    import torch

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise anything
        raise WeightsError(f"{path}: cannot be loaded ({reason(error)}); download it again") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise WeightsError(f"{path}: holds no table of tensors; give the published file, or its like")
    return dict(tensors)
