"""The model that a run trains, as it is before step one: from scratch, or beside a pretrained base that stays frozen.

Beside a base, `init` names an adapter to begin with: `published` or `instantx` for these files, or any place that
`edit --adapter` takes; `init_lora` a LoRA, in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relation_adapter.config import ModelConfig
from relation_adapter.data.cached import read_manifest
from relation_adapter.errors import UsageError
from relation_adapter.files import SHIPPED, reason
from relation_adapter.hub import FLUX_DEV, Places, find
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import Components, build, build_adapter
from relation_adapter.model.lora import add_lora, load_lora
from relation_adapter.model.published import load_published_adapter, published_design
from relation_adapter.model.weights import is_own, load_model, load_own_adapter, read_info
from relation_adapter.pipeline.flux_dev import LORA_NAME, load_base
from relation_adapter.train.parts import choose
from relation_adapter.train.presets import TrainConfig

PLACES = {"published": None, "instantx": "InstantX/FLUX.1-dev-IP-Adapter"}  # by the short names of `init`
READING = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "image_encoder")  # not needed with a cache
SIZES = ("feature_dim", "num_tokens", "token_dim")


def begin(config: TrainConfig) -> tuple[Components, dict[str, Any]]:
    """The components, on the CPU, with gradients where `config.trains` says; and what is to be told of their origin.

    Raises:
        UsageError: settings that do not fit the model or the files. WeightsError: a part that cannot be found or read.
    """
    _check_source(config)
    components, origin = _beside_base(config) if config.base_stays else _from_scratch(config)
    if config.lora_rank or config.init_lora:
        origin |= _add_lora(config, components)
    choose(components, config.trains)
    for parameter in components.adapter.parameters() if config.base_stays else ():
        if not parameter.requires_grad:
            parameter.data = parameter.to(components.transformer.dtype)  # half the memory, as the base
    if config.gradient_checkpointing:
        components.transformer.enable_gradient_checkpointing()
    return components, origin


def _check_source(config: TrainConfig) -> None:
    """Told before anything large is loaded."""
    design = config.model
    plain = design.image_features.startswith("latents") and design.text == "none"
    if config.cache is None and config.quads is None and not plain:
        raise UsageError(
            f"model {design.name} learns from quads with their instructions: give --set quads=FILE.jsonl, or --set "
            "cache=FOLDER of `data cache`"
        )
    if config.quads is not None and not Path(config.quads).is_file():
        raise UsageError(f"quads={config.quads}: no such file; check the path")


def _from_scratch(config: TrainConfig) -> tuple[Components, dict[str, Any]]:
    """Fresh weights, or those of a whole model's file."""
    components = build(config.model, seed=config.seed)
    if config.init is None:
        return components, {}
    path = SHIPPED.get(config.init, Path(config.init))
    first = load_model(path)
    try:
        components.transformer.load_state_dict(first.transformer.state_dict())
        components.adapter.load_state_dict(_fresh_parts(components.adapter, first.adapter) | first.adapter.state_dict())
    except RuntimeError as error:
        raise UsageError(f"init={config.init}: its weights do not fit the model ({reason(error)})") from error
    return components, {"began_with": read_info(path)[1]}


def _fresh_parts(adapter: RelationAdapter, first: RelationAdapter) -> dict[str, Any]:
    """What a second look needs, where the first weights have none: it begins as good as one look."""
    if first.design.second_look:
        return {}
    return {name: value for name, value in adapter.state_dict().items() if name.startswith("projector.missed.")}


def _beside_base(config: TrainConfig) -> tuple[Components, dict[str, Any]]:
    """The pretrained base, its encoders where they are needed, and a fresh adapter or that of a file."""
    places, design = _places(config), config.model
    if config.cache is not None and design.image_features.startswith("siglip"):  # which is not looked at again
        made = read_manifest(Path(config.cache))["design"]
        design = replace(design, feature_dim=made["feature_dim"], exemplar_size=made["exemplar_size"])
    components = load_base(
        places,
        design,
        config.base,
        config.image_encoder,
        torch.bfloat16 if config.precision == "bfloat16" else torch.float32,
        config.quantization,
        parts=dict.fromkeys(READING) if config.cache is not None else None,
    )
    components.adapter = build_adapter(components.design, config.seed)
    origin = {} if config.init is None else _read_adapter(components.adapter, config.init, places)
    components.adapter.attach(components.transformer)
    return components, origin


def _places(config: TrainConfig) -> Places:
    return Places(folder=None if config.weights is None else Path(config.weights), offline=config.offline)


def _read_adapter(adapter: RelationAdapter, init: str, places: Places) -> dict[str, Any]:
    """Take the weights of a file: all, or where the file has another projector the keys and values alone."""
    path = find(FLUX_DEV["adapter"], places, PLACES.get(init, init))
    state = _state_of(path, adapter.design, init)
    expected = {name: value.shape for name, value in adapter.state_dict().items()}
    found = {name: value.shape for name, value in state.items()}
    if found != expected:
        state = {name: value for name, value in state.items() if name.startswith(("to_k.", "to_v."))}
        if not state or any(expected.get(name) != value.shape for name, value in state.items()):
            raise UsageError(f"init={init}: its weights do not fit the model; set model.token_dim and the like to its")
    adapter.load_state_dict(state, strict=found == expected)
    return {"began_with": {"adapter": path.name, "weights": "all" if found == expected else "keys and values"}}


def _state_of(path: Path, design: ModelConfig, init: str) -> dict[str, Tensor]:
    """The weights of an adapter's file, once it is known to have the model's sizes."""
    if is_own(path):
        own = load_own_adapter(path)
        _check_sizes(own.design, design, init)
        return own.state_dict()
    shape, side = design.transformer, design.exemplar_size
    made = published_design(path, shape, side)
    _check_sizes(made, design, init)
    return load_published_adapter(path, design if design.projector == made.projector else made)


def _check_sizes(found: ModelConfig, wanted: ModelConfig, init: str) -> None:
    names = SIZES if found.projector == wanted.projector else ("token_dim",)
    for name in names:
        if getattr(found, name) != getattr(wanted, name):
            raise UsageError(
                f"init={init}: has {name}={getattr(found, name)}, the model {getattr(wanted, name)}; set "
                f"model.{name}={getattr(found, name)}"
            )


def _add_lora(config: TrainConfig, components: Components) -> dict[str, Any]:
    """A fresh LoRA, or that of a file."""
    if config.init_lora is None:
        add_lora(components.transformer, config.lora_rank, name=LORA_NAME, seed=config.seed)
        return {}
    path = find(FLUX_DEV["lora"], _places(config), PLACES.get(config.init_lora, config.init_lora))
    load_lora(components.transformer, path, LORA_NAME)
    rank = components.transformer.peft_config[LORA_NAME].r
    if config.lora_rank not in (0, rank):
        raise UsageError(
            f"init_lora={config.init_lora}: is of rank {rank}, not {config.lora_rank}; set lora_rank={rank}"
        )
    return {"began_with_lora": path.name}
