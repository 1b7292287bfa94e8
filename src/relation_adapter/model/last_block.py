"""The last block of FLUX, which computes only the rows that somebody reads.

After the last block the text tokens are dropped, and of noisy and source tokens in one sequence only the noisy ones are
read. Their keys and values are needed by the others still; their queries, what follows them, and the output are not.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock as StockBlock
from torch import Tensor

# Hooks that only bring weights in. All others belong to step caches, which keep what a block gave for another step.
_APART = {"group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading"}


# The stock name: diffusers and accelerate find the blocks to compile, to offload and to shard by it.
class FluxSingleTransformerBlock(StockBlock):
    """The stock block, unless `reads` is given: then the output has that many image tokens, the first ones.

    Keys and states are the stock block's, so nothing that is saved or loaded changes.
    """

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Image tokens (B, L, C), text tokens (B, T, C), modulation (B, C); returns text and image tokens."""
        given = joint_attention_kwargs or {}
        reads = given.get("reads")
        if reads is None or not _stands_alone(self):
            # Not super(): where a hook holds this forward, the class may be the stock one again.
            return StockBlock.forward(
                self, hidden_states, encoder_hidden_states, temb, image_rotary_emb, joint_attention_kwargs
            )
        text = encoder_hidden_states.shape[1]
        rows = slice(text, text + reads)
        tokens, gate = self.norm(torch.cat([encoder_hidden_states, hidden_states], dim=1), emb=temb)
        attention = self.attn(hidden_states=tokens, image_rotary_emb=image_rotary_emb, **given | {"rows": rows})
        joined = torch.cat([attention, self.act_mlp(self.proj_mlp(tokens[:, rows]))], dim=2)
        out = hidden_states[:, :reads] + gate.unsqueeze(1) * self.proj_out(joined)
        if out.dtype == torch.float16:
            out = out.clip(-65504, 65504)
        return encoder_hidden_states, out


TransformerBlockRegistry.register(
    FluxSingleTransformerBlock,
    TransformerBlockMetadata(return_hidden_states_index=1, return_encoder_hidden_states_index=0),
)


def put(transformer: FluxTransformer2DModel) -> None:
    """Let the last block compute no more than is read of it."""
    _set_class(transformer, StockBlock, FluxSingleTransformerBlock)


def take_away(transformer: FluxTransformer2DModel) -> None:
    """Make the last block the stock one again."""
    _set_class(transformer, FluxSingleTransformerBlock, StockBlock)


def _set_class(transformer: FluxTransformer2DModel, old: type, new: type) -> None:
    if transformer.single_transformer_blocks and type(transformer.single_transformer_blocks[-1]) is old:
        transformer.single_transformer_blocks[-1].__class__ = new


def _stands_alone(block: Any) -> bool:
    """Whether nobody else relies on every row: no step cache, and no other process that holds the rest of the rows."""
    registries = (getattr(module, "_diffusers_hook", None) for module in (block, block.attn))
    apart = all(registry is None or _APART.issuperset(registry.hooks) for registry in registries)
    return apart and block.attn.processor._parallel_config is None
