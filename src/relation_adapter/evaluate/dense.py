"""Metrics of maps that an edit draws: edges, segmentation, depth, surface normals, read back from their colours.

Output and target are read in the same way, at the target's size. A metric is for the tasks whose names say so.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from relation_adapter.errors import MissingExtraError
from relation_adapter.evaluate.seen import Metric, Scores, Seen
from relation_adapter.procedural.dense import GREYS, HEAT, RAINBOW, SEA
from relation_adapter.units import Unit

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

EDGE_REACH = 0.0075  # of the diagonal: how far from its place an edge still counts (Martin et al. 2004)
COLOUR_APART = 24 / 255  # what lies nearer to a label's colour is that label, blurred or packed
LABEL_SHARE = 0.001  # of the pixels; rarer colours are borders between labels
RAMPS = (GREYS, HEAT, SEA, RAINBOW)
RAMP_STEPS = 256
DELTA = 1.25
NO_NORMAL = 0.5  # length below which a pixel shows no surface
CHUNK = 16_384  # colours at a time


def edges(picture: Unit, target: Unit) -> tuple[Mask, Mask]:
    """The edge pixels (H, W) of a picture and of its target: of both sides of the target's middle grey, the rarer."""
    seen, true = (x.astype(np.float64).mean(axis=2) for x in (picture, target))
    middle = (true.min() + true.max()) / 2
    light = bool((true > middle).mean() <= 0.5)
    return (seen > middle, true > middle) if light else (seen < middle, true < middle)


def edge_scores(found: Mask, true: Mask) -> Scores:
    """Precision: the share of found pixels with a true one within EDGE_REACH; recall: the other way round; F1.

    A pixel may answer for several, unlike in the BSDS benchmark, which matches one to one. Where neither picture has an
    edge all are 1, where one alone has none all are 0.
    """
    if not found.any() or not true.any():
        alike = float(found.any() == true.any())
        return {"edge_precision": alike, "edge_recall": alike, "edge_f1": alike}
    from scipy.ndimage import distance_transform_edt

    reach = EDGE_REACH * float(np.hypot(*true.shape))
    precision = float((distance_transform_edt(~true)[found] <= reach).mean())
    recall = float((distance_transform_edt(~found)[true] <= reach).mean())
    both = precision + recall
    return {
        "edge_precision": precision,
        "edge_recall": recall,
        "edge_f1": 2 * precision * recall / both if both else 0.0,
    }


def palette(target: Unit) -> Floats:
    """The labels' colours (K, 3) of a segmentation: its frequent colours, no two nearer than COLOUR_APART."""
    colours, _, counts = _colours(target)
    kept: list[Floats] = []
    for place in np.argsort(-counts, kind="stable"):
        if kept and counts[place] < LABEL_SHARE * counts.sum():
            break
        if all(np.linalg.norm(colours[place] - other) > COLOUR_APART for other in kept):
            kept.append(colours[place])
    return np.array(kept)


def nearest(picture: Unit, colours: Floats) -> tuple[Places, Floats]:
    """For every pixel the place of the nearest colour, and how far away it is: (H * W,) both."""
    seen, which, _ = _colours(picture)
    places, distances = np.empty(len(seen), np.int64), np.empty(len(seen))
    for start in range(0, len(seen), CHUNK):
        some = seen[start : start + CHUNK]
        apart = (some**2).sum(axis=1, keepdims=True) - 2 * some @ colours.T + (colours**2).sum(axis=1)
        places[start : start + CHUNK] = apart.argmin(axis=1)
        distances[start : start + CHUNK] = np.sqrt(apart.min(axis=1).clip(0))
    return places[which], distances[which]


def _colours(picture: Unit) -> tuple[Floats, Places, Places]:
    """The different colours (K, 3) of 8 bits, which of them each pixel has (H * W,), and how often each is (K,)."""
    packed = np.rint(picture.reshape(-1, 3) * 255).astype(np.int64) @ (65536, 256, 1)
    found, which, counts = np.unique(packed, return_inverse=True, return_counts=True)
    return np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1) / 255, which, counts


def segmentation_scores(found: Places, true: Places, count: int) -> Scores:
    """Labels (N,) of `count`, all of which are true somewhere: right pixels, mean over labels, mean overlap (IoU).

    Raises MissingExtraError without torchmetrics.
    """
    import torch

    try:
        from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index
    except ImportError as error:
        raise MissingExtraError("torchmetrics is not installed; pip install 'relation-adapter[evaluate]'") from error
    if count < 2:  # torchmetrics knows no problem of one class
        return {"seg_pixel_accuracy": 1.0, "seg_mean_accuracy": 1.0, "seg_miou": 1.0}
    both = torch.from_numpy(found), torch.from_numpy(true)
    return {
        "seg_pixel_accuracy": float(multiclass_accuracy(*both, num_classes=count, average="micro")),
        "seg_mean_accuracy": float(multiclass_accuracy(*both, num_classes=count, average="macro")),
        "seg_miou": float(multiclass_jaccard_index(*both, num_classes=count, average="macro")),
    }


