"""Metrics through networks: LPIPS, DreamSim, the likeness of pictures and of changes as CLIP, SigLIP and DINO see them.

An encoder sees a picture at its own size through its own preparation; the change from one picture to another is the
difference of their vectors. A score that compares changes needs no target.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relation_adapter.errors import MissingExtraError, WeightsError
from relation_adapter.evaluate.dreams import dreamsim_scorer
from relation_adapter.evaluate.networks import Encoder, Networks, device
from relation_adapter.evaluate.seen import Metric, Scorer, Seen
from relation_adapter.evaluate.weight_files import read_weights
from relation_adapter.units import Unit

if TYPE_CHECKING:
    from torch import Tensor, nn

LPIPS_SIDE = 64  # px; below 63 AlexNet has nothing left to see


def lpips_scorer(networks: Networks) -> Scorer:
    """LPIPS of output and target, 0 for equal pictures. Raises WeightsError or MissingExtraError."""
    net = open_lpips(networks.file("alexnet"), device())
    return lambda seen: {"lpips": net(seen.output, seen.target)}


class Lpips:
    """The learned distance of Zhang et al. 2018 (arXiv 1801.03924), version 0.1 with AlexNet.

    net: AlexNet's features, each layer by its place. heads: the learned weight of every channel, layer by layer.
    """

    SEES = (1, 4, 7, 9, 11)  # the ReLUs
    SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

    def __init__(self, net: nn.Sequential, heads: list[Tensor]) -> None:
        self.net, self.heads = net, heads

    def __call__(self, first: Unit, second: Unit) -> float:
        """The distance of two pictures (H, W, 3) in [0, 1]; with a side below LPIPS_SIDE, of both enlarged."""
        import torch

        with torch.no_grad():
            pairs = zip(self._layers(first), self._layers(second), self.heads, strict=True)
            return float(sum((((one - other) ** 2) * head).sum(dim=1).mean() for one, other, head in pairs))

    def _layers(self, picture: Unit) -> list[Tensor]:
        """What the layers see, every place of unit length over its channels: (1, C, h, w) each."""
        import torch
        from torch.nn import functional

        x = torch.from_numpy(picture).permute(2, 0, 1)[None].to(self.heads[0])
        if (short := min(x.shape[2:])) < LPIPS_SIDE:
            x = functional.interpolate(x, scale_factor=LPIPS_SIDE / short, mode="bilinear")
        shift, scale = (torch.tensor(values).view(1, 3, 1, 1).to(x) for values in (self.SHIFT, self.SCALE))
        x, found = (2 * x - 1 - shift) / scale, []
        for place, layer in enumerate(self.net):
            x = layer(x)
            if place in self.SEES:
                found.append(x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt())
        return found


def open_lpips(path: Path, device: str) -> Lpips:
    """LPIPS with torchvision's AlexNet of a file; the heads come with torchmetrics.

    Raises:
        WeightsError: the file holds no AlexNet.
        MissingExtraError: torchmetrics is not installed.
    """
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    prefix = "features."
    tensors = {key.removeprefix(prefix): value for key, value in read_weights(path).items() if key.startswith(prefix)}
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path}: holds no AlexNet; give torchvision's, or leave it out to fetch it") from error
    heads = read_weights(_heads())
    weights = [heads[f"lin{number}.model.1.weight"].to(device) for number in range(len(Lpips.SEES))]
    return Lpips(net.eval().requires_grad_(False).to(device), weights)


def _heads() -> Path:
    try:
        from torchmetrics.functional.image import lpips
    except ImportError as error:
        raise MissingExtraError("torchmetrics is not installed; pip install 'relation-adapter[evaluate]'") from error
    return Path(lpips.__file__).parent / "lpips_models" / "alex.pth"


def _likeness(encoder: str, column: str) -> Metric:
    """The cosine of the vectors of output and target."""

    def load(networks: Networks) -> Scorer:
        see = networks.encoder(encoder)
        return lambda seen: {column: cosine(see(seen.path("output")), see(seen.path("target")))}

    return Metric((column,), load, "cosine of the vectors of output and target", network=encoder)


def _change(encoder: str, column: str, unit: bool) -> Metric:
    """The cosine between the change that the pair shows and the change that was made; unit: of unit vectors."""

    def load(networks: Networks) -> Scorer:
        see = networks.encoder(encoder)
        return lambda seen: {column: change_cosine(see, seen, unit)}

    of = "unit vectors" if unit else "vectors"
    how = f"cosine of the differences of {of}, after less before and output less source; 0 where nothing changed"
    return Metric((column,), load, how, needs_target=False, network=encoder)


def change_cosine(see: Encoder, seen: Seen, unit: bool) -> float:
    """See `_change`; in [-1, 1], and 0 where nothing changed."""
    before, after, source, output = (see(seen.path(name)) for name in ("before", "after", "source", "output"))
    if unit:
        before, after, source, output = (vector / vector.norm() for vector in (before, after, source, output))
    return cosine(after - before, output - source)


def cosine(first: Tensor, second: Tensor) -> float:
    """Of two vectors; 0 where one has no length."""
    first, second = first.double(), second.double()
    length = float(first.norm() * second.norm())
    return max(-1.0, min(1.0, float(first @ second) / length)) if length else 0.0


PERCEPTUAL: dict[str, Metric] = {
    "lpips": Metric(
        ("lpips",),
        lpips_scorer,
        "LPIPS 0.1 with AlexNet at the target's size, not below 64 px",
        network="alexnet",
    ),
    "dreamsim": Metric(
        ("dreamsim",), dreamsim_scorer, "DreamSim's ensemble, through its own package", network="dreamsim"
    ),
    "clip_i": _likeness("clip", "clip_i"),
    "dino_i": _likeness("dino", "dino_i"),
    "clip_direction": _change("clip", "clip_direction", unit=True),
    "delta_cosine": _change("siglip", "delta_cosine", unit=False),
    "delta_cosine_dino": _change("dino", "delta_cosine_dino", unit=False),
}
