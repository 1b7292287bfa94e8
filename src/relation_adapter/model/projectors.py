"""From the features of pairs to relation tokens: the published projector and ours.

Both take features of before and of after, (B, K, N, F) each (K pairs, N patches; N = 1 for the pooled vector), and
`present` (B, K), False where an item has fewer pairs than the batch's most, or None where none has. They return tokens
(B, L, C) and, where the design has one, a vector (B, P); tokens of absent pairs stay in, for the caller to mask.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from relation_adapter.model import cpu_attention


class PooledMLP(nn.Module):
    """One pooled vector to `num_tokens` tokens, the same for both pictures (`MLPProjModel` of the published code).

    Without roles, before and after are exchangeable for every attention that reads the tokens. Role embeddings start
    at zero, so published weights can be taken up and trained on.
    """

    def __init__(self, feature_dim: int, num_tokens: int, token_dim: int, roles: bool) -> None:
        super().__init__()
        self.num_tokens, self.token_dim = num_tokens, token_dim
        self.proj = nn.Sequential(
            nn.Linear(feature_dim, feature_dim * 2), nn.GELU(), nn.Linear(feature_dim * 2, num_tokens * token_dim)
        )
        self.norm = nn.LayerNorm(token_dim)
        self.roles = nn.Parameter(torch.zeros(2, 1, token_dim)) if roles else None

    def forward(self, before: Tensor, after: Tensor, present: Tensor | None = None) -> tuple[Tensor, None]:
        """Features (B, K, 1, F) each to tokens (B, K * 2 * num_tokens, C), before's first in every pair."""
        features = torch.stack([before, after], dim=2)[..., 0, :]  # (B, K, 2, F)
        tokens = self.norm(self.proj(features).unflatten(-1, (self.num_tokens, self.token_dim)))
        if self.roles is not None:
            tokens = tokens + self.roles
        return rearrange(tokens, "b k r n c -> b (k r n) c"), None


class PairTokens(nn.Module):
    """Patches of before and after as they are, to be tokens beside the source's: the paper's variant without adapter.

    The same place has the same position in every picture, so without roles nothing tells before, after and source apart
    but what they show. Roles start at zero.
    """

    def __init__(self, dim: int, roles: bool) -> None:
        super().__init__()
        self.told = roles
        # There even where it is not read: diffusers and accelerate take device and dtype off the first parameter.
        self.roles = nn.Parameter(torch.zeros(2, 1, dim), requires_grad=roles)

    def forward(self, before: Tensor, after: Tensor, present: Tensor | None = None) -> tuple[Tensor, None]:
        """Features (B, K, N, F) each to tokens (B, K * 2 * N, F), before's first in every pair."""
        tokens = torch.stack([before, after], dim=2)
        if self.told:
            tokens = tokens + self.roles
        return rearrange(tokens, "b k r n f -> b (k r n) f"), None


class PairResampler(nn.Module):
    """Patches of before and after read together: one token per place, then self-attention, then (optionally) queries.

    A place's token is made of before, after and their difference, each with weights of its own: these are the roles,
    so the edit has a direction. The vector is the mean of the tokens.
    """

    def __init__(
        self,
        feature_dim: int,
        token_dim: int,
        layers: int,
        heads: int,
        num_tokens: int,
        vector_dim: int,
        second_look: bool = False,
    ) -> None:
        super().__init__()
        self.before = nn.Linear(feature_dim, token_dim)
        self.after = nn.Linear(feature_dim, token_dim, bias=False)
        self.difference = nn.Linear(feature_dim, token_dim, bias=False)
        self.layers = nn.ModuleList(_ResamplerLayer(token_dim, heads) for _ in range(layers))
        self.queries = nn.Parameter(torch.randn(num_tokens, token_dim) * 0.02) if num_tokens else None
        self.gather = _ResamplerLayer(token_dim, heads) if num_tokens else None
        self.norm = nn.LayerNorm(token_dim)
        self.to_vector = nn.Linear(token_dim, vector_dim) if vector_dim else None
        self.missed = nn.Linear(feature_dim, token_dim) if second_look else None  # its bias tells that it is the second
        if self.missed is not None:  # which is at first as good as the first
            nn.init.zeros_(self.missed.weight)
            nn.init.zeros_(self.missed.bias)

    def forward(
        self, before: Tensor, after: Tensor, present: Tensor | None = None, made: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features (B, K, N, F) each to tokens (B, K * N or num_tokens, C) and a vector (B, P) or None.

        made: what was made of before by a first reading, in the place of after, see `second_look.py`.
        """
        pairs, patches = before.shape[1:3]
        before, after = (rearrange(x, "b k n f -> (b k) n f") for x in (before, after))
        tokens = self.before(before) + self.after(after) + self.difference(after - before)
        if self.missed is not None and made is not None:
            tokens = tokens + self.missed(after - rearrange(made, "b k n f -> (b k) n f"))
        for layer in self.layers:
            tokens = layer(tokens, tokens)
        tokens = rearrange(tokens, "(b k) n c -> b (k n) c", k=pairs)
        mask = None if present is None else present.repeat_interleave(patches, dim=1)  # (B, K * N)
        if self.queries is not None and self.gather is not None:
            tokens, mask = self.gather(self.queries.expand(tokens.shape[0], -1, -1), tokens, mask), None
        tokens = self.norm(tokens)
        vector = None if self.to_vector is None else self.to_vector(_mean(tokens, mask))
        if vector is not None and present is not None:
            vector = vector * present.any(dim=1, keepdim=True)  # no pairs, no vector
        return tokens, vector


def _mean(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the tokens (B, L, C) that count; of none it is zero."""
    if mask is None:
        return tokens.mean(dim=1)
    counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return (tokens * mask[..., None]).sum(dim=1) / counts


class _ResamplerLayer(nn.Module):
    """Pre-norm attention from tokens to a context, and an MLP."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_tokens, self.norm_context, self.norm_mlp = (nn.LayerNorm(dim) for _ in range(3))
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(approximate="tanh"), nn.Linear(4 * dim, dim))

    def forward(self, tokens: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (B, L, C) attend to context (B, M, C), where mask (B, M) is True; of an empty context, to all."""
        if mask is not None:  # softmax over nothing is undefined; what comes of an empty context is masked later
            mask = (mask | ~mask.any(dim=1, keepdim=True))[:, None, None, :]
        q = self.to_q(self.norm_tokens(tokens))
        k, v = self.to_kv(self.norm_context(context)).chunk(2, dim=-1)
        q, k, v = (rearrange(x, "b l (h d) -> b h l d", h=self.heads) for x in (q, k, v))
        if cpu_attention.is_better(q):
            attended = cpu_attention.attention(q, k, v, mask)
        else:
            attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        tokens = tokens + self.to_out(rearrange(attended, "b h l d -> b l (h d)"))
        updated: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return updated
