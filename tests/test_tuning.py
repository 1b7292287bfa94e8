"""Fitting a relation to a pair: it helps other pictures, knows when it does not, and touches nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pipelines import DESIGNS, pair, pipeline, source
from samples import natural

from relation_adapter import Relation, RelationPipeline
from relation_adapter.cli.app import main
from relation_adapter.images import save_picture
from relation_adapter.model.components import tiny
from relation_adapter.model.lora import load_lora, save_lora
from relation_adapter.model.weights import save_model
from relation_adapter.train.tuning import LORA_NAME, Tuning, held_blocks, tune

SHORT = Tuning(steps=4, learning_rate=0.05)


def mini(side: int = 64) -> RelationPipeline:
    """The shipped model, at a size that is quick."""
    pipe = RelationPipeline.from_pretrained("mini")
    pipe.adapter.design = replace(pipe.design, native_area=side * side, exemplar_size=side)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def crop(left: int, top: int) -> Image.Image:
    return natural(192).crop((left, top, left + 64, top + 64))


def toned(image: Image.Image) -> Image.Image:
    """An edit that the model gets nearly, and nothing in closed form tells: bluish grey, farther from one diagonal."""
    share = np.abs(np.subtract.outer(*(np.linspace(0, 1, side) for side in (image.height, image.width))))[..., None]
    values = np.asarray(image, float)
    blue = values.mean(axis=2, keepdims=True) * np.array([0.4, 0.6, 1.2])
    return Image.fromarray(((1 - share) * values + share * blue).clip(0, 255).astype(np.uint8))


def error(pipe: RelationPipeline, relation: Relation, before: Image.Image) -> float:
    made = pipe(image=before, relation=relation, seed=0).images[0]
    return float(np.square(np.asarray(made, float) - np.asarray(toned(before), float)).mean())


def test_a_fitted_relation_edits_other_pictures_better() -> None:
    pipe, example = mini(), crop(0, 0)
    tuned = tune(pipe, [(example, toned(example))], Tuning(steps=20))
    assert tuned.helped and tuned.error < 0.75 * tuned.error_before
    read = pipe.encode_relation([(example, toned(example))])
    others = [crop(128, 0), crop(0, 128), crop(128, 128)]
    assert sum(error(pipe, tuned.relation, one) for one in others) < sum(error(pipe, read, one) for one in others)
    assert tuned.relation.provenance["tuned"]["steps"] == tuned.step
    pipe.check_relation(tuned.relation)  # it is still a relation of this model


def test_what_cannot_be_learned_from_the_pair_leaves_the_relation_as_it_was() -> None:
    pipe = pipeline("mini")
    tuned = tune(pipe, [pair()], replace(SHORT, learning_rate=1e-6))
    assert not tuned.helped and tuned.step == 0 and tuned.error == tuned.error_before
    read = pipe.encode_relation([pair()])
    assert read.vector is not None and tuned.relation.vector is not None
    assert torch.equal(tuned.relation.tokens, read.tokens) and torch.equal(tuned.relation.vector, read.vector)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_can_be_fitted_and_keeps_its_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relation_adapter.train.tuning.WORTH", 1.0)
    pipe = pipeline(name)
    weights = {key: value.clone() for key, value in [*pipe.transformer.state_dict().items()]}
    one, two = (tune(pipe, [pair(1), pair(2)], SHORT, name="mine") for _ in range(2))
    assert torch.equal(one.relation.tokens, two.relation.tokens)  # the same seed, the same relation
    read = pipe.encode_relation([pair(1), pair(2)])
    assert one.relation.tokens.shape == read.tokens.shape and one.relation.name == "mine"
    assert one.helped and not torch.equal(one.relation.tokens, read.tokens)
    assert all(torch.equal(weights[key], value) for key, value in pipe.transformer.state_dict().items())
    pipe(image=source(), relation=one.relation, seed=0)


def test_a_fitted_lora_does_the_same_once_it_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("relation_adapter.train.tuning.WORTH", 1.0)
    pipe, other = pipeline("directed"), pipeline("directed")
    untouched = pipe(image=source(), pairs=[pair()], seed=0, output_type="latent").images
    assert tune(pipe, [pair()], replace(SHORT, lora_rank=2)).helped
    save_lora(pipe.transformer, tmp_path / "mine.safetensors", LORA_NAME)
    load_lora(other.transformer, tmp_path / "mine.safetensors", "mine")
    made = [one(image=source(), pairs=[pair()], seed=0, output_type="latent").images for one in (pipe, other)]
    assert torch.allclose(*made, atol=1e-5) and not torch.allclose(made[0], untouched, atol=1e-3)


def test_pairs_of_different_shapes_are_fitted_to_before() -> None:
    before, after = pair()
    assert tune(pipeline("mini"), [(before, after.rotate(90, expand=True))], SHORT).error_before > 0


def test_the_blocks_kept_out_are_the_same_for_a_seed_and_a_fair_share() -> None:
    assert held_blocks(16, 16, 1).mean() == 5 / 16
    assert torch.equal(held_blocks(10, 14, 1), held_blocks(10, 14, 1))
    assert not torch.equal(held_blocks(16, 16, 1), held_blocks(16, 16, 2))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors", tiny("mini"))
    for name, image in zip(("before", "after", "photo"), (*pair(), source()), strict=True):
        save_picture(image, tmp_path / f"{name}.png")
    return tmp_path


def fit(files: Path, *more: str) -> int:
    pictures = [str(files / "before.png"), str(files / "after.png")]
    model = ["--model", str(files / "model.safetensors")]
    return main(["train", "--from-pair", *pictures, *model, "--fit-steps", "2", *more])


def test_what_train_writes_edit_takes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, edited = files / "look.safetensors", files / "edited.png"
    assert fit(files, "-o", str(out)) == 0
    assert capsys.readouterr().out.strip() == str(out)
    model = ["--model", str(files / "model.safetensors")]
    assert main(["edit", "--relation", str(out), str(files / "photo.png"), "-o", str(edited), *model]) == 0
    assert edited.exists() and Relation.load(out).name == "look"
    assert fit(files, "-o", str(out)) == 2  # nothing is overwritten
    assert fit(files, "-o", str(out), "--force") == 0


def test_a_lora_that_does_not_help_is_not_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(files, "-o", str(files / "lora.safetensors"), "--lora-rank", "1", "--fit-rate", "1e-9") == 2
    assert "nothing is written" in capsys.readouterr().err and not (files / "lora.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train", "name a PRESET"),
        ("train mini", "--run FOLDER"),
        ("train --from-pair a b", "-o FILE"),
        ("train mini --from-pair a b -o x.safetensors", "does not go with --from-pair"),
        ("train --from-pair a b -o x.png", ".safetensors"),
        ("train mini --run r -o x.safetensors", "--from-pair"),
    ],
)
def test_train_says_what_is_missing(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err
