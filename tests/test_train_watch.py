"""What a run shows: sheets a person can look at, a log with every step once, a folder that explains itself."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from relation_adapter import Relation, RelationPipeline
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.dataset import Batch, ProceduralBatches
from relation_adapter.data.quad_pictures import PictureBatch
from relation_adapter.errors import InputError, MissingExtraError, UsageError
from relation_adapter.model.components import Components, build, tiny
from relation_adapter.model.features import latent_moments
from relation_adapter.model.latents import pack
from relation_adapter.model.second_look import read_pairs
from relation_adapter.train import run_folder
from relation_adapter.train.loss import encode_batch
from relation_adapter.train.presets import PRESETS
from relation_adapter.train.run_folder import explain, git_revision
from relation_adapter.train.sheets import batch_sheet, quad_pictures
from relation_adapter.train.tally import Tally
from relation_adapter.train.trackers import check_trackers, flat
from relation_adapter.train.validate import edited, validation_sheet
from relation_adapter.train.watch import Watch, forget_after

CONFIG = replace(PRESETS["debug"], steps=20, tracker="none")


@cache
def batch(count: int = 4) -> Batch:
    return ProceduralBatches(CONFIG.data, count, 1, seed=0)[0]


def quads(tasks: tuple[str, ...], change: float = 2.0) -> Batch:
    """Quads whose error of doing nothing is `change`."""
    none = torch.zeros(len(tasks), 1, 3, 8, 8)
    return Batch(none, none, none[:, 0], none[:, 0] + change**0.5, tasks)


def components() -> Components:
    return build(CONFIG.model, seed=0)


def steps(watch: Watch, first: int, last: int) -> None:
    seen = batch()
    for step in range(first, last + 1):
        watch.step(step, seen, torch.rand(4), seen.change, rate=0.001, seconds=0.1, waited=0.025)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# The log


def test_the_log_tells_how_near_how_fast_and_how_long_it_waited(tmp_path: Path) -> None:
    watch = Watch(CONFIG, tmp_path)
    steps(watch, 1, 20)
    watch.close()
    first, second = rows(tmp_path)
    assert (first["step"], second["step"], second["quads"]) == (10, 20, 80)
    assert first["ratio"] == pytest.approx(1, abs=1e-3)  # the errors given were those of doing nothing
    assert first["waiting"] == pytest.approx(0.2) and first["quads_per_second"] == pytest.approx(4 / 0.125)
    assert first["learning_rate"] == 0.001 and first["memory_gib"] > 0


def test_errors_are_told_by_time_and_by_category() -> None:
    tally = Tally(CONFIG)
    seen = quads(("brighten", "sepia", "add hat", "one of my own"))
    tally.add(seen, torch.tensor([0.05, 0.95, 1.0, 0.95]), torch.tensor([1.0, 2.0, 3.0, 4.0]), 1.0, 0.0)
    found = tally.taken()
    assert found["ratio"] == pytest.approx(10 / 8)
    assert found["ratio_by_time"] == {"0": 0.5, "0.9": 1.5}
    assert found["ratio_by_category"] == {"low_level": 0.5, "style": 1.0, "editing": 1.5, "other": 2.0}
    tally.add(seen, torch.ones(4), torch.ones(4), 1.0, 0.0)
    assert tally.taken()["ratio"] == 0.5  # what was told is not told again


def test_a_flow_from_noise_tells_its_loss() -> None:
    tally = Tally(replace(CONFIG, model=replace(CONFIG.model, start="noise", second_look=False, correction=False)))
    tally.add(quads(("sepia",)), torch.ones(1), torch.tensor([0.25]), 1.0, 0.0)
    assert tally.taken()["loss"] == 0.25


def test_processes_are_added_up() -> None:
    class Two:
        def reduce(self, mine: torch.Tensor, how: str) -> torch.Tensor:
            other = Tally(CONFIG)
            other.add(quads(("sepia",)), torch.ones(1), torch.tensor([6.0]), 1.0, 0.0)
            assert how == "sum" and other.sums is not None
            return mine + other.sums

    tally = Tally(CONFIG, Two())
    tally.add(quads(("sepia",)), torch.ones(1), torch.tensor([2.0]), 1.0, 0.0)
    assert tally.taken()["ratio"] == 8 / 4


def test_a_run_that_goes_on_logs_every_step_once(tmp_path: Path) -> None:
    steps(Watch(CONFIG, tmp_path), 1, 20)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2')  # a kill in the middle of a line
    steps(Watch(CONFIG, tmp_path, first=12), 13, 20)  # the last state was of step 12
    assert [row["step"] for row in rows(tmp_path)] == [10, 20]
    starts = json.loads((tmp_path / "starts.json").read_text())["starts"]
    assert [start["from_step"] for start in starts] == [0, 12]
    forget_after(tmp_path / "none.jsonl", 0)  # no log is no trouble


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    accelerator = SimpleNamespace(is_main_process=False, num_processes=2, reduce=lambda sums, how: sums)
    watch = Watch(CONFIG, tmp_path, accelerator=accelerator)
    watch.first_batch(components(), batch())
    steps(watch, 1, 10)
    watch.close()
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_written_stops_with_what_to_do(tmp_path: Path) -> None:
    watch = Watch(CONFIG, tmp_path)
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(InputError, match=r"log\.jsonl: cannot be written .*free some space"):
        steps(watch, 1, 10)


def test_where_there_is_no_terminal_a_line_is_told_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relation_adapter.train.watch.TELL_EVERY", 0.0)
    told: list[str] = []
    steps(Watch(CONFIG, tmp_path, tell=told.append), 1, 10)
    assert told == [told[0]] and told[0].startswith("step 10 of 20: ratio 1.000, quads/s 32, waiting 20%, GiB")
    assert told[0].endswith("00:01 left")


# Trackers


def test_tensorboard_shows_the_numbers_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watch = Watch(replace(CONFIG, tracker="tensorboard"), tmp_path)
    steps(watch, 1, 10)
    watch.close()
    shown = EventAccumulator(str(tmp_path / "tensorboard" / "relation-adapter"))
    shown.Reload()
    assert {"ratio", "waiting", "ratio_by_category/style"} & set(shown.Tags()["scalars"]) >= {"ratio", "waiting"}
    assert [event.step for event in shown.Scalars("ratio")] == [10]


def test_a_tracker_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_trackers("none") == [] == check_trackers("")
    with pytest.raises(UsageError, match=r"tracker=tensorbord: choose of none, .*tensorboard"):
        check_trackers("tensorbord")
    monkeypatch.setattr("relation_adapter.train.trackers.get_available_trackers", list)
    with pytest.raises(MissingExtraError, match="pip install wandb, or set tracker=none"):
        check_trackers("wandb")
    assert check_trackers("tensorboard") == []  # the log has the same numbers


def test_settings_are_what_every_tracker_can_hold() -> None:
    assert flat({"a": {"b": 1, "c": None}, "d": [1, 2]}) == {"a.b": 1, "d": "[1, 2]"}


# Pictures


def test_the_first_batch_is_drawn_once_before_step_one(tmp_path: Path) -> None:
    watch = Watch(CONFIG, tmp_path)
    watch.first_batch(components(), batch())
    drawn = (tmp_path / "first_batch.png").read_bytes()
    watch.first_batch(components(), batch(2))
    assert (tmp_path / "first_batch.png").read_bytes() == drawn
    with Image.open(tmp_path / "first_batch.png") as image:
        assert image.width > 4 * 128 and image.height > 4 * 128


def test_features_are_drawn_as_the_pictures_they_were_made_of() -> None:
    parts, seen = components(), batch(2)
    one, two = (quad_pictures(parts, each, 2) for each in (seen, encode_batch(parts, seen)))
    assert list(one) == list(two) == ["before", "after", "source", "target"]
    assert all(a.tobytes() == b.tobytes() for name in one for a, b in zip(one[name], two[name], strict=True) if a and b)


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    parts = tiny("directed")
    features, latents = torch.randn(2, 1, 4, 24), torch.randn(2, 1, 4, 8, 8)
    cached = FeatureBatch(features, features, latents, latents, tasks=("mine", "mine"))
    assert list(quad_pictures(parts, cached, 2)) == ["source", "target"]
    parts.vae = None  # a run on cached features loads none
    assert batch_sheet(parts, cached).size[0] > 0


@pytest.mark.parametrize("name", ["mini", "directed"])
def test_validation_edits_quads_as_the_pipeline_would(name: str) -> None:
    parts = tiny(name)
    pipe = RelationPipeline.from_components(parts)
    pipe.set_progress_bar_config(disable=True)
    design, rng = parts.design, torch.Generator().manual_seed(0)
    picture = torch.randint(256, (1, 3, 32, 32), generator=rng) / 255
    count = 4 if name == "directed" else 16
    pair = torch.randn(2, 1, 1, count, design.feature_dim, generator=rng)
    source = latent_moments(parts.vae, 2 * picture - 1)
    made = edited(parts, FeatureBatch(pair[0], pair[1], source, source))
    tokens, vector = read_pairs(parts.transformer, parts.adapter, pair[0], pair[1])
    noise = torch.randn(pack(made).shape, generator=torch.Generator().manual_seed(0))
    start = {} if design.start == "source" else {"latents": noise}
    relation = Relation(tokens.detach(), vector)
    expected = pipe(image=picture, relation=relation, size="own", output_type="latent", **start).images
    assert torch.allclose(pack(made), expected, atol=1e-5)


def test_a_validation_draws_a_sheet_and_logs_each_task(tmp_path: Path) -> None:
    watch = Watch(CONFIG, tmp_path)
    watch.validation(5, components())
    (row,) = rows(tmp_path)
    assert row["step"] == 5 and row["validation"] > 0 and row["per_task"]
    with Image.open(tmp_path / "validation" / "0000005.png") as image:
        assert image.width > 5 * 128  # before, after, source, target, result
    assert validation_sheet(components(), batch(2)).height < image.height


# The folder


def test_the_folder_explains_itself(tmp_path: Path) -> None:
    explain(tmp_path, 0, processes=2)
    (start,) = json.loads((tmp_path / "starts.json").read_text())["starts"]
    assert start["command"] and start["versions"]["torch"] == torch.__version__ and start["processes"] == 2
    assert "log.jsonl" in (tmp_path / "README.txt").read_text()
    (tmp_path / "starts.json").write_text("damaged")
    explain(tmp_path, 7)
    assert json.loads((tmp_path / "starts.json").read_text())["starts"][0]["from_step"] == 7


def test_an_installed_package_has_no_revision_of_the_project_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run_folder.py").touch()
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "run_folder.py"))
    assert git_revision() is None


def test_quads_of_a_file_have_its_categories_and_its_own_pictures(tmp_path: Path) -> None:
    picture = Image.new("RGB", (16, 16), "red")
    picture.save(tmp_path / "a.png")
    row = dict.fromkeys(("before", "after", "source", "target"), "a.png") | {"task": "mine", "category": "customized"}
    (tmp_path / "quads.jsonl").write_text(json.dumps(row))
    tally = Tally(replace(CONFIG, quads=str(tmp_path / "quads.jsonl")))
    tally.add(quads(("mine",)), torch.ones(1), torch.ones(1), 1.0, 0.0)
    assert tally.taken()["ratio_by_category"] == {"customized": 0.5}
    drawn = PictureBatch(*(((picture,),) * 4), text=(None,), tasks=("mine",))
    assert quad_pictures(components(), drawn, 1)["target"] == [picture]
