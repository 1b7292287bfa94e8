"""`--model flux-dev` from the command line, on tiny twins of the published files, prompts and LoRAs included."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from batches import make_quads
from safetensors.torch import load_file, save_file
from samples import noise

from relation_adapter.cli import main
from relation_adapter.evaluate.rows import read_rows
from relation_adapter.images import open_picture, save_picture
from relation_adapter.model.twins import write_twins

Run = Callable[[str], int]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_twins(folder)
    return folder


@pytest.fixture
def run(twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with a pair and a source, the twins being where weights are looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELATION_ADAPTER_WEIGHTS", str(twins))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for seed, name in enumerate(("before.png", "after.png", "source.png")):
        save_picture(noise(40, 32, seed), tmp_path / name)
    return lambda line: main(line.split())


EDIT = "edit --model flux-dev --pair before.png after.png source.png --steps 2"


def pixels(name: str) -> bytes:
    return open_picture(name).tobytes()


def edited(run: Run, flags: str, line: str = EDIT) -> bytes:
    assert run(f"{line} {flags} -o out.png --force") == 0
    return pixels("out.png")


def test_a_pair_and_an_instruction_edit_a_picture(run: Run) -> None:
    hat = edited(run, "--instruction hat")
    assert open_picture("out.png").size == (40, 32)
    assert hat == edited(run, "--instruction hat")
    assert hat != edited(run, "--instruction snow")
    assert hat != edited(run, "--instruction hat --seed 1")


def test_the_nested_layout_gives_the_same(run: Run, tmp_path: Path) -> None:
    write_twins(tmp_path / "nested", "nested")
    assert edited(run, f"--weights {tmp_path / 'nested'}") == edited(run, "")


def test_parts_may_be_named_one_by_one(run: Run, twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = edited(run, "")
    monkeypatch.delenv("RELATION_ADAPTER_WEIGHTS")
    base, encoder = twins / "FLUX.1-dev", twins / "siglip-so400m-patch14-384"
    adapter, lora = twins / "ip_adapter-100000.bin", twins / "pytorch_lora_weights.safetensors"
    parts = f"--base {base} --image-encoder {encoder} --adapter {adapter}"
    # The same LoRA, once by its own name in place of the published one.
    assert edited(run, f"{parts} --lora none --lora {lora}") == expected


def test_a_converted_adapter_is_the_same_adapter(run: Run, twins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = "num_layers=1 num_single_layers=2 num_attention_heads=2 joint_attention_dim=24 pooled_projection_dim=20"
    sets = [f"transformer.{one}" for one in shape.split()]
    sets += ["feature_dim=24", "exemplar_size=28", "num_tokens=3", "token_dim=24"]
    flags = " ".join(f"--set {one}" for one in sets)
    convert = f"models convert {twins / 'ip_adapter-100000.bin'} -o adapter.safetensors"
    assert run(f"{convert} {flags}") == 0
    assert run("models info adapter.safetensors --json") == 0
    facts = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert facts["config"]["num_tokens"] == 3
    assert facts["provenance"]["converted_from"] == "ip_adapter-100000.bin"
    assert edited(run, "--adapter adapter.safetensors") == edited(run, "")
    assert run(f"{convert} {flags}") == 2  # there already
    assert "--force overwrites" in capsys.readouterr().err
    assert run(f"{convert} --force") == 2  # the published sizes do not fit a twin
    assert "adapter.safetensors" not in capsys.readouterr().out


def test_relations_are_saved_weighed_and_added_up(run: Run) -> None:
    pair = "relation --model flux-dev --pair"
    assert run(f"{pair} before.png after.png -o hat.safetensors") == 0
    assert run(f"{pair} source.png before.png -o snow.safetensors") == 0
    line = "edit --model flux-dev source.png --steps 2"
    assert edited(run, "--relation hat.safetensors", line) == edited(run, "")
    both = edited(run, "--relation hat.safetensors:0.8 --relation snow.safetensors:0.5", line)
    assert both != edited(run, "--relation hat.safetensors:0.8", line)
    assert both != edited(run, "--relation hat.safetensors:0.5 --relation snow.safetensors:0.8", line)


def test_reading_a_pair_needs_no_weights_of_the_base(run: Run, twins: Path, tmp_path: Path) -> None:
    pair = "relation --model flux-dev --pair before.png after.png -o"
    assert run(f"{pair} whole.safetensors") == 0
    small = tmp_path / "small"
    shutil.copytree(twins, small, ignore=shutil.ignore_patterns("*.index.json", "diffusion_*", "model-*", "spiece*"))
    (small / "pytorch_lora_weights.safetensors").unlink()
    assert run(f"{pair} small.safetensors --weights {small}") == 0
    whole, little = (load_file(f"{name}.safetensors")["tokens"] for name in ("whole", "small"))
    assert torch.equal(whole, little)


def test_strengths_of_blocks_and_steps(run: Run) -> None:
    nothing = edited(run, "--strength 0")
    assert edited(run, "--strength 0,0,0") == nothing
    assert edited(run, "--strength 1,1,1") == edited(run, "") != nothing
    first = edited(run, "--strength-steps 0:0.5")
    assert first not in (nothing, edited(run, ""))


def test_loras_are_weighed_left_out_joined_and_fused(run: Run, twins: Path) -> None:
    published, without = edited(run, ""), edited(run, "--lora none")
    assert edited(run, "--lora editor:0") == without != published
    own = {key: value * 2 for key, value in load_file(twins / "pytorch_lora_weights.safetensors").items()}
    save_file(own, "my.own.safetensors")
    joined = edited(run, "--lora my.own.safetensors:0.5")
    assert joined not in (published, without)
    assert edited(run, "--lora editor:0 --lora my.own.safetensors:0") == without
    fused = edited(run, "--fuse-lora")
    assert fused != without  # not bit-equal to the unfused one: the sum is rounded once


def test_options_of_the_published_method_can_be_chosen(run: Run) -> None:
    usual = edited(run, "")
    assert edited(run, "--exemplar-preparation published --shift-tokens noisy_and_source --guidance 3.5") == usual
    assert edited(run, "--shift-tokens none") != usual
    assert edited(run, "--exemplar-preparation square") != usual
    assert edited(run, "--guidance 1") != usual
    assert edited(run, "--size own") == usual
    edited(run, "--size 48x16")
    assert open_picture("out.png").size == (48, 16)


def test_the_best_of_some_seeds_is_one_of_their_results(run: Run) -> None:
    results = [edited(run, f"--seed {seed}") for seed in (3, 4, 5)]
    assert edited(run, "--seed 3 --best-of 3") in results


def test_a_batch_of_quads_goes_on_where_it_was_stopped(run: Run, tmp_path: Path) -> None:
    quads = make_quads(tmp_path / "quads", 2)
    line = f"edit --model flux-dev --quads {quads} --steps 1 -o batch"
    assert run(line) == 0
    first = [row["output"] for row in read_rows(tmp_path / "batch")]
    times = [(tmp_path / "batch" / name).stat().st_mtime_ns for name in first]
    assert run(line) == 0
    assert [(tmp_path / "batch" / name).stat().st_mtime_ns for name in first] == times
    assert run(f"{line} --lora editor:0.5") == 2  # another model than that of the rows


def test_a_batch_tells_weights_of_one_name_apart(run: Run, twins: Path, tmp_path: Path) -> None:
    quads = make_quads(tmp_path / "quads", 1)
    shutil.copyfile(twins / "pytorch_lora_weights.safetensors", "mine.safetensors")
    line = f"edit --model flux-dev --quads {quads} --steps 1 -o batch --lora mine.safetensors"
    assert run(line) == run(line) == 0
    save_file({key: value * 2 for key, value in load_file("mine.safetensors").items()}, "mine.safetensors")
    assert run(line) == 2
    assert run(f"{line} --fuse-lora") == 2


def test_a_row_says_which_of_several_seeds_made_the_picture(run: Run, tmp_path: Path) -> None:
    quads = make_quads(tmp_path / "quads", 1)
    assert run(f"edit --model flux-dev --quads {quads} --steps 1 -o batch --best-of 2") == 0
    (row,) = read_rows(tmp_path / "batch")
    assert row["kept_seed"] in (row["seed"], row["seed"] + 1)


def test_what_is_missing_is_told_before_anything_is_loaded(
    run: Run, twins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(twins, broken)
    (broken / "FLUX.1-dev" / "transformer" / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    assert run(f"{EDIT} -o out.png --weights {broken}") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "diffusion_pytorch_model-00002-of-00003.safetensors" in error
    (broken / "ip_adapter-100000.bin").unlink()
    shutil.copytree(twins / "FLUX.1-dev", broken / "FLUX.1-dev", dirs_exist_ok=True)
    assert run(f"{EDIT} -o out.png --weights {broken} --offline") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "handsomeWilliam/RelationAdapter" in error and "offline" in error


def test_numbers_that_are_not_finite_are_no_picture(run: Run, twins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lora = load_file(twins / "pytorch_lora_weights.safetensors")
    save_file({key: value.clamp(min=1e38, max=1e38) for key, value in lora.items()}, "huge.safetensors")
    assert run(f"{EDIT} -o out.png --lora huge.safetensors") == 2
    assert "numbers that are not finite came out of the model" in capsys.readouterr().err
    assert not Path("out.png").exists()


def test_memory_without_a_gpu_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert edited(run, "--memory 24") == edited(run, "")
    assert "note: no GPU here; --memory has no effect" in capsys.readouterr().err


def test_fetched_parts_are_checked(run: Run, twins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models fetch") == 2  # twins are no published files
    error = capsys.readouterr().err
    assert "base: black-forest-labs/FLUX.1-dev, 33.7 GB" in error
    assert "not the published file (its SHA-256 is" in error
