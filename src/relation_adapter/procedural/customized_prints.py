"""Customized tasks: the picture printed on flat things that also bear writing."""

from __future__ import annotations

import numpy as np

from .brush import Pen, ellipse_points
from .draws import DEEP, PALE, SIDE, VIVID, Colour, Params, Rng, choice, colour, tint, whole
from .letters import write
from .objects import heart_points, paler
from .pixels import FloatPicture, as_float32, box_distance, gray, half_sides, unit_colour
from .printing import (
    PAPER,
    barcode,
    contrast,
    fill_inside,
    fill_outside,
    fitting,
    painted,
    placed,
    places,
    plain,
    print_task,
    show,
    tone,
    writing,
)
from .task import Task


def magazine_cover(picture: FloatPicture, params: Params) -> FloatPicture:
    """A large title above, headlines at one side, a bar code in a corner."""
    half_x, half_y = half_sides(picture)
    ink, field, side = tone(params["ink"]), contrast(params["ink"]), params["side"]

    def paint(pen: Pen) -> None:
        height = fitting(params["title"], 0.86, 0.2)
        pen.box(-half_x, -half_y, half_x, -half_y + height + 0.09, field)
        write(pen, params["title"], 0, -half_y + 0.045 + height / 2, height, ink, height * 0.2)
        edge = pen.local(side * (half_x - 0.2), half_y - 0.5, 1)
        for top in (-0.1, 0.08, 0.26):
            edge.box(-0.175, top - 0.02, 0.175, top + 0.11, field)
            writing(edge, -0.16, 0.16, [top, top + 0.05], ink, 0.03)
        barcode(pen.local(-side * (half_x - 0.14), half_y - 0.11, 1), -0.1, -0.07, 0.1, 0.07)

    return painted(picture, paint)


def newspaper(picture: FloatPicture, params: Params) -> FloatPicture:
    """A headline, the picture in grey, columns of small print."""
    x, y = places(picture)
    middle = params["side"] * 0.16, 0.02
    grey = np.repeat(gray(picture) * 0.85 + 0.05, 3, axis=2) * unit_colour(params["paper"])
    page = plain(picture, params["paper"])
    left, top = x - as_float32(middle[0]), y - as_float32(middle[1])
    page = show(page, placed(as_float32(grey), (0.3, 0.22), left, top), box_distance(left, top, (0.3, 0.22)))

    def paint(pen: Pen) -> None:
        ink = (40, 38, 40)
        height = fitting(params["title"], 0.84, 0.16)
        write(pen, params["title"], 0, -0.38, height, ink, height * 0.18)
        pen.box(-0.46, -0.255, 0.46, -0.24, ink)
        edge = middle[0] + 0.33 if params["side"] < 0 else -0.47
        writing(pen, edge, edge + 0.28, [-0.19 + 0.045 * row for row in range(10)], ink, 0.02)
        for column in (-0.47, -0.15, 0.17):
            writing(pen, column, column + 0.29, [0.29 + 0.045 * row for row in range(5)], ink, 0.02)

    return painted(page, paint)


def book_cover(picture: FloatPicture, params: Params) -> FloatPicture:
    """A book that lies on a table: a spine, a title on a band, the edge of its pages."""
    x, y = places(picture)
    shown = placed(picture, (0.34, 0.45), x - 0.03, y)
    pages = fill_inside(
        plain(picture, params["table"]), box_distance(x - 0.06, y - 0.02, (0.34, 0.45)), [236, 230, 214]
    )
    book = show(pages, shown, box_distance(x - 0.02, y, (0.34, 0.45), 0.01))

    def paint(pen: Pen) -> None:
        cloth = tone(params["cloth"])
        pen.box(-0.38, -0.45, -0.25, 0.45, cloth)
        pen.box(-0.26, -0.45, -0.245, 0.45, tone(params["cloth"], 0.6))
        top = -0.36 if params["high"] else 0.14
        pen.box(-0.245, top, 0.36, top + 0.2, cloth)
        height = fitting(params["title"], 0.52, 0.12)
        write(pen, params["title"], 0.057, top + 0.1, height, contrast(params["cloth"]), height * 0.18)

    return painted(book, paint)


