"""Reference data made by the published implementation; every size comes from the set's own description.json.

RELATION_ADAPTER_GOLDENS names the folder of the set (default: shared/goldens/seed0 beside the checkout).
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relation_adapter.config import MODELS, ModelConfig, TransformerConfig, to_dict
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import Components, assemble, build_transformer
from relation_adapter.model.published import load_published_adapter

FOLDER = Path(os.environ.get("RELATION_ADAPTER_GOLDENS", Path(__file__).parents[2] / "shared" / "goldens" / "seed0"))
TOLERANCE = 1e-4

needs_goldens = pytest.mark.skipif(
    not (FOLDER / "description.json").is_file(),
    reason=f"no golden set in {FOLDER}; RELATION_ADAPTER_GOLDENS names its folder",
)


@cache
def config() -> dict[str, Any]:
    """The sizes and settings that the set was made with."""
    return json.loads((FOLDER / "description.json").read_text())["config"]


@cache
def arrays(name: str) -> dict[str, Tensor]:
    """The tensors of `<name>.npz`; do not write into them."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@cache
def design() -> ModelConfig:
    """The published design at the set's size."""
    given = {key: value for key, value in config()["transformer"].items() if key != "patch_size"}
    shape = TransformerConfig(
        **given
        | {
            "out_channels": given.get("out_channels") or given["in_channels"],
            "axes_dims_rope": tuple(given["axes_dims_rope"]),
        }
    )
    return replace(
        MODELS["published"],
        name="golden",
        transformer=shape,
        feature_dim=config()["siglip"]["hidden_size"],
        num_tokens=config()["num_tokens"],
        token_dim=arrays("forward")["in.image_emb"].shape[-1],
        text_length=config()["text_len"],
        exemplar_size=config()["siglip"]["image_size"],
        steps=config()["steps"],
        guidance=config()["guidance"],
    )


def components() -> Components:
    """A new model with the set's weights; it has no tokenizers, the set records token ids instead."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    transformer = loaded(build_transformer(design().transformer), "transformer")
    adapter = RelationAdapter(to_dict(design()))
    adapter.load_state_dict(load_published_adapter(FOLDER / "ip_adapter.bin", design()), strict=True)
    made = assemble(transformer, adapter.eval())
    made.scheduler = FlowMatchEulerDiscreteScheduler(**config()["sched"])
    made.vae, made.image_encoder = vae(), image_encoder()
    made.image_processor = image_processor()
    made.text_encoder, made.text_encoder_2 = text_encoder(), text_encoder_2()
    return made


def vae() -> Any:
    from diffusers import AutoencoderKL

    return loaded(AutoencoderKL(**config()["vae"]), "vae")


def image_encoder() -> Any:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return loaded(SiglipVisionModel(SiglipVisionConfig(**config()["siglip"])), "siglip", "vision_model.")


def image_processor() -> Any:
    from transformers import SiglipImageProcessorPil

    side = config()["siglip"]["image_size"]
    return SiglipImageProcessorPil(size={"height": side, "width": side})


def text_encoder() -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return loaded(CLIPTextModel(CLIPTextConfig(**config()["clip"])), "clip", "text_model.")


def text_encoder_2() -> Any:
    from transformers import T5Config, T5EncoderModel

    return loaded(T5EncoderModel(T5Config(**config()["t5"])), "t5")


def loaded(module: nn.Module, name: str, prefix: str = "") -> nn.Module:
    """The module with the weights of `weights_<name>.npz`, every key accounted for.

    The files name keys as published checkpoints do; newer transformers drop the prefix inside the module.
    """
    state, names = arrays(f"weights_{name}"), module.state_dict().keys()
    if not any(key.startswith(prefix) for key in names):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    if name == "t5":  # tied, and stored once
        state = state | {"encoder.embed_tokens.weight": state["shared.weight"]}
    expected = [key for key in names if not key.endswith("position_ids")]
    assert sorted(expected) == sorted(state), f"weights_{name}.npz"
    module.load_state_dict(state, strict=True)
    return module.eval()


def tokens_of(image_emb: Tensor) -> Tensor:
    """The set's (2, N, D), before's tokens and after's, as one relation (1, 2N, D)."""
    return image_emb.reshape(1, -1, image_emb.shape[-1])


def difference(label: str, ours: Tensor, golden: Tensor) -> float:
    """The largest absolute difference, logged (pytest --log-cli-level=INFO shows it)."""
    assert ours.shape == golden.shape, f"{label}: {tuple(ours.shape)}, golden {tuple(golden.shape)}"
    found = (ours.detach().double() - golden.double()).abs().max().item()
    logging.getLogger("parity").info("%-45s %.1e", label, found)
    return found


def assert_same(label: str, ours: Tensor, golden: Tensor, tolerance: float = TOLERANCE) -> None:
    assert difference(label, ours, golden) <= tolerance, label
