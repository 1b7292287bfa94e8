"""LoRAs of the pipeline: diffusers' own methods, with strict loading, and errors in one line.

A LoRA stays beside the base weights, where it can be weighed, joined by others, swapped and taken away. The published
one is called "editor".
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from diffusers.loaders import FluxLoraLoaderMixin
from peft.utils.hotswap import prepare_model_for_compiled_hotswap
from torch import Tensor, nn

from relation_adapter.errors import UsageError, WeightsError
from relation_adapter.hub import FLUX_DEV, Places, find
from relation_adapter.model.attention import fuse_projections, has_fused_projections
from relation_adapter.model.lora import (
    TEXT_ENCODER,
    TRANSFORMER,
    UP,
    active_loras,
    add_to_transformer,
    check_lora,
    fused_loras,
    lora_label,
    lora_layers,
    lora_names,
    read_lora,
    weigh_layer,
)

FILE_NAME = "pytorch_lora_weights.safetensors"
WHERE = {"low_cpu_mem_usage", "weight_name", "subfolder", "revision", "token", "cache_dir", "local_files_only"}


class Loras(FluxLoraLoaderMixin):
    """The part of a `RelationPipeline` that deals with LoRAs, of the transformer and of CLIP."""

    _lora_loadable_modules: ClassVar[list[str]] = [TRANSFORMER, TEXT_ENCODER]
    transformer: Any
    text_encoder: Any
    _swap_rank: int | None = None

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | os.PathLike[str] | dict[str, Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        **where: Any,
    ) -> None:
        """Load a LoRA for FLUX, of diffusers, peft, kohya or XLabs, at weight 1; it joins those that are active.

        The first argument is a safetensors file, a folder with one, a repository of the hub, or the tensors; `where`
        says more about the last two folders (`weight_name`, `subfolder`, `revision`, `token`, `cache_dir`,
        `local_files_only`), as in diffusers, whose `low_cpu_mem_usage` is always on. hotswap: put it in the place, and
        at the weight, of the LoRA called `adapter_name`, without touching compiled code; ranks may differ after
        `enable_lora_hotswap(target_rank=...)` before the first was loaded.

        Raises:
            UsageError: a name that is taken, or for a swap, one that does not exist; fused LoRAs or projections.
            WeightsError: no LoRA of this model, in one line; the pipeline is then as before.
        """
        source = _located(pretrained_model_name_or_path_or_dict, where)
        self._refuse_while_fused("load another")
        if has_fused_projections(self.transformer):
            raise UsageError("Projections are fused, and a LoRA would have no effect; unfuse_qkv_projections first")
        state = read_lora(source)
        check_lora(source, state, self._lora_parts())
        if hotswap:
            self._swap(source, state, adapter_name)
            return
        name = adapter_name or _free_name(self._lora_names())
        if name in self._lora_names():
            raise UsageError(f"There is a LoRA called {name!r} already; give adapter_name, or hotswap=True")
        if "." in name:
            raise UsageError(f"adapter_name={name!r} has a dot, which stands between layers; leave it out")
        if any(key.startswith(TRANSFORMER) for key in state):
            add_to_transformer(self.transformer, state, name, pipe=self)
            if self._swap_rank:
                _make_room(self.transformer, self._swap_rank, "ignore")
        if any(key.startswith(TEXT_ENCODER) for key in state):
            self._add_to_text_encoder(state, name)

    def set_adapters(
        self, adapter_names: str | Sequence[str], adapter_weights: float | dict[str, Any] | list[Any] | None = None
    ) -> None:
        """Use these LoRAs, at these weights (default 1), and no others. A weight may be negative.

        Raises:
            UsageError: no LoRA of that name, another number of weights, or LoRAs that are fused.
        """
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        if not names:
            raise UsageError("set_adapters names no LoRA; disable_lora turns all of them off")
        self._known(names)
        self._refuse_while_fused("weigh them anew")
        if isinstance(adapter_weights, list) and len(adapter_weights) != len(names):
            raise UsageError(f"adapter_weights has {len(adapter_weights)} values for {len(names)} LoRAs; give one each")
        tensors = [_tensor_weights(layer) for layer in lora_layers(self.transformer)]
        super().set_adapters(names, adapter_weights)
        for layer, fixed in zip(lora_layers(self.transformer), tensors, strict=True):
            for name, value in fixed.items():  # replaced by numbers, which compiled code would be compiled anew for
                layer.scaling[name] = value.fill_(layer.scaling[name])

    def enable_lora_hotswap(self, target_rank: int = 128, check_compiled: str = "error") -> None:
        """Give all LoRAs, those loaded later too, room for ranks up to `target_rank`, before `torch.compile`.

        Only compiled code needs it: it would be compiled anew for another rank. Unlike in diffusers, a LoRA may be
        there already, as the published one is.

        Raises:
            UsageError: the transformer is compiled already, or a LoRA has a larger rank.
        """
        layers = lora_layers(self.transformer)
        largest = max((half.weight.shape[1] for layer in layers for half in layer.lora_B.values()), default=0)
        if largest > target_rank:
            raise UsageError(f"target_rank={target_rank}: a LoRA of rank {largest} is there; give at least that")
        if layers:
            try:
                _make_room(self.transformer, target_rank, check_compiled)
            except ValueError as error:
                raise UsageError("The transformer is compiled already; call enable_lora_hotswap before") from error
        self._swap_rank = target_rank

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Take these LoRAs away; the others stay as they are. Raises UsageError on an unknown name."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        self._known(names)
        self._refuse_while_fused("delete one")
        active = [name for name in self.get_active_adapters() if name not in names]
        with warnings.catch_warnings():
            # peft wakes one of the others where the last active one goes, and says so; here they sleep on.
            warnings.filterwarnings("ignore", message="Adapter .* was active which is now deleted")
            super().delete_adapters(names)
        if not self._lora_names():
            self.unload_lora_weights()  # empty wrappers would stay, and rename the weights
        for layer in (layer for part in self._lora_parts().values() for layer in lora_layers(part)):
            layer.set_adapter(active)

    def fuse_lora(self, components: list[str] | None = None, **options: Any) -> None:
        """Add the active LoRAs, or `adapter_names`, to the base weights: no cost per step any more.

        components: "transformer", "text_encoder"; default: those that have LoRAs. `unfuse_lora` takes them out again,
        right to rounding; `unload_lora_weights` then leaves them in for good.

        Raises:
            UsageError: an unknown name, nothing to fuse, or a quantised base.
        """
        self._known(options.get("adapter_names") or [])
        if not self._lora_names():
            raise UsageError("There is no LoRA to fuse; load one with load_lora_weights")
        if getattr(self.transformer, "is_quantized", False):
            raise UsageError("The base is quantised: fused, a LoRA would be rounded away; leave it beside the weights")
        parts = [name for name, part in self._lora_parts().items() if lora_names(part)]
        super().fuse_lora(components or parts, **options)

    def fuse_qkv_projections(self) -> None:
        """Compute query, key and value of every block in one product instead of three, until `unfuse_qkv_projections`.

        The same result to rounding, and no further memory, where it is done after `to`. Fewer and larger products;
        whether that is faster depends on the device (docs/speed.md).

        Raises:
            UsageError: LoRAs beside the base weights, which would have no effect, or a quantised base.
        """
        if self._lora_names():
            raise UsageError("A LoRA stands beside the weights; call fuse_lora and unload_lora_weights first, in turn")
        if getattr(self.transformer, "is_quantized", False):
            raise UsageError("The base is quantised: its projections stay apart")
        fuse_projections(self.transformer)

    def unfuse_qkv_projections(self) -> None:
        """Three products again."""
        self.transformer.unfuse_qkv_projections()

    def _lora_parts(self) -> dict[str, nn.Module | None]:
        return {TRANSFORMER: self.transformer, TEXT_ENCODER: self.text_encoder}

    def _lora_names(self) -> list[str]:
        return list(dict.fromkeys(name for part in self._lora_parts().values() for name in lora_names(part)))

    def _known(self, names: Sequence[str]) -> None:
        there = self._lora_names()
        if unknown := [name for name in names if name not in there]:
            raise UsageError(
                f"{unknown[0]!r} is not in the list of present adapters; there are: {', '.join(there) or 'none'}"
            )

    def _refuse_while_fused(self, wish: str) -> None:
        # peft runs a fused layer as it is: what is loaded or weighed after that would have no effect.
        if fused := sorted({name for part in self._lora_parts().values() for name in fused_loras(part)}):
            raise UsageError(
                f"{', '.join(fused)} is fused into the weights; to {wish}, call unfuse_lora first, or "
                "unload_lora_weights to leave it there for good"
            )

    def _add_to_text_encoder(self, state: dict[str, Tensor], name: str) -> None:
        active = active_loras(self.text_encoder)
        self.load_lora_into_text_encoder(
            state, None, self.text_encoder, TEXT_ENCODER, adapter_name=name, _pipeline=self
        )
        for layer in lora_layers(self.text_encoder):
            layer.set_adapter([*active, name])

    def _swap(self, source: Any, state: dict[str, Tensor], name: str | None) -> None:
        """Everything is checked before: where a swap fails on its way, diffusers deletes the old LoRA."""
        if name is None:
            raise UsageError("hotswap=True needs adapter_name, the LoRA to replace")
        self._known([name])
        _check_swap(self.transformer, lora_label(source), state, name)
        layers = lora_layers(self.transformer)
        weights = [float(layer.scaling[name]) if name in layer.scaling else None for layer in layers]
        self.transformer.load_lora_adapter(state, prefix=TRANSFORMER, adapter_name=name, hotswap=True, _pipeline=self)
        for layer, weight in zip(layers, weights, strict=True):
            if weight is not None:
                weigh_layer(layer, name, weight)


def _located(source: Any, where: Mapping[str, Any]) -> Any:
    """A file on disk, or the tensors themselves; what lies on the hub is fetched."""
    if isinstance(source, Mapping):
        return source
    if unknown := sorted(where.keys() - WHERE):
        raise UsageError(f"load_lora_weights knows no {unknown[0]}; there are: {', '.join(sorted(WHERE))}")
    path, file = Path(source), "/".join(filter(None, (where.get("subfolder"), where.get("weight_name"))))
    if path.is_dir():
        return _in_folder(path, where)
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        raise WeightsError(f"{path}: is a pickle, which can run anything when it is opened; give a .safetensors file")
    if path.exists() or path.suffix == ".safetensors" or str(source).count("/") != 1:
        return path
    places = Places(
        cache=Path(where["cache_dir"]) if where.get("cache_dir") else None,
        offline=bool(where.get("local_files_only")),
        token=where.get("token"),
    )
    revision = f"@{where['revision']}" if where.get("revision") else ""
    return find(FLUX_DEV["lora"], places, f"{source}{revision}" + (f":{file}" if file else ""))


def _in_folder(folder: Path, where: Mapping[str, Any]) -> Path:
    folder, name = folder / (where.get("subfolder") or ""), where.get("weight_name")
    if name or (folder / FILE_NAME).is_file():
        return folder / (name or FILE_NAME)
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise WeightsError(f"{folder}: holds {len(found)} .safetensors files; name the one to load")
    return found[0]


def _check_swap(transformer: Any, label: str, state: Mapping[str, Tensor], name: str) -> None:
    """Raise WeightsError where the LoRA cannot take the place of `name`."""
    places = {
        f"{TRANSFORMER}.{key}": layer
        for key, layer in transformer.named_modules()
        if name in getattr(layer, "lora_A", {})
    }
    remedy = f"load it under another name, or delete {name!r} first"
    ranks = {key.removesuffix(UP): value.shape[1] for key, value in state.items() if key.endswith(UP)}
    if strange := sorted(ranks.keys() - places.keys()):
        raise WeightsError(f"{label}: changes {strange[0]}, which {name!r} does not; {remedy}")
    if len(set(ranks.values())) > 1 or transformer.peft_config[name].rank_pattern:
        raise WeightsError(f"{label}: its ranks differ from layer to layer, or those of {name!r} do; {remedy}")
    room = min(places[key].lora_B[name].weight.shape[1] for key in ranks)
    if _has_fixed_ranks(places.values(), name) and max(ranks.values()) > room:
        raise WeightsError(f"{label}: has rank {max(ranks.values())}, there is room for {room}; {remedy}")
    # peft empties whatever has the name anywhere in its own, that of another LoRA too.
    for key in transformer.state_dict():
        if ".lora_" in key and name in key and f".{name}." not in key:
            raise UsageError(f"hotswap: the name {name!r} is part of {key}; load the LoRA under a longer name")


def _make_room(transformer: Any, rank: int, check_compiled: Any) -> None:
    prepare_model_for_compiled_hotswap(
        transformer, target_rank=rank, config=transformer.peft_config, check_compiled=check_compiled
    )


def _tensor_weights(layer: Any) -> dict[str, Tensor]:
    return {name: value for name, value in layer.scaling.items() if isinstance(value, Tensor)}


def _has_fixed_ranks(layers: Iterable[Any], name: str) -> bool:
    """Whether `enable_lora_hotswap` made weights of fixed size, for compiled code."""
    return any(isinstance(layer.scaling[name], Tensor) for layer in layers)


def _free_name(taken: Sequence[str]) -> str:
    number = 0
    while f"lora_{number}" in taken:
        number += 1
    return f"lora_{number}"
