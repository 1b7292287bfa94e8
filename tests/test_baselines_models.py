"""The baselines that have weights, each end to end on a tiny random twin in the published layout, offline."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import baseline_twins as twins
import numpy as np
import pytest
import torch
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus
from PIL import Image
from samples import noise

from relation_adapter.baselines import EDITORS, Choices
from relation_adapter.baselines.edit_transfer import prompt
from relation_adapter.baselines.instruction import sentence
from relation_adapter.baselines.loading import plan_for
from relation_adapter.baselines.parts import FLUX, KLEIN, QWEN_EDIT
from relation_adapter.cli import main
from relation_adapter.config import MODELS
from relation_adapter.editor import Editor, EditRequest
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.hub import Places
from relation_adapter.images import open_picture, resize, save_picture
from relation_adapter.pipeline import memory

WRITERS: dict[str, Callable[[Path], Path]] = {
    "edit_transfer": twins.write_flux,
    "visualcloze": lambda folder: twins.write_flux(folder, "VisualClozePipeline", 384),
    "kontext": lambda folder: twins.write_flux(folder, "FluxKontextPipeline"),
    "klein": twins.write_klein,
    "qwen-edit": twins.write_qwen_edit,
    "in_context": twins.write_flux,
}
NEED_A_LORA = ("edit_transfer", "in_context")
BEFORE, AFTER, SOURCE = noise(50, 40), noise(50, 40, 1), noise(70, 40, 2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The base of a baseline, written when it is first asked for."""
    written: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in written:
            written[name] = WRITERS[name](tmp_path_factory.mktemp(name))
        return written[name]

    return folder


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(twins.write_lora(tmp_path_factory.mktemp("lora") / "edit_transfer.safetensors"))


@pytest.fixture(autouse=True)
def _small_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen's pipeline brings every reference to a million pixels, the ablation every picture of a pair to 512 x 512."""
    monkeypatch.setitem(MODELS, "in_context", replace(MODELS["in_context"], exemplar_size=64))
    for name in ("VAE_IMAGE_SIZE", "CONDITION_IMAGE_SIZE"):
        monkeypatch.setattr(pipeline_qwenimage_edit_plus, name, 64 * 64)


def opened(name: str, base: Path | None, **choices: Any) -> Editor:
    size = (64, 64) if name in (*NEED_A_LORA, "visualcloze") else (128, 128)
    given: dict[str, Any] = {"base": base and str(base), "steps": 2, "size": size, "places": Places(offline=True)}
    return EDITORS[name].make(Choices(**given | choices))


def edited(editor: Editor, seed: int = 0, after: Image.Image = AFTER, text: str | None = None) -> Any:
    return np.asarray(editor.edit(EditRequest([(BEFORE, after)], SOURCE, text, seed)).image, float)


@pytest.mark.parametrize("name", WRITERS)
def test_every_baseline_edits_with_its_twin(name: str, folders: Callable[[str], Path], lora: str) -> None:
    loras = ((lora, 1.0),) if name in NEED_A_LORA else ()
    editor = opened(name, folders(name), loras=loras)
    first = edited(editor)
    assert first.shape == ((64, 64, 3) if name == "in_context" else (40, 70, 3))
    assert first.std() > 1
    assert np.array_equal(edited(editor), first)  # the seed is all there is of chance
    assert not np.array_equal(edited(editor, seed=1), first)
    assert not np.array_equal(edited(editor, after=BEFORE), first)
    assert not np.array_equal(edited(editor, text="abcd"), first)


@pytest.mark.parametrize("name", ["edit_transfer", "kontext", "in_context"])
def test_a_lora_acts_at_its_weight(name: str, folders: Callable[[str], Path], lora: str) -> None:
    none, off, on = (
        edited(opened(name, folders(name), loras=loras)) for loras in ((("none", 1.0),), ((lora, 0.0),), ((lora, 1.0),))
    )
    assert np.array_equal(none, off)
    assert not np.array_equal(none, on)


