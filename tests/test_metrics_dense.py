"""Metrics of maps: read back from colours, and each score against its definition written out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.morphology import isotropic_dilation

from relation_adapter.data.schema import Quad
from relation_adapter.editor import FunctionEditor
from relation_adapter.evaluate import dense
from relation_adapter.evaluate.dense import DENSE
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.evaluate.score import score
from relation_adapter.images import save_picture
from relation_adapter.procedural import TASKS
from relation_adapter.procedural.dense import HEAT, RAINBOW, DenseTask, draw_view
from relation_adapter.units import Unit, to_unit

RNG = np.random.default_rng(0)


def picture(values: np.ndarray) -> Unit:
    """A map (H, W) or (H, W, 3) in [0, 1] as it comes back from 8 bits."""
    wide = np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values
    return to_unit(Image.fromarray(np.rint(wide * 255).clip(0, 255).astype(np.uint8)))


# Edges


def test_edge_scores_are_those_of_dilated_masks() -> None:
    found, true = (RNG.random((120, 160)) < 0.02 for _ in range(2))
    reach = dense.EDGE_REACH * 200  # 1.5 px
    scores = dense.edge_scores(found, true)
    precision = (isotropic_dilation(true, reach) & found).sum() / found.sum()
    recall = (isotropic_dilation(found, reach) & true).sum() / true.sum()
    assert scores["edge_precision"] == pytest.approx(precision, abs=1e-9)
    assert scores["edge_recall"] == pytest.approx(recall, abs=1e-9)
    assert scores["edge_f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-9)
    assert 0.1 < precision < 0.5


def test_an_edge_counts_within_reach_and_no_farther() -> None:
    size = 400  # 0.0075 of the diagonal: 4.24 px
    true, near, far = (np.zeros((size, size), bool) for _ in range(3))
    true[100], near[104], far[105] = True, True, True
    assert dense.edge_scores(near, true)["edge_f1"] == 1
    assert dense.edge_scores(far, true)["edge_f1"] == 0
    nothing = np.zeros_like(true)
    assert dense.edge_scores(nothing, true)["edge_f1"] == 0
    assert dense.edge_scores(nothing, nothing)["edge_f1"] == 1


@pytest.mark.parametrize("dark", [False, True])
def test_edges_are_the_rarer_side_whatever_their_colour(dark: bool) -> None:
    drawn = np.zeros((40, 40))
    drawn[20] = 0.6
    shown = picture(1 - drawn if dark else drawn)
    found, true = dense.edges(shown, shown)
    assert true[20].all()
    assert true.sum() == 40
    assert (found == true).all()


# Segmentation


def confusion(found: np.ndarray, true: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(true * count + found, minlength=count**2).reshape(count, count)


def test_segmentation_scores_are_those_of_the_confusion_matrix() -> None:
    true = RNG.integers(0, 5, 4000)
    found = np.where(RNG.random(4000) < 0.6, true, RNG.integers(0, 4, 4000))
    table = confusion(found, true, 5)
    right = np.diag(table)
    expected = {
        "seg_pixel_accuracy": right.sum() / table.sum(),
        "seg_mean_accuracy": (right / table.sum(axis=1)).mean(),
        "seg_miou": (right / (table.sum(axis=0) + table.sum(axis=1) - right)).mean(),
    }
    assert dense.segmentation_scores(found, true, 5) == pytest.approx(expected, abs=1e-4)


def test_labels_are_found_in_packed_pictures_and_blurred_borders(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 30], [30, 200, 60], [40, 60, 220]])
    labels = np.repeat(np.repeat(RNG.integers(0, 3, (6, 6)), 20, axis=0), 20, axis=1)
    clean = Image.fromarray(colours[labels].astype(np.uint8))
    save_picture(clean.resize((60, 60), Image.Resampling.BILINEAR).resize((120, 120)), tmp_path / "packed.jpg")
    packed = to_unit(Image.open(tmp_path / "packed.jpg"))
    found = dense.palette(to_unit(clean))
    assert {tuple(np.rint(colour * 255).astype(int)) for colour in found} == {tuple(c) for c in colours.tolist()}
    seen, true = dense.nearest(packed, found)[0], dense.nearest(to_unit(clean), found)[0]
    assert dense.segmentation_scores(seen, true, len(found))["seg_miou"] > 0.8


def test_one_label_alone_is_right_everywhere() -> None:
    plain = picture(np.full((8, 8), 0.5))
    colours = dense.palette(plain)
    places = dense.nearest(picture(RNG.random((8, 8))), colours)[0]
    assert dense.segmentation_scores(places, places, len(colours))["seg_miou"] == 1


# Depth


@pytest.mark.parametrize("stops", [[[0, 0, 0], [255, 255, 255]], HEAT, RAINBOW])
def test_depth_is_read_along_the_ramp_that_the_target_follows(stops: list[list[int]]) -> None:
    true = np.linspace(0.1, 1, 64 * 64).reshape(64, 64)
    colours = np.asarray(stops) / 255
    shown = [
        np.stack([np.interp(depth, np.linspace(0, 1, len(colours)), colours[:, band]) for band in range(3)], axis=-1)
        for depth in (true * 0.9, true)
    ]
    found, known = dense.depths(*(picture(one) for one in shown))
    assert np.abs(known - true.ravel()).max() < 0.01
    assert np.abs(found - 0.9 * true.ravel()).max() < 0.01


def test_delta_is_the_share_within_a_factor() -> None:
    true = np.array([0.5, 0.5, 0.5, 0.5, 0.0])
    found = np.array([0.5, 0.61, 0.41, 0.63, 0.9])
    assert dense.depth_scores(found, true) == {"depth_delta1": 0.75}  # the last has no depth
    assert dense.depth_scores(found, np.zeros(5)) == {}


# Normals


def test_angles_are_those_of_turned_vectors() -> None:
    degrees = np.array([0.0, 10, 20, 28, 40])
    true = np.tile([0.0, 0, 1], (6, 1))
    true[5] = 0  # no surface there
    turned = np.radians([*degrees, 0])
    found = np.stack([np.sin(turned), np.zeros(6), np.cos(turned)], axis=1) * 0.7  # length does not count
    scores = dense.normal_scores(found, true)
    expected = {"normal_mean": 19.6, "normal_median": 20.0}
    expected |= {"normal_within_11": 0.4, "normal_within_22": 0.6, "normal_within_30": 0.8}
    assert scores == pytest.approx(expected, abs=1e-4)
    assert dense.normal_scores(np.zeros((1, 3)), np.array([[0.0, 0, 1]]))["normal_mean"] == pytest.approx(90)


def test_a_map_of_normals_is_read_to_within_a_degree() -> None:
    _, surfaces = draw_view(np.random.default_rng(1), 64, "still life")
    task = TASKS["surface normal"]
    assert isinstance(task, DenseTask)
    shown = picture(task.show(surfaces, {"signs": [1, 1, 1]}))
    angles = dense.normal_scores(dense.normals(shown), surfaces.normal.reshape(-1, 3).astype(float))
    assert angles["normal_mean"] < 1
    assert angles["normal_within_11"] == 1


# Rows


@pytest.mark.parametrize("name", ["depth to image", "image from depth", "Canny2Image", "hedge", "pencil filter"])
def test_the_way_back_and_other_tasks_have_no_such_score(name: str) -> None:
    row = {"task": name, "output": "a.png", "target": "b.png"}
    assert not [metric for metric, found in DENSE.items() if found.fits(row)]


def test_every_dense_task_has_its_scores_and_the_truth_gets_the_best(tmp_path: Path) -> None:
    names = {"depth": "depth", "surface normal": "normals", "semantic segmentation": "segmentation"}
    names |= {"edge detection": "edges"}
    quads = []
    for number, task in enumerate(TASKS[name] for name in (*names, "sepia")):
        rng = np.random.default_rng(number)
        params = task.draw_params(rng)
        photo = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        pairs = [task.draw_pair(rng, params, 64, photo if task.on_photos else None) for _ in range(2)]
        paths = [tmp_path / f"{number}{place}.png" for place in "abcd"]
        for path, values in zip(paths, [*pairs[0], *pairs[1]], strict=True):
            Image.fromarray(values).save(path)
        quads.append(Quad(*paths, task=task.name))
    targets = iter(quads)
    editor = FunctionEditor(lambda request: Image.open(str(next(targets).target)), "truth")
    generate(quads, editor, tmp_path / "batch")
    found = score(tmp_path / "batch", ["dense"])
    assert (found.done, found.without, found.failed) == (4, 1, ())
    rows = {row["task"]: row for row in read_rows(tmp_path / "batch")}
    for task, metric in names.items():
        columns = {column for one in DENSE.values() for column in one.columns} & rows[task].keys()
        assert columns == set(DENSE[metric].columns)
    assert rows["edge detection"]["edge_f1"] == rows["semantic segmentation"]["seg_miou"] == 1
    assert rows["depth"]["depth_delta1"] == rows["surface normal"]["normal_within_11"] == 1
    assert score(tmp_path / "batch", ["dense"]).done == 0
