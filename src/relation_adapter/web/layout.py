"""Where the components of the page stand."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from relation_adapter.config import ModelConfig
from relation_adapter.web import stage
from relation_adapter.web.examples import EXAMPLES, pair_files
from relation_adapter.web.limits import MAX_PAIRS, MAX_RELATIONS, MAX_SEED, MAX_STEPS, Limits
from relation_adapter.web.parts import Files, Parts, Picture, Pictures

SIZES = [("the model's choice", "auto"), ("the source's own", "own"), ("native to the model", "native")]
DROP: dict[str, Any] = {"sources": ["upload", "clipboard"], "buttons": []}


def lay_out(design: ModelConfig, limits: Limits, model: str) -> Parts:
    """All components, made inside the open Blocks."""
    gr.HTML(
        "<h1>relation-adapter</h1><p>Show one picture before and after an edit; get the same edit on yours. "
        f'<span class="ra-model">{escape(model)}</span></p>',
        elem_id="head",
    )
    with gr.Row(elem_id="desk", equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_id="inputs"):
            pairs, more, examples = _pair_parts()
            gr.HTML("<h2>Your pictures</h2><p>one or many; each gets the edit</p>", elem_classes="ra-step")
            sources = Pictures(
                label="Sources",
                show_label=False,
                interactive=True,
                file_types=["image"],
                columns=4,
                height="auto",
                allow_preview=False,
                object_fit="cover",
                elem_id="sources",
                **DROP,
            )
            with gr.Row(elem_id="press"):
                edit = gr.Button("Edit", variant="primary", elem_id="edit")
                cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
            status = gr.HTML(stage.status(), elem_id="status")
            settings = _settings_parts(design)
            relations, weights = _relation_parts()
        with gr.Column(scale=7, min_width=320, elem_id="outputs"):
            figure = gr.HTML(stage.EMPTY, elem_id="figure")
            results = _shelf("Results", "results")
            history = _shelf("This visit: press one to put it back", "history")
    return Parts(
        pairs, gr.State(1), more, examples, sources, edit, cancel, **settings, relations=relations, weights=weights,
        status=status, figure=figure, results=results, history=history,
    )  # fmt: skip


def _pair_parts() -> tuple[list[tuple[Any, Any, Any]], Any, list[Any]]:
    gr.HTML("<h2>Before and after</h2><p>the pair that shows the edit</p>", elem_classes="ra-step")
    pairs = []
    for number in range(1, MAX_PAIRS + 1):
        with gr.Row(visible=number == 1, elem_classes="pair") as row:
            which = "" if number == 1 else f" {number}"
            before, after = (
                Picture(label=f"{side}{which}", height=165, min_width=120, elem_id=f"{side.lower()}-{number}", **DROP)
                for side in ("Before", "After")
            )
        pairs.append((row, before, after))
    with gr.Row(elem_id="examples"):
        examples = [
            gr.Button(f"Try {name}", size="sm", icon=pair_files(name)[1], elem_id=f"example-{name}", min_width=60)
            for name in EXAMPLES
        ]
        more = gr.Button("Another pair", size="sm", elem_id="more-pairs", min_width=60)
    return pairs, more, examples


def _settings_parts(design: ModelConfig) -> dict[str, Any]:
    ignored = f"{design.name} makes the same of every seed" if design.ignores_seed else "one seed, one result"
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        instruction = gr.Textbox(
            label="Instruction",
            info="what the edit is, in words",
            visible=design.text != "none",
            elem_id="instruction",
        )
        strength = gr.Slider(0, 2, 1, step=0.05, label="Strength", info="1 as shown, 0 not at all", elem_id="strength")
        steps = gr.Slider(1, MAX_STEPS, design.steps, step=1, label="Steps", elem_id="steps")
        size = gr.Dropdown(
            SIZES,
            value="auto",
            label="Size",
            info="or width x height, as 256x192",
            allow_custom_value=True,
            elem_id="size",
        )
        with gr.Row():
            seed = gr.Number(0, label="Seed", info=ignored, precision=0, minimum=0, maximum=MAX_SEED, elem_id="seed")
            random = gr.Checkbox(False, label="Random seed", elem_id="random", min_width=120)
    return {
        "strength": strength,
        "steps": steps,
        "size": size,
        "seed": seed,
        "random": random,
        "instruction": instruction,
    }


def _relation_parts() -> tuple[Any, list[Any]]:
    with gr.Accordion("Saved relations", open=False, elem_id="relations"):
        gr.HTML(
            f"<p>Load up to {MAX_RELATIONS} relations. They add up, each with its strength, and with the pair above if"
            " there is one.</p>"
        )
        relations = Files(
            label="Relation files",
            show_label=False,
            file_count="multiple",
            file_types=[".safetensors"],
            height=110,
            elem_id="relation-files",
        )
        weights = [
            gr.Slider(-2, 2, 1, step=0.05, label="Strength", visible=False, elem_id=f"weight-{number}")
            for number in range(1, MAX_RELATIONS + 1)
        ]
    return relations, weights


def _shelf(label: str, name: str) -> Any:
    return gr.Gallery(
        label=label,
        visible=False,
        interactive=False,
        columns=5,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        elem_id=name,
    )
