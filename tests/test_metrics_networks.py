"""Metrics through networks: real loaders on twins in the published layout, against other ways to the same number."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from metric_twins import CLIP_SEES, CLIP_SIDE, DINO_SEES, DINO_SIDE, write_alexnet, write_clip, write_dino, write_siglip
from PIL import Image
from safetensors.torch import load_file, save_file
from samples import noise
from torch import Tensor
from torch.nn.functional import layer_norm, linear
from torchmetrics.functional.image import lpips as theirs

from relation_adapter.data.schema import Quad
from relation_adapter.editor import FunctionEditor
from relation_adapter.errors import MissingExtraError, UsageError, WeightsError
from relation_adapter.evaluate.generate import generate
from relation_adapter.evaluate.networks import Networks
from relation_adapter.evaluate.perceptual import PERCEPTUAL, open_lpips
from relation_adapter.evaluate.rows import absolute_rows, read_rows
from relation_adapter.evaluate.score import read_how, score
from relation_adapter.evaluate.seen import Seen
from relation_adapter.hub import Places
from relation_adapter.units import to_unit

NAMES = ("before", "after", "source", "target", "output")
ENCODED = ["clip_i", "dino_i", "clip_direction", "delta_cosine", "delta_cosine_dino"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_clip(folder / "clip-vit-large-patch14")
    write_dino(folder / "dinov2-base")
    write_siglip(folder / "siglip-so400m-patch14-384")
    write_alexnet(folder / "alexnet-owt-7be5be79.pth")
    return folder


@pytest.fixture(scope="module")
def networks(weights: Path) -> Networks:
    return Networks(Places(folder=weights, offline=True))


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """Five pictures of noise, wider than high."""
    for number, name in enumerate(NAMES):
        noise(90, 70, seed=number).save(tmp_path / f"{name}.png")
    return Seen({name: tmp_path / f"{name}.png" for name in NAMES})


def pixels(image: Image.Image, short: int, side: int, image_mean: list[float], image_std: list[float]) -> Tensor:
    """The short side to `short`, the square in the middle, normalised, as CLIP's and DINO's papers do it."""
    scale = short / min(image.size)
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    values = np.asarray(image.crop((left, top, left + side, top + side))) / 255
    return torch.from_numpy((values - image_mean) / image_std).permute(2, 0, 1)[None].float()


def clip_vector(folder: Path, image: Image.Image) -> Tensor:
    """CLIP's vision half and its projection, from the file's tensors by the names of the paper's layers."""
    w = {key.removeprefix("vision_model."): value for key, value in load_file(folder / "model.safetensors").items()}
    x = torch.nn.functional.conv2d(
        pixels(image, CLIP_SIDE, CLIP_SIDE, **CLIP_SEES), w["embeddings.patch_embedding.weight"], stride=8
    )
    x = torch.cat([w["embeddings.class_embedding"].view(1, 1, -1), x.flatten(2).mT], dim=1)
    x = x + w["embeddings.position_embedding.weight"]
    x = norm(w, "pre_layrnorm", x)
    for layer in (0, 1):
        name = f"encoder.layers.{layer}"
        y = norm(w, f"{name}.layer_norm1", x)
        query, key, value = (dense(w, f"{name}.self_attn.{one}_proj", y).unflatten(-1, (2, 12)) for one in "qkv")
        shares = (torch.einsum("bqhd,bkhd->bhqk", query, key) / 12**0.5).softmax(-1)
        x = x + dense(w, f"{name}.self_attn.out_proj", torch.einsum("bhqk,bkhd->bqhd", shares, value).flatten(2))
        y = dense(w, f"{name}.mlp.fc1", norm(w, f"{name}.layer_norm2", x))
        x = x + dense(w, f"{name}.mlp.fc2", y * torch.sigmoid(1.702 * y))
    return linear(norm(w, "post_layernorm", x[:, 0]), w["visual_projection.weight"])[0]


