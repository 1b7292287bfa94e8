"""The door of the pipeline: what a caller gave, checked and spread over the results it asks for.

Everything that does not fit raises UsageError here, in one line, before any model runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, get_args

import torch
from PIL import Image
from torch import Tensor

from relation_adapter.config import ModelConfig, Preparation, Shift
from relation_adapter.editor import Pair
from relation_adapter.errors import UsageError
from relation_adapter.images import Fit, Size, fit, fit_size, resize
from relation_adapter.pipeline.arrays import PICTURES, as_rgb
from relation_adapter.relation import Relation

Strength = float | Sequence[float]
LARGEST = 64  # times the area a design was trained at; attention grows with the square of it
OUTPUT_TYPES = ("pil", "later", "np", "pt", "latent")
SIZES = ("own", "native")
PREPARATIONS, SHIFTS = get_args(Preparation), get_args(Shift)


@dataclass(frozen=True, eq=False)
class Weighted:
    """A relation and its strength: one number, or one per block (doubles first)."""

    relation: Relation
    strength: tuple[float, ...] = (1.0,)


@dataclass
class Item:
    """One result to make; `source` says of which picture of the request."""

    source: int
    fit: Fit
    generator: torch.Generator | None
    latents: Tensor | None
    relations: tuple[Weighted, ...] = ()


def as_pictures(image: Any) -> list[Image.Image]:
    """One picture or several, as upright RGB; batches are taken apart."""
    pictures = [image] if isinstance(image, PICTURES) else image
    if pictures is None or (isinstance(pictures, (list, tuple)) and not pictures):
        raise UsageError("image is missing; give the picture to edit, or a list of pictures")
    if not isinstance(pictures, (list, tuple)) or not all(isinstance(one, PICTURES) for one in pictures):
        raise UsageError(
            f"image is {_kind(image)}; give a picture (PIL, array or tensor), or a list of them; images.open_picture "
            "opens a file"
        )
    return [picture for one in pictures for picture in as_rgb(one)]


def as_pairs(pairs: Any, name: str = "pairs") -> list[Pair]:
    """The (before, after) pairs of one relation; a single pair may come without its list."""
    pairs = [pairs] if _is_pair(pairs) else pairs
    if not isinstance(pairs, (list, tuple)) or not pairs or not all(map(_is_pair, pairs)):
        raise UsageError(f"{name} is {_kind(pairs)}; give one or more (before, after) tuples of pictures")
    return [pair for before, after in pairs for pair in zip(*_same_many(before, after, name), strict=True)]


def pairs_per_image(pairs: Any, count: int) -> list[list[Pair]]:
    """The pairs of every image; one list for all of them gives a list of length 1."""
    if not isinstance(pairs, (list, tuple)) or not pairs or not all(map(_is_pair_list, pairs)):
        return [as_pairs(pairs)]
    check_count("pairs", len(pairs), count, "lists of pairs", "images")
    return [as_pairs(one, f"pairs[{index}]") for index, one in enumerate(pairs)]


def relations_per_image(relation: Any, strength: Strength, count: int, blocks: int) -> list[tuple[Weighted, ...]]:
    """The relations of every image, each at its own strength times `strength`; those without any are left out.

    relation: one, a (relation, strength) tuple, a list of these for all images, or a list of such lists, one an image.
    """
    lists = [relation] * count
    if isinstance(relation, (list, tuple)) and relation and not any(map(_is_weighted, [relation, *relation])):
        check_count("relation", len(relation), count, "lists of relations", "images")
        lists = list(relation)
    overall = as_strength(strength, blocks)
    per_image = []
    for one in lists:
        members = [one] if _is_weighted(one) else one
        if not isinstance(members, (list, tuple)) or not members or not all(map(_is_weighted, members)):
            raise UsageError(f"relation is {_kind(one)}; give Relations, each alone or as (relation, strength)")
        weighted = [_weighted(member, overall, blocks) for member in members]
        per_image.append(tuple(member for member in weighted if any(member.strength)))
    return per_image


def check_in_context(per_image: Sequence[Sequence[Weighted]]) -> None:
    """A relation that is read as tokens is there or not: nothing weighs it."""
    for strength in (member.strength for members in per_image for member in members):
        if set(strength) != {1.0}:
            raise UsageError(
                f"strength={strength[0]:g}; a model that reads pairs in context knows 1, or 0 to leave one out"
            )


def as_strength(strength: Any, blocks: int) -> tuple[float, ...]:
    """One number, or one per block."""
    values = strength if isinstance(strength, (list, tuple)) else [strength]
    if len(values) not in (1, blocks):
        raise UsageError(f"strength has {len(values)} values; give one number, or one per block ({blocks})")
    if not all(isinstance(value, Real) and math.isfinite(value) for value in values):
        raise UsageError(f"strength={strength!r} is not a number; 1 is the strength of training, 0 is the base model")
    return tuple(map(float, values))


def as_generators(seed: Any, generator: Any, count: int) -> list[torch.Generator | None]:
    """One generator per result. A seed counts up over the results; one generator serves them in turn."""
    if seed is not None and generator is not None:
        raise UsageError("seed and generator are both given; give one of them")
    if seed is None:
        return _one_each("generator", generator, torch.Generator, count, lambda one, _: one)
    seeds = seed if isinstance(seed, (list, tuple)) else [seed]
    if not all(isinstance(one, Integral) and int(one) >= 0 for one in seeds):
        raise UsageError(f"seed={seed!r}; give a whole number of at least 0, or a list with one per result")
    return _one_each("seed", seed, Integral, count, lambda one, index: torch.Generator().manual_seed(int(one) + index))


def as_instructions(instruction: Any, count: int) -> list[str | None]:
    """One instruction per image, None where there is none."""
    if instruction is None or isinstance(instruction, str):
        return [instruction] * count
    if not isinstance(instruction, (list, tuple)) or not all(
        one is None or isinstance(one, str) for one in instruction
    ):
        raise UsageError(f"instruction is {_kind(instruction)}; give a text, or one text per image")
    check_count("instruction", len(instruction), count, "texts", "images")
    return list(instruction)


def as_latents(latents: Any, shapes: list[tuple[int, int]]) -> list[Tensor | None]:
    """The starting tokens (1, L, C) of every result, checked against the (L, C) that each needs."""
    if latents is None:
        return [None] * len(shapes)
    listed = isinstance(latents, (list, tuple)) and all(isinstance(one, Tensor) for one in latents)
    if not listed and not (isinstance(latents, Tensor) and latents.ndim == 3):
        raise UsageError(f"latents is {_kind(latents)}; give a tensor (results, L, C), or a list of tensors (L, C)")
    check_count("latents", len(latents), len(shapes), "starts", "results")
    for index, (one, shape) in enumerate(zip(latents, shapes, strict=True)):
        if tuple(one.shape) != shape:
            raise UsageError(
                f"latents[{index}] is {tuple(one.shape)}; result {index} needs (tokens, channels) = {shape}"
            )
    return [one[None] for one in latents]


def size_of_work(size: Any, height: Any, width: Any, design: ModelConfig) -> Size | str:
    """The size to work at: (width, height), or `own` or `native`; the design's choice where nothing is given."""
    if (height is None) != (width is None):
        raise UsageError("height and width belong together; give both, or size=(width, height)")
    if height is not None and size is not None:
        raise UsageError("size and height, width are both given; give one of them")
    if height is not None:
        size = (width, height)
    if size is None:
        return "own" if design.keep_size else "native"
    if isinstance(size, str) and size in SIZES:
        return size
    if not (
        isinstance(size, (list, tuple))
        and len(size) == 2
        and all(isinstance(side, Integral) and int(side) > 0 for side in size)
    ):
        raise UsageError(
            f"size={size!r}; give (width, height) in pixels, both positive whole numbers, or own or native"
        )
    if size[0] * size[1] > LARGEST * design.native_area:
        side = int((LARGEST * design.native_area) ** 0.5)
        raise UsageError(
            f"size={size[0]}x{size[1]} is far beyond what {design.name} was trained at; use up to about {side}x{side}"
        )
    return size[0], size[1]


