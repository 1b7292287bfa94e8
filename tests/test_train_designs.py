"""Runs beside FLUX.1-dev: what is trained, what it begins with, and that `edit` takes what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from flux_runs import config, files, settings
from safetensors.torch import load_file

from relation_adapter.cli import main
from relation_adapter.config import MODELS, TransformerConfig, to_dict
from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import assemble, build_transformer
from relation_adapter.model.lora import add_lora, read_lora
from relation_adapter.model.published import load_adapter, published_design
from relation_adapter.model.weights import read_info
from relation_adapter.train.begin import begin
from relation_adapter.train.loop import train
from relation_adapter.train.loss import flow_errors
from relation_adapter.train.online import encoded
from relation_adapter.train.optimizers import part_of
from relation_adapter.train.parts import choose
from relation_adapter.train.presets import PRESETS
from relation_adapter.train.sources import batches
from relation_adapter.train.validate import held_out, validate

INIT = {"init": "published", "init_lora": "published"}  # every weight of these files is random: nothing is zero


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return files(tmp_path_factory.mktemp("flux"))


@pytest.mark.parametrize("name", ["flux-published", "flux-directed"])
def test_a_run_goes_on_and_edit_takes_its_files(
    made: dict[str, Any], tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures, run = Path(made["quads"]).parent, tmp_path / "run"
    for steps in (2, 4):
        words = [word for one in settings(name, made, {"steps": steps}) for word in ("--set", one)]
        assert main(["train", name, "--run", str(run), *words]) == 0
    told = capfd.readouterr()
    assert "going on from step 2 of 4" in told.err
    adapter, lora = told.out.split()[-2:]
    assert (Path(adapter), Path(lora)) == (run / "adapter.safetensors", run / "lora.safetensors")
    pair = [str(pictures / f"1-{side}.png") for side in ("before", "after")]
    edit = ["edit", "--model", "flux-dev", "--weights", made["weights"], "--offline", "--steps", "1", "--size", "64x64"]
    edit += ["--instruction", "a hat", "--pair", *pair, pair[0]]
    with_run = ["--adapter", adapter, "--lora", lora]
    assert main([*edit, *with_run, "-o", str(tmp_path / "one.png")]) == 0
    assert main([*edit, "--adapter", adapter, "--lora", "none", "-o", str(tmp_path / "two.png")]) == 0
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_the_run_in_context_makes_a_lora_alone(made: dict[str, Any], tmp_path: Path) -> None:
    assert train(config("flux-in-context", made, {"steps": 1}), tmp_path) == [tmp_path / "lora.safetensors"]
    pair = [str(Path(made["quads"]).parent / f"1-{side}.png") for side in ("before", "after")]
    edit = ["edit", "--model", "in_context", "--weights", made["weights"], "--offline", "--lora"]
    edit += [str(tmp_path / "lora.safetensors"), "--instruction", "a hat", "--steps", "1", "--size", "64x64"]
    assert main([*edit, "--pair", *pair, pair[0], "-o", str(tmp_path / "out.png")]) == 0


# Which parts train


@pytest.mark.parametrize("parts", ["projector,keys_values", "lora,projector"])
def test_only_the_chosen_parts_move(made: dict[str, Any], tmp_path: Path, parts: str) -> None:
    rank = {"lora_rank": 4} if "lora" in parts else {"lora_rank": 0}
    chosen = config(
        "flux-published", made, {"trains": parts, "steps": 1, "init": "published", "precision": "float32"}, rank
    )
    before, _ = begin(chosen)
    train(chosen, tmp_path)
    after = load_file(tmp_path / "adapter.safetensors")
    moved = {
        part_of(f"adapter.{key}")
        for key, value in before.adapter.state_dict().items()
        if not torch.equal(value.to(torch.bfloat16), after[f"adapter.{key}"])
    }
    assert moved == set(parts.split(",")) - {"lora"}
    assert "twins" not in read_info(tmp_path / "adapter.safetensors")[1].__repr__()  # no path of this machine
    assert (tmp_path / "lora.safetensors").exists() == ("lora" in parts)
    free = {part_of(f"transformer.{key}") for key, p in before.transformer.named_parameters() if p.requires_grad}
    assert free == ({"lora"} if "lora" in parts else set())


def test_the_weights_trained_at_full_size_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        model = assemble(build_transformer(TransformerConfig()), RelationAdapter(to_dict(MODELS["published"])))
        add_lora(model.transformer, PRESETS["flux-published"].lora_rank)
    for parts, count in (
        (("lora", "projector"), 1_569_761_536),  # 1,569.76 M, as the paper says
        (PRESETS["flux-published"].trains, 3_004_213_504),
    ):
        choose(model, parts)
        both = [*model.transformer.parameters(), *model.adapter.parameters()]
        assert sum(p.numel() for p in both if p.requires_grad) == count


def test_frozen_weights_are_kept_as_small_as_the_base(made: dict[str, Any]) -> None:
    """And with keys and projector in two types what is trained can still be looked at."""
    chosen = config("flux-published", made, {"trains": "lora,projector"})
    components, _ = begin(chosen)
    types = {part_of(f"adapter.{key}"): p.dtype for key, p in components.adapter.named_parameters()}
    assert types == {"projector": torch.float32, "keys_values": torch.bfloat16}
    assert validate(components, held_out(chosen))["validation"] > 0


@pytest.mark.parametrize("name", ["flux-published", "flux-directed"])
def test_gradients_reach_every_weight_also_when_blocks_run_again(made: dict[str, Any], name: str) -> None:
    gradients = []
    for again in ("true", "false"):
        more = {"gradient_checkpointing": again, "precision": "float32", "init_lora": "published", "text_dropout": 0.5}
        chosen = config(name, made, more)
        components, _ = begin(chosen)
        batch = encoded(components, batches(chosen, components.design)[0])
        flow_errors(components, batch, torch.tensor([0.3, 0.8]), torch.Generator().manual_seed(0)).sum().backward()
        both = [*components.transformer.named_parameters(), *components.adapter.named_parameters()]
        gradients.append({key: p.grad for key, p in both if p.requires_grad})
    assert all(value is not None and value.abs().sum() > 0 for value in gradients[0].values())
    # Of the source's isolated pass too, whose keys and values are recorded on the way.
    assert all(torch.allclose(gradients[1][key], value, rtol=1e-4, atol=1e-7) for key, value in gradients[0].items())


# What a run begins with


def test_it_begins_with_the_published_files(made: dict[str, Any]) -> None:
    weights = Path(made["weights"])
    components, origin = begin(config("flux-published", made, INIT))
    design = published_design(weights / "ip_adapter-100000.bin", components.design.transformer, 28)
    published = load_adapter(weights / "ip_adapter-100000.bin", design).state_dict()
    assert all(
        torch.equal(value.float(), published[key].float()) for key, value in components.adapter.state_dict().items()
    )
    lora = read_lora(weights / "pytorch_lora_weights.safetensors")
    first = next(key for key, _ in components.transformer.named_parameters() if "lora_A" in key)
    assert torch.equal(
        components.transformer.get_parameter(first), lora[f"transformer.{first.replace('.editor', '')}"].float()
    )
    assert origin["began_with"]["weights"] == "all" and origin["began_with_lora"] == "pytorch_lora_weights.safetensors"


def test_another_projector_takes_the_keys_and_values_alone(made: dict[str, Any]) -> None:
    fresh, _ = begin(config("flux-directed", made))
    components, origin = begin(config("flux-directed", made, {"init": "published"}))
    assert origin["began_with"]["weights"] == "keys and values"
    same = {
        part_of(f"adapter.{key}"): torch.equal(value, fresh.adapter.state_dict()[key])
        for key, value in components.adapter.state_dict().items()
    }
    assert same == {"projector": True, "keys_values": False}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"init": "published", "model.num_tokens": 4}, "has num_tokens=3, the model 4; set model.num_tokens=3"),
        ({"init_lora": "published", "lora_rank": 8}, "is of rank 4, not 8; set lora_rank=4"),
        ({"quads": "nowhere.jsonl"}, "quads=nowhere.jsonl: no such file"),
        ({"quads": "null"}, "give --set quads=FILE.jsonl"),
        ({"trains": "transformer,lora"}, "beside a pretrained base the transformer stays as it is"),
        ({"lora_rank": 0}, "trains=lora and lora_rank belong together"),
        ({"trains": "lora,projektor"}, "choose one of lora, projector, keys_values, transformer"),
        ({"text_dropout": 2}, "give a share from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_trained(
    made: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        begin(config("flux-published", made, more))


def test_a_base_that_is_nowhere_is_told(made: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere: no such file or folder"):
        begin(config("flux-published", made, {"base": str(tmp_path / "nowhere")}))
