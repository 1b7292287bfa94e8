"""Capital letters and digits as strokes."""

from __future__ import annotations

from .brush import Pen, Point
from .draws import Colour

# Points on a grid of 5 by 7: 'column row' pairs, strokes parted by spaces; 00 is the upper left, 46 the lower right.
SHAPES = {
    "A": "062046 1434", "B": "060030413203 033344354606", "C": "41301001051636 3645", "D": "06003041453606",
    "E": "40000646 0333", "F": "400006 0333", "G": "4130100105163645 454323", "H": "0006 4046 0343",
    "I": "1030 2026 1636", "J": "404536160504", "K": "0006 40034346", "L": "000646", "M": "0600234046",
    "N": "06004640", "O": "103041453616050110", "P": "06003041423303", "Q": "103041453616050110 2446",
    "R": "06003041423303 2346", "S": "413010010213334445361605", "T": "0040 2026", "U": "000516364540",
    "V": "002640", "W": "0016233640", "X": "0046 4006", "Y": "002340 2326", "Z": "00400646",
    "0": "103041453616050110 4006", "1": "112026 1636", "2": "01103041420646", "3": "0040134345361605",
    "4": "36300444", "5": "4000032334453606", "6": "40010516364534130304", "7": "004016",
    "8": "1030414233443616040302011013 1333", "9": "06304101031343",
}  # fmt: skip
LETTERS = tuple("ABEFHKLMNRSTWXZ")  # no two of them alike from afar
WIDE = 6  # grid columns from one letter to the next


def _strokes(letter: str) -> list[list[Point]]:
    """Polylines within (-0.5, 0.5), three by two of the way taken by the width."""
    parts = SHAPES.get(letter, "").split()
    lines = [[part[at : at + 2] for at in range(0, len(part), 2)] for part in parts]
    return [[((int(pair[0]) - 2) / 6, (int(pair[1]) - 3) / 6) for pair in line] for line in lines]


STROKES = {letter: _strokes(letter) for letter in SHAPES}


def text_width(text: str, height: float) -> float:
    """How wide a line of writing is."""
    return height * (len(text) * WIDE - 2) / 6


def write(pen: Pen, text: str, x: float, y: float, height: float, colour: Colour, weight: float = 0.16) -> None:
    """One line of capitals around (x, y); weight is the breadth of a stroke, both in the unit of the pen."""
    left = x - text_width(text, height) / 2 + height / 3
    for place, letter in enumerate(text):
        for points in STROKES.get(letter, []):
            shifted = [(left + height * (place * WIDE / 6 + px), y + height * py) for px, py in points]
            pen.stroke(shifted, weight, colour)
