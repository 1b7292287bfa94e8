"""`Told`: what some pairs say exactly, as `exact_told.py` finds it and a relation keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from relation_adapter.correction import Coefficients, Values
from relation_adapter.exact.cells import Cells
from relation_adapter.exact.curves import Table
from relation_adapter.exact.frames import Frame
from relation_adapter.exact.motion import Motion
from relation_adapter.exact.planes import Plane
from relation_adapter.exact.slips import Slips
from relation_adapter.exact.stamps import Stamp
from relation_adapter.exact.tiles import Tiles
from relation_adapter.exact.warps import Warp
from relation_adapter.relation import Relation


@dataclass(frozen=True)
class Told:
    """What some pairs say exactly, and the mean square error of it in blocks that no fit has seen."""

    error: float
    linear: Coefficients | None = None
    family: str = ""  # of linear
    curves: Table | None = None
    driver: str = ""  # of curves
    turn: str = ""
    motion: Motion | None = None
    slips: Slips | None = None
    warp: Warp | None = None
    plane: Plane | None = None
    block: float | None = None  # px, of the side of blocks
    levels: str = ""
    frame: Frame | None = None
    tiles: Tiles | None = None
    stamp: Stamp | None = None
    filter: Coefficients | None = None
    filter_name: str = ""
    cells: Cells | None = None
    cells_table: Coefficients | None = None  # what becomes of colours in cells
    own_side: int = 0  # px, of a square as large as the pairs, whose pixels blocks, frames, filters and cells count

    def put(self, relation: Relation) -> Relation:
        """The relation that keeps it."""
        says = {
            "linear": self.family,
            "curves": self.driver,
            "turn": self.turn,
            "motion": None if self.motion is None else asdict(self.motion),
            "slips": None if self.slips is None else self.slips.bands,
            "warp": None if self.warp is None else asdict(self.warp),
            "plane": None if self.plane is None else asdict(self.plane),
            "block": self.block,
            "levels": self.levels,
            "frame": None if self.frame is None else asdict(self.frame),
            "tiles": None if self.tiles is None else asdict(self.tiles),
            "stamp": None if self.stamp is None else self.stamp.place,
            "filter": self.filter_name,
            "cells": None if self.cells is None else asdict(self.cells),
            "own_side": self.own_side,
        }
        return replace(
            relation,
            linear=_kept(self.linear),
            curves=_kept(self.curves),
            filter=_kept(self.filter),
            cells_table=_kept(self.cells_table),
            stamp=None if self.stamp is None else _kept(self.stamp.values.astype(np.float16)),
            provenance={**relation.provenance, **{name: value for name, value in says.items() if value}},
        )


def _kept(found: Values | None) -> Tensor | None:
    return None if found is None else torch.from_numpy(found)[None]
