"""What happens when something on the page is pressed or chosen. Every function is of one visitor's session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr

from relation_adapter.errors import RelationAdapterError, UsageError
from relation_adapter.web import stage
from relation_adapter.web.desk import Desk, rows_of
from relation_adapter.web.limits import MAX_PAIRS
from relation_adapter.web.studio import Studio
from relation_adapter.web.visits import Entry, Visit

CHANGED = ("status", "figure", "results", "history", "edit", "cancel", "seed")  # the parts that an edit changes


class Actions:
    """The answers of one server's page."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.desk = studio, Desk(studio)

    def visit(self, request: gr.Request) -> Visit:
        """The visit of whoever asks."""
        if not request.session_hash:
            raise gr.Error("this request comes from no page; reload the page", print_exception=False)
        return self.studio.visits.of(request.session_hash)

    def of_visit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a visit and values as one that the page can call."""

        def call(request: gr.Request, *values: Any) -> Any:  # the library puts it where it is named, among the values
            return function(self.visit(request), *values)

        return call

    def left(self, request: gr.Request) -> None:
        """The page was closed."""
        if request.session_hash:
            self.studio.visits.close(request.session_hash)

    def more_pairs(self, count: int) -> tuple[Any, ...]:
        """Room for another pair."""
        return rows_of(min(count + 1, MAX_PAIRS))

    def cancel(self, request: gr.Request) -> str:
        """Stop after the step at hand."""
        self.visit(request).stop.set()
        return stage.status("Stopping after this step")

    async def edit(self, request: gr.Request, *form: Any) -> AsyncIterator[Any]:
        """Make the edit; values for `CHANGED`, again and again."""
        visit = self.visit(request)
        try:
            entry = await asyncio.to_thread(self._begin, visit, form)
        except RelationAdapterError as error:
            yield changed(status=stage.problem(str(error)))
            return
        try:
            async for news in self._news(visit, entry, str(request.session_hash)):
                yield news
        except RelationAdapterError as error:
            yield self._end(visit, entry, stage.problem(str(error)))
        except Exception:
            yield self._end(visit, entry, stage.problem("This failed here; the log of the server tells why."))
            raise
        finally:
            visit.at_work = False

    async def _news(self, visit: Visit, entry: Entry, session: str) -> AsyncIterator[Any]:
        waiting = stage.status("Waiting for a place in the queue")
        yield changed(
            status=waiting,
            edit=gr.update(interactive=False),
            cancel=gr.update(visible=True),
            seed=entry.order.settings.seed,
            results=gr.update(visible=False),
        )
        async for news in self.studio.edit(session, visit, entry):
            if news.kind == "done":
                visit.shown = entry.number
                figure = gr.skip() if visit.chosen else stage.compare(visit, entry, news.number)
                yield changed(figure=figure, results=shelf_of_results(entry))
            elif news.kind != "failed":
                figure = stage.preview(news.preview) if news.preview and not visit.chosen else gr.skip()
                yield changed(status=stage.working(news, entry), figure=figure)
        yield self._end(visit, entry, stage.finished(entry))

    def _begin(self, visit: Visit, form: Sequence[Any]) -> Entry:
        """The edit that the form asks for. Raises what it is refused for."""
        if visit.at_work:
            raise UsageError("an edit of yours is at work already; cancel it, or wait for it")
        order = self.desk.read(visit, form)
        visit.at_work, visit.chosen, visit.stop = True, False, threading.Event()
        return visit.begin(order)

    def _end(self, visit: Visit, entry: Entry, status: str) -> Any:
        """What the page shows once an edit is over, and the visit's history."""
        shown: dict[str, Any] = {}
        if not visit.finish(entry):
            shown = self._shown_before(visit)
        elif not entry.order.sources:
            visit.shown = entry.number
            shown = {"figure": stage.downloads(visit, entry)}
        elif len(entry.results) < len(entry.order.sources) and not visit.chosen:
            shown = {"figure": stage.compare(visit, entry, max(entry.results))}  # a preview may stand there
        visit.make_room(self.studio.limits.visit_mib)
        over = {"edit": gr.update(interactive=True), "cancel": gr.update(visible=False)}
        return changed(status=status, history=shelf_of_history(visit), **over, **shown)

    def _shown_before(self, visit: Visit) -> dict[str, Any]:
        """The result that was shown before an edit of which nothing came, in place of its preview."""
        entry = visit.entry(visit.shown)
        if entry is None or not entry.results:
            return {"figure": stage.EMPTY}
        return {"figure": stage.compare(visit, entry, min(entry.results)), "results": shelf_of_results(entry)}

    def show(self, visit: Visit, entry: Entry, number: int) -> str:
        """One result, or the relation alone."""
        visit.shown, visit.chosen = entry.number, True
        return stage.compare(visit, entry, number) if number in entry.results else stage.downloads(visit, entry)

    def show_result(self, request: gr.Request, event: gr.SelectData) -> Any:
        """A result of several was pressed."""
        visit = self.visit(request)
        entry = visit.entry(visit.shown)
        numbers = sorted(entry.results) if entry else []
        if entry is None or not 0 <= int(event.index) < len(numbers):
            return gr.skip()
        return self.show(visit, entry, numbers[int(event.index)])

    def put_back(self, request: gr.Request, event: gr.SelectData) -> tuple[Any, ...]:
        """An edit of the visit was pressed: the whole form as it was, and what came of it."""
        visit = self.visit(request)
        shown = list(reversed(visit.history))
        if not 0 <= int(event.index) < len(shown):
            return gr.skip()
        entry = shown[int(event.index)]
        first = min(entry.results, default=-1)
        figure = self.show(visit, entry, first)
        return *self.desk.write(visit, entry.order), stage.finished(entry), figure, shelf_of_results(entry)


def changed(**values: Any) -> tuple[Any, ...]:
    """Values for the parts of `CHANGED`, those that are not named left as they are."""
    return tuple(values.get(name, gr.skip()) for name in CHANGED)


def shelf_of_results(entry: Entry) -> Any:
    """The results of several sources, to choose from."""
    views = [(str(entry.results[number].view), entry.results[number].name) for number in sorted(entry.results)]
    return gr.update(value=views, visible=len(entry.order.sources) > 1, selected_index=None)


def shelf_of_history(visit: Visit) -> Any:
    """The edits of the visit, the latest first."""
    shown = [(str(_face(entry)), stage.caption(entry)) for entry in reversed(visit.history)]
    return gr.update(value=shown, visible=bool(shown), selected_index=None)


def _face(entry: Entry) -> Any:
    """A picture that stands for an edit."""
    results = [entry.results[number] for number in sorted(entry.results)]
    return (results or [entry.order.pairs[0][1]])[0].view
