"""The form of the page: what is dropped on it, what it asks for, and how an earlier edit is put back on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from relation_adapter.errors import PictureError, RelationAdapterError, UsageError, WeightsError
from relation_adapter.web import stage
from relation_adapter.web.examples import SOURCE, pair_files
from relation_adapter.web.limits import MAX_PAIRS, MAX_RELATIONS
from relation_adapter.web.settings import read_settings, read_strength
from relation_adapter.web.studio import Studio
from relation_adapter.web.uploads import keep_picture, keep_relation, tidy
from relation_adapter.web.visits import Kept, Order, Saved, Visit

# In the order of `Parts.form`: before and after of every pair, sources, settings, relation files, their strengths.
SOURCES = 2 * MAX_PAIRS
SETTINGS = ("strength", "steps", "size", "seed", "random", "instruction")
RELATIONS = SOURCES + 1 + len(SETTINGS)


class Desk:
    """What is done with the form's values, for the visit they are of."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def drop_picture(self, visit: Visit, path: str | None) -> tuple[Any, str]:
        """A before or an after was dropped: its view, or nothing and why."""
        if path is None:
            return None, stage.status()
        try:
            kept = self._picture(visit, path)
        except RelationAdapterError as error:
            return None, stage.problem(str(error))
        return str(kept.view), stage.status()

    def drop_sources(self, visit: Visit, paths: Sequence[str]) -> tuple[Any, str]:
        """Sources were dropped: the views of those that can be used, and what is wrong with the others."""
        most, kept, problems = self.studio.limits.sources, [], []
        for path in paths[:most]:
            try:
                kept.append(self._picture(visit, path))
            except RelationAdapterError as error:
                problems.append(str(error))
        if len(paths) > most:
            problems.append(f"{len(paths)} sources; the first {most} are taken, the most for one edit here")
        return _views(kept), stage.problem(*problems) if problems else stage.status()

    def drop_relations(self, visit: Visit, paths: Sequence[str], *strengths: float) -> tuple[Any, ...]:
        """Relation files were dropped or taken away: those that can be used, a strength for each, and what is wrong.

        A relation keeps its strength when another is taken away.
        """
        saved: list[Saved] = []
        problems = []
        for path in paths:
            try:
                saved.append(self._relation(visit, path))
            except RelationAdapterError as error:
                problems.append(str(error))
        if len(saved) > MAX_RELATIONS:
            problems.append(f"{len(saved)} relations; the first {MAX_RELATIONS} are taken, the most for one edit here")
        before = dict(zip(visit.loaded, strengths, strict=False))
        visit.loaded = saved[:MAX_RELATIONS]
        sliders = _sliders([(one, before.get(one, 1.0)) for one in visit.loaded])
        if not problems:  # a new value of the files would count as a new drop
            return gr.skip(), *sliders, stage.status()
        return [str(one.path) for one in visit.loaded] or None, *sliders, stage.problem(*problems)

    def example(self, visit: Visit, name: str, sources: Sequence[str]) -> tuple[Any, ...]:
        """An example pair, and a source where there is none."""
        before, after = (self._picture(visit, str(path), ours=True) for path in pair_files(name))
        chosen = gr.skip() if sources else _views([self._picture(visit, str(SOURCE), ours=True)])
        return str(before.view), str(after.view), chosen, stage.status()

    def read(self, visit: Visit, form: Sequence[Any]) -> Order:
        """What the form asks for. Raises UsageError, PictureError, WeightsError."""
        paths, files = form[:SOURCES], form[RELATIONS] or []
        words = dict(zip(SETTINGS, form[SOURCES + 1 : RELATIONS], strict=True))
        if words.pop("random"):
            words["seed"] = "random"
        settings = read_settings(self.studio.pipe.design, words)
        pairs = []
        for number, (before, after) in enumerate(zip(paths[::2], paths[1::2], strict=True), start=1):
            if (before is None) != (after is None):
                raise UsageError(f"pair {number} has no {'before' if before is None else 'after'}; drop it, too")
            if before is not None:
                pairs.append((self._picture(visit, before), self._picture(visit, after)))
        sources = tuple(self._picture(visit, path) for path in form[SOURCES] or [])
        strengths = [read_strength("strength", value) for value in form[RELATIONS + 1 :]]
        relations = [self._relation(visit, path) for path in files]
        self._check(len(pairs), len(sources), len(relations))
        return Order(tuple(pairs), tuple(zip(relations, strengths, strict=False)), sources, settings)

    def _check(self, pairs: int, sources: int, relations: int) -> None:
        if not pairs and not relations:
            raise UsageError("nothing shows the edit; drop a before and an after, or load a relation")
        if not sources and not pairs:
            raise UsageError("no source; drop the picture to edit")
        if sources > self.studio.limits.sources or relations > MAX_RELATIONS:
            raise UsageError(
                f"{sources} sources and {relations} relations; the most for one edit here are "
                f"{self.studio.limits.sources} and {MAX_RELATIONS}"
            )

    def write(self, visit: Visit, order: Order) -> tuple[Any, ...]:
        """The values of a form that asks for this: how many pairs are seen, their rows, then as `read` takes them."""
        count = max(1, len(order.pairs))
        pictures: list[Any] = [str(picture.view) for pair in order.pairs for picture in pair]
        pictures += [None] * (SOURCES - len(pictures))
        words = order.settings.to_dict() | {"random": False}
        visit.loaded = [saved for saved, _ in order.relations]
        files = [str(saved.path) for saved in visit.loaded] or None
        settings = [words[name] for name in SETTINGS]
        return *rows_of(count), *pictures, _views(order.sources), *settings, files, *_sliders(order.relations)

    def _picture(self, visit: Visit, path: str, ours: bool = False) -> Kept:
        """The picture that a path of the form stands for: a view of this visit, or an upload."""
        known = visit.pictures.get(path)
        if known is not None:
            return known
        if not ours and not self._is_upload(Path(path)):
            raise PictureError(f"{tidy(path)}: was not dropped in this visit, or is gone; drop it again")
        return keep_picture(visit, Path(path), self.studio.limits)

    def _relation(self, visit: Visit, path: str) -> Saved:
        known = visit.saved.get(path)
        if known is not None:
            return known
        if not self._is_upload(Path(path)):
            raise WeightsError(f"{tidy(path)}: was not loaded in this visit, or is gone; load it again")
        return keep_relation(visit, self.studio.pipe, Path(path))

    def _is_upload(self, path: Path) -> bool:
        """Whether a path lies where uploads come to, and not among what visits keep."""
        folder, path = self.studio.folder.resolve(), path.resolve()
        return path.is_relative_to(folder) and not path.is_relative_to(folder / "visits")


def rows_of(count: int) -> tuple[Any, ...]:
    """How many pairs are seen, their rows, and whether there may be another."""
    rows = [gr.update(visible=number < count) for number in range(MAX_PAIRS)]
    return count, *rows, gr.update(visible=count < MAX_PAIRS)


def _sliders(weighted: Sequence[tuple[Saved, float]]) -> list[Any]:
    """A strength for each relation; the others are out of sight."""
    shown = [gr.update(visible=True, value=strength, label=f"Strength of {saved.name}") for saved, strength in weighted]
    return shown + [gr.update(visible=False, value=1)] * (MAX_RELATIONS - len(shown))


def _views(pictures: Sequence[Kept]) -> list[tuple[str, str]]:
    return [(str(kept.view), kept.name) for kept in pictures]
