"""Depth, normals and labels against closed forms: balls, planes, the floor up to the horizon."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from procedural_samples import rng

from relation_adapter.procedural import draw_quad, task
from relation_adapter.procedural.dense import depth_map, draw_view, label_colours, label_map, normal_map, scene_surfaces
from relation_adapter.procedural.landscape import draw_landscape
from relation_adapter.procedural.objects import draw_prop
from relation_adapter.procedural.scenes import Scene, draw_outdoors, draw_scene, render
from relation_adapter.procedural.solids import Ball, Box, Can, Ground, Room
from relation_adapter.procedural.surfaces import FOCAL, LABELS, WALL, SurfacePen, Surfaces, label_of

PITCH = 0.6
COS, SIN = math.cos(PITCH), math.sin(PITCH)
FLOOR = Ground((0.0, 1.0, 0.0), 0.0, (200, 200, 200), "floor")
BACK = Ground((0.0, 0.0, 1.0), 0.5, (90, 90, 90), "wall")


def room(*solids: Ball | Box | Can) -> Room:
    return Room(solids, FLOOR, BACK, PITCH, (0.0, 0.8, 0.6), 0.1)


def middles(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pixels to the right and up, 0 in the middle of the picture."""
    place = (np.arange(size) + 0.5) / size - 0.5
    return np.meshgrid(place, -place)


# Still lifes


def test_a_balls_normals_are_its_places_over_its_radius() -> None:
    size, radius = 96, 0.2
    ball = Ball((0.0, radius, 0.0), radius, (200, 0, 0))
    surfaces = room(ball).surfaces(size)
    x, y = middles(size)
    y = y + 0.1 - radius * COS  # the middle of the ball as the camera sees it
    inside = np.hypot(x, y) < 0.97 * radius
    out = np.sqrt(np.maximum(radius**2 - x**2 - y**2, 0))
    expected = np.stack([x, y, out], axis=-1) / radius
    assert np.all(surfaces.label[inside] == LABELS.index("ball"))
    assert np.abs(surfaces.normal - expected)[inside].max() < 1e-3


def test_floor_and_wall_lie_at_the_distance_of_their_planes() -> None:
    size = 64
    distance, normal, _ = room().look(size)
    _, y = middles(size)
    up = 0.1 + y
    floor = (up * COS + 3 * SIN) / SIN  # start.y / the fall of the ray
    wall = (-up * SIN + 3 * COS + 0.5) / COS
    assert np.abs(distance - np.minimum(floor, wall)).max() < 1e-4
    assert np.all(normal[floor < wall] == (0, 1, 0))
    surfaces = room().surfaces(size)
    assert np.abs(surfaces.normal[floor < wall] - (0, COS, SIN)).max() < 1e-6
    assert np.abs(surfaces.normal[floor > wall] - (0, -SIN, COS)).max() < 1e-6
    assert surfaces.nearness.min() == 0 and surfaces.nearness.max() == 1
    assert np.abs(surfaces.nearness - (distance.max() - distance) / np.ptp(distance)).max() < 1e-6


