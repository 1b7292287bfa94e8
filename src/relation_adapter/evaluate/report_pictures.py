"""The pictures of a report: sheets of each editor's best, median and worst edits, and the plot of its strengths."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.errors import PictureError
from relation_adapter.evaluate.batches import Batch, shared_quads
from relation_adapter.evaluate.report_tables import MAIN, SPLITS, sweeps
from relation_adapter.evaluate.rows import Row
from relation_adapter.evaluate.stats import mean, quad_key, where
from relation_adapter.images import open_picture

EACH = 3  # of the best, of those in the middle, of the worst
CELL = 128
WIDTH, HEIGHT, EDGE = 360, 240, 46  # of a plot


@dataclass(frozen=True)
class Figure:
    """A picture of the page: a name for its file, what it shows, and its bytes, JPEG or SVG."""

    name: str
    title: str
    data: bytes

    @property
    def kind(self) -> str:
        return "image/svg+xml" if self.name.endswith(".svg") else "image/jpeg"


def sheets(batches: Sequence[Batch]) -> list[Figure]:
    """A sheet for every editor whose edits are not all alike, by error over that of doing nothing, a task at most once.

    Beside each edit stand those of the other editors, at strength 1. Raises PictureError where one cannot be read.
    """
    beside = [batch for batch in batches if batch.strength == 1]
    found = []
    for number, batch in enumerate(batches):
        chosen = extremes(batch.done)
        if chosen:
            others = [other for other in beside if other is not batch]
            title = f"{batch.name}: the best, the middle and the worst, by MSE over that of doing nothing"
            found.append(Figure(f"sheet_{number}.jpg", title, _sheet(batch, others, chosen)))
    return found


def extremes(rows: Sequence[Row]) -> list[tuple[str, float, Row]]:
    """EACH of the best, of those nearest to the median and of the worst, by their share of the error of doing nothing.

    Of every task its middle row speaks, so that none comes twice. Nothing where all shares are the same.
    """
    by_task: dict[str, list[tuple[float, str, Row]]] = {}
    for row in rows:
        if row.get("mse") is not None and row.get("nothing_mse"):
            share = row["mse"] / row["nothing_mse"]
            by_task.setdefault(row.get("task") or "", []).append((share, str(row["output"]), row))
    middle = [sorted(group, key=lambda one: one[:2])[len(group) // 2] for group in by_task.values()]
    order = sorted(middle, key=lambda one: one[:2])
    if not order or order[0][0] == order[-1][0]:
        return []
    each = min(EACH, max(1, len(order) // 3))
    start = (len(order) - each) // 2
    groups = {"best": order[:each], "middle": order[start : start + each], "worst": order[-each:]}
    if len(order) < 3:
        groups = {"all": order}
    return [(label, share, row) for label, group in groups.items() for share, _, row in group]


def _sheet(batch: Batch, others: Sequence[Batch], chosen: Sequence[tuple[str, float, Row]]) -> bytes:
    made = [{quad_key(row): row["output"] for row in other.done} for other in others]
    lines, titles = [], []
    for label, share, row in chosen:
        paths = [row["before"], row["after"], row["source"], row["output"], row["target"]]
        paths += [other.get(quad_key(row)) for other in made]
        lines.append([_opened(path) for path in paths])
        titles.append(f"{label} {share:.2f} {row.get('task') or ''}")
    heads = ["before", "after", "source", batch.name, "target", *(other.name for other in others)]
    sheet = contact_sheet(lines, heads, titles, CELL)
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=88, optimize=True)
    return out.getvalue()


def _opened(path: str | None) -> Image.Image | None:
    try:
        return None if path is None else open_picture(path)
    except PictureError:  # A folder that was thinned out; the scores are known all the same.
        return None


def plots(batches: Sequence[Batch]) -> list[Figure]:
    """For every editor with several strengths and every score a plot of the score over the strength."""
    found = []
    for number, (base, chosen) in enumerate(sweeps(batches).items()):
        shared = shared_quads(chosen)
        for column, (label, _) in MAIN.items():
            lines: dict[str, list[tuple[float, float]]] = {split: [] for split in SPLITS}
            for batch in reversed(chosen):
                for split in SPLITS:
                    rows = [row for row in where(batch.done, split=split) if quad_key(row) in shared]
                    if one := mean(rows, column):
                        lines[split].append((batch.strength, one.value))
            if any(len(points) > 1 for points in lines.values()):
                text = plot(f"{label} over strength", lines)
                found.append(Figure(f"strength_{number}_{column}.svg", f"{base}: {label} over strength", text.encode()))
    return found


def plot(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines through points (x, y), as SVG that is as dark or light as the reader's screen."""
    points = [point for line in lines.values() for point in line]
    (left, right), (low, high) = (_range([point[axis] for point in points]) for axis in (0, 1))

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = (x - left) / (right - left), (y - low) / (high - low)
        return EDGE + across * (WIDTH - EDGE - 16), HEIGHT - 34 - up * (HEIGHT - 34 - 40)

    parts = [f'<text x="{EDGE}" y="16" class="t">{escape(title)}</text>']
    for y in (low, (low + high) / 2, high):
        _, down = at(left, y)
        parts.append(f'<line x1="{EDGE}" x2="{WIDTH - 16}" y1="{down:.1f}" y2="{down:.1f}" class="g"/>')
        parts.append(f'<text x="{EDGE - 5}" y="{down + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    parts += [
        f'<text x="{at(x, low)[0]:.1f}" y="{HEIGHT - 16}" text-anchor="middle">{x:g}</text>'
        for x in sorted({point[0] for point in points})
    ]
    for number, (name, line) in enumerate(lines.items()):
        if line:
            places = [at(*point) for point in sorted(line)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{path}" class="l s{number}"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="s{number} d"/>' for x, y in places]
            parts.append(f'<text x="{EDGE + 90 * number}" y="32" class="s{number} n">● {escape(name)}</text>')
    return _SVG.format(width=WIDTH, height=HEIGHT, title=escape(title), body="".join(parts))


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or max(abs(high) * 0.1, 1e-6)
    return low - room, high + room


_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    'role="img" aria-label="{title}"><style>'
    "svg{{color-scheme:light dark;font:11px system-ui,sans-serif}}text{{fill:#444}}.t{{font-weight:600;font-size:12px}}"
    ".g{{stroke:#8884}}.l{{fill:none;stroke-width:2}}.s0{{stroke:#0a6cc4}}.s1{{stroke:#c2570c}}.d.s0,.n.s0{{fill:#0a6cc4}}"
    ".d.s1,.n.s1{{fill:#c2570c}}.n{{stroke:none}}@media(prefers-color-scheme:dark){{text{{fill:#ccc}}"
    ".s0{{stroke:#62b0f5}}.d.s0,.n.s0{{fill:#62b0f5}}.s1{{stroke:#f0a060}}.d.s1,.n.s1{{fill:#f0a060}}.n{{stroke:none}}}}"
    "</style>{body}</svg>\n"
)