def dense(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def cosine(first: Tensor, second: Tensor) -> float:
    one, other = first.double().numpy(), second.double().numpy()
    return float(one @ other / np.sqrt(one @ one) / np.sqrt(other @ other))


def test_clip_s_scores_are_those_of_a_network_written_out(networks: Networks, weights: Path, seen: Seen) -> None:
    folder = weights / "clip-vit-large-patch14"
    before, after, source, target, output = (clip_vector(folder, seen.picture(name)) for name in NAMES)
    found = PERCEPTUAL["clip_i"].load(networks)(seen)["clip_i"]
    assert found == pytest.approx(cosine(output, target), abs=1e-4)
    before, after, source, output = (one / one.norm() for one in (before, after, source, output))
    found = PERCEPTUAL["clip_direction"].load(networks)(seen)["clip_direction"]
    assert found == pytest.approx(cosine(after - before, output - source), abs=1e-4)


def test_delta_cosine_is_that_of_siglip_and_of_dino(networks: Networks, weights: Path, seen: Seen) -> None:
    from transformers import Dinov2Model, SiglipVisionModel

    def siglip(image: Image.Image) -> Tensor:
        model = SiglipVisionModel.from_pretrained(weights / "siglip-so400m-patch14-384")
        side = model.config.image_size
        values = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) / 127.5 - 1
        return model(torch.from_numpy(values).permute(2, 0, 1)[None].float()).pooler_output[0].detach()

    def dino(image: Image.Image) -> Tensor:
        model = Dinov2Model.from_pretrained(weights / "dinov2-base")
        return model(pixels(image, 32, DINO_SIDE, **DINO_SEES)).last_hidden_state[0, 0].detach()

    for encoder, column in ((siglip, "delta_cosine"), (dino, "delta_cosine_dino")):
        before, after, source, _, output = (encoder(seen.picture(name)) for name in NAMES)
        found = PERCEPTUAL[column].load(networks)(seen)[column]
        assert found == pytest.approx(cosine(after - before, output - source), abs=1e-4)


@pytest.mark.parametrize(("width", "height"), [(96, 64), (70, 130)])
def test_lpips_is_that_of_torchmetrics(
    weights: Path, width: int, height: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # torchmetrics asks torchvision for AlexNet, which is not installed: it gets the same layers, weights and all.
    features = write_alexnet(tmp_path / "alexnet.pth")
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained: features)
    first, second = (to_unit(noise(width, height, seed)) for seed in (1, 2))
    tensors = (torch.from_numpy(one).permute(2, 0, 1)[None] for one in (first, second))
    expected = float(theirs._LPIPS(net="alex")(*tensors, normalize=True))
    ours = open_lpips(weights / "alexnet-owt-7be5be79.pth", "cpu")
    assert expected > 0.01
    assert ours(first, second) == pytest.approx(expected, abs=1e-5)
    assert ours(first, first) == 0


