"""What relations leave of the detail that is finer than the model sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relation_adapter.detail import kept_detail
from relation_adapter.editor import Pair
from relation_adapter.images import fit_size
from relation_adapter.pipeline.request import Weighted


def pairs_detail(pairs: Sequence[Pair], native_area: int, multiple: int) -> list[float]:
    """What pairs of one edit show of it, octave by octave, the mean over pairs; empty where all is kept."""
    found = [kept_detail(*pair, fit_size(*pair[0].size, area=native_area, multiple=multiple)) for pair in pairs]
    told = [kept for kept in found if kept]
    octaves = max(map(len, told), default=0)
    means = [math.fsum(_at(kept, octave) for kept in told) / len(told) for octave in range(octaves)]
    return [] if all(mean == 1 for mean in means) else [round(mean, 3) for mean in means]


def combined_detail(relations: Sequence[Weighted]) -> list[float]:
    """What all of them together leave; a relation at half its strength takes half as much."""
    acting = [one for one in relations if one.relation.detail]
    octaves = max((len(one.relation.detail) for one in acting), default=0)
    return [
        math.prod(1 - mean_strength(one) * (1 - _at(one.relation.detail, octave)) for one in acting)
        for octave in range(octaves)
    ]


def _at(kept: Sequence[float], octave: int) -> float:
    """Finer octaves than those known are kept as the last of them."""
    return kept[min(octave, len(kept) - 1)]


def mean_strength(weighted: Weighted) -> float:
    """Of one relation over all blocks, in [0, 1]."""
    return min(max(math.fsum(weighted.strength) / len(weighted.strength), 0.0), 1.0)
