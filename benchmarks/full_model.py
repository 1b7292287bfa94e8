"""The published model at full size with weights that mean nothing: for counting memory and for timing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from relation_adapter.config import MODELS, preset, to_dict
from relation_adapter.model.adapter import RelationAdapter
from relation_adapter.model.components import Components, assemble, build_transformer, tiny
from relation_adapter.model.lora import add_lora
from relation_adapter.model.twins import encoders
from relation_adapter.pipeline.memory import KEPT

LORA_RANK = 128
NF4_BLOCK = 64  # weights that share a float32 scale


def full_components(
    dtype: torch.dtype = torch.bfloat16, lora_rank: int = LORA_RANK, transformer: Any = None, name: str = "published"
) -> Components:
    """All parts on torch's default device, uninitialised where it is `meta`; tokenizers are those of the tiny twin.

    transformer: in the place of a fresh one, for instance a quantised one. name: of the design.
    """
    design = preset(MODELS, name)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        components = assemble(transformer or build_transformer(design.transformer), RelationAdapter(to_dict(design)))
        vars(components).update(encoders({}))
        if lora_rank:
            add_lora(components.transformer, lora_rank)
    finally:
        torch.set_default_dtype(before)
    _add_small_parts(components)
    for part in vars(components).values():
        if isinstance(part, nn.Module) and part is not transformer:
            part.to(dtype)
        if isinstance(part, nn.Module):
            part.eval().requires_grad_(False)
    return components


class QuantisedLinear(nn.Linear):
    """A layer that takes the memory of torchao's int8 or bitsandbytes' nf4, at rest and at work; its values are noise.

    At work both make the whole weight in the type of the input, and int8 scales the output afterwards.
    """

    def __init__(self, layer: nn.Linear, kind: str) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        self.kind, self.bias = kind, layer.bias
        count = layer.weight.numel()
        packed = torch.empty(layer.weight.shape if kind == "int8" else (count // 2, 1), dtype=torch.int8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        scales = torch.empty(layer.out_features if kind == "int8" else count // NF4_BLOCK, dtype=torch.float32)
        self.scales = nn.Parameter(scales, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = x.new_empty(self.out_features, self.in_features)
        if self.kind == "nf4":
            return nn.functional.linear(x, whole, self.bias)
        out = nn.functional.linear(x, whole)
        del whole
        out = out * self.scales.to(out.dtype)
        return out if self.bias is None else out + self.bias


def quantised_transformer(kind: str) -> Any:
    """The base transformer with a `QuantisedLinear` for every layer that `is_quantised`."""
    transformer = build_transformer(preset(MODELS, "published").transformer).to(torch.bfloat16)
    for name, layer in list(transformer.named_modules()):
        if is_quantised(layer, name, kind):
            transformer.set_submodule(name, QuantisedLinear(layer, kind))
    return transformer


def is_quantised(module: nn.Module, name: str, kind: str) -> bool:
    """Whether `quantization_config(kind)` quantises this module of the transformer."""
    kept = any(part in name.split(".") for part in KEPT) or (kind == "int8" and name == "proj_out")
    return isinstance(module, nn.Linear) and not kept


def _add_small_parts(components: Components) -> None:
    with torch.device("cpu"):
        small = tiny("published")
    components.tokenizer, components.tokenizer_2 = small.tokenizer, small.tokenizer_2
    components.image_processor = type(small.image_processor)(size={"height": 384, "width": 384})
