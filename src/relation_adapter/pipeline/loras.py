"""LoRAs of the pipeline: diffusers' own methods, with strict loading and names that are told."""

from __future__ import annotations

from typing import ClassVar

from diffusers.loaders import FluxLoraLoaderMixin


class Loras(FluxLoraLoaderMixin):  # type: ignore[misc]
    """The LoRA methods of a diffusers pipeline: load, weigh, stack, swap, fuse and unload.

    A LoRA stays beside the base weights, so that it can be weighed, joined by others and taken away; the published one
    is called "editor".
    """

    _lora_loadable_modules: ClassVar[list[str]] = ["transformer", "text_encoder"]
