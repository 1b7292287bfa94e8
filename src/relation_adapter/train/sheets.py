"""Batches as pictures a person can look at, whatever form they came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from relation_adapter.contact_sheet import contact_sheet
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch
from relation_adapter.data.quad_pictures import PictureBatch
from relation_adapter.data.schema import PICTURES
from relation_adapter.model.components import Components
from relation_adapter.model.latents import unpack
from relation_adapter.units import from_unit

SHOWN = 16  # quads of a batch
CELL = (128, 256)  # px, smallest and largest

Pictures = list[Image.Image | None]
AnyBatch = Batch | FeatureBatch | PictureBatch


def batch_sheet(components: Components, batch: AnyBatch) -> Image.Image:
    """The first quads of a batch: before and after of every pair, source, target."""
    count = min(SHOWN, len(batch))
    sides = quad_pictures(components, batch, count)
    return sheet([list(row) for row in zip(*sides.values(), strict=True)], list(sides), batch.tasks[:count])


def sheet(rows: Sequence[Pictures], columns: Sequence[str], titles: Sequence[str]) -> Image.Image:
    """Rows of pictures, each as large as it is, within bounds."""
    largest = max(max(image.size) for row in rows for image in row if image is not None)
    return contact_sheet(rows, columns, titles, cell=min(max(largest, CELL[0]), CELL[1]))


@torch.no_grad()
def quad_pictures(components: Components, batch: AnyBatch, count: int) -> dict[str, Pictures]:
    """The pictures of the first `count` quads by column; columns of features that cannot be drawn are left out."""
    if isinstance(batch, PictureBatch):
        return {name: list(getattr(batch, name)[:count]) for name in PICTURES}
    pairs, found = batch.before.shape[1], {}
    for pair in range(pairs):
        for name, side in (("before", batch.before), ("after", batch.after)):
            title = f"{name} {pair + 1}" if pairs > 1 else name
            found[title] = [_exemplar(components, batch, side[quad, pair]) for quad in range(count)]
    for name, side in (("source", batch.source), ("target", batch.target)):
        if isinstance(batch, Batch):
            found[name] = [to_picture(one) for one in side[:count]]
        else:
            found[name] = [decoded(components, latents[0]) for latents in side[:count]]
    return {name: pictures for name, pictures in found.items() if any(pictures)}


def decoded(components: Components, latents: Tensor) -> Image.Image:
    """Latents (C, h, w) as a picture; in false colours where the run has no VAE, as with cached features."""
    vae = components.vae
    if vae is None:
        thirds = torch.stack([part.float().mean(dim=0) for part in latents.chunk(3)])
        return to_picture(thirds / thirds.abs().amax().clamp(min=1e-6))
    scaled = latents[None].to(vae.device, vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
    return to_picture(vae.decode(scaled, return_dict=False)[0][0])


def to_picture(tensor: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] as a picture."""
    unit: Any = (tensor.float() * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return from_unit(unit)


def _exemplar(components: Components, batch: Batch | FeatureBatch, one: Tensor) -> Image.Image | None:
    """One exemplar: a picture (3, S, S), or features (N, F)."""
    if isinstance(batch, Batch):
        return to_picture(one)
    design = components.design
    if design.image_features != "latents":
        return None
    tokens = one[None, :, : design.token_channels]
    return decoded(components, unpack(tokens, round(tokens.shape[1] ** 0.5))[0])
