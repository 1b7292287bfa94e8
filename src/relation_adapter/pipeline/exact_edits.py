"""What pairs say exactly (`exact_told.py`), done to a source of any size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from relation_adapter.exact.blocks import in_blocks
from relation_adapter.exact.cells import in_cells
from relation_adapter.exact.curves import BY_PIXEL, curves_of
from relation_adapter.exact.families import OF_A_PIXEL, family_of
from relation_adapter.exact.levels import SET
from relation_adapter.exact.linear import linear_of, mean_luma
from relation_adapter.exact.motion import moved
from relation_adapter.exact.planes import seen_from
from relation_adapter.exact.slips import slipped
from relation_adapter.exact.turns import SIDEWAYS, turned
from relation_adapter.exact.warps import warped
from relation_adapter.images import Fit, Size, to_rgb
from relation_adapter.relation import Relation
from relation_adapter.units import STRIP_PIXELS, Unit, from_unit, to_unit

ALIKE = 2.0  # times the side of a square of the one area is that of the other, at the most, where sizes are alike


@dataclass(frozen=True)
class Exact:
    """What is done to a source, where one relation alone says it exactly; without one, nothing is."""

    relation: Relation | None = None
    strength: float = 1.0
    mean: float = 0.0  # luma of the whole source
    filtered: bool = False  # by the relation's filter, in place of what else it says
    pixel: float = 0.0  # of the pair, in sides of a square as large as the source
    shrunk: bool = False  # whether the model saw the source smaller than it is

    @classmethod
    def of(cls, relation: Relation, strength: float, fit: Fit) -> Exact:
        """None half turns, frames or pixelates a picture.

        Pixels are those of the pair, where the source is of about the same size. Else blocks, cells and frames grow
        with the source, as stamps always do, and what the model sees of the edit is done in place of a filter, if that
        is exact, too.
        """
        source, told = fit.image, relation.linear is not None or relation.curves is not None
        if not relation.is_exact or ((relation.turn or relation.block or relation.frame) and strength != 1):
            return cls()
        side, own = math.sqrt(math.prod(fit.size)), max(1, relation.own_side)
        alike = 1 / ALIKE < side / own < ALIKE
        return cls(
            relation,
            strength,
            mean_luma(to_unit(source)),
            filtered=relation.filter is not None and (alike or not told),
            pixel=1 / (side if alike else own),
            shrunk=fit.crop(source).size != fit.size,
        )

    @property
    def needs_result(self) -> bool:
        """Whether anything of what the model makes is left."""
        return self.relation is None or (self.relation.linear is None and (self.shrunk or not self.filtered))

    @property
    def at_full_size(self) -> bool:
        """Whether it is done so: as pixels are counted, or a pixel's own colours are all that counts."""
        if self.relation is None:
            return False
        alone = self.relation.family in OF_A_PIXEL and self.relation.driver in ("", *BY_PIXEL)
        return self.filtered or alone

    def place(self, picture: Image.Image) -> Image.Image:
        """The source with its pixels where the edit puts them, at any size."""
        if self.relation is None:
            return picture
        if self.relation.motion is not None:
            return moved(to_rgb(picture), self.relation.motion.part(self.strength))
        if self.relation.plane is not None:
            return seen_from(to_rgb(picture), self.relation.plane.part(self.strength))
        if self.relation.slips is not None:
            return slipped(to_rgb(picture), self.relation.slips.part(self.strength))
        if self.relation.warp is not None:
            return warped(to_rgb(picture), self.relation.warp.part(self.strength))
        if self.relation.levels:
            return Image.blend(to_rgb(picture), SET[self.relation.levels](to_rgb(picture)), self.strength)
        if self.relation.tiles is not None:
            return Image.blend(to_rgb(picture), self.relation.tiles.place(picture), self.strength)
        if self.relation.cells is not None:
            return Image.blend(to_rgb(picture), self._drawn(to_rgb(picture)), self.strength)
        if self.relation.frame is not None:
            return self.relation.frame.times(self._scale(picture.size)).place(picture)
        if self.relation.block:
            return in_blocks(picture, self.relation.block * self._scale(picture.size))
        return turned(picture, self.relation.turn)

    def fit(self, fit: Fit, own_size: bool) -> Fit:
        """The placed source as the model would see it. own_size: whether the result is to be as large as the source."""
        if self.relation is None or self.relation.turn not in SIDEWAYS:
            return replace(fit, image=self.place(fit.image))
        inside = Image.new("L", fit.image.size)
        inside.paste(255, fit.box)
        box = turned(inside, self.relation.turn).getbbox()
        assert box is not None
        return Fit(self.place(fit.image), box, fit.size[::-1] if own_size else fit.size)

    def small(self, source: Image.Image, result: Unit) -> Unit:
        """The edit of a source as the model saw it, (H, W, 3) in [0, 1]; result: what the model makes of it."""
        if self.relation is None:
            return result
        if self.filtered and not self.shrunk:
            return self._filtered(to_unit(source))
        return self._edited(to_unit(self.place(source)), result, 0, source.height)

    def strips(self, source: Image.Image, results: Iterator[Unit]) -> Iterator[Unit]:
        """The edit of a placed source of any size, in strips from top to bottom. results: of the model, strips too."""
        source = to_rgb(source)
        assert self.relation is not None
        if self.filtered or self.relation.linear is not None:
            reach = family_of(self.relation.filter_name).reach if self.filtered else 0
            rows = max(1, 4 * reach, STRIP_PIXELS // source.width)
            for top in range(0, source.height, rows):
                first, last = max(0, top - reach), min(top + rows + reach, source.height)
                strip = to_unit(source.crop((0, first, source.width, last)))
                made = self._filtered(strip) if self.filtered else self._edited(strip, strip, first, source.height)
                yield made[top - first :][:rows]
            return
        top = 0
        for result in results:
            bottom = top + len(result)
            yield self._edited(to_unit(source.crop((0, top, source.width, bottom))), result, top, source.height)
            top = bottom

    def _drawn(self, picture: Image.Image) -> Image.Image:
        """In cells."""
        assert self.relation is not None and self.relation.cells is not None and self.relation.cells_table is not None
        table = numbers(self.relation.cells_table)
        return from_unit(in_cells(to_unit(picture), self.relation.cells, table, self._scale(picture.size)))

    def _filtered(self, source: Unit) -> Unit:
        assert self.relation is not None and self.relation.filter is not None
        made = linear_of(source, numbers(self.relation.filter), self.relation.filter_name)
        return (source + np.float32(self.strength) * (made - source)).clip(0, 1)

    def _edited(self, placed: Unit, result: Unit, first: int, height: int) -> Unit:
        """Some rows of a picture of that height, from the first on, in [0, 1], at any strength.

        result: for levels that no curve knows, where no linear edit does either.
        """
        assert self.relation is not None
        if self.relation.linear is not None:
            made = linear_of(placed, numbers(self.relation.linear), self.relation.family, self.mean)
            result = placed + np.float32(self.strength) * (made - placed)
        if self.relation.curves is not None:
            table, driver = numbers(self.relation.curves), self.relation.driver
            result = curves_of(placed, result, table, driver, self.strength)
        result = result.clip(0, 1)
        if self.relation.laid is not None:
            return result + np.float32(self.strength) * (self.relation.laid.lay(result, first, height) - result)
        if self.relation.frame is None:
            return result
        return self.relation.frame.times(self._scale((result.shape[1], height))).lay(result, first, height)

    def _scale(self, size: Size) -> float:
        """How many pixels of a picture of that size one of the pair's is."""
        return self.pixel * math.sqrt(math.prod(size))


def numbers(kept: Tensor) -> npt.NDArray[np.float32]:
    """What a relation keeps, (1, ...), as an array without the 1."""
    found: npt.NDArray[np.float32] = kept[0].float().cpu().numpy()
    return found
