"""A look as a `.cube` file, the table from colour to colour that photo and film programs read (Adobe, Cube LUT 1.0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.exact.curves import BY_PIXEL, LEVELS, Table, curves_of
from relation_adapter.exact.families import OF_A_PIXEL
from relation_adapter.exact.linear import linear_of
from relation_adapter.files import reason, write_whole
from relation_adapter.pipeline.exact_edits import numbers
from relation_adapter.relation import Relation

SIZE = 33  # colours a side, as most programs write


def save_cube(relation: Relation, path: Path) -> None:
    """Write the file whole or not at all; folders are created. Raises as `cube_of`; WeightsError on a full disk."""
    data = cube_of(relation).encode()
    try:
        write_whole(path, data)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
        ) from error


def cube_of(relation: Relation) -> str:
    """The text of a `.cube` file that makes the edit of a relation.

    Levels that the pair does not have go on as those beside them. Raises UsageError where the edit is not one of single
    pixels' colours, told exactly.
    """
    if said := _more_than_colours(relation):
        raise UsageError(f"{relation.name}: {said}, no table of colours can; save it as .safetensors")
    steps = np.linspace(0, 1, SIZE, dtype=np.float32)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")  # red is the fastest
    source = np.stack([red, green, blue], axis=-1).reshape(1, -1, 3)
    made = source
    if relation.linear is not None:
        made = linear_of(source, numbers(relation.linear), relation.family)
    if relation.curves is not None:
        table = numbers(relation.curves)
        made = curves_of(source, made, table if relation.linear is not None else _filled(table), relation.driver)
    lines = [" ".join(f"{value:.6f}" for value in colour) for colour in made.reshape(-1, 3).clip(0, 1)]
    title = relation.name.replace('"', "'").replace("\n", " ")
    return "\n".join([f'TITLE "{title}"', f"LUT_3D_SIZE {SIZE}", *lines, ""])


def _more_than_colours(relation: Relation) -> str:
    """What the edit needs besides a pixel's own colour; "": nothing."""
    places = (relation.turn, relation.motion, relation.plane, relation.slips, relation.warp, relation.block)
    over = any(one is not None for one in (relation.frame, relation.laid, relation.tiles, relation.cells))
    if not relation.is_exact:
        return "its pairs are no look that is told exactly, the model has to make the edit"
    if any(places) or over or relation.filter is not None or relation.driver not in ("", *BY_PIXEL):
        return "it moves or mixes pixels"
    if relation.family not in OF_A_PIXEL:
        return "it mixes pixels"
    if relation.levels or (relation.family == "colours" and bool(numbers(relation.linear)[4].any())):  # type: ignore[arg-type]
        return "it looks at each picture as a whole"
    return ""


def _filled(table: Table) -> Table:
    """The same with every level known: as far from what it was as the nearest known ones."""
    found, levels = table.copy(), np.arange(LEVELS) / np.float32(LEVELS - 1)
    for colour in range(3):
        known = np.flatnonzero(table[:, colour + 3])
        away = np.interp(np.arange(LEVELS), known, table[known, colour] - levels[known])
        found[:, colour], found[:, colour + 3] = levels + away, 1
    return found
