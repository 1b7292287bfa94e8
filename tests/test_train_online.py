"""Quads as they lie in their files: the same features, batches and weights as from a cache; what is left away."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from flux_runs import config, files, quads
from torch import Tensor

from relation_adapter.data.buckets import Buckets
from relation_adapter.data.cache import write_cache
from relation_adapter.data.cached import FeatureBatch
from relation_adapter.data.passes import BucketBatches
from relation_adapter.data.quad_pictures import QuadPictures
from relation_adapter.data.schema import read_quads, write_quads
from relation_adapter.errors import InputError, UsageError
from relation_adapter.hub import Places
from relation_adapter.model import flow
from relation_adapter.model.components import tiny
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.flow_loop import set_times
from relation_adapter.pipeline.flux_dev import load_base
from relation_adapter.train.begin import begin
from relation_adapter.train.cache_features import encoders
from relation_adapter.train.loop import train
from relation_adapter.train.loss import draw_times, flow_errors, weigh
from relation_adapter.train.online import encoded
from relation_adapter.train.presets import TrainConfig
from relation_adapter.train.sources import batches

BUCKETS = Buckets(64 * 64, 16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return files(tmp_path_factory.mktemp("flux"))


def cache_for(name: str, made: dict[str, Any], folder: Path) -> TrainConfig:
    """A run on a cache of the quads that `made` names."""
    design = config(name, made).model
    base = load_base(Places(folder=Path(made["weights"])), design, parts={"transformer": None})
    pipe = RelationPipeline.from_components(base)
    write_cache(read_quads(made["quads"]), folder, encoders(pipe, torch.device("cpu")))
    return config(name, made, {"quads": "null", "cache": str(folder)})


@pytest.mark.parametrize("name", ["flux-published", "flux-directed"])
def test_a_run_on_a_cache_is_that_with_encoders_on_line(made: dict[str, Any], tmp_path: Path, name: str) -> None:
    dropping = {"steps": 2, "text_dropout": 0.4, "relation_dropout": 0.4}
    cached = replace(cache_for(name, made, tmp_path / "cache"), **dropping)  # type: ignore[arg-type]
    with_cache, _ = begin(cached)
    on_line = replace(cached, quads=made["quads"], cache=None)
    with_encoders, _ = begin(on_line)
    assert with_cache.text_encoder_2 is with_cache.image_encoder is None is not with_encoders.image_encoder
    for step in range(4):
        one = batches(cached, with_cache.design)[step]
        two = encoded(with_encoders, batches(on_line, with_encoders.design)[step])
        assert isinstance(two, FeatureBatch) and one.tasks == two.tasks
        for value, other in ((getattr(one, item.name), getattr(two, item.name)) for item in fields(one)):
            assert type(value) is type(other) and (not isinstance(value, Tensor) or torch.equal(value, other))
    trained = [train(run, tmp_path / run.precision / str(run.cache is None)) for run in (cached, on_line)]
    assert [path.read_bytes() for path in trained[0][1:]] == [path.read_bytes() for path in trained[1][1:]]


def test_shares_of_a_batch_are_the_batch_and_read_no_more(made: dict[str, Any]) -> None:
    drawn = BucketBatches(QuadPictures(made["quads"], BUCKETS), 4, 9, 0, relation_dropout=0.5, text_dropout=0.5)
    for step in range(9):
        whole, parts = drawn[step], [drawn.part(step, slice(0, 1)), drawn.part(step, slice(1, 4))]
        assert whole.text == parts[0].text + parts[1].text
        assert [len(part) for part in parts] == [1, 3]
        assert len({picture.size for picture in (*whole.source, *whole.target)}) == 1
        shown = [part.has_relation if part.has_relation is not None else torch.ones(len(part)) == 1 for part in parts]
        assert whole.has_relation is None or torch.equal(whole.has_relation, torch.cat(shown))


def test_batches_go_to_workers_that_share_no_memory(made: dict[str, Any]) -> None:
    """As on systems where processes are spawned, not forked."""
    drawn = BucketBatches(QuadPictures(made["quads"], BUCKETS), 2, 9, 0)
    for step in (0, 5):
        assert pickle.loads(pickle.dumps(drawn))[step].text == drawn[step].text


def test_about_the_share_that_is_asked_for_is_left_away(made: dict[str, Any]) -> None:
    drawn = BucketBatches(QuadPictures(made["quads"], BUCKETS), 50, 20, 1, relation_dropout=0.05, text_dropout=0.2)
    gone = sum(
        int((~batch.has_relation).sum())
        for batch in map(drawn.__getitem__, range(20))
        if batch.has_relation is not None
    )
    assert 25 < gone < 80
    assert all(batch.has_relation is None for batch in map(BucketBatches(drawn.quads, 50, 2, 1).__getitem__, range(2)))


@pytest.mark.parametrize("name", ["published", "directed", "in_context"])
def test_a_quad_without_its_relation_does_not_see_the_pair(name: str) -> None:
    components = tiny(name)
    design = components.design
    rng = torch.Generator().manual_seed(0)
    patches = {"published": 1, "directed": 4, "in_context": 4}[name]
    pairs = [torch.randn(2, 1, patches, design.feature_dim, generator=rng) for _ in range(4)]
    latents = [torch.randn(2, 1, 4, 8, 8, generator=rng) for _ in range(2)]
    text, pooled = torch.randn(2, 8, 24, generator=rng), torch.randn(2, 20, generator=rng)
    has = torch.tensor([False, True])
    errors = [
        flow_errors(
            components,
            FeatureBatch(before, after, *latents, text, pooled, torch.tensor([True, True]), has_relation=has),
            torch.tensor([0.5, 0.5]),
            torch.Generator().manual_seed(1),
        )
        for before, after in (pairs[:2], pairs[2:])
    ]
    assert torch.equal(errors[0][0], errors[1][0]) and not torch.equal(errors[0][1], errors[1][1])


def test_text_that_is_left_away_is_what_an_edit_without_text_sees(made: dict[str, Any]) -> None:
    """The empty instruction as published, the learned null where the design has one."""
    for name, empty in (("flux-published", True), ("flux-directed", False)):
        chosen = config(name, made, {"text_dropout": 1.0, "precision": "float32"})
        components, _ = begin(chosen)
        batch = encoded(components, batches(chosen, components.design)[0])
        assert isinstance(batch, FeatureBatch)
        assert (batch.text is not None) == empty
        if batch.text is not None:
            assert torch.equal(batch.text[0], batch.text[1])


# Quads that cannot be used


def test_quads_that_cannot_be_used_are_counted_by_their_reason(tmp_path: Path) -> None:
    rows = quads(tmp_path)
    (tmp_path / "2-after.png").write_bytes(b"none")
    rows[0] = replace(rows[0], target=None)
    write_quads(tmp_path / "quads.jsonl", rows)
    found = QuadPictures(tmp_path / "quads.jsonl", BUCKETS)
    assert sum(found.wrong.values()) == 4 - sum(len(bucket) // 6 for bucket in found.buckets.values())
    assert any("2-after.png" in why for why in found.wrong) and any("no target is known" in why for why in found.wrong)
    with pytest.raises(UsageError, match="no quad can be used; there are none of unseen"):
        QuadPictures(tmp_path / "quads.jsonl", BUCKETS, ["unseen"])


def test_a_picture_that_breaks_on_the_way_is_named_with_the_remedy(tmp_path: Path) -> None:
    write_quads(tmp_path / "quads.jsonl", quads(tmp_path))
    found = QuadPictures(tmp_path / "quads.jsonl", BUCKETS)
    broken = tmp_path / "1-after.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match=r"1-after.png.*the last saved state is safe: `data verify"):
        for size, bucket in found.buckets.items():
            found.batch(size, range(len(bucket) // 6))


# Times and weights


def test_shifted_times_are_those_of_an_edit_of_that_size() -> None:
    components = tiny("published")
    design = components.design
    times = set_times(components.scheduler, design.shift_tokens, 8, 1024, torch.device("cpu")) / 1000
    even = torch.tensor(flow.even_times(8))
    mu = flow.time_shift(2 * 1024)
    assert torch.allclose(
        torch.exp(torch.tensor(mu)) / (torch.exp(torch.tensor(mu)) + (1 / even - 1)), times, atol=1e-6
    )
    latents = torch.zeros(1, 1, 4, 64, 64)
    batch = FeatureBatch(latents, latents, latents, latents)
    drawn = {
        name: draw_times(
            replace(config("flux-published"), model=design, batch=4000, time_sampling=name),
            batch,
            torch.Generator().manual_seed(0),
        )
        for name in ("uniform", "shifted", "logit_normal", "mode")
    }
    uniform = drawn["uniform"]
    assert torch.allclose(
        drawn["shifted"], torch.exp(torch.tensor(mu)) * uniform / (1 + (torch.exp(torch.tensor(mu)) - 1) * uniform)
    )
    middle = {name: float(((t > 0.25) & (t < 0.75)).float().mean()) for name, t in drawn.items()}
    assert middle["logit_normal"] > 0.7 and middle["mode"] > 0.55 > middle["uniform"] > 0.45
    assert all(0 <= t.min() and t.max() <= 1 for t in drawn.values())


def test_weights_by_time() -> None:
    latents = torch.zeros(2, 1, 4, 4, 4)
    batch = FeatureBatch(latents, latents, latents, latents)
    errors, t = torch.tensor([1.0, 1.0]), torch.tensor([0.5, 1.0])
    assert weigh(errors, batch, "sigma_sqrt", t) == pytest.approx((4 + 1) / 2)
    assert weigh(errors, batch, "cosmap", t) == pytest.approx((4 + 2) / (2 * torch.pi))
    assert weigh(errors, batch, "sigma_sqrt", torch.zeros(2)).isfinite()
