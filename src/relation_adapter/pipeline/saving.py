"""Saving a pipeline, and what else diffusers' own pipelines do with their parts as a whole."""

from __future__ import annotations

import logging
import os
from typing import Any, Self

from diffusers import DiffusionPipeline

from relation_adapter.errors import UsageError
from relation_adapter.model.attention import has_fused_projections
from relation_adapter.model.lora import lora_names
from relation_adapter.pipeline.card import write_card
from relation_adapter.pipeline.load import casting

logger = logging.getLogger(__name__)


class SavingPipeline(DiffusionPipeline):
    """A pipeline that saves whole or not at all, with its card."""

    adapter: Any
    transformer: Any

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """Save as any diffusers pipeline, with a model card. Raises UsageError while it has LoRAs, or is fused."""
        if names := lora_names(self.transformer):
            raise UsageError(
                f"LoRA {', '.join(names)} is attached, and would leave a folder that does not load; save_lora_weights "
                "keeps it, unload_lora_weights takes it away, fuse_lora before that makes it part of the model"
            )
        if has_fused_projections(self.transformer):
            raise UsageError("Projections are fused, which no folder holds; unfuse_qkv_projections before you save")
        super().save_pretrained(save_directory, *args, **options)
        self._write_card(save_directory)

    def _upload_folder(self, working_dir: str | os.PathLike[str], *args: Any, **options: Any) -> Any:
        """The last thing before files go to the hub; a card of diffusers' own lies there by then."""
        self._write_card(working_dir)
        return super()._upload_folder(working_dir, *args, **options)

    def _write_card(self, folder: str | os.PathLike[str]) -> None:
        if self.adapter is not None:
            write_card(folder, self.adapter.design)

    def to(self, *args: Any, **options: Any) -> Self:
        """Move or cast every part. diffusers warns that float16 cannot run on a CPU; this pipeline can."""
        with casting():
            return super().to(*args, **{"silence_dtype_warnings": True} | options)

    def enable_attention_slicing(self, slice_size: str | int | None = "auto") -> None:
        """There is none: torch's attention keeps no matrix of scores that slices would make smaller."""
        logger.warning("FLUX has no attention slicing, and needs none: its attention keeps no matrix of scores")