def fit_source(image: Image.Image, design: ModelConfig, multiple: int, size: Size | str) -> Fit:
    """The picture at the size the model works at, and the way back.

    size: (width, height), or `own`, the picture's, as published: rounded down to multiples, without keeping the ratio;
    or `native`: about the area the design was trained at, in the picture's ratio.
    """
    if size == "native":
        return fit(image, area=design.native_area, multiple=multiple)
    width, height = size_at_work(image.size, design, multiple, size)
    return Fit(resize(image, (width, height)), (0, 0, width, height), image.size if isinstance(size, str) else size)


def size_at_work(picture: Size, design: ModelConfig, multiple: int, size: Size | str) -> Size:
    """The size at which the model sees a picture of a size; `size` as for `fit_source`."""
    if size == "native":
        return fit_size(*picture, area=design.native_area, multiple=multiple)
    width, height = (max(side // multiple, 1) * multiple for side in (picture if isinstance(size, str) else size))
    return width, height


def check_run(run: Any, copies: Any, output_type: Any, text_length: Any, known_tensors: Sequence[str]) -> None:
    """The numbers and words of a call; run: a `flow_loop.Run`."""
    numbers = {"num_inference_steps": run.steps, "num_images_per_prompt": copies, "max_sequence_length": text_length}
    for name, value in numbers.items():
        if not isinstance(value, Integral) or int(value) < 1:
            raise UsageError(f"{name}={value!r}; give a whole number of at least 1")
    if not isinstance(run.guidance, Real) or not math.isfinite(run.guidance):
        raise UsageError(f"guidance_scale={run.guidance!r} is not a number; leave it out for the model's own")
    if output_type not in OUTPUT_TYPES:
        raise UsageError(f"output_type={output_type!r}; choose one of {', '.join(OUTPUT_TYPES)}")
    try:
        first, last = run.strength_steps
        sound = 0 <= first <= last <= 1
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise UsageError(f"strength_steps={run.strength_steps!r}; give (from, to) with 0 <= from <= to <= 1")
    if first < last and not any(first <= step / run.steps < last for step in range(run.steps)):
        raise UsageError(
            f"strength_steps={run.strength_steps!r} holds none of the {run.steps} steps, which begin at whole "
            f"multiples of 1/{run.steps}; widen it or take more steps"
        )
    if unknown := [name for name in run.tensor_inputs if name not in known_tensors]:
        known = ", ".join(known_tensors)
        raise UsageError(f"callback_on_step_end_tensor_inputs has {unknown[0]!r}; a callback can be given {known}")
    if not isinstance(run.attention, Mapping):
        raise UsageError(
            f"joint_attention_kwargs is {_kind(run.attention)}; give a dict, as {{'scale': 0.5}} for LoRAs"
        )


def check_preparation(preparation: Any) -> None:
    """Of exemplars."""
    if preparation not in (None, *PREPARATIONS):
        raise UsageError(f"preparation={preparation!r}; choose one of {', '.join(PREPARATIONS)}")


def shift_of(shift_tokens: Any, design: ModelConfig, scheduler: Any) -> str:
    """What the time shift counts: the choice of the caller, or else of the design."""
    choice: str = design.shift_tokens if shift_tokens is None else shift_tokens
    if choice not in SHIFTS:
        raise UsageError(f"shift_tokens={shift_tokens!r}; choose one of {', '.join(SHIFTS)}")
    if shift_tokens not in (None, "none") and not scheduler.config.use_dynamic_shifting:
        raise UsageError(
            f"shift_tokens={shift_tokens!r} has no effect: the scheduler of {design.name} does not shift by size"
        )
    return choice


def check_count(name: str, found: int, expected: int, what: str, of: str) -> None:
    """As many of one as of the other, or UsageError."""
    if found != expected:
        raise UsageError(f"{name} has {found} {what} for {expected} {of}; give as many, or one for all")


def _one_each(
    name: str, value: Any, kind: type, count: int, make: Callable[[Any, int], torch.Generator]
) -> list[torch.Generator | None]:
    """`value` for every result: None, one for all, or a list with one each."""
    if value is None or isinstance(value, kind):
        return [value if value is None else make(value, index) for index in range(count)]
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, kind) for one in value):
        raise UsageError(f"{name} is {_kind(value)}; give one {kind.__name__}, or a list with one per result")
    check_count(name, len(value), count, "entries", "results")
    return [make(one, 0) for one in value]