def test_lpips_sees_tiny_pictures_too(weights: Path) -> None:
    ours = open_lpips(weights / "alexnet-owt-7be5be79.pth", "cpu")
    assert ours(to_unit(noise(9, 20, 1)), to_unit(noise(9, 20, 2))) > 0.01


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Two edited quads, one without a target; the editor changes nothing."""
    for number, name in enumerate(NAMES[:4]):
        noise(40, 30, seed=number).save(tmp_path / f"{name}.png")
    paths = [tmp_path / f"{name}.png" for name in NAMES[:4]]
    quads = [Quad(*paths, task="a"), Quad(*paths[:3], task="b")]
    generate(quads, FunctionEditor(lambda request: request.source, "same"), tmp_path / "batch")
    return tmp_path / "batch"


def test_rows_grow_the_columns_of_every_network(batch: Path, networks: Networks) -> None:
    found = score(batch, ["lpips", *ENCODED], networks=networks)
    assert (found.done, found.failed) == (2, ())
    first, second = read_rows(batch)
    assert {"lpips", *ENCODED} <= first.keys()
    # Changes need no target; who changes nothing has made no change alike.
    assert second.keys() & {"lpips", *ENCODED} == {"clip_direction", "delta_cosine", "delta_cosine_dino"}
    assert first["delta_cosine"] == 0.0
    assert read_how(batch)["clip_i"].endswith("openai/clip-vit-large-patch14@32bd6428")
    assert score(batch, ["lpips", *ENCODED], networks=networks).done == 0


def test_another_network_makes_scores_stale(batch: Path, weights: Path, networks: Networks, tmp_path: Path) -> None:
    score(batch, ["dino_i", "clip_i"], networks=networks)
    before = read_rows(batch)[0]
    other = write_dino(tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["layernorm.weight"] += torch.arange(24)
    save_file(tensors, other / "model.safetensors")
    found = score(batch, ["dino_i", "clip_i"], networks=Networks(networks.places, {"dino": str(other)}))
    after = read_rows(batch)[0]
    assert found.done == 1
    assert after["dino_i"] != before["dino_i"]
    assert after["clip_i"] == before["clip_i"]


def test_what_is_not_there_is_told_in_one_line(batch: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no network is called 'klip'; there are: clip, siglip, dino"):
        Networks(given={"klip": "x"})
    (tmp_path / "empty").mkdir()
    nowhere = Places(folder=tmp_path / "empty", cache=tmp_path / "cache", offline=True)
    with pytest.raises(WeightsError, match=r"openai/clip-vit-large-patch14.*offline nothing is fetched"):
        score(batch, ["clip_i"], networks=Networks(nowhere))
    with pytest.raises(WeightsError, match=r"AlexNet|alexnet.*offline nothing is fetched"):
        score(batch, ["lpips"], networks=Networks(nowhere))
    with pytest.raises(WeightsError, match=r"no such file; check the path"):
        score(batch, ["lpips"], networks=Networks(nowhere, {"alexnet": "nowhere.pth"}))


def test_weights_of_another_kind_are_refused(batch: Path, weights: Path, tmp_path: Path) -> None:
    places = Places(folder=weights, offline=True)
    folder = write_clip(tmp_path / "cut")
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.encoder.layers.1.mlp.fc2.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"lacks .*fc2.weight; it is no CLIPVisionModelWithProjection"):
        score(batch, ["clip_i"], networks=Networks(places, {"clip": str(folder)}))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other.pth: holds no AlexNet"):
        score(batch, ["lpips"], networks=Networks(places, {"alexnet": str(tmp_path / "other.pth")}))
    (tmp_path / "broken.pth").write_bytes(b"PK no weights")
    with pytest.raises(WeightsError, match=r"broken.pth: cannot be loaded .*download it again"):
        score(batch, ["lpips"], networks=Networks(places, {"alexnet": str(tmp_path / "broken.pth")}))


def test_dreamsim_is_asked_as_its_package_says(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {}

    def dreamsim(**options: object) -> object:
        sys.stdout.write("Using cached")
        torch.hub.set_dir(str(options["cache_dir"]))
        asked.update(options)
        # Of two pictures as tensors (1, 3, H, W) in [0, 1] to the distance (1,).
        return lambda one, other: (one - other).abs().mean()[None], lambda image: torch.from_numpy(
            to_unit(image)
        ).permute(2, 0, 1)[None]

    monkeypatch.setitem(sys.modules, "dreamsim", types.SimpleNamespace(dreamsim=dreamsim))  # type: ignore[arg-type]
    home = torch.hub.get_dir()
    assert score(batch, ["dreamsim"], networks=Networks(given={"dreamsim": str(tmp_path)})).done == 1
    row = absolute_rows(batch)[0]
    pair = [np.asarray(Image.open(row[name])) / 255 for name in ("output", "target")]
    assert row["dreamsim"] == pytest.approx(np.abs(pair[0] - pair[1]).mean(), abs=1e-6)
    assert asked["cache_dir"] == str(tmp_path)
    assert torch.hub.get_dir() == home  # where other weights are looked for
    assert capsys.readouterr().out == ""  # stdout is for results
    with pytest.raises(WeightsError, match=r"has no dino_vitb16_pretrain.pth; offline nothing is fetched"):
        score(batch, ["dreamsim"], networks=Networks(Places(offline=True), {"dreamsim": str(batch)}))


def test_without_dreamsim_its_install_line_is_told(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    with pytest.raises(MissingExtraError, match=r"relation-adapter\[dreamsim\]"):
        score(batch, ["dreamsim"])
    assert "dreamsim" not in json.dumps(read_rows(batch))
