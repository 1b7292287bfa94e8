"""The file of a relation, read with care: safetensors that may be of another program, damaged or of a later version."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relation_adapter.errors import WeightsError
from relation_adapter.exact.cells import cells_from
from relation_adapter.exact.curves import BY_PIXEL, is_driver
from relation_adapter.exact.families import family_of
from relation_adapter.exact.frames import frame_from
from relation_adapter.exact.levels import SET
from relation_adapter.exact.motion import motion_from
from relation_adapter.exact.planes import plane_from
from relation_adapter.exact.slips import slips_from
from relation_adapter.exact.stamps import place_from
from relation_adapter.exact.tiles import tiles_from
from relation_adapter.exact.turns import TURNS
from relation_adapter.exact.warps import warp_from
from relation_adapter.files import reason

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "relation-adapter-relation"
VERSION = "1"
MODEL_FORMAT = "relation-adapter"

SHAPES = {
    "tokens": 3,
    "vector": 2,
    "change": 2,
    "correction": 3,
    "linear": 3,
    "curves": 3,
    "filter": 3,
    "cells_table": 4,
    "shown": 6,
    "stamp": 4,
}  # in a file, and how many axes


def read_relation(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Provenance and tensors by name. Raises WeightsError, one line naming the file and the remedy."""
    metadata, tensors = _read(path)
    _check_format(path, metadata)
    return _provenance(path, metadata), _checked_tensors(path, tensors)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            # Copied: where a tensor lies in the file would decide its alignment in memory, and that the rounding.
            return file.metadata() or {}, {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file; check the path") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: not a relation, or cut short ({reason(error)}); copy it again, or make it anew from the pair"
        ) from error


def _check_format(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    found, version = metadata.get("format"), metadata.get("version")
    if found == MODEL_FORMAT:
        raise WeightsError(f"{path}: is a model, not a relation; give it as the model")
    if found != FORMAT:
        raise WeightsError(f"{path}: is a safetensors file but not a relation; make one from a pair")
    if version != VERSION:
        raise WeightsError(
            f"{path}: is a relation of format version {version}, this program reads {VERSION}; "
            "encode the pair again, or use the version of this program that wrote it"
        )


def _provenance(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        provenance = json.loads(metadata["provenance"])
        if not isinstance(provenance, dict):
            raise ValueError("not an object")
        detail = provenance.get("detail", [])
        if not isinstance(detail, list) or not all(isinstance(share, float) and 0 <= share <= 2 for share in detail):
            raise ValueError("detail is no list of shares")
        if str(provenance.get("turn", "")) not in TURNS:
            raise ValueError("turn is unknown")
        if provenance.get("linear", ""):
            family_of(str(provenance["linear"]))
        if provenance.get("filter", ""):
            family_of(str(provenance["filter"]))
        if not all(0 <= float(provenance.get(name, 0)) < 100_000 for name in ("block", "own_side")):
            raise ValueError("block or own_side is no number of pixels")
        if not 0 <= float(provenance.get("still", 0)) < 2:
            raise ValueError("still is no change of colour")
        if not is_driver(str(provenance.get("curves", BY_PIXEL[0]))):
            raise ValueError("curves are of something unknown")
        motion_from(provenance.get("motion"))
        slips_from(provenance.get("slips"))
        warp_from(provenance.get("warp"))
        plane_from(provenance.get("plane"))
        frame_from(provenance.get("frame"))
        tiles_from(provenance.get("tiles"))
        place_from(provenance.get("stamp"))
        cells_from(provenance.get("cells"))
        if provenance.get("levels", "") not in ("", *SET):
            raise ValueError("levels are set in an unknown way")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its provenance is damaged ({reason(error)}); encode the pair again") from error
    return provenance | {"design": metadata.get("design", "")}


def _checked_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only what a relation holds, in its shape, floating and finite."""
    if "tokens" not in tensors or not tensors.keys() <= SHAPES.keys():
        raise WeightsError(
            f"{path}: holds {sorted(tensors)[:4]}, a relation holds tokens and at most {', '.join([*SHAPES][1:])}; "
            "encode the pair again"
        )
    for key, value in tensors.items():
        sound = value.ndim == SHAPES[key] and value.shape[0] == 1 and value.numel() and value.is_floating_point()
        if not sound or not value.isfinite().all():
            raise WeightsError(
                f"{path}: {key} is {tuple(value.shape)} of {value.dtype}, not finite numbers of shape (1, ...); "
                "encode the pair again"
            )
    return tensors
