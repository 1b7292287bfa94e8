"""What the published models consist of: repositories, revisions, files, sizes, checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ANY_FILE = "*"  # the file of a part whose repository holds one file of weights, whatever its name
WEIGHTS_SUFFIXES = (".safetensors", ".bin")


@dataclass(frozen=True)
class Part:
    """One part of a published model, as a file or as a folder.

    name: base, image_encoder, adapter or lora.
    repo, revision: where it lies on the hub; a commit, or "main" where no commit is known.
    patterns: what is needed of the repository; a `*` matches any characters, also `/`.
    file: its path in the repository where the part is one file, else None: the part is a folder.
    size: bytes to fetch, about; 0 where not known.
    gated: whether its licence must be accepted on its page first.
    sha256: of its files where known, by path in the repository.
    local: where it is looked for in a weights folder, in this order.
    needs: of a folder, the files that one of another kind has not.
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
    needs: tuple[str, ...] = ()


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


# Revisions and checksums are those that several independent public lists agree on: of FLUX.1-dev, lists of blobs to
# fetch and logs of downloads, and for the VAE and the text encoders also FLUX.1-schnell's, which are the same files; of
# SigLIP, manifests of all its files. That of the third transformer shard is left out: one list alone names it. Of the
# adapter's repository no commit and no checksum is known: its files are checked by names and shapes alone.
FLUX_SHA256 = {
    "text_encoder/model.safetensors": "893d67a23f4693ed42cdab4cbad7fe3e727cf59609c40da28a46b5470f9ed082",
    "text_encoder_2/model-00001-of-00002.safetensors": (
        "ec87bffd1923e8b2774a6d240c922a41f6143081d52cf83b8fe39e9d838c893e"
    ),
    "text_encoder_2/model-00002-of-00002.safetensors": (
        "a5640855b301fcdbceddfa90ae8066cd9414aff020552a201a255ecf2059da00"
    ),
    "transformer/diffusion_pytorch_model-00001-of-00003.safetensors": (
        "d86a3038eacaa720682cb9b1da3c49fecf8a3ded605af4def6061eaa18903eb8"
    ),
    "transformer/diffusion_pytorch_model-00002-of-00003.safetensors": (
        "5e830704a83aa938dfaf23da308100a1c44b83fa084283abf1d163ea727e5f7a"
    ),
    "vae/diffusion_pytorch_model.safetensors": "f5b59a26851551b67ae1fe58d32e76486e1e812def4696a4bea97f16604d40a3",
}
SIGLIP_SHA256 = {
    "config.json": "adc04928d8fd19a61822584fe0cf2e813e5ebac17f3e49fb1ea096860ae6457b",
    "preprocessor_config.json": "f59da2f87c3cd079bd4f8f3037e81b277c60c498e279a8020331f67a5a3157e8",
    "model.safetensors": "ea2abad2b7f8a9c1aa5e49a244d5d57ffa71c56f720c94bc5d240ef4d6e1d94a",
}
ADAPTER_BYTES = 5_291_201_024  # 2,645,600,512 numbers in bfloat16; the file is a little more
LORA_BYTES = 717_225_984  # 358,612,992 numbers in bfloat16


def _one_file(name: str, repo: str, file: str, size: int, licence: str, *folders: str, revision: str = "main") -> Part:
    """A part that is one file; also looked for by its name, in `folders` and in folders named after the repository."""
    homes = ("", *(f"{folder}/" for folder in (*folders, repo, repo.rpartition("/")[2])))
    local = tuple(home + file for home in homes)
    return Part(name, repo, revision, (file,), file, size, gated=False, licence=licence, local=local)


BASE = Part(
    name="base",
    repo="black-forest-labs/FLUX.1-dev",
    revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
    # The root also holds the transformer and the VAE once more, as single files of another layout (24 GB).
    patterns=(
        "model_index.json",
        "scheduler/*.json",
        "text_encoder/*.json",
        "text_encoder/*.safetensors",
        "text_encoder_2/*.json",
        "text_encoder_2/*.safetensors",
        "tokenizer/*",
        "tokenizer_2/*",
        "transformer/*.json",
        "transformer/*.safetensors",
        "vae/*.json",
        "vae/*.safetensors",
    ),
    file=None,
    size=33_746_400_000,
    gated=True,
    licence="FLUX.1 [dev] Non-Commercial License",
    sha256=FLUX_SHA256,
    local=("FLUX.1-dev", "black-forest-labs/FLUX.1-dev"),
    needs=("model_index.json",),
)
IMAGE_ENCODER = Part(
    name="image_encoder",
    repo="google/siglip-so400m-patch14-384",
    revision="9fdffc58afc957d1a03a25b10dba0329ab15c2a3",
    patterns=("config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json"),
    file=None,
    size=3_511_951_568,
    gated=False,
    licence="Apache-2.0",
    sha256=SIGLIP_SHA256,
    local=("siglip-so400m-patch14-384", "google/siglip-so400m-patch14-384"),
    needs=("config.json", "preprocessor_config.json"),
)
ADAPTER = _one_file(
    "adapter",
    "handsomeWilliam/RelationAdapter",
    "ip_adapter-100000.bin",
    ADAPTER_BYTES,
    "Apache-2.0",
    "checkpoint-100000-ip-adapter",
)
LORA = _one_file(
    "lora",
    "handsomeWilliam/RelationAdapter",
    "pytorch_lora_weights.safetensors",
    LORA_BYTES,
    "Apache-2.0",
    "checkpoint-100000-lora",
)

FLUX_DEV: dict[str, Part] = {part.name: part for part in (BASE, IMAGE_ENCODER, ADAPTER, LORA)}
# Adapters of the same geometry in other repositories, which a hub id alone names.
OTHERS: tuple[Part, ...] = (
    _one_file(
        "adapter",
        "InstantX/FLUX.1-dev-IP-Adapter",
        "ip-adapter.bin",
        ADAPTER_BYTES,
        "FLUX.1 [dev] Non-Commercial License",
        revision="e44c6d889c951cac03ac806991e8d46c9ce1ddba",
    ),
)
