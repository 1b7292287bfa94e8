"""Keys and values that the blocks attend to beside their own tokens: those of relations, and of an isolated source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

KeyValue = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class BlockKeysValues(Sequence[KeyValue]):
    """One (keys, values) per block, each (B, L, H, D), doubles first; held as two tensors (blocks, B, L, H, D).

    Two tensors and not a list: a block that is compiled reads its own by an index that is a tensor, so that all blocks
    share one graph.
    """

    keys: Tensor
    values: Tensor

    def __len__(self) -> int:
        return self.keys.shape[0]

    def __getitem__(self, block: int) -> KeyValue:  # type: ignore[override]  # no slices
        return self.keys[block], self.values[block]

    def __iter__(self) -> Iterator[KeyValue]:
        return iter(zip(self.keys, self.values, strict=True))

    @classmethod
    def stack(cls, blocks: Sequence[KeyValue]) -> BlockKeysValues:
        return cls(*(torch.stack(side) for side in zip(*blocks, strict=True)))

    def pick(self, rows: slice | list[int], longest: int) -> BlockKeysValues:
        """Of these items of the batch, the first `longest` tokens."""
        return BlockKeysValues(self.keys[:, rows, :longest], self.values[:, rows, :longest])


@dataclass
class RelationKeysValues:
    """A relation as every block sees it.

    blocks: one (keys, values) per block, each (B, L, H, D) or (1, L, H, D), doubles first. strength: one per block, or
    one for all. mask: (B, L) bool, False where a shorter relation of the batch was padded; an item whose row is all
    False has no relation. vector: (B, P) added to the pooled text. tokens: (B, L, C) or (1, L, C), in place of the
    blocks where the relation is read in context, beside the source.
    """

    blocks: Sequence[KeyValue]
    strength: list[float] = field(default_factory=lambda: [1.0])
    mask: Tensor | None = None
    vector: Tensor | None = None
    tokens: Tensor | None = None
    # The strengths as a tensor (blocks,): to a compiled block a number is a constant, and another one another version.
    _strengths: Tensor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.blocks, BlockKeysValues):
            count = len(self.blocks) if len(self.strength) == 1 else 1
            self._strengths = torch.tensor(self.strength * count, device=self.blocks.keys.device)

    @property
    def acts(self) -> bool:
        """Whether any block sees it."""
        return any(strength != 0 for strength in self.strength)

    def strength_in(self, block: int, index: Tensor) -> float | Tensor:
        """Strength in this block, as a number or, where it is compiled, a tensor (1,); see `own` for the index."""
        if torch.compiler.is_compiling() and self._strengths is not None:
            return self._strengths.index_select(0, index)
        return self.strength[block] if len(self.strength) > 1 else self.strength[0]

    def is_same(self, other: RelationKeysValues) -> bool:
        """Whether both hold the very same tensors at the same strength."""
        same = self.blocks is other.blocks and self.mask is other.mask and self.vector is other.vector
        return same and self.strength == other.strength


class SourceRecorder:
    """Takes down the keys and values of source tokens that run alone, block by block.

    room: where they are written, if nobody will ask for gradients. Without it they are kept as they come; a block's
    first pair stays: with gradient checkpointing the backward pass runs the block again, and to keep what it records
    then would keep all its activations.
    """

    def __init__(self, room: BlockKeysValues | None = None) -> None:
        self.room = room
        self._kept: dict[int, KeyValue] = {}

    def record(self, block: int, index: Tensor, key: Tensor, value: Tensor) -> None:
        """Take down one block's (B, L, H, D)."""
        if self.room is None:
            self._keep(block, key, value)
        elif torch.compiler.is_compiling():
            self.room.keys.index_copy_(0, index, key[None].to(self.room.keys))
            self.room.values.index_copy_(0, index, value[None].to(self.room.values))
        else:
            self.room.keys[block].copy_(key)
            self.room.values[block].copy_(value)

    @torch.compiler.disable
    def _keep(self, block: int, key: Tensor, value: Tensor) -> None:
        self._kept.setdefault(block, (key, value))

    def recorded(self) -> SourceKeysValues:
        """What all blocks have recorded."""
        return SourceKeysValues(self.room or [self._kept[block] for block in range(len(self._kept))])


@dataclass(frozen=True)
class SourceKeysValues:
    """Recorded keys and values of isolated source tokens: per block (B, L, H, D), rotary code applied; only read."""

    blocks: Sequence[KeyValue]


def own(blocks: Sequence[KeyValue], block: int, index: Tensor) -> KeyValue:
    """Keys and values in this block.

    index: the block's number again, as a tensor (1,). A compiled block reads it there: with the plain number each block
    would need a version of its own, and torch gives up after eight.
    """
    if torch.compiler.is_compiling() and isinstance(blocks, BlockKeysValues):
        return blocks.keys.index_select(0, index)[0], blocks.values.index_select(0, index)[0]
    return _listed(blocks, block)


@torch.compiler.disable
def _listed(blocks: Sequence[KeyValue], block: int) -> KeyValue:
    return blocks[block]
