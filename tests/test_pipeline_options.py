"""Pictures as arrays and tensors, floats that stay floats, and choices by name: preparation, size, time shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pipelines import DESIGNS, edit, largest, pair, relation, shared, source
from samples import natural

from relation_adapter.errors import UsageError
from relation_adapter.images import pad_to_ratio

# Pictures of every kind


def as_kind(image: Image.Image, kind: str) -> Any:
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    kinds = {
        "bytes": array,
        "floats": array / 255,
        "batch of floats": (array / 255)[None].astype(np.float32),
        "tensor of bytes": tensor,
        "tensor": tensor / 255,
        "batch tensor": (tensor / 255)[None],
    }
    return kinds[kind]


KINDS = ("bytes", "floats", "batch of floats", "tensor of bytes", "tensor", "batch tensor")


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_picture_does_not_matter(kind: str) -> None:
    pipe, (before, after) = shared("mini"), pair()
    wanted = edit(pipe, image=source(0, 40, 24), pairs=[(before, after)])
    shown = [(as_kind(before, kind), as_kind(after, kind))]
    assert (edit(pipe, image=as_kind(source(0, 40, 24), kind), pairs=shown) == wanted).all()
    listed = edit(pipe, image=[as_kind(source(0, 40, 24), kind), source(0, 40, 24)], pairs=[shown, [pair()]])
    assert largest(listed, wanted.expand(2, -1, -1)) <= 1e-5
    assert largest(pipe.encode_relation(shown).tokens, relation("mini").tokens) == 0


def test_floats_are_rounded_to_the_nearest_byte() -> None:
    between = np.full((32, 32, 3), 200.7 / 255)
    wanted = edit(shared("mini"), image=Image.new("RGB", (32, 32), (201, 201, 201)), relation=relation("mini"))
    assert (edit(shared("mini"), image=between, relation=relation("mini")) == wanted).all()


def test_a_batch_of_pictures_is_a_list_of_pictures() -> None:
    pipe, pictures = shared("directed"), [source(k) for k in range(3)]
    wanted = edit(pipe, image=pictures, relation=relation("directed"))
    array = np.stack([np.asarray(one) for one in pictures])
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2) / 255
    for batch in (array, tensor, tensor.bfloat16().float(), [tensor[:2], pictures[2]]):
        assert edit(pipe, image=batch, relation=relation("directed")).shape == wanted.shape
    assert (edit(pipe, image=tensor, relation=relation("directed")) == wanted).all()


def test_a_batch_of_pairs_is_a_list_of_pairs() -> None:
    sides = [torch.stack([as_kind(pair(k)[side], "tensor") for k in (1, 2)]) for side in (0, 1)]
    listed = shared("mini").encode_relation([pair(1), pair(2)])
    assert (shared("mini").encode_relation((sides[0], sides[1])).tokens == listed.tokens).all()


# Floats stay floats


@pytest.mark.parametrize("options", [{}, {"detail": False}, {"size": "own"}, {"size": (64, 48)}], ids=str)
def test_arrays_never_pass_through_8_bits(options: dict[str, Any]) -> None:
    """Whatever brings them to their size; the PIL picture is the same, rounded."""
    given = {"image": natural(150), "relation": relation("mini"), "seed": 0, **options}
    array = shared("mini")(output_type="np", **given).images[0]
    tensor = shared("mini")(output_type="pt", **given).images[0]
    assert np.abs(array * 255 - np.rint(array * 255)).mean() > 0.1
    assert 0 <= array.min() and array.max() <= 1 and array.dtype == np.float32
    assert (tensor.permute(1, 2, 0).numpy() == array).all()
    shown = shared("mini")(**given).images[0]
    assert (np.asarray(shown) == np.rint(array * 255)).all()


# Choices by name


@pytest.mark.parametrize("name", DESIGNS)
def test_how_exemplars_are_prepared(name: str) -> None:
    pipe, shown = shared(name), [pair()]
    default = pipe.encode_relation(shown)
    made = {one: pipe.encode_relation(shown, preparation=one) for one in ("published", "square")}
    own = pipe.design.exemplar_preparation
    other = next(one for one in made if one != own)
    assert (made[own].tokens == default.tokens).all()
    assert largest(made[other].tokens, default.tokens) > 1e-4
    assert made[other].provenance["preparation"] == other and "preparation" not in default.provenance
    padded = pipe.encode_relation([tuple(pad_to_ratio(one) for one in shown[0])], preparation="square")
    if pipe.design.image_features == "latents":  # elsewhere SigLIP's own processor makes the square
        assert (padded.tokens == made["published"].tokens).all()
    assert edit(pipe, relation=made[other]).shape == edit(pipe, relation=default).shape
    with pytest.raises(UsageError, match="choose one of published, square"):
        pipe.encode_relation(shown, preparation="round")


@pytest.mark.parametrize("name", ["published", "directed"])
def test_what_the_time_shift_counts(name: str) -> None:
    pipe, times = shared(name), {}
    for choice in (None, "noisy_and_source", "noisy", "none"):
        edit(pipe, relation=relation(name), shift_tokens=choice, num_inference_steps=4)
        times[choice] = pipe.scheduler.timesteps.tolist()
    assert times[None] == times[pipe.design.shift_tokens]
    assert times["none"] == [1000, 750, 500, 250]
    assert times["noisy_and_source"][1] > times["noisy"][1] > times["none"][1]


@pytest.mark.parametrize("name", DESIGNS)
def test_sizes_by_name(name: str) -> None:
    pipe, given = shared(name), {"image": source(0, 50, 130), "relation": relation(name)}
    tokens = {size: edit(pipe, size=size, **given).shape[1] for size in (None, "own", "native")}
    assert tokens["own"] == (50 // pipe.multiple) * (130 // pipe.multiple)
    assert abs(tokens["native"] * pipe.multiple**2 / pipe.design.native_area - 1) < 0.35
    assert tokens[None] == tokens["own" if pipe.design.keep_size else "native"]
    for size in ("own", "native"):
        assert pipe(size=size, seed=0, **given).images[0].size == (50, 130)
    assert (edit(pipe, height=48, width=64, **given) == edit(pipe, size=(64, 48), **given)).all()


def test_encoded_instructions_have_the_length_that_was_asked_for() -> None:
    pipe, given = shared("published"), {"relation": relation("published")}
    text, pooled = pipe.encode_prompt(["red", "blue"], max_sequence_length=5)
    assert text.shape[:2] == (2, 5) and pooled.shape[0] == 2
    both = edit(pipe, image=[source()] * 2, seed=[0, 0], prompt_embeds=text, pooled_prompt_embeds=pooled, **given)
    for k, instruction in enumerate(("red", "blue")):
        alone = edit(pipe, instruction=instruction, max_sequence_length=5, **given)[0]
        assert largest(both[k], alone) <= 1e-5
    with pytest.raises(UsageError, match="an instruction for every image"):
        images = [source(), source()]
        edit(shared("directed"), image=images, instruction=["red", None], max_sequence_length=5, pairs=[pair()])


def test_instructions_are_encoded_where_nothing_else_is_loaded() -> None:
    """On another machine, say, with the text encoders alone."""
    from relation_adapter import RelationPipeline

    parts = shared("directed").components
    text = {name: part for name, part in parts.items() if "text" in name or "tokenizer" in name}
    alone = RelationPipeline(**dict.fromkeys(parts) | text)
    for found, wanted in zip(alone.encode_prompt("red"), shared("directed").encode_prompt("red"), strict=True):
        assert (found == wanted).all()
    assert alone.encode_prompt() == (None, None)
    with pytest.raises(UsageError, match="has no adapter"):
        alone(image=source(), pairs=[pair()])


@pytest.mark.parametrize("name", ["directed", "mini"])
def test_the_null_text_is_an_encoded_instruction_too(name: str) -> None:
    pipe, given = shared(name), {"relation": relation(name)}
    embeds = dict(zip(("prompt_embeds", "pooled_prompt_embeds"), pipe.encode_prompt(), strict=True))
    assert (edit(pipe, **embeds, **given) == edit(pipe, **given)).all()
