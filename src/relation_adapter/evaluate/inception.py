"""The Inception network that FID and KID are defined by (Heusel et al. 2017, arXiv 1706.08500; Binkowski et al. 2018).

The layers of Szegedy et al. 2015 (arXiv 1512.00567) as TensorFlow's graph of 5 December 2015 has them: means leave
padding out, and the last block pools by maximum. Names are those of the published weights. torchmetrics needs
torch-fidelity for the same, and that torchvision.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from relation_adapter.errors import WeightsError
from relation_adapter.evaluate.weight_files import read_weights

SIDE, WIDTH = 299, 2048
Kernel = int | tuple[int, int]
# A branch is read from left to right: (name, channels, kernel[, stride]), a pool by name, or a fork in two.
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "most": lambda x: functional.max_pool2d(x, 3, 1, 1),
    "halve": lambda x: functional.max_pool2d(x, 3, 2),
}
LONG, TALL = (1, 7), (7, 1)
DOUBLE = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3)]


def _a(pooled: int) -> list[list[Any]]:
    return [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        [*DOUBLE, ("branch3x3dbl_3", 96, 3)],
        ["mean", ("branch_pool", pooled, 1)],
    ]


def _c(inner: int) -> list[list[Any]]:
    shape = (1, TALL, LONG, TALL, LONG)
    return [
        [("branch1x1", 192, 1)],
        [("branch7x7_1", inner, 1), ("branch7x7_2", inner, LONG), ("branch7x7_3", 192, TALL)],
        [(f"branch7x7dbl_{n}", 192 if n == 5 else inner, kernel) for n, kernel in enumerate(shape, start=1)],
        ["mean", ("branch_pool", 192, 1)],
    ]


def _e(pool: str) -> list[list[Any]]:
    return [
        [("branch1x1", 320, 1)],
        [("branch3x3_1", 384, 1), _fork("branch3x3_2")],
        [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), _fork("branch3x3dbl_3")],
        [pool, ("branch_pool", 192, 1)],
    ]


def _fork(name: str) -> list[Any]:
    return [(f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))]


BLOCKS: dict[str, list[list[Any]]] = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": [[("branch3x3", 384, 3, 2)], [*DOUBLE, ("branch3x3dbl_3", 96, 3, 2)], ["halve"]],
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": [
        [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
        [
            ("branch7x7x3_1", 192, 1),
            ("branch7x7x3_2", 192, LONG),
            ("branch7x7x3_3", 192, TALL),
            ("branch7x7x3_4", 192, 3, 2),
        ],
        ["halve"],
    ],
    "Mixed_7b": _e("mean"),
    "Mixed_7c": _e("most"),
}


class Unit(nn.Module):
    """Convolution, normalisation, ReLU; the size stays unless it strides or is told not to pad."""

    def __init__(self, inside: int, outside: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (high // 2, wide // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inside, outside, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return self.bn(self.conv(x)).relu()


class Block(nn.Module):
    """Branches beside each other, joined."""

    def __init__(self, inside: int, branches: list[list[Any]]) -> None:
        super().__init__()
        # A single layer is a fork without a second way.
        self.branches = [[[step] if isinstance(step, tuple) else step for step in branch] for branch in branches]
        self.channels = 0
        for branch in self.branches:
            channels = inside
            for step in branch:
                if not isinstance(step, str):
                    for name, outside, *shape in step:
                        self.add_module(name, Unit(channels, outside, *shape))
                    channels = sum(outside for _, outside, *_ in step)
            self.channels += channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return torch.cat([self._branch(branch, x) for branch in self.branches], dim=1)

    def _branch(self, branch: list[Any], x: Tensor) -> Tensor:
        for step in branch:
            if isinstance(step, str):
                x = POOLS[step](x)
            else:
                x = torch.cat([self.get_submodule(name)(x) for name, *_ in step], dim=1)
        return x


class Inception(nn.Module):
    """Pictures to the vectors that FID and KID compare."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, padded=False)
        channels = 192
        for name, branches in BLOCKS.items():
            block = Block(channels, branches)
            self.add_module(name, block)
            channels = block.channels

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 255] to (B, WIDTH), as `torch_fidelity` does it: resized as TensorFlow 1 did."""
        x = (_resized(_resized(pixels, SIDE, 2), SIDE, 3) - 128) / 128
        x = POOLS["halve"](self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = POOLS["halve"](self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


def _resized(pixels: Tensor, size: int, axis: int) -> Tensor:
    """Linear along one axis, pixel k of the result at k * old / size of the old: no half pixels, no smoothing."""
    old = pixels.shape[axis]
    place = torch.arange(size, device=pixels.device, dtype=pixels.dtype) * (old / size)
    low = place.long()
    share = (place - low).view(-1, *[1] * (pixels.ndim - 1 - axis))
    first = pixels.index_select(axis, low)
    return first + (pixels.index_select(axis, (low + 1).clamp_max(old - 1)) - first) * share


def open_inception(path: Path, device: str) -> Inception:
    """The network with the weights of a file. Raises WeightsError."""
    model, tensors = Inception(), read_weights(path)
    wanted = {key: value.shape for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    for key, shape in wanted.items():
        found = tuple(tensors[key].shape) if key in tensors else None
        if found != tuple(shape):
            raise WeightsError(f"{path}: {key} is {found or 'missing'}, not {tuple(shape)}; give FID's Inception")
    model.load_state_dict({key: tensors[key] for key in wanted}, strict=False)
    return model.eval().requires_grad_(False).to(device)


def features(model: Inception, picture: Image.Image) -> np.ndarray:
    """The vector (WIDTH,) of one RGB picture, in float32."""
    pixels = torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        found: np.ndarray = model(pixels.to(model.Conv2d_1a_3x3.conv.weight.device))[0].cpu().numpy()
    return found