def wanted_poster(picture: FloatPicture, params: Params) -> FloatPicture:
    """WANTED over the picture in brown, a reward below it."""
    x, y = places(picture)
    paper = unit_colour(params["paper"])
    brown = as_float32((gray(picture) * 0.9 + 0.08) * paper)
    sheet = fill_inside(plain(picture, params["wall"]), box_distance(x, y, (0.4, 0.48)), params["paper"])
    sheet = fill_inside(sheet, box_distance(x, y - 0.03, (0.3, 0.25)), [60, 40, 26])
    sheet = show(sheet, placed(brown, (0.28, 0.23), x, y - 0.03), box_distance(x, y - 0.03, (0.28, 0.23)))

    def paint(pen: Pen) -> None:
        ink = (60, 40, 26)
        write(pen, "WANTED", 0, -0.35, 0.125, ink, 0.027)
        write(pen, f"{params['reward']}00", 0, 0.38, 0.12, ink, 0.024)
        for side in (-0.36, 0.36):
            pen.ellipse(side, -0.44, 0.018, 0.018, (90, 90, 96))

    return painted(sheet, paint)


def _suit(pen: Pen, suit: str, ink: Colour) -> None:
    if suit == "diamond":
        pen.polygon([(0, -1.1), (0.75, 0), (0, 1.1), (-0.75, 0)], ink)
    elif suit == "heart":
        pen.polygon(heart_points(0, 0, 1.1), ink)
    elif suit == "spade":
        pen.polygon([(px, -py - 0.2) for px, py in heart_points(0, 0, 1.0)], ink)
        pen.polygon([(0, 0), (0.4, 1.1), (-0.4, 1.1)], ink)
    else:
        for px, py in ((0, -0.55), (-0.5, 0.2), (0.5, 0.2)):
            pen.ellipse(px, py, 0.48, 0.48, ink)
        pen.polygon([(0, 0), (0.4, 1.1), (-0.4, 1.1)], ink)


