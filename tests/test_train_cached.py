"""Training on cached features: as with encoders on line, without any encoder, and from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_cache import CPU, contents, make_quads, write

from relation_adapter.cli import main
from relation_adapter.data.cached import FeatureBatch, FeatureCache
from relation_adapter.data.dataset import Batch
from relation_adapter.data.passes import BucketBatches
from relation_adapter.data.schema import write_quads
from relation_adapter.errors import UsageError
from relation_adapter.images import open_picture
from relation_adapter.model.components import build, tiny
from relation_adapter.model.features import encode_pictures, latent_moments, sample_moments
from relation_adapter.model.twins import write_twins
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.pictures import to_tensor
from relation_adapter.train.cache_features import encoders
from relation_adapter.train.loop import train
from relation_adapter.train.loss import flow_errors, read_text
from relation_adapter.train.presets import PRESETS, TrainConfig

QUICK = replace(PRESETS["debug"], steps=2, batch=2, save_every=1, validate_every=2, threads=1, precision="float32")


def cached(folder: Path, name: str, count: int = 6) -> Path:
    pipe = RelationPipeline.from_components(tiny(name))
    write(make_quads(folder, count), folder / "cache", encoders(pipe, CPU))
    return folder / "cache"


def config(cache: Path, name: str) -> TrainConfig:
    """From scratch, as if there were no base to load."""
    return replace(QUICK, model=replace(tiny(name).design, base=None), cache=str(cache))


def test_the_loss_is_that_of_encoders_on_line(tmp_path: Path) -> None:
    """A quad whose pictures have the sizes that the model works at, as pixels and as cached features."""
    components = tiny("mini")
    pipe = RelationPipeline.from_components(components)
    quad = make_quads(tmp_path)[1]
    assert quad.target is not None
    write([quad], tmp_path / "cache", encoders(pipe, CPU))
    (features,) = [BucketBatches(FeatureCache(tmp_path / "cache"), 1, 1, seed=0)[0]]
    small = [to_tensor(open_picture(path).resize((16, 16), 1)) for path in (quad.before, quad.after)]
    large = [to_tensor(open_picture(path).resize((32, 32), 1)) for path in (quad.source, quad.target)]
    pixels = Batch(small[0][:, None], small[1][:, None], large[0], large[1])
    t = torch.full((1,), 0.7)
    errors = [flow_errors(components, batch, t, torch.Generator().manual_seed(1)) for batch in (pixels, features)]
    assert torch.equal(errors[0], errors[1])
    assert torch.allclose(pixels.change, features.change)


def test_cached_moments_are_sampled_as_the_encoder_samples() -> None:
    vae = tiny("published").vae
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        on_line = encode_pictures(vae, pictures, "sample", torch.Generator().manual_seed(5))
        moments = latent_moments(vae, pictures, "sample")
        assert torch.equal(latent_moments(vae, pictures)[:, 0], encode_pictures(vae, pictures))
    assert torch.allclose(sample_moments(moments, torch.Generator().manual_seed(5)), on_line, atol=1e-6)
    assert torch.equal(sample_moments(moments[:, :1]), moments[:, 0])


@pytest.mark.parametrize("name", ["published", "directed", "mini"])
def test_two_steps_without_an_encoder_in_memory(tmp_path: Path, name: str) -> None:
    cache = cached(tmp_path, name)
    settings = config(cache, name)
    trained = load_file(train(settings, tmp_path / "run")[0])
    fresh = build(settings.model, settings.seed)
    assert fresh.image_encoder is fresh.text_encoder is None and (fresh.vae is None) == (name != "mini")
    moved = [
        key
        for key, weight in fresh.adapter.state_dict().items()
        if not torch.equal(weight.to(torch.bfloat16), trained[f"adapter.{key}"])
    ]
    assert any(key.startswith("to_k") for key in moved) and any(key.startswith("projector") for key in moved)
    assert ("null_text" in moved) == (name != "published")  # half of the quads have no instruction; mini reads none


def test_a_run_on_a_cache_goes_on_where_it_was(tmp_path: Path) -> None:
    cache = cached(tmp_path, "published")
    settings = replace(config(cache, "published"), steps=4, warmup=1, decay=0.0)
    train(settings, tmp_path / "whole")
    train(replace(settings, steps=2), tmp_path / "parts")
    train(settings, tmp_path / "parts")
    one, two = (load_file(tmp_path / name / "checkpoints/0000004/state.safetensors") for name in ("whole", "parts"))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_a_cache_of_another_model_is_refused_before_training(tmp_path: Path) -> None:
    cache = cached(tmp_path, "published")
    with pytest.raises(UsageError, match="make a cache for this model"):
        train(config(cache, "directed"), tmp_path / "run")


def test_a_quad_without_an_instruction_sees_the_learned_null() -> None:
    components = tiny("directed")
    text, pooled = torch.ones(2, 8, 24), torch.ones(2, 20)
    latents, features = torch.zeros(2, 1, 4, 4, 4), torch.zeros(2, 1, 4, 24)
    batch = FeatureBatch(features, features, latents, latents, text, pooled, torch.tensor([True, False]))
    tokens, vector = read_text(components, batch)
    null, null_pooled = components.adapter.null_condition(2)
    assert torch.equal(tokens[0], text[0]) and torch.equal(tokens[1], null[1])
    assert torch.equal(vector[0], pooled[0]) and torch.equal(vector[1], null_pooled[1])


def test_the_command_caches_for_flux_and_tells_what_it_takes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_twins(tmp_path / "weights")
    write_quads(tmp_path / "quads.jsonl", make_quads(tmp_path))
    command = ["data", "cache", str(tmp_path / "quads.jsonl"), "-o", str(tmp_path / "cache"), "--side", "64"]
    command += ["--model", "directed", "--weights", str(tmp_path / "weights"), "--offline"]
    assert main([*command, "--dry-run"]) == 0
    assert "6 quads need" in capfd.readouterr().err and not (tmp_path / "cache").exists()
    assert main(command) == 0
    told = capfd.readouterr()
    assert told.out.strip() == str(tmp_path / "cache" / "manifest.json")
    assert "25 encoded, 0 found; 6 quads" in told.err and "64x64" in told.err
    before = contents(tmp_path / "cache")
    assert main(command) == 0 and "0 encoded, 25 found" in capfd.readouterr().err
    assert contents(tmp_path / "cache") == before
    (tmp_path / "1-1.png").write_bytes(b"")
    assert main(command) == 1
    assert "1-1.png: is empty (0 bytes)" in capfd.readouterr().err


def test_the_command_refuses_what_does_not_go_together(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_quads(tmp_path / "quads.jsonl", make_quads(tmp_path))
    command = ["data", "cache", str(tmp_path / "quads.jsonl"), "-o", str(tmp_path / "cache")]
    for more, words in (
        (["--weights", str(tmp_path)], "--weights goes with"),
        (["--model", "mni"], "did you mean mini?"),
        (["-o", str(tmp_path / "quads.jsonl")], "is a file; give a folder"),
    ):
        assert main([*command, *more]) == 2
        assert words in capfd.readouterr().err
