"""`Relation`: what one or more pairs show, encoded; a value that can be saved, named, weighted and combined.

The file is safetensors: `tokens`, `vector` where the design has one and `change` where it is known, with the metadata
format, version, design (the fingerprint of the model that encoded it) and provenance (JSON). Importing this module
loads no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import relation_adapter
from relation_adapter.cartoons import Cartoon, cartoon_of
from relation_adapter.config import ModelConfig, to_dict
from relation_adapter.editor import Pair
from relation_adapter.errors import WeightsError
from relation_adapter.exact.cells import Cells, cells_from
from relation_adapter.exact.frames import Frame, frame_from
from relation_adapter.exact.motion import Motion, motion_from
from relation_adapter.exact.planes import Plane, plane_from
from relation_adapter.exact.slips import Slips, slips_from
from relation_adapter.exact.stamps import Stamp, place_from
from relation_adapter.exact.tiles import Tiles, tiles_from
from relation_adapter.exact.warps import Warp, warp_from
from relation_adapter.files import reason, write_whole
from relation_adapter.images import to_rgb
from relation_adapter.relation_file import FORMAT, SHAPES, VERSION, read_relation
from relation_adapter.tones import Tones, tones_of

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

# What the tokens of a relation depend on; the rest of a design may change without making old relations wrong.
_DESIGN_FIELDS = (
    "image_features",
    "feature_dim",
    "projector",
    "roles",
    "num_tokens",
    "token_dim",
    "resampler_layers",
    "resampler_heads",
    "relation_vector",
    "exemplar_preparation",
    "exemplar_size",
    "position_features",
    "pixel_factor",
)


@dataclass(frozen=True, eq=False, repr=False)
class Relation:
    """What one or more pairs show, as one model reads it.

    tokens: (1, L, C). vector: (1, P), or None where the design has none. change: (1, F), what the image features of
    after have more than those of before, the mean over pairs and places; None in files of before there was one.
    correction: (1, correction.ROWS, 3), what the model gets wrong on the pairs; None where the design wants none.
    linear: (1, numbers of its family, 3), the edit itself, where it is one that a few numbers say exactly; curves: (1,
    curves.LEVELS, 6), the same where it is one of curves; filter: (1, numbers of its family, 3), where it is one of the
    single pixels of a picture at its own size, which the model sees little of; cells_table: (1, places, numbers, 3),
    what becomes of colours in each place of a cell, where it is drawn in a grid. shown: (1, P, 3, H, W, 3) in [0, 1],
    before, what is made of it, and after, as the model saw the pairs, where they say nothing exactly: see `remainder`.
    stamp: (1, H, W, 4), what is laid over a part of every picture, at the place that the provenance says.
    provenance: where it comes from, as plain JSON values: `design` (fingerprint of the model that encoded it), `model`,
    `name`, `pairs` (a hash of every picture), `created`, `package`, `shifts` where pairs did not fit and were cropped,
    `corrected`, the share of what is wrong on the pairs that the correction tells, or the linear edit; `detail`,
    `still`, `turn`, `motion`, `slips`, `warp`, `plane`, `block`, `levels`, `frame`, `tiles`, `stamp`, `cells` and
    `own_side`, see the properties. Without a `design` only the width of the tokens is compared with the model's.
    """

    tokens: Tensor
    vector: Tensor | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    change: Tensor | None = None
    correction: Tensor | None = None
    linear: Tensor | None = None
    curves: Tensor | None = None
    filter: Tensor | None = None
    cells_table: Tensor | None = None
    shown: Tensor | None = None
    stamp: Tensor | None = None

    @property
    def name(self) -> str:
        """The name it was given, or else of which model it is."""
        return str(self.provenance.get("name") or f"a relation of {self.provenance.get('model', 'an unknown model')}")

    @property
    def detail(self) -> list[float]:
        """What is kept of detail finer than the model sees, as `detail.kept_detail` tells it; empty: not known, all."""
        return [float(share) for share in self.provenance.get("detail", [])]

    @property
    def is_exact(self) -> bool:
        """Whether the pairs say the edit itself, so that no model is needed."""
        return any(said is not None for said in (self.linear, self.curves, self.filter))

    @property
    def turn(self) -> str:
        """How the whole picture is turned or mirrored before its colours change, a name of `turns.TURNS`; "": not."""
        return str(self.provenance.get("turn", ""))

    @property
    def family(self) -> str:
        """What its linear edit mixes, a name that `families.family_of` knows; "": it is none."""
        return str(self.provenance.get("linear", "")) if self.linear is not None else ""

    @property
    def block(self) -> float:
        """The side of blocks that a picture is cut into before its colours change, px of its own; 0: it is not."""
        return float(self.provenance.get("block", 0))

    @property
    def levels(self) -> str:
        """How its own levels are set before its colours change, a name of `levels.SET`; "": they are not."""
        return str(self.provenance.get("levels", ""))

    @property
    def still(self) -> float:
        """How much a place has to change to be changed at all, see `stillness.py`; 0: every change counts."""
        return float(self.provenance.get("still", 0))

    @property
    def frame(self) -> Frame | None:
        """What is laid around a picture after its colours have changed; None: nothing."""
        return frame_from(self.provenance.get("frame"))

    @cached_property
    def laid(self) -> Stamp | None:
        """What is laid over a picture at the same place, after its colours have changed; None: nothing."""
        place = place_from(self.provenance.get("stamp"))
        if self.stamp is None or place is None:
            return None
        return Stamp(self.stamp[0].float().cpu().numpy(), **place)

    @cached_property
    def tiles(self) -> Tiles | None:
        """What a picture is made small in, many times, each with its own colours; None: it is not."""
        return tiles_from(self.provenance.get("tiles"))

    @property
    def cells(self) -> Cells | None:
        """The grid that a picture is drawn in, see `exact/cells.py`; None: it has none."""
        return cells_from(self.provenance.get("cells")) if self.cells_table is not None else None

    @property
    def filter_name(self) -> str:
        """What its filter mixes, a name that `families.family_of` knows; "": it has none."""
        return str(self.provenance.get("filter", "")) if self.filter is not None else ""

    @property
    def own_side(self) -> int:
        """Of a square as large as the pair, whose pixels its block, frame, filter or cells count, px; 0: none does."""
        return int(self.provenance.get("own_side", 0))

    @property
    def driver(self) -> str:
        """What the levels of its curves are of, see `exact/curves.py`; "": it has none."""
        return str(self.provenance.get("curves", "")) if self.curves is not None else ""

    @property
    def motion(self) -> Motion | None:
        """How the whole picture is moved before its colours change; None: it is not."""
        return motion_from(self.provenance.get("motion"))

    @property
    def slips(self) -> Slips | None:
        """How bands of it are slid before its colours change; None: they are not."""
        return slips_from(self.provenance.get("slips"))

    @property
    def warp(self) -> Warp | None:
        """How its lines are moved, each its own way, before its colours change; None: they are not."""
        return warp_from(self.provenance.get("warp"))

    @property
    def plane(self) -> Plane | None:
        """As what plane it is seen before its colours change; None: as it is."""
        return plane_from(self.provenance.get("plane"))

    @cached_property
    def drawn(self) -> list[Cartoon | Tones | None]:
        """What is told of each pair that it shows by how it was drawn; None: little. Told at first sight, 0.2 s."""
        if self.shown is None:
            return []
        return [cartoon_of(*one) or tones_of(*one) for one in self.shown[0].float().cpu().numpy()]

    def __repr__(self) -> str:
        return (
            f"Relation(name={self.name!r}, tokens={tuple(self.tokens.shape)}, model={self.provenance.get('model')!r})"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file whole or not at all; folders are created. Raises WeightsError where the disk refuses."""
        from safetensors.torch import save

        tensors = {key: value for key in SHAPES if (value := getattr(self, key)) is not None}
        metadata = {
            "format": FORMAT,
            "version": VERSION,
            "design": str(self.provenance.get("design", "")),
            "provenance": json.dumps(dict(self.provenance)),
        }
        data = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata)
        try:
            write_whole(Path(path), data)
        except OSError as error:
            raise WeightsError(
                f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Relation:
        """Read a saved relation. Raises WeightsError, one line naming the file and the remedy."""
        provenance, tensors = read_relation(path)
        return cls(provenance=provenance, **tensors)


def fingerprint(design: ModelConfig, projector: nn.Module) -> str:
    """What must agree for a relation to mean the same to two models: design and projector weights, 16 hex digits."""
    values = to_dict(design)
    return weights_mark({key: values[key] for key in _DESIGN_FIELDS}, projector)


def weights_mark(values: Any, *modules: nn.Module) -> str:
    """16 hex digits that stand for some plain values and the weights of modules.

    A few values of every weight, rounded to bfloat16, stand for all of it: cheap at 1.2 billion, and the same after
    the model was stored or loaded in half precision.
    """
    import torch

    digest = hashlib.sha256(json.dumps(values).encode())
    for name, weight in (item for module in modules for item in sorted(module.state_dict().items())):
        sample = weight.flatten()[:: max(1, weight.numel() // 64)].detach().cpu()
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(sample.to(torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def new_provenance(design: ModelConfig, mark: str, pairs: Sequence[Pair], name: str | None) -> dict[str, Any]:
    """The provenance of a relation encoded now; `mark` is the model's fingerprint."""
    return {
        "design": mark,
        "model": design.name,
        "name": name,
        "pairs": [{"before": picture_hash(before), "after": picture_hash(after)} for before, after in pairs],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "package": relation_adapter.__version__,
    }


def picture_hash(image: Image.Image) -> str:
    """The same for pictures with equal pixels, whatever file they came from."""
    image = to_rgb(image)
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def check_fits(relation: Relation, design: ModelConfig, mark: str) -> None:
    """Refuse a relation that another model encoded. Raises WeightsError.

    mark: the fingerprint of the model that is to use the relation.
    """
    found = relation.provenance.get("design")
    if relation.tokens.ndim != 3 or relation.tokens.shape[0] != 1 or relation.tokens.shape[2] != design.token_dim:
        raise WeightsError(
            f"{relation.name}: its tokens are {tuple(relation.tokens.shape)}, {design.name} needs "
            f"(1, any, {design.token_dim}); encode the pair again with this model"
        )
    if found and found != mark:
        raise WeightsError(
            f"{relation.name}: was encoded by another model ({relation.provenance.get('model')} {found}, not "
            f"{design.name} {mark}); encode the pair again with this model"
        )
    if (relation.vector is not None) != design.relation_vector:
        has, needs = ("has", "has none") if relation.vector is not None else ("lacks", "needs one")
        raise WeightsError(
            f"{relation.name}: it {has} a vector, {design.name} {needs}; encode the pair again with this model"
        )
