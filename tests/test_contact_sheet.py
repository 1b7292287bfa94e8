"""Contact sheets: gutters, titles, gaps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from samples import RED, WHITE

from relation_adapter.contact_sheet import contact_sheet


def test_contact_sheet_has_even_gutters() -> None:
    sheet = contact_sheet([[Image.new("RGB", (30, 20), RED)] * 3] * 2, cell=96)
    ink = np.asarray(sheet)[..., 1] < 128
    across, down = ink.any(0).astype(int), ink.any(1).astype(int)
    assert sheet.size == (3 * 96 + 4 * 4, 2 * 64 + 3 * 4)
    assert np.flatnonzero(np.diff(across)).tolist() == [3, 99, 103, 199, 203, 299]
    assert np.flatnonzero(np.diff(down)).tolist() == [3, 67, 71, 135]


def test_contact_sheet_titles_stay_in_their_place() -> None:
    rows: list[list[Image.Image | None]] = [[Image.new("RGB", (9, 9), WHITE), None], [Image.new("RGB", (9, 9), WHITE)]]
    plain = contact_sheet(rows, cell=120)
    titled = contact_sheet(rows, ["before " * 40, "after"], ["a long name of a task " * 20, ""], cell=120)
    assert titled.width > plain.width and titled.height > plain.height
    ink = np.asarray(titled)[..., 0] < 200
    assert not ink[:, 66:70].any()  # between the row titles and the first column
    assert not ink[-5:].any() and not ink[:, -5:].any() and ink.any()


def test_contact_sheet_without_a_picture() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([[None]])
