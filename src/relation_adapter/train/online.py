"""Encoders on line: a batch of pictures and instructions to what the loss reads, by the way that a cache goes."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from relation_adapter.data.cached import FeatureBatch, stacked_texts
from relation_adapter.data.dataset import Batch
from relation_adapter.data.quad_pictures import PictureBatch
from relation_adapter.model.components import Components
from relation_adapter.train.cache_features import empty_text, encode_with


def encoded(components: Components, batch: Batch | FeatureBatch | PictureBatch) -> Batch | FeatureBatch:
    """A batch of pictures as the components' encoders see it, where they are; any other batch as it is.

    Every picture and every text is encoded alone, since batches round differently: so the features are those of a
    cache, bit for bit.
    """
    if not isinstance(batch, PictureBatch):
        return batch
    design = components.design
    device = components.transformer.device
    encode = encode_with(components, device)

    def features(pictures: tuple[Image.Image, ...]) -> Tensor:
        return torch.stack([encode["features"](picture)["features"] for picture in pictures])[:, None]

    def latents(pictures: tuple[Image.Image, ...]) -> Tensor:
        return torch.stack([encode["latents"](picture)["latents"] for picture in pictures])

    texts: list[Any] = [text or empty_text(design) for text in batch.text]
    reads = "text" in encode
    return FeatureBatch(
        features(batch.before),
        features(batch.after),
        latents(batch.source),
        latents(batch.target),
        *stacked_texts([encode["text"](text) if reads and text is not None else None for text in texts]),
        has_relation=None if batch.has_relation is None else batch.has_relation.to(device),
        tasks=batch.tasks,
    )
