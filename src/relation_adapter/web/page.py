"""The page: its parts, and which of them calls what."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from relation_adapter.web.actions import CHANGED, Actions
from relation_adapter.web.examples import EXAMPLES
from relation_adapter.web.layout import lay_out
from relation_adapter.web.parts import Parts
from relation_adapter.web.studio import Studio

# Programs use /api/edit; what the page calls is its own affair.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE = {**QUIET, "queue": False}


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio."""
    actions = Actions(studio)
    with gr.Blocks(title="relation-adapter", analytics_enabled=False, fill_width=True) as blocks:
        parts = lay_out(studio.pipe.design, studio.limits, studio.model)
        _wire_form(parts, actions)
        _wire_edit(parts, actions, studio.limits.queue)
        blocks.unload(actions.left)
    # Waiting edits hold a place here, too; the order is that of `Turns`.
    blocks.queue(default_concurrency_limit=8, max_size=8 * studio.limits.queue, api_open=False)
    return blocks


def _wire_form(parts: Parts, actions: Actions) -> None:
    desk = actions.desk
    for _, before, after in parts.pairs:
        for picture in (before, after):
            picture.upload(actions.of_visit(desk.drop_picture), picture, [picture, parts.status], **QUIET)
    parts.sources.upload(actions.of_visit(desk.drop_sources), parts.sources, [parts.sources, parts.status], **QUIET)
    outputs = [parts.relations, *parts.weights, parts.status]
    for event in (parts.relations.upload, parts.relations.clear, parts.relations.delete):
        event(actions.of_visit(desk.drop_relations), [parts.relations, *parts.weights], outputs, **QUIET)
    _, before, after = parts.pairs[0]
    for name, button in zip(EXAMPLES, parts.examples, strict=True):
        function = actions.of_visit(partial(_example, desk, name))
        button.click(function, parts.sources, [before, after, parts.sources, parts.status], **QUIET)
    parts.more.click(actions.more_pairs, parts.count, parts.rows, **QUIET)


def _example(desk: Any, name: str, visit: Any, sources: Any) -> Any:
    return desk.example(visit, name, sources)


def _wire_edit(parts: Parts, actions: Actions, most: int) -> None:
    outputs = [getattr(parts, name) for name in CHANGED]
    # A coroutine that waits costs no thread, so all that the queue takes may wait here.
    parts.edit.click(actions.edit, parts.form, outputs, concurrency_limit=2 * most, **QUIET)
    parts.cancel.click(actions.cancel, None, parts.status, **AT_ONCE)
    parts.results.select(actions.show_result, None, parts.figure, **QUIET)
    outputs = [*parts.rows, *parts.form, parts.status, parts.figure, parts.results]
    parts.history.select(actions.put_back, None, outputs, **QUIET)