@pytest.mark.parametrize(
    "solid",
    [
        Ball((0.0, 0.2, 0.0), 0.2, (9, 9, 9)),
        Box((0.05, 0.15, 0.1), (0.1, 0.15, 0.2), 0.7, (9, 9, 9)),
        Can((0.0, 0.2, 0.1), 0.15, 0.2, (9, 9, 9)),
    ],
    ids=["ball", "box", "can"],
)
def test_the_hit_of_a_solid_lies_on_its_surface_and_its_normal_is_the_slope(solid: Ball | Box | Can) -> None:
    def outside(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Signed distance, exact near the surface."""
        x, y, z = (place - middle for place, middle in zip((x, y, z), solid.centre, strict=True))
        if isinstance(solid, Ball):
            return np.sqrt(x * x + y * y + z * z) - solid.radius
        if isinstance(solid, Can):
            return np.maximum(np.hypot(x, z) - solid.radius, np.abs(y) - solid.half)
        cos, sin = math.cos(solid.turn), math.sin(solid.turn)
        sides = (cos * x - sin * z, y, sin * x + cos * z)
        return np.maximum.reduce([np.abs(side) - half for side, half in zip(sides, solid.half, strict=True)])

    start, way = room(solid).rays(64)
    distance, normal = solid.hit(start, way)
    met = np.isfinite(distance)
    assert 0.02 < met.mean() < 0.5
    places = [np.float64(place + np.where(met, distance, 0) * step) for place, step in zip(start, way, strict=True)]
    assert np.abs(outside(*places))[met].max() < 1e-4
    assert np.abs((normal**2).sum(axis=-1) - 1)[met].max() < 1e-4
    moved = outside(*(place + 0.01 * normal[..., axis] for axis, place in enumerate(places)))
    assert np.abs(moved - 0.01)[met].max() < 1e-3
    assert np.all((normal @ way)[met] <= 1e-6)


# Scenes


def test_the_floor_rises_evenly_from_the_horizon_and_things_stand_on_it() -> None:
    size = 80
    land = replace(draw_landscape(rng(0), lived_in=False), horizon=0.5, hills=())
    surfaces = scene_surfaces(
        Scene(np.zeros((size, size, 3), np.float32), (land,), draw_outdoors(rng(0), 8, land).finish)
    )
    rows = (np.arange(size) + 0.5) / size
    below = rows > 0.5
    expected = np.repeat(0.8 * (rows - 0.5)[:, None] / 0.5, size, axis=1)
    assert np.abs(surfaces.nearness - expected)[below].max() < 1e-6
    assert np.all(surfaces.normal[below] == (0, 1, 0))
    assert np.all(surfaces.label[below] == LABELS.index("ground"))
    assert np.all(surfaces.nearness[~below] <= 0.03)


def test_a_painted_ellipse_is_half_an_ellipsoid() -> None:
    size, radius = 100, 0.3
    pen = SurfacePen(size, WALL)
    pen.part("ball", 0.5).ellipse(0.5, 0.5, radius, radius, (0, 0, 0))
    x, y = middles(size)
    out = np.sqrt(np.maximum(radius**2 - x**2 - y**2, 0))
    inside = np.hypot(x, y) < radius - 0.01
    assert np.abs(pen.surfaces.normal - np.stack([x, y, out], axis=-1) / radius)[inside].max() < 0.02
    assert np.abs(pen.surfaces.nearness - 0.5 / (1 - out / FOCAL))[inside].max() < 1e-3
    outside = np.hypot(x, y) > radius + 0.02
    assert np.all(pen.surfaces.nearness[outside] == np.float32(WALL))
    assert np.all(pen.surfaces.normal[outside] == (0, 0, 1))


def test_a_turned_ellipse_turns_its_normals() -> None:
    upright, turned = SurfacePen(64, WALL), SurfacePen(64, WALL)
    upright.part("ball", 0.5).ellipse(0.5, 0.5, 0.2, 0.4, (0, 0, 0))
    turned.part("ball", 0.5).local(0.5, 0.5, 1, 90).ellipse(0, 0, 0.4, 0.2, (0, 0, 0))
    assert np.abs(upright.surfaces.nearness - turned.surfaces.nearness).max() < 1e-4
    assert np.abs(upright.surfaces.normal - turned.surfaces.normal).max() < 1e-3


def test_a_stroke_is_a_round_tube() -> None:
    size = 100
    pen = SurfacePen(size, WALL)
    pen.part("object", 0.5).stroke([(0.1, 0.5), (0.9, 0.5)], 0.2, (0, 0, 0))
    _, y = middles(size)
    column = pen.surfaces.normal[:, 50]
    inside = np.abs(y[:, 50]) < 0.095
    assert np.abs(column[inside, 1] - y[inside, 50] / 0.1).max() < 0.02
    assert np.all(np.abs(column[inside, 0]) < 1e-6)


def test_the_maps_lie_on_the_picture() -> None:
    """Where a thing is added to a scene, and only there, picture and labels change."""
    for number in range(6):
        scene = draw_scene(rng(1, number), 96, draw_prop(rng(2, number), "heart"))
        scene = replace(scene, finish=replace(scene.finish, blur=0.0))
        alone, more = scene, scene.with_subject(draw_prop(rng(3, number), "ball"))
        changed = np.any(render(alone) != render(more), axis=2)
        labelled = np.abs(scene_surfaces(alone).nearness - scene_surfaces(more).nearness) > 0
        assert (changed ^ labelled).mean() < 0.15 * changed.mean()


def test_views_have_unit_normals_known_labels_and_a_nearness_within_bounds() -> None:
    seen = set()
    for number in range(30):
        picture, surfaces = draw_view(rng(4, number), 48)
        assert picture.shape == (48, 48, 3)
        length = np.sqrt((surfaces.normal.astype(float) ** 2).sum(axis=2))
        assert np.all((np.abs(length - 1) < 1e-3) | (length == 0))
        assert 0 <= surfaces.nearness.min() and surfaces.nearness.max() < 1.3
        seen |= {LABELS[place] for place in np.unique(surfaces.label)}
    assert {"sky", "ground", "skin", "ball", "box", "can", "floor", "wall", "background"} <= seen


# Maps


def plane(nearness: float, label: str = "sky") -> Surfaces:
    normal = np.broadcast_to(np.float32([0.6, 0.0, 0.8]), (2, 2, 3))
    return Surfaces(np.full((2, 2), nearness, np.float32), normal, np.full((2, 2), label_of(label), np.uint8))


def test_the_maps_show_what_their_params_say() -> None:
    black_to_white = {"colours": [[0, 0, 0], [255, 255, 255]]}
    assert np.allclose(depth_map(plane(0.25), black_to_white), 0.25)
    assert np.allclose(depth_map(plane(0.25), {"colours": [[255, 255, 255], [0, 0, 0]]}), 0.75)
    assert np.allclose(normal_map(plane(0.5), {"signs": [1, 1, 1]}), [0.8, 0.5, 0.9])
    assert np.allclose(normal_map(plane(0.5), {"signs": [-1, 1, 1]}), [0.2, 0.5, 0.9])
    assert np.allclose(label_map(plane(0.5, "hat"), {"hue": 0.3}), label_colours(0.3)[LABELS.index("hat")])


def test_every_label_has_a_colour_of_its_own() -> None:
    for hue in (0.0, 0.37):
        colours = label_colours(hue)
        apart = np.abs(colours[:, None] - colours[None]).max(axis=2) + np.eye(len(LABELS))
        assert apart.min() > 0.08


@pytest.mark.parametrize("name", ["depth", "surface normal", "semantic segmentation"])
def test_the_params_of_dense_tasks_differ_between_quads_and_show(name: str) -> None:
    drawn = [draw_quad(rng(5, number), 32, name) for number in range(8)]
    assert len({str(quad.params) for quad in drawn}) > 1
    entry = task(name)
    first = drawn[0].params
    second = next(quad.params for quad in drawn if quad.params != first) | {
        key: first[key] for key in ("scene",) if key in first
    }
    maps = [entry.draw_pair(rng(6), params, 32) for params in (first, second)]
    assert np.array_equal(maps[0][0], maps[1][0])
    assert not np.array_equal(maps[0][1], maps[1][1])


def test_both_pairs_of_a_segmentation_show_one_kind_of_scene() -> None:
    # Else the colours of the labels could not be read from the pair.
    shared = []
    for number in range(24):
        quad = draw_quad(rng(7, number), 48, "semantic segmentation")
        first, second = ({tuple(colour) for colour in one.reshape(-1, 3)} for one in (quad.after, quad.target))
        shared.append(len(first & second))
    assert sum(count > 0 for count in shared) >= 22
