"""The work behind the page and the HTTP API: from an order to results, one picture at a time, news on the way."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from relation_adapter.errors import RelationAdapterError
from relation_adapter.images import Fit, open_picture, quick_png
from relation_adapter.pipeline.pictures import Edited, decode, to_output, units
from relation_adapter.pipeline.request import size_at_work, size_of_work
from relation_adapter.relation import Relation
from relation_adapter.web.limits import Limits
from relation_adapter.web.settings import check_area
from relation_adapter.web.turns import Turn, Turns
from relation_adapter.web.uploads import remember, small, write_picture
from relation_adapter.web.visits import Entry, Kept, Order, Visit, Visits

LOOK_SECONDS = 0.1  # how often a waiting visitor's news are looked up
# The least between two words to who waits: every turn changes every place, and telling all costs more than an edit.
TELL_SECONDS = 1.0
PREVIEW_SECONDS = 0.25  # the least between two previews
PREVIEW_SIDE = 384  # px
ENCODED = 2  # relations of a visit's pairs that are kept in memory


@dataclass(frozen=True)
class News:
    """What happens to an edit.

    number: of the source. ahead: pictures of others that come first. step of steps are done. preview: a JPEG as a data
    URL. result or error: of the source that is done.
    """

    kind: Literal["waiting", "editing", "done", "failed"]
    number: int = 0
    ahead: int = 0
    step: int = 0
    steps: int = 0
    preview: str | None = None
    result: Kept | None = None
    error: str | None = None


@dataclass
class Live:
    """What the thread at work shows those who wait."""

    step: int = 0
    preview: str | None = None


class Studio:
    """One model and all who visit it."""

    def __init__(self, pipe: Any, model: str, limits: Limits, folder: Path) -> None:
        self.pipe, self.model, self.limits, self.folder = pipe, model, limits, folder
        self.turns = Turns(limits.queue, limits.per_visitor)
        self.visits = Visits(folder, limits)
        # Where parts of a model take turns on the GPU a preview would move them at every step.
        self._previews = not getattr(pipe, "_all_hooks", None)
        pipe.set_progress_bar_config(disable=True)

    async def edit(self, visitor: str, visit: Visit, entry: Entry) -> AsyncIterator[News]:
        """Make the entry's edits; news until all are done or `visit.stop` is set.

        Raises BusyError where there is no room, and what the pairs are refused for; a source that is refused is told
        as failed, and the others are edited.
        """
        stop = visit.stop
        with self.turns.edit(visitor):
            try:
                async for news in self._edit_all(visitor, visit, entry, stop):
                    yield news
            finally:
                stop.set()  # whoever leaves stops the work, too

    async def _edit_all(self, visitor: str, visit: Visit, entry: Entry, stop: threading.Event) -> AsyncIterator[News]:
        order = entry.order
        # The pair is read in the turn of the first source: it takes a moment, and a turn of its own would take a round.
        for number, source in enumerate(order.sources or [None]):
            live = Live()
            turn = self.turns.ask(visitor, partial(self._work, visit, entry, source, stop, live))
            about = News("editing", number, steps=order.settings.steps)
            async for news in self._until_done(turn, stop, about, live):
                yield news
            if turn.future.cancelled():
                return
            if source is None or (order.pairs and entry.relation is None):
                turn.future.result()  # raises what the pair was refused for
                return
            if (outcome := _outcome(turn, number)) is None:
                return
            _enter(entry, outcome)
            yield outcome

    async def _until_done(self, turn: Turn, stop: threading.Event, about: News, live: Live) -> AsyncIterator[News]:
        """News of a piece of work until it is done, or stopped."""
        done, told, last = asyncio.wrap_future(turn.future), None, -TELL_SECONDS
        done.add_done_callback(lambda one: one.cancelled() or one.exception())  # told to the caller, not to the log
        while not done.done():
            if stop.is_set():
                turn.future.cancel()  # where it is at work already it sees `stop` by itself
            ahead = self.turns.ahead(turn)
            news = replace(about, step=live.step, preview=live.preview)
            if ahead and not turn.future.running():
                news = replace(about, kind="waiting", ahead=ahead)
            rests = news.kind == "waiting" and time.monotonic() - last < TELL_SECONDS
            if news != told and not rests:
                yield news
                told, last = news, time.monotonic()
            await asyncio.wait({done}, timeout=LOOK_SECONDS)

    def _work(self, visit: Visit, entry: Entry, source: Kept | None, stop: threading.Event, live: Live) -> Kept | None:
        """One turn: the result of a source, or None where there is none or it was stopped."""
        order = entry.order
        relations: list[Any] = [(saved.relation, strength) for saved, strength in order.relations]
        if stop.is_set():
            return None
        if order.pairs:
            own = self._read_pairs(visit, order)
            relations.insert(0, (own, 1.0))
            if entry.relation is None:
                path = visit.folder / f"relation-{entry.number}.safetensors"
                own.save(path)
                entry.relation = path
        return None if source is None else self._edit(visit, order, source, relations, stop, live)

    def _read_pairs(self, visit: Visit, order: Order) -> Relation:
        """What the pairs show, read once as long as the visitor stays with them."""
        if order.pairs not in visit.encoded:
            opened = [(self._open(before), self._open(after)) for before, after in order.pairs]
            visit.encoded[order.pairs] = self.pipe.encode_relation(opened, order.pairs[0][1].name)
            if len(visit.encoded) > ENCODED:
                visit.encoded.pop(next(iter(visit.encoded)))
        return visit.encoded[order.pairs]

    def _edit(
        self, visit: Visit, order: Order, source: Kept, relations: list[Any], stop: threading.Event, live: Live
    ) -> Kept | None:
        """The result of one source, or None where it was stopped."""
        picture, settings, design = self._open(source), order.settings, self.pipe.design
        size = size_of_work(settings.work_size, None, None, design)
        work = size_at_work(picture.size, design, self.pipe.multiple, size)
        check_area(design, work)
        image = self.pipe(
            image=picture,
            relation=relations,
            instruction=settings.instruction or None,
            strength=settings.strength,
            num_inference_steps=settings.steps,
            seed=settings.seed,
            size=size,
            callback_on_step_end=self._watch(stop, live, work, settings.steps),
        ).images[0]
        if stop.is_set():
            return None
        path = write_picture(visit.folder, quick_png(image))
        return remember(visit, source.name, path, small(image), image.size)

    def _watch(self, stop: threading.Event, live: Live, work: tuple[int, int], steps: int) -> Any:
        """What is to happen after every step: stop, or show how far it is."""
        last = 0.0

        def after_step(pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal last
            if stop.is_set():
                pipe._interrupt = True
            elif self._previews and step + 1 < steps and time.monotonic() - last > PREVIEW_SECONDS:
                live.preview = self._preview(tensors["latents"][:1], work)
                last = time.monotonic()
            live.step = step + 1
            return {}

        return after_step

    def _preview(self, latents: Any, work: tuple[int, int]) -> str:
        """The picture as far as it is, as a data URL."""
        tokens = decode(self.pipe, latents, work[1])
        whole = Fit(Image.new("RGB", work), (0, 0, *work), work)
        image = small(to_output([Edited(units([tokens])[0], whole)], "pil")[0], PREVIEW_SIDE)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    def _open(self, kept: Kept) -> Image.Image:
        return open_picture(kept.path, self.limits.pixels)

    def close(self) -> None:
        """End the work; the folder is whoever gave it."""
        self.turns.close()


def _outcome(turn: Turn, number: int) -> News | None:
    """What came of a source; None where it was stopped."""
    try:
        result = turn.future.result()
    except RelationAdapterError as error:
        return News("failed", number, error=str(error))
    return None if result is None else News("done", number, result=result)


def _enter(entry: Entry, outcome: News) -> None:
    if outcome.result is not None:
        entry.results[outcome.number] = outcome.result
    else:
        entry.errors[outcome.number] = str(outcome.error)
