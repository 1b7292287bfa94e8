"""What the published models consist of: repositories, revisions, files, sizes, checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One part of a published model, as a file or as a folder.

    name: base, image_encoder, adapter or lora.
    repo, revision: where it lies on the hub; a commit, or "main" where no commit is known.
    patterns: what is fetched of the repository; a `*` matches any characters, also `/`.
    file: its path in the repository where the part is one file, else None: the part is a folder.
    size: bytes to fetch, 0 where not known.
    gated: whether its licence must be accepted on its page first.
    sha256: of its files where known, by path in the repository.
    local: where it is looked for in a weights folder, in this order.
    """

    name: str
    repo: str
    revision: str
    patterns: tuple[str, ...]
    file: str | None
    size: int
    gated: bool
    licence: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    local: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where parts are looked for.

    folder: a folder of weights; None: the one that RELATION_ADAPTER_WEIGHTS names, if any.
    cache: the hub's cache; None: huggingface_hub's own (HF_HUB_CACHE, HF_HOME).
    offline: nothing is fetched; so too where HF_HUB_OFFLINE is set.
    token: of the hub; None: HF_TOKEN or the login.
    """

    folder: Path | None = None
    cache: Path | None = None
    offline: bool = False
    token: str | None = None


FLUX_DEV: dict[str, Part] = {
    part.name: part
    for part in (
        Part(
            name="base",
            repo="black-forest-labs/FLUX.1-dev",
            revision="main",
            # The root also holds the same weights twice more, as single files of another layout (24 GB).
            patterns=(
                "model_index.json",
                "scheduler/*.json",
                "text_encoder/*",
                "text_encoder_2/*",
                "tokenizer/*",
                "tokenizer_2/*",
                "transformer/*",
                "vae/*",
            ),
            file=None,
            size=0,
            gated=True,
            licence="FLUX.1 [dev] non-commercial",
            local=("FLUX.1-dev", "black-forest-labs/FLUX.1-dev"),
        ),
        Part(
            name="image_encoder",
            repo="google/siglip-so400m-patch14-384",
            revision="main",
            patterns=("config.json", "preprocessor_config.json", "model.safetensors"),
            file=None,
            size=0,
            gated=False,
            licence="Apache-2.0",
            local=("siglip-so400m-patch14-384", "google/siglip-so400m-patch14-384"),
        ),
        Part(
            name="adapter",
            repo="handsomeWilliam/RelationAdapter",
            revision="main",
            patterns=("ip_adapter-100000.bin",),
            file="ip_adapter-100000.bin",
            size=0,
            gated=False,
            licence="Apache-2.0",
            local=(
                "ip_adapter-100000.bin",
                "checkpoint-100000-ip-adapter/ip_adapter-100000.bin",
                "handsomeWilliam/RelationAdapter/ip_adapter-100000.bin",
                "RelationAdapter/ip_adapter-100000.bin",
            ),
        ),
        Part(
            name="lora",
            repo="handsomeWilliam/RelationAdapter",
            revision="main",
            patterns=("pytorch_lora_weights.safetensors",),
            file="pytorch_lora_weights.safetensors",
            size=0,
            gated=False,
            licence="Apache-2.0",
            local=(
                "pytorch_lora_weights.safetensors",
                "checkpoint-100000-lora/pytorch_lora_weights.safetensors",
                "handsomeWilliam/RelationAdapter/pytorch_lora_weights.safetensors",
                "RelationAdapter/pytorch_lora_weights.safetensors",
            ),
        ),
    )
}