def _weighted(member: Any, overall: tuple[float, ...], blocks: int) -> Weighted:
    relation, own = (member, (1.0,)) if isinstance(member, Relation) else (member[0], as_strength(member[1], blocks))
    length = max(len(own), len(overall))
    spread = (values * length if len(values) == 1 else values for values in (own, overall))
    return Weighted(relation, tuple(a * b for a, b in zip(*spread, strict=True)))


def _is_weighted(value: Any) -> bool:
    """A relation, or a (relation, strength) tuple; (relation, relation) is a list of two."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Relation):
        return not _is_weighted(value[1]) and not isinstance(value[1], Relation)
    return isinstance(value, Relation)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(one, PICTURES) for one in value)


def _same_many(before: Any, after: Any, name: str) -> tuple[list[Image.Image], list[Image.Image]]:
    """The two sides of one pair, or of a batch of pairs."""
    sides = as_rgb(before, f"{name}: before"), as_rgb(after, f"{name}: after")
    check_count(name, len(sides[1]), len(sides[0]), "pictures after", "pictures before")
    return sides


def _is_pair_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not any(isinstance(one, PICTURES) for one in value)


def _kind(value: Any) -> str:
    """A value's type in words, for messages."""
    if value is None:
        return "missing"
    if isinstance(value, (list, tuple)):
        return "empty" if not value else f"a {type(value).__name__} of {type(value[0]).__name__}"
    return f"a {type(value).__name__}"