def depths(picture: Unit, target: Unit) -> tuple[Floats, Floats]:
    """Depth (N,) in [0, 1] of a picture and its target along the ramp of colours that the target follows best.

    A ramp that runs from white to black cannot be told from its reverse, and is read as from black to white.
    """
    ramps = [_ramp(stops) for stops in RAMPS]
    seen = [nearest(target, ramp) for ramp in ramps]
    best = int(np.argmin([away.mean() for _, away in seen]))
    places, _ = nearest(picture, ramps[best])
    return places / (RAMP_STEPS - 1), seen[best][0] / (RAMP_STEPS - 1)


def _ramp(stops: list[list[int]]) -> Floats:
    """(RAMP_STEPS, 3) in [0, 1]."""
    colours, places = np.asarray(stops) / 255, np.linspace(0, 1, len(stops))
    steps = np.linspace(0, 1, RAMP_STEPS)
    return np.stack([np.interp(steps, places, colours[:, band]) for band in range(3)], axis=1)


def depth_scores(found: Floats, true: Floats) -> Scores:
    """The share of pixels whose depth is right within a factor of DELTA; those without a true depth are left out.

    None at all: no score.
    """
    known = true > 0
    if not known.any():
        return {}
    found, true = np.maximum(found[known], 1 / (RAMP_STEPS - 1)), true[known]
    return {"depth_delta1": float((np.maximum(found / true, true / found) < DELTA).mean())}


def normals(picture: Unit) -> Floats:
    """Vectors (N, 3) of a map of normals, as drawn: mid grey is 0."""
    return picture.reshape(-1, 3).astype(np.float64) * 2 - 1


def normal_scores(found: Floats, true: Floats) -> Scores:
    """The angles between vectors (N, 3) in degrees: mean, median and the shares below 11.25, 22.5 and 30.

    Where the target shows no surface a pixel is left out; a vector found without length is 90 degrees off.
    """
    lengths = np.linalg.norm(true, axis=1)
    known = lengths > NO_NORMAL
    if not known.any():
        return {}
    length = lengths[known] * np.maximum(np.linalg.norm(found[known], axis=1), 1e-9)
    angles = np.degrees(np.arccos(np.clip((found[known] * true[known]).sum(axis=1) / length, -1, 1)))
    within = {f"normal_within_{int(most)}": float((angles < most).mean()) for most in (11.25, 22.5, 30)}
    return {"normal_mean": float(angles.mean()), "normal_median": float(np.median(angles)), **within}


def _edges(seen: Seen) -> Scores:
    return edge_scores(*edges(seen.output, seen.target))


def _segmentation(seen: Seen) -> Scores:
    colours = palette(seen.target)
    return segmentation_scores(nearest(seen.output, colours)[0], nearest(seen.target, colours)[0], len(colours))


def _depth(seen: Seen) -> Scores:
    return depth_scores(*depths(seen.output, seen.target))


def _normals(seen: Seen) -> Scores:
    return normal_scores(normals(seen.output), normals(seen.target))


def _tasks(words: str) -> re.Pattern[str]:
    """Names that hold one of these words, and do not say that it is the way back."""
    return re.compile(rf"^(?!.*(\bfrom\b|({words})\w*[ _-]?(to\b|2))).*\b({words})", re.IGNORECASE)


DENSE: dict[str, Metric] = {
    "edges": Metric(
        ("edge_precision", "edge_recall", "edge_f1"),
        lambda _: _edges,
        f"the rarer side of the target's middle grey, within {EDGE_REACH} of the diagonal",
        tasks=_tasks("edge|canny|contour|boundar"),
    ),
    "segmentation": Metric(
        ("seg_pixel_accuracy", "seg_mean_accuracy", "seg_miou"),
        lambda _: _segmentation,
        "pixels by the nearest of the target's frequent colours",
        tasks=_tasks("segment"),
    ),
    "depth": Metric(
        ("depth_delta1",),
        lambda _: _depth,
        f"share within a factor of {DELTA}, along the ramp that the target follows; black is no depth",
        tasks=_tasks("depth"),
    ),
    "normals": Metric(
        ("normal_mean", "normal_median", "normal_within_11", "normal_within_22", "normal_within_30"),
        lambda _: _normals,
        "degrees between the vectors that the colours stand for; mid grey is none",
        tasks=_tasks("surface normal|normal map|normals"),
    ),
}
