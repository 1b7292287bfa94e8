"""Edit Transfer (Chen et al., arXiv 2503.13327): FLUX.1-dev with its LoRA paints the last panel of four.

Follows `edit_transfer.py` and `pipeline_flux_inpaint.py` of CUC-MIPG/Edit-Transfer: panels of 512 px, each through
the VAE on its own; before, after and source stay clean at every step, where diffusers' inpainting noises what it
keeps; the noise is given the spread of one; 35 steps of which the last 21 are made (their default strength of 0.6),
from pure noise all the same; guidance 1. The text is that of their training data, with the edit left open where no
instruction says it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import FluxInpaintPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from relation_adapter.baselines import Choices, parts
from relation_adapter.baselines.loading import load_pipeline, name_of
from relation_adapter.editor import EditRequest, EditResult
from relation_adapter.errors import UsageError
from relation_adapter.hub import Places
from relation_adapter.hub.lookup import weights_folder
from relation_adapter.images import Size, resize, to_rgb

PANEL = (512, 512)  # px
STEPS, STRENGTH, GUIDANCE = 35, 0.6, 1.0
LORA = "edit_transfer.safetensors"  # as its training names it
HOME = "github.com/CUC-MIPG/Edit-Transfer"


class PanelPipeline(FluxInpaintPipeline):
    """Diffusers' inpainting on four panels, of which the last is made; see the module for what differs."""

    _callback_tensor_inputs = [*FluxInpaintPipeline._callback_tensor_inputs, "image_latents", "mask"]  # noqa: RUF012

    def _encode_vae_image(self, image: Tensor, generator: Any) -> Tensor:
        """Latents (B, C, H, W) of four panels (B, 3, 8H, 8W), each on its own."""
        encode = super()._encode_vae_image
        return _joined([encode(panel, generator) for panel in _panels(image)])

    def prepare_latents(
        self,
        image: Tensor,
        timestep: Tensor,
        batch_size: int,
        num_channels_latents: int,
        height: int,
        width: int,
        dtype: Any,
        device: Any,
        generator: Any,
        latents: Any = None,
    ) -> Any:
        """As in diffusers; but the last panel starts as noise of spread one, and the others without any."""
        height, width = (2 * (side // (2 * self.vae_scale_factor)) for side in (height, width))
        kept = self._encode_vae_image(image.to(device=device, dtype=dtype), generator)
        noise = randn_tensor(kept.shape, generator=generator, device=device, dtype=dtype)
        noise = noise / (noise.std(dim=(2, 3), keepdim=True) + 1e-6)
        start = _joined([*_panels(kept)[:3], _panels(noise)[3]])
        packed = [
            self._pack_latents(value, batch_size, num_channels_latents, height, width) for value in (start, noise, kept)
        ]
        return *packed, self._prepare_latent_image_ids(batch_size, height // 2, width // 2, device, dtype)


@dataclass(frozen=True)
class EditTransfer:
    """The editor. panel: (width, height) in px of each of the four."""

    pipe: Any
    name: str
    steps: int = STEPS
    guidance: float = GUIDANCE
    panel: Size = PANEL

    def edit(self, request: EditRequest) -> EditResult:
        """Make the edit. Raises UsageError on other than one pair, or as the pipeline does."""
        start = time.perf_counter()
        if len(request.pairs) != 1:
            raise UsageError(f"edit_transfer reads one pair, not {len(request.pairs)}; give one")
        pictures = [resize(to_rgb(picture), self.panel) for picture in (*request.pairs[0], request.source)]
        made = self._made(pictures, prompt(request.instruction), request.seed)
        return EditResult(resize(made, request.source.size), time.perf_counter() - start)

    def _made(self, pictures: list[Image.Image], text: str, seed: int) -> Image.Image:
        (across, down), pipe = self.panel, self.pipe
        size = (2 * across, 2 * down)
        grid, mask = Image.new("RGB", size), Image.new("L", size)
        for place, picture in zip(((0, 0), (across, 0), (0, down)), pictures, strict=True):
            grid.paste(picture, place)
        mask.paste(255, (across, down, *size))
        latents = pipe(
            prompt=text,
            image=grid,
            mask_image=mask,
            width=size[0],
            height=size[1],
            strength=STRENGTH,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            callback_on_step_end=_keep_clean,
            callback_on_step_end_tensor_inputs=["latents", "image_latents", "mask"],
            output_type="latent",
        ).images
        whole = pipe._unpack_latents(latents, size[1], size[0], pipe.vae_scale_factor)
        last = _panels(whole)[3] / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
        with torch.inference_mode():
            decoded = pipe.vae.decode(last, return_dict=False)[0]
        pipe.maybe_free_model_hooks()
        return pipe.image_processor.postprocess(decoded, output_type="pil")[0]


def make(choices: Choices) -> EditTransfer:
    """The editor, with the published LoRA, which lies on no hub. Raises UsageError where it is not given."""
    loras = choices.loras or ((_published_lora(choices.places), 1.0),)
    pipe = load_pipeline(PanelPipeline, "FluxPipeline", parts.FLUX, replace(choices, loras=loras))
    guidance = GUIDANCE if choices.guidance is None else choices.guidance
    return EditTransfer(
        pipe, name_of("edit_transfer", choices), choices.steps or STEPS, guidance, choices.size or PANEL
    )


def prompt(instruction: str | None) -> str:
    """The text of the four panels, in the words of the published training data."""
    edit = f", edited as follows: {instruction.rstrip('.')}" if instruction else ""
    return (
        "This is a four-panel image grid: [TOP-LEFT]: The original source image. [TOP-RIGHT]: An edited version of "
        f"the [TOP-LEFT] image{edit}. [BOTTOM-LEFT]: A second original source image. [BOTTOM-RIGHT]: An edited version "
        "of the [BOTTOM-LEFT] image, applying the same transformation as used in [TOP-RIGHT]."
    )


def _published_lora(places: Places) -> str:
    folder = weights_folder(places)
    if folder is not None and (folder / LORA).is_file():
        return str(folder / LORA)
    raise UsageError(
        f"edit_transfer needs its LoRA, which is on no hub: fetch it from where {HOME} says, and give it with --lora "
        f"FILE, or put it into the folder of weights as {LORA}; --lora none goes without"
    )


def _keep_clean(pipe: Any, step: int, time: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The panels that are given, without noise."""
    return {"latents": (1 - state["mask"]) * state["image_latents"] + state["mask"] * state["latents"]}


def _panels(values: Tensor) -> list[Tensor]:
    """(B, C, H, W) to its four quarters, row by row."""
    return [quarter for half in values.chunk(2, -2) for quarter in half.chunk(2, -1)]


def _joined(panels: list[Tensor]) -> Tensor:
    return torch.cat([torch.cat(panels[:2], -1), torch.cat(panels[2:], -1)], -2)
