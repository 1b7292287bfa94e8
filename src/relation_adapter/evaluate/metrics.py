"""What a row is scored by: metrics by name, each a few columns from the pictures of one row; those of pixels.

Pictures are compared as RGB in [0, 1], without any colour management. The size rule: the target's size counts; an
output or a source of another size is brought to it first (`images.resize`); a quad without target has no such score.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from relation_adapter.errors import MissingExtraError, UsageError
from relation_adapter.evaluate.dense import DENSE
from relation_adapter.evaluate.perceptual import PERCEPTUAL
from relation_adapter.evaluate.seen import Metric, Scores, Seen
from relation_adapter.units import Unit

PSNR_MOST = 100.0  # dB; what two equal pictures get, so that means stay finite


def mse(first: Unit, second: Unit) -> float:
    """Mean squared error over pixels and colours, in [0, 1]."""
    return float(np.mean((first.astype(np.float64) - second) ** 2))


def psnr(first: Unit, second: Unit) -> float:
    """Peak signal-to-noise ratio in dB, with a peak of 1; at most PSNR_MOST."""
    error = mse(first, second)
    return PSNR_MOST if error == 0 else float(min(PSNR_MOST, -10 * np.log10(error)))


def ssim(first: Unit, second: Unit) -> float:
    """Structural similarity of Wang et al. 2004, up to 1: Gaussian window of 11 and sigma 1.5, mean over colours.

    Over the windows that lie inside of the picture, as there. A picture with a side below 11 px is seen through the
    largest flat window that fits. By scikit-image, which takes a thirtieth of torchmetrics' time.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise MissingExtraError("scikit-image is not installed; pip install 'relation-adapter[evaluate]'") from error
    side = min(first.shape[:2])
    window = {"gaussian_weights": True, "sigma": 1.5} if side >= 11 else {"win_size": side - 1 + side % 2}
    one, other = first.astype(np.float64), second.astype(np.float64)
    found = structural_similarity(one, other, channel_axis=2, data_range=1.0, use_sample_covariance=False, **window)
    return float(found)


def _pixels(seen: Seen) -> Scores:
    """The error of the output, and that of leaving the source as it is."""
    return {"mse": mse(seen.output, seen.target), "nothing_mse": mse(seen.source, seen.target)}


def _psnr(seen: Seen) -> Scores:
    return {"psnr": psnr(seen.output, seen.target)}


def _ssim(seen: Seen) -> Scores:
    return {"ssim": ssim(seen.output, seen.target)}


PIXELS: dict[str, Metric] = {
    "mse": Metric(("mse", "nothing_mse"), lambda _: _pixels, "mean over RGB in [0, 1] at the target's size"),
    "psnr": Metric(("psnr",), lambda _: _psnr, "dB, peak 1, of mse; at most 100"),
    "ssim": Metric(("ssim",), lambda _: _ssim, "Gaussian window of 11, sigma 1.5, mean over RGB in [0, 1]"),
}
METRICS: dict[str, Metric] = {**PIXELS, **PERCEPTUAL, **DENSE}
DEFAULT = tuple(PIXELS)
GROUPS = {"pixels": DEFAULT, "networks": tuple(PERCEPTUAL), "dense": tuple(DENSE)}


def expanded(names: Iterable[str]) -> list[str]:
    """Names of metrics, those of groups written out, each once."""
    return list(dict.fromkeys(metric for name in names for metric in GROUPS.get(name, (name,))))


def choose(names: Iterable[str]) -> dict[str, Metric]:
    """The metrics of these names and groups. Raises UsageError on a name that is none."""
    chosen: dict[str, Metric] = {}
    for name in expanded(names):
        if name not in METRICS:
            raise UsageError(f"no metric is called {name!r}; there are: {', '.join((*METRICS, *GROUPS))}")
        chosen[name] = METRICS[name]
    return chosen