def playing_card(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture upright above and upside down below, rank and suit in two corners."""
    x, y = places(picture)
    card = fill_inside(plain(picture, params["table"]), box_distance(x, y, (0.38, 0.49), 0.05), [250, 249, 244])
    half = (0.24, 0.2)
    upper, lower = placed(picture, half, x, y + half[1]), placed(picture, half, -x, half[1] - y)
    both = as_float32(np.where((y < 0)[..., None], upper, lower))
    card = show(card, both, box_distance(x, y, (half[0], 2 * half[1])))

    def paint(pen: Pen) -> None:
        ink = (205, 30, 40) if params["suit"] in ("heart", "diamond") else (24, 24, 30)
        pen.box(-half[0], -0.008, half[0], 0.008, ink)
        for turn in (0, 180):
            turned = pen.local(0, 0, 1, turn)
            write(turned, params["rank"], -0.31, -0.4, 0.11, ink, 0.024)
            _suit(turned.local(-0.31, -0.27, 0.05), params["suit"], ink)

    return painted(card, paint)


def calendar_page(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture above, a month with its days below, one of them marked."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    page = show(plain(picture, params["paper"]), placed(picture, (half_x, 0.3), x, y + half_y - 0.3), y + half_y - 0.6)

    def paint(pen: Pen) -> None:
        foot = pen.local(0, half_y - 0.5, 1)
        foot.box(-half_x, 0.09, half_x, 0.2, tone(params["colour"]))
        write(foot, params["month"], 0, 0.145, 0.075, contrast(params["colour"]), 0.018)
        for day in range(28):
            place = -0.39 + 0.13 * (day % 7), 0.245 + 0.07 * (day // 7)
            foot.box(place[0] - 0.032, place[1] - 0.018, place[0] + 0.032, place[1] + 0.018, (150, 150, 156))
            if day == params["day"]:
                foot.ring(*place, 0.062, 0.045, 0.022, tone(params["colour"]))
        for hole in range(8):
            pen.ellipse(-0.42 + 0.12 * hole, -half_y + 0.035, 0.02, 0.02, (60, 60, 66))

    return painted(page, paint)


def ticket(picture: FloatPicture, params: Params) -> FloatPicture:
    """Notched sides, a stub with a bar code behind a dotted line, a word under the picture."""
    x, y = places(picture)
    paper = fill_inside(plain(picture, params["ground"]), box_distance(x, y, (0.48, 0.34), 0.03), params["paper"])
    window = (0.3, 0.2)
    shown = placed(picture, window, x + 0.14, y + 0.1)
    paper = show(paper, shown, box_distance(x + 0.14, y + 0.1, window, 0.02))

    def paint(pen: Pen) -> None:
        ink = contrast(params["paper"])
        write(pen, params["word"], -0.14, 0.225, fitting(params["word"], 0.56, 0.12), ink, 0.024)
        for row in range(9):
            pen.ellipse(0.215, -0.29 + 0.0725 * row, 0.011, 0.011, tone(params["ground"]))
        barcode(pen, 0.26, -0.26, 0.44, 0.26)
        for side in (-0.48, 0.48):
            pen.ellipse(side, 0, 0.05, 0.05, tone(params["ground"]))

    return painted(paper, paint)


def comic_panel(picture: FloatPicture, params: Params) -> FloatPicture:
    """A black border and a word in a speech bubble."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    panel = fill_outside(picture, box_distance(x, y, (half_x - 0.03, half_y - 0.03)), [20, 20, 22])

    def paint(pen: Pen) -> None:
        side = params["side"]
        for grown, ink in ((0.02, (20, 20, 22)), (0.0, tone(params["bubble"]))):
            tail = [(side * 0.04 - grown, -0.16), (side * 0.2 + grown, -0.16), (side * 0.02, 0.07 + 2 * grown)]
            pen.polygon(tail, ink)
            pen.ellipse(side * 0.17, -0.27, 0.28 + grown, 0.16 + grown, ink)
        write(pen, params["word"], side * 0.17, -0.27, fitting(params["word"], 0.42, 0.14), (20, 20, 22), 0.026)

    return painted(panel, paint)


def phone_screen(picture: FloatPicture, params: Params) -> FloatPicture:
    """A phone with the picture behind its hour and its icons."""
    x, y = places(picture)
    phone = fill_inside(plain(picture, params["ground"]), box_distance(x, y, (0.29, 0.49), 0.06), params["case"])
    window = (0.255, 0.455)
    phone = show(phone, placed(picture, window, x, y), box_distance(x, y, window, 0.035))

    def paint(pen: Pen) -> None:
        pen.box(-0.07, -0.455, 0.07, -0.425, tone(params["case"]))
        write(pen, params["hour"], 0, -0.3, fitting(params["hour"], 0.4, 0.11), (250, 250, 250), 0.02)
        pen.box(-0.24, 0.29, 0.24, 0.44, (226, 228, 232))
        for number, x in enumerate((-0.165, -0.055, 0.055, 0.165)):
            icon = pen.local(x, 0.365, 1)
            icon.box(-0.042, -0.045, 0.042, 0.045, tone(params["icons"][number]))
            icon.ellipse(0, 0, 0.02, 0.02, (250, 250, 250))

    return painted(phone, paint)


def television(picture: FloatPicture, params: Params) -> FloatPicture:
    """An old set with an aerial, two knobs and a bulging screen."""
    x, y = places(picture)
    case = fill_inside(plain(picture, params["wall"]), box_distance(x, y - 0.08, (0.47, 0.34), 0.06), params["case"])
    window = (0.31, 0.27)
    left, top = x + 0.1, y - 0.08
    case = fill_inside(case, box_distance(left, top, (window[0] + 0.025, window[1] + 0.025), 0.09), [30, 28, 30])
    case = show(case, placed(picture, window, left, top), box_distance(left, top, window, 0.08))

    def paint(pen: Pen) -> None:
        for end in (-0.22, 0.22):
            pen.stroke([(0, -0.26), (end, -0.48)], 0.02, (60, 60, 66))
        for foot in (-0.32, 0.32):
            pen.polygon(
                [(foot - 0.05, 0.42), (foot + 0.05, 0.42), (foot + 0.03, 0.49), (foot - 0.03, 0.49)], (50, 44, 40)
            )
        for knob in (-0.1, 0.06):
            pen.ellipse(0.355, knob, 0.055, 0.055, tone(params["knobs"]))
            pen.stroke([(0.355, knob), (0.355, knob - 0.045)], 0.018, (30, 28, 30))
        for row in range(4):
            pen.box(0.305, 0.18 + 0.045 * row, 0.405, 0.2 + 0.045 * row, tone(params["case"], 0.5))
        pen.polygon(ellipse_points(-0.27, -0.08, 0.05, 0.03), paler(tone(params["wall"]), 0.8))

    return painted(case, paint)


def window_view(picture: FloatPicture, params: Params) -> FloatPicture:
    """The picture behind glazing bars and between curtains."""
    x, y = places(picture)
    half_x, half_y = half_sides(picture)
    view = fill_outside(picture, box_distance(x, y + 0.04, (half_x - 0.06, half_y - 0.1)), params["frame"])

    def paint(pen: Pen) -> None:
        for number in range(1, params["panes"]):
            place = -half_x + 2 * half_x * number / params["panes"]
            pen.box(place - 0.018, -half_y, place + 0.018, half_y - 0.06, tone(params["frame"]))
        pen.box(-half_x, -0.06, half_x, -0.024, tone(params["frame"]))
        pen.box(-half_x, half_y - 0.07, half_x, half_y, tone(params["frame"], 0.75))
        for side in (-1, 1):
            edge = side * half_x
            cloth = [(edge, -half_y), (side * 0.1, -half_y), (side * 0.28, -0.12), (edge - side * 0.1, 0.16)]
            pen.polygon([*cloth, (edge - side * 0.12, half_y - 0.06), (edge, half_y - 0.06)], tone(params["curtain"]))
            for fold in (0.2, 0.3, 0.4):
                line = [(side * fold, -half_y), (edge - side * 0.12 * (0.6 - fold), 0.12)]
                pen.stroke(line, 0.014, tone(params["curtain"], 0.75))
            pen.box(
                min(edge, edge - side * 0.12), 0.13, max(edge, edge - side * 0.12), 0.18, tone(params["curtain"], 0.5)
            )

    return painted(view, paint)


MONTHS = choice("JAN", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
HOURS = choice("0742", "1015", "1630", "2359")
SUITS = choice("heart", "diamond", "spade", "club")
OLD_PAPER = tint(colour((0.08, 0.14), (0.2, 0.5), (0.75, 0.95)))


def _icons(rng: Rng) -> list[list[int]]:
    return [VIVID(rng) for _ in range(4)]


TASKS: tuple[Task, ...] = (
    print_task(
        "magazine cover", magazine_cover, title=choice("STYLE", "WORLD", "FOOD", "MODE", "SPORT"), ink=VIVID, side=SIDE
    ),
    print_task("newspaper", newspaper, title=choice("DAILY NEWS", "THE TIMES", "HERALD"), side=SIDE, paper=OLD_PAPER),
    print_task(
        "book cover", book_cover, title=choice("DUNES", "EMMA", "STORY", "ATLAS"), cloth=VIVID, table=DEEP,
        high=choice(True, False),
    ),
    print_task("wanted poster", wanted_poster, paper=OLD_PAPER, wall=DEEP, reward=whole(1, 99)),
    print_task("playing card", playing_card, rank=choice("K", "Q", "J", "A", "7"), suit=SUITS, table=DEEP),
    print_task("calendar page", calendar_page, month=MONTHS, day=whole(0, 27), colour=VIVID, paper=PAPER),
    print_task("ticket", ticket, word=choice("ADMIT ONE", "CINEMA", "MUSEUM", "CIRCUS"), paper=VIVID, ground=DEEP),
    print_task("comic panel", comic_panel, word=choice("WOW", "BOOM", "HELLO", "OH NO"), side=SIDE, bubble=PALE),
    print_task("phone screen", phone_screen, hour=HOURS, case=DEEP, ground=PALE, icons=_icons),
    print_task("television", television, case=VIVID, knobs=VIVID, wall=PALE),
    print_task("window view", window_view, frame=PALE, curtain=VIVID, panes=whole(2, 4)),
)  # fmt: skip
