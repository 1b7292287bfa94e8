"""From pairs to quads: by rotation, capped, split without a picture on both sides, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from relation_adapter.data.build import BuildOptions, TaskPlan, build, explain, turned
from relation_adapter.data.pairs import PairRow
from relation_adapter.data.schema import read_quads, write_quads
from relation_adapter.errors import QuadsError, UsageError

ROOT = Path("data")
SMALL = BuildOptions(unseen=0, seed=1)


def rows(task: str, count: int, root: Path = ROOT) -> list[PairRow]:
    return [
        PairRow(root / task / f"{n}-1.jpg", root / task / f"{n}-2.jpg", task, "editing", f"{task} {n}")
        for n in range(count)
    ]


def pictures(pairs: tuple[PairRow, ...]) -> set[Path]:
    return {picture for pair in pairs for picture in (pair.before, pair.after)}


def chosen(plans: list[TaskPlan]) -> list[tuple[tuple[PairRow, ...], tuple[PairRow, ...]]]:
    return [(plan.tested, plan.train) for plan in plans]


def counts(plans: list[TaskPlan]) -> Counter[str]:
    return Counter(str(quad.split) for plan in plans for quad in plan.quads())


def test_all_ordered_pairs_come_once_and_are_balanced_wherever_they_are_cut() -> None:
    some = rows("hat", 7)
    turns = list(turned(some))
    assert len(set(turns)) == len(turns) == 7 * 6 and all(a != b for a, b in turns)
    for cut in (5, 14, 20):
        for side in (0, 1):
            uses = Counter(turn[side].before for turn in turns[:cut])
            assert max(uses[row.before] for row in some) - min(uses[row.before] for row in some) <= 1


def test_a_quad_shows_one_pair_and_asks_for_the_other_with_its_own_instruction() -> None:
    (plan,) = build(rows("hat", 9), ROOT, SMALL)
    for quad in plan.quads():
        assert quad.target is not None and quad.before != quad.source
        shown, asked = quad.before.name[0], quad.source.name[0]
        assert quad.after.name == f"{shown}-2.jpg" and quad.target.name == f"{asked}-2.jpg"
        assert quad.instruction == f"hat {asked}" and quad.task == "hat" and quad.category == "editing"


def test_the_published_size_of_split_and_benchmark() -> None:
    """218 tasks, 33,274 pairs, at most 2,000 quads a task, 208 x 30 + 10 x 30 held out."""
    sizes = [max(8, 30 + 3 * (n % 83)) for n in range(217)]
    sizes.append(33_274 - sum(sizes))
    pairs = [row for number, size in enumerate(sizes) for row in rows(f"task {number}", size)]
    plans = build(pairs, ROOT, BuildOptions(seed=7))
    assert len(pairs) == sum(plan.pairs for plan in plans) == 33_274
    assert sum(plan.unseen for plan in plans) == 10
    made = counts(plans)
    assert (made["seen"], made["unseen"]) == (6_240, 300)
    assert made["train"] == sum(min(2000, (plan.pairs - 6) * (plan.pairs - 7)) for plan in plans if not plan.unseen)
    assert max(plan.train_quads for plan in plans) == 2000 and any(not plan.capped for plan in plans)
    assert not pictures(sum((p.tested for p in plans), ())) & pictures(sum((p.train for p in plans), ()))
    words = explain(plans)
    assert "218 tasks: 208 seen, 10 unseen" in words and f"{made['train']:,} quads to train on" in words
    assert "6,240 quads held out of seen tasks, 300 of unseen tasks" in words
    assert "the paper has 251,580; its pairs per task are not published" in words


def test_the_same_for_the_same_seed_whatever_the_order_and_the_place() -> None:
    pairs = [row for number in range(5) for row in rows(f"t{number}", 20)]
    options = BuildOptions(unseen=1, seed=3)
    shuffled = random.Random(0).sample(pairs, len(pairs))
    moved = [row for number in range(5) for row in rows(f"t{number}", 20, Path("elsewhere/data"))]
    first, again, there = (
        build(pairs, ROOT, options),
        build(shuffled, ROOT, options),
        build(moved, Path("elsewhere/data"), options),
    )
    assert first == again and chosen(first) == chosen(again)
    assert [[q.source.name for q in plan.quads()] for plan in first] == [
        [q.source.name for q in p.quads()] for p in there
    ]
    assert chosen(build(pairs, ROOT, replace(options, seed=4))) != chosen(first)


def test_another_task_or_pair_moves_no_other_tasks_choices() -> None:
    pairs = rows("hat", 20) + rows("snow", 20)
    hat, _ = build(pairs, ROOT, SMALL)
    more = build([*pairs, *rows("lego", 9), *rows("snow", 25)[20:]], ROOT, SMALL)
    assert more[0] == hat and chosen(more[:1]) == chosen([hat])
    assert len(set(more[2].tested) & set(build(pairs, ROOT, SMALL)[1].tested)) >= 4


def test_no_picture_of_a_held_out_pair_is_trained_on_in_any_task() -> None:
    faces = [ROOT / "faces" / f"{n}.jpg" for n in range(20)]
    pairs = [PairRow(face, ROOT / task / face.name, task) for task in ("smile", "glasses", "hat") for face in faces]
    plans = build(pairs, ROOT, BuildOptions(unseen=["hat"], seed=2))
    tested = pictures(sum((plan.tested for plan in plans), ()))
    trained = pictures(sum((plan.train for plan in plans), ()))
    assert not tested & trained and trained
    assert sum(plan.shared for plan in plans) > 0
    assert f"{sum(plan.shared for plan in plans)} left out because they share a picture" in explain(plans)


def test_pairs_whose_pictures_nobody_shares_are_held_out_first() -> None:
    shared = [PairRow(ROOT / "face.jpg", ROOT / f"{n}.jpg", "smile") for n in range(14)]
    (plan,) = build([*shared, *rows("smile", 6)], ROOT, SMALL)
    assert set(plan.tested) == set(rows("smile", 6)) and plan.shared == 0 and plan.train_quads == 14 * 13


def test_a_picture_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    """Glued pictures are split to a file for every pair: a face of two tasks was held out in one, trained on in two."""
    pairs = rows("smile", 20, tmp_path) + rows("hat", 20, tmp_path)
    for number, row in enumerate(pairs):
        row.before.parent.mkdir(exist_ok=True)
        row.before.write_bytes(b"face %d" % (number % 20))
        row.after.write_bytes(b"result %d" % number)
    plans = build(pairs, tmp_path, SMALL)
    trained = {row.before.read_bytes() for plan in plans for row in plan.train}
    tested = {row.before.read_bytes() for plan in plans for row in plan.tested}
    assert len(tested) >= 6 and len(trained) >= 8 and not trained & tested
    assert sum(plan.shared for plan in plans) == 2 * 20 - 2 * len(trained) - 12 > 0


def test_a_split_that_is_given_is_kept() -> None:
    """`data import --split` wrote it down, and `build` drew as if it were not there."""
    pairs = rows("smile", 20) + rows("hat", 20) + rows("snow", 5)
    given = {"smile": ("seen", range(9)), "hat": ("train", range(15)), "snow": ("unseen", range(1))}
    told = [
        replace(row, split=given[row.task][0]) if row.task and int(row.before.name[:-6]) in given[row.task][1] else row
        for row in pairs
    ]
    plans = {plan.task: plan for plan in build(told, ROOT, BuildOptions(unseen=1))}
    assert [task for task, plan in plans.items() if plan.unseen] == ["snow"]
    assert {row.split for row in plans["smile"].tested} == {"seen"} and len(plans["smile"].tested) == 9
    assert "seen" not in {row.split for row in plans["smile"].train}
    assert len(plans["hat"].tested) == 5 and {row.split for row in plans["hat"].tested} == {None}
    assert {quad.split for quad in plans["snow"].quads()} == {"unseen"} and plans["smile"].benchmark_quads == 30
    with pytest.raises(UsageError, match="'hat' has pairs whose split is train"):
        build(told, ROOT, BuildOptions(unseen=["hat"]))
    everything = [replace(row, split="train") for row in pairs]  # nothing is left to test with
    assert counts(build(everything, ROOT, BuildOptions(unseen=None))) == {"train": 20 * 19 * 2 + 5 * 4}


@pytest.mark.parametrize(
    ("count", "held_out", "train"),
    [(1, 0, 0), (2, 0, 2), (5, 0, 20), (6, 2, 12), (9, 6, 30), (18, 30, 132), (60, 30, 2000)],
)
def test_small_tasks_train_before_they_are_tested(count: int, held_out: int, train: int) -> None:
    (plan,) = build(rows("hat", count), ROOT, SMALL)
    assert (plan.benchmark_quads, plan.train_quads) == (held_out, train)
    words = explain([plan])
    assert ("1 tasks give nothing to train on: hat" in words) == (train == 0)
    assert ("1 tasks have too few pairs for the whole benchmark: hat" in words) == (held_out < 30)


def test_every_pair_is_accounted_for() -> None:
    plans = build(rows("a", 30) + rows("b", 30) + rows("b", 3), ROOT, BuildOptions(unseen=["b"]))
    assert "60 pairs: 24 to train on, 12 held out, 0 left out" in explain(plans)
    assert "24 of unseen tasks not needed; 3 rows name a pair again" in explain(plans)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BuildOptions(unseen=2), "unseen=2 of 2 tasks; leave some to train on"),
        (BuildOptions(unseen=["hut"]), "no task is called 'hut'"),
        (BuildOptions(cap=0, unseen=0), "cap=0, benchmark=30; give at least 1 and 0"),
    ],
)
def test_options_that_cannot_be_are_told(options: BuildOptions, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(rows("hat", 9) + rows("snow", 9), ROOT, options)


def test_quads_go_to_a_file_and_back(tmp_path: Path) -> None:
    (plan,) = build(rows("hat", 9, tmp_path), tmp_path, SMALL)
    write_quads(tmp_path / "quads.jsonl", plan.quads())
    assert read_quads(tmp_path / "quads.jsonl") == list(plan.quads())


def test_a_quads_file_names_the_picture_that_is_missing(tmp_path: Path) -> None:
    (plan,) = build(rows("hat", 9, tmp_path), tmp_path, SMALL)
    write_quads(tmp_path / "quads.jsonl", plan.quads())
    (tmp_path / "hat").mkdir()
    for picture in pictures(plan.train + plan.tested):
        picture.touch()
    assert len(read_quads(tmp_path / "quads.jsonl", with_pictures=True)) == 36
    gone = list(plan.quads())[4].target
    assert gone is not None
    gone.unlink()
    with pytest.raises(QuadsError) as caught:
        read_quads(tmp_path / "quads.jsonl", with_pictures=True)
    line = min(n for n, quad in enumerate(plan.quads(), start=1) if gone in (quad.after, quad.target))
    assert f"quads.jsonl:{line}: " in str(caught.value) and f"{gone}: no such file" in str(caught.value)
    assert len(read_quads(tmp_path / "quads.jsonl")) == 36