@pytest.mark.parametrize("name", ["klein", "qwen-edit"])
def test_a_lora_of_a_newer_model_acts_too(name: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    plain: Any = opened(name, folders(name))
    file = twins.write_lora(tmp_path / "own.safetensors", plain.pipe.transformer)
    assert not np.array_equal(edited(plain), edited(opened(name, folders(name), loras=((str(file), 1.0),))))


def test_a_lora_of_another_model_is_refused(folders: Callable[[str], Path], lora: str) -> None:
    with pytest.raises(WeightsError, match=r"edit_transfer\.safetensors"):
        opened("klein", folders("klein"), loras=((lora, 1.0),))


def test_edit_transfer_keeps_what_is_given_clean_and_starts_from_noise_of_spread_one(
    folders: Callable[[str], Path],
) -> None:
    editor: Any = opened("edit_transfer", folders("edit_transfer"), loras=(("none", 1.0),), steps=5)
    inputs: list[torch.Tensor] = []
    editor.pipe.transformer.register_forward_pre_hook(
        lambda module, args, given: inputs.append(given["hidden_states"]), with_kwargs=True
    )
    edited(editor)
    assert len(inputs) == 3  # of 5 steps, the last 0.6
    grids = [tokens.float().unflatten(1, (8, 8)) for tokens in inputs]
    for grid in grids[1:]:
        given = torch.ones(8, 8, dtype=torch.bool)
        given[4:, 4:] = False
        assert torch.equal(grid[0, given], grids[0][0, given])
        assert not torch.allclose(grid[0, 4:, 4:], grids[0][0, 4:, 4:])
    assert 0.8 < float(grids[0][0, 4:, 4:].std()) < 1.2


def test_edit_transfer_makes_only_the_last_panel(folders: Callable[[str], Path]) -> None:
    editor: Any = opened("edit_transfer", folders("edit_transfer"), loras=(("none", 1.0),))
    asked: dict[str, Any] = {}
    run = editor.pipe.__class__.__call__

    def watch(pipe: Any, **given: Any) -> Any:
        asked.update(given)
        return run(pipe, **given)

    editor.pipe.__class__.__call__ = watch
    edited(editor, text="Make it blue.")
    grid, mask = np.asarray(asked["image"]), np.asarray(asked["mask_image"])
    assert grid.shape == (128, 128, 3)
    assert mask[64:, 64:].all()
    assert mask.sum() == 255 * 64 * 64
    panels = (grid[:64, :64], grid[:64, 64:], grid[64:, :64])
    for panel, picture in zip(panels, (BEFORE, AFTER, SOURCE), strict=True):
        assert np.array_equal(panel, np.asarray(resize(picture, (64, 64))))
    assert "edited as follows: Make it blue. [BOTTOM-LEFT]" in asked["prompt"]


def test_edit_transfer_says_where_its_lora_is_and_finds_it_in_the_folder_of_weights(
    folders: Callable[[str], Path], lora: str, tmp_path: Path
) -> None:
    base = folders("edit_transfer")
    with pytest.raises(UsageError, match="CUC-MIPG/Edit-Transfer"):
        opened("edit_transfer", base)
    shutil.copy(lora, tmp_path / "edit_transfer.safetensors")
    found = edited(opened("edit_transfer", base, places=Places(folder=tmp_path, offline=True)))
    assert np.array_equal(found, edited(opened("edit_transfer", base, loras=((lora, 1.0),))))


def test_edit_transfer_reads_one_pair_and_the_others_several(folders: Callable[[str], Path]) -> None:
    request = EditRequest([(BEFORE, AFTER), (AFTER, BEFORE)], SOURCE)
    with pytest.raises(UsageError, match="reads one pair, not 2"):
        opened("edit_transfer", folders("edit_transfer"), loras=(("none", 1.0),)).edit(request)
    for name in ("visualcloze", "klein"):
        editor = opened(name, folders(name))
        assert not np.array_equal(np.asarray(editor.edit(request).image), edited(editor))


def test_kontext_is_shown_all_pictures_in_one_row_and_keeps_their_shapes(folders: Callable[[str], Path]) -> None:
    editor: Any = opened("kontext", folders("kontext"))
    shown = editor.ask([BEFORE, AFTER, SOURCE], "Do.", 128 * 128)
    sizes = [(50, 40), (50, 40), (70, 40)]
    height = shown["image"].height
    assert shown["image"].width == sum(round(height * width / tall) for width, tall in sizes)
    assert abs(shown["image"].width * height - 128 * 128) < 0.03 * 128 * 128
    assert "There are 3 images side by side" in shown["prompt"]


def test_the_sentence_names_every_pair_and_then_the_instruction() -> None:
    assert sentence(1, None) == "Edit image 3 based on the transformation from image 1 to image 2."
    two = "Edit image 5 based on the transformation from image 1 to image 2 and from image 3 to image 4. Blue."
    assert sentence(2, "Blue.") == two
    assert "as used in [TOP-RIGHT]" in prompt(None)


def test_a_folder_of_another_pipeline_is_refused_in_one_line(folders: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsError, match="holds a FluxPipeline, not a FluxKontextPipeline; give black-forest"):
        opened("kontext", folders("edit_transfer"))


@pytest.mark.parametrize("lost", ["vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"])
def test_a_folder_that_is_not_whole_is_refused_before_anything_loads(
    lost: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    base = shutil.copytree(folders("kontext"), tmp_path / "base")
    (base / lost).unlink()
    with pytest.raises(WeightsError, match=str(base / lost.partition("/")[0])):
        opened("kontext", base)


def test_a_weight_that_is_in_no_file_is_told(folders: Callable[[str], Path], tmp_path: Path) -> None:
    base = shutil.copytree(folders("kontext"), tmp_path / "base")
    twins.change(base / "transformer" / "config.json", num_single_layers=3)
    with pytest.raises(WeightsError, match=r"transformer: lacks single_transformer_blocks\.2"):
        opened("kontext", base)


def test_a_base_that_is_nowhere_is_told_offline_with_its_size(tmp_path: Path) -> None:
    choices = Choices(places=Places(offline=True, cache=tmp_path))
    with pytest.raises(WeightsError, match=r"FLUX\.2-klein-4B.*16\.0 GB"):
        EDITORS["klein"].make(choices)


def test_bases_are_found_in_the_folder_of_weights(folders: Callable[[str], Path]) -> None:
    places = Places(folder=folders("klein").parent, offline=True)
    assert edited(opened("klein", None, places=places)).shape == (40, 70, 3)


def test_too_small_a_size_is_refused_before_anything_loads() -> None:
    with pytest.raises(UsageError, match="64x64: klein needs 128x128 or more"):
        EDITORS["klein"].make(Choices(size=(64, 64)))


def test_the_plan_for_a_gpu_goes_by_the_size_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    plans = {part.repo: plan_for(part, Choices(memory=24)).placement for part in (FLUX, KLEIN, QWEN_EDIT)}
    assert list(plans.values()) == ["group", "resident", "model"]
    assert plan_for(QWEN_EDIT, Choices(memory=24, quantize="int8")).quantization == "int8"
    assert plan_for(FLUX, Choices(memory=80)) == memory.PLANS[80]


def test_names_tell_apart_what_gives_other_results(folders: Callable[[str], Path]) -> None:
    base = folders("kontext")
    names = {opened("kontext", base, **given).name for given in ({}, {"steps": 3}, {"guidance": 1.0})}
    assert len(names) == 3


def test_edit_and_a_batch_take_a_baseline_with_weights(
    folders: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, picture in (("before", BEFORE), ("after", AFTER), ("source", SOURCE)):
        save_picture(picture, tmp_path / f"{name}.png")
    flags = ["--model", "klein", "--base", str(folders("klein")), "--offline", "--steps", "1", "--size", "128x128"]
    pair = ["--pair", str(tmp_path / "before.png"), str(tmp_path / "after.png")]
    out = tmp_path / "out.png"
    assert main(["edit", *pair, str(tmp_path / "source.png"), *flags, "-o", str(out)]) == 0
    assert open_picture(out).size == SOURCE.size
    (tmp_path / "quads.jsonl").write_text('{"before": "before.png", "after": "after.png", "source": "source.png"}\n')
    assert main(["edit", "--quads", str(tmp_path / "quads.jsonl"), *flags, "-o", str(tmp_path / "batch")]) == 0
    assert "1 edited, 0 failed" in capsys.readouterr().err
