"""Aspect buckets: the few sizes that training pictures are brought to, so that those of one batch are of one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from relation_adapter.images import Size, fit_size, resize

RATIOS = (1.0, 5 / 4, 4 / 3, 3 / 2, 16 / 9, 2.0, 3.0, 4.0)
ALIKE = 1.1  # source and target of a quad may differ by this much in their ratio: what rounding to pixels can do


@dataclass(frozen=True)
class Buckets:
    """Sizes of about one area, px, in whole multiples, from 4:1 to 1:4."""

    area: int
    multiple: int

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """(width, height), each once."""
        sides = ((round(1000 * ratio), 1000) for ratio in RATIOS)
        both = [size for wide, tall in sides for size in ((wide, tall), (tall, wide))]
        return tuple(dict.fromkeys(fit_size(*size, area=self.area, multiple=self.multiple) for size in both))

    def of(self, size: Size) -> Size:
        """The one whose ratio is nearest to that of a picture of this size."""
        return min(self.sizes, key=lambda bucket: abs(math.log(ratio(bucket) / ratio(size))))


def ratio(size: Size) -> float:
    """Width over height."""
    return size[0] / size[1]


def alike(first: Size, second: Size) -> bool:
    """Whether two pictures have the same ratio, but for rounding."""
    return 1 / ALIKE <= ratio(first) / ratio(second) <= ALIKE


def fill(image: Image.Image, size: Size) -> Image.Image:
    """The middle of a picture that has the ratio of `size`, at that size: nothing is stretched, nothing added."""
    across = min(image.width, image.height * ratio(size))
    down = min(image.height, image.width / ratio(size))
    left, top = round((image.width - across) / 2), round((image.height - down) / 2)
    box = (left, top, left + max(1, round(across)), top + max(1, round(down)))
    return resize(image.crop(box), size)
