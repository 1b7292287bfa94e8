"""A sheet of labelled pictures, for reports and for looking at many results at once."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from relation_adapter.images import resize, to_rgb

INK = (32, 32, 36)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    cell: int = 256,
    names: Sequence[Sequence[str]] = (),
) -> Image.Image:
    """Lay pictures out in rows on white, each shrunk or grown to fit cell x cell pixels, with even gutters.

    rows: may differ in length; None leaves a cell empty. column_titles stand above, row_titles to the left; a title
    that is too long is cut with an ellipsis, a row title first wraps. names: of the pictures, each right above its own.
    Raises ValueError when there is no picture.
    """
    cells = [[None if image is None else _fitted(image, cell) for image in row] for row in rows]
    if not any(image for row in cells for image in row):
        raise ValueError("a contact sheet needs at least one picture")
    gutter, font = max(4, cell // 24), ImageFont.load_default(size=max(11, cell // 14))
    columns = max(len(row) for row in cells)
    widths = [
        max((image.width for row in cells for image in row[i : i + 1] if image), default=cell) for i in range(columns)
    ]
    line = _line_height(font)
    named = line if names else 0
    heights = [named + max((image.height for image in row if image), default=gutter) for row in cells]
    left = gutter + (cell // 2 + gutter if any(row_titles) else 0)
    top = gutter + (line + gutter // 2 if any(column_titles) else 0)
    lefts = _starts(left, widths, gutter)
    tops = _starts(top, heights, gutter)
    sheet = Image.new("RGB", (lefts[-1], tops[-1]), "white")
    draw = ImageDraw.Draw(sheet)
    for title, x, width in zip(column_titles, lefts, widths, strict=False):
        draw.text((x + width / 2, gutter), _cut(title, font, width), INK, font, anchor="ma")
    for title, y, height in zip(row_titles, tops, heights, strict=False):
        lines = _wrap(title, font, cell // 2, max(1, height // line))
        first = y + (height - line * len(lines)) / 2
        for number, text in enumerate(lines):
            draw.text((gutter, first + number * line), text, INK, font)
    for number, (row, y, height) in enumerate(zip(cells, tops, heights, strict=False)):
        for place, (image, x, width) in enumerate(zip(row, lefts, widths, strict=False)):
            if image is not None:
                upper = y + named + (height - named - image.height) // 2
                sheet.paste(image, (x + (width - image.width) // 2, upper))
                if names:
                    name = _cut(names[number][place], font, width)
                    draw.text((x + width / 2, upper - named), name, INK, font, anchor="ma")
    return sheet


def _fitted(image: Image.Image, cell: int) -> Image.Image:
    scale = cell / max(image.size)
    return resize(to_rgb(image), (max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _starts(first: int, lengths: Sequence[int], gutter: int) -> list[int]:
    """Where each stretch starts, and at last where the next would."""
    starts = [first]
    for length in lengths:
        starts.append(starts[-1] + length + gutter)
    return starts


def _line_height(font: Font) -> int:
    _, top, _, bottom = font.getbbox("Ág")
    return round((bottom - top) * 1.3)


def _cut(text: str, font: Font, width: int) -> str:
    """The text, its end replaced by an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _wrap(text: str, font: Font, width: int, limit: int) -> list[str]:
    """The text in at most `limit` lines of `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and (font.getlength(joined) <= width or len(lines) == limit):
            lines[-1] = joined
        else:
            lines.append(word)
    return [_cut(line, font, width) for line in lines]
