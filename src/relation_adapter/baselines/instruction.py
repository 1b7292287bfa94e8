"""Models that edit by instruction and take several pictures: pair and source, and one fixed sentence.

FLUX.1 Kontext, which takes one picture, is shown all of them side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2KleinPipeline, FluxKontextPipeline, QwenImageEditPlusPipeline
from PIL import Image

from relation_adapter.baselines import Choices, parts
from relation_adapter.baselines.loading import load_pipeline, name_of
from relation_adapter.data.strips import glue
from relation_adapter.editor import EditRequest, EditResult
from relation_adapter.errors import UsageError
from relation_adapter.images import Fit, fit, resize, to_rgb

AREA = 1024 * 1024  # px, that all three were trained at
LEAST_AREA = 128 * 128  # px: of the longest source the short side is then 64, which is the least that klein takes
MULTIPLE = 16  # px, of each side
Ask = Callable[[Sequence[Image.Image], str, int], dict[str, Any]]


@dataclass(frozen=True)
class InstructionEditor:
    """The editor. ask: from the pictures, the sentence and the area to what the pipeline is called with."""

    pipe: Any
    name: str
    ask: Ask
    area: int = AREA
    options: Mapping[str, Any] = field(default_factory=dict)

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit. Raises as the pipeline does."""
        start = time.perf_counter()
        fitted = self._fit(request.source)
        pictures = [self._fit(picture).image for pair in request.pairs for picture in pair]
        asked = self.ask([*pictures, fitted.image], sentence(len(request.pairs), request.instruction), self.area)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        width, height = fitted.image.size
        made = self.pipe(**asked, **self.options, width=width, height=height, generator=generator).images[0]
        return EditResult(fitted.restore(resize(made, fitted.image.size)), time.perf_counter() - start)

    def _fit(self, picture: Image.Image) -> Fit:
        return fit(to_rgb(picture), area=self.area, multiple=MULTIPLE)


def sentence(pairs: int, instruction: str | None) -> str:
    """What to do, as a LoRA for it was trained (DiffSynth's Qwen-Image-Edit-2511-ICEdit-LoRA); then the instruction."""
    shown = " and ".join(f"from image {2 * pair + 1} to image {2 * pair + 2}" for pair in range(pairs))
    told = f"Edit image {2 * pairs + 1} based on the transformation {shown}."
    return f"{told} {instruction}" if instruction else told


def make_kontext(choices: Choices) -> InstructionEditor:
    """FLUX.1 Kontext [dev], 28 steps at guidance 3.5: diffusers' own defaults."""
    options = {
        "num_inference_steps": choices.steps or 28,
        "guidance_scale": 3.5 if choices.guidance is None else choices.guidance,
    }
    return _make("kontext", FluxKontextPipeline, parts.KONTEXT, _side_by_side, choices, options)


def make_klein(choices: Choices) -> InstructionEditor:
    """FLUX.2 klein 4B, distilled to 4 steps: guidance 1, which is none."""
    options = {
        "num_inference_steps": choices.steps or 4,
        "guidance_scale": 1.0 if choices.guidance is None else choices.guidance,
    }
    return _make("klein", Flux2KleinPipeline, parts.KLEIN, _one_by_one, choices, options)


def make_qwen_edit(choices: Choices) -> InstructionEditor:
    """Qwen-Image-Edit-2511, 40 steps at true guidance 4 against an empty prompt: its card's."""
    options = {
        "num_inference_steps": choices.steps or 40,
        "true_cfg_scale": 4.0 if choices.guidance is None else choices.guidance,
        "negative_prompt": " ",
    }
    kind = QwenImageEditPlusPipeline
    return _make("qwen-edit", kind, parts.QWEN_EDIT, _one_by_one, choices, options, processor=_picture_processor)


def _make(
    name: str, kind: Any, part: Any, ask: Ask, choices: Choices, options: Mapping[str, Any], **own: Any
) -> InstructionEditor:
    width, height = choices.size or (1, AREA)
    if width * height < LEAST_AREA:
        raise UsageError(f"--size {width}x{height}: {name} needs 128x128 or more to work at")
    pipe = load_pipeline(kind, kind.__name__, part, choices, **own)
    return InstructionEditor(pipe, name_of(name, choices), ask, width * height, options)


def _one_by_one(pictures: Sequence[Image.Image], prompt: str, area: int) -> dict[str, Any]:
    return {"image": list(pictures), "prompt": prompt}


def _side_by_side(pictures: Sequence[Image.Image], prompt: str, area: int) -> dict[str, Any]:
    """One picture of all, of one height, as large as one was; not brought to one of the sizes of single pictures."""
    ratios = [picture.width / picture.height for picture in pictures]
    height = max(MULTIPLE, round((area / sum(ratios)) ** 0.5))
    panels = [
        resize(picture, (max(1, round(height * ratio)), height))
        for picture, ratio in zip(pictures, ratios, strict=True)
    ]
    last = len(pictures)
    told = f"There are {last} images side by side, image 1 to image {last} from left to right. {prompt}"
    return {
        "image": reduce(glue, panels),
        "prompt": f"{told} Show image {last} alone, edited.",
        "max_area": area,
        "_auto_resize": False,
    }


def _picture_processor(folder: Path) -> Any:
    """Qwen2-VL's processor without its part for videos, which needs torchvision."""
    from transformers import Qwen2TokenizerFast, Qwen2VLImageProcessorPil, Qwen2VLProcessor

    class PictureProcessor(Qwen2VLProcessor):
        def __init__(self, image_processor: Any, tokenizer: Any) -> None:
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id, self.video_token_id = map(
                tokenizer.convert_tokens_to_ids, (self.image_token, self.video_token)
            )
            super(Qwen2VLProcessor, self).__init__(image_processor, tokenizer)

    places = (folder / "processor", {"local_files_only": True})
    images, words = (
        kind.from_pretrained(places[0], **places[1]) for kind in (Qwen2VLImageProcessorPil, Qwen2TokenizerFast)
    )
    return PictureProcessor(images, words)
