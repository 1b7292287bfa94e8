"""Where the weights of the baselines lie: repositories, revisions, sizes.

Revisions are those that several independent public lists of downloads agree on, "main" where none names one.
"""

from __future__ import annotations

from dataclasses import replace

from relation_adapter.hub import FLUX_DEV, Part

NON_COMMERCIAL = "FLUX.1 [dev] Non-Commercial License"


def _pipeline(repo: str, revision: str, size: int, licence: str, gated: bool = False) -> Part:
    """The folder of a diffusers pipeline; single files of another layout beside it are left out."""
    base = FLUX_DEV["base"]
    return replace(
        base,
        repo=repo,
        revision=revision,
        patterns=(*base.patterns, "processor/*"),
        size=size,
        gated=gated,
        licence=licence,
        sha256={},
        local=(repo.rpartition("/")[2], repo),
    )


FLUX = FLUX_DEV["base"]
KONTEXT = _pipeline(
    "black-forest-labs/FLUX.1-Kontext-dev",
    "24e9dedc4ef646698dc8eb4e18ae2cec3c9fea0d",
    FLUX.size,
    NON_COMMERCIAL,
    gated=True,
)
VISUALCLOZE = _pipeline("VisualCloze/VisualClozePipeline-512", "main", FLUX.size, NON_COMMERCIAL)
KLEIN = _pipeline(
    "black-forest-labs/FLUX.2-klein-4B", "e7b7dc27f91deacad38e78976d1f2b499d76a294", 15_980_141_329, "Apache-2.0"
)
QWEN_EDIT = _pipeline(
    "Qwen/Qwen-Image-Edit-2511", "6f3ccc0b56e431dc6a0c2b2039706d7d26f22cb9", 57_720_454_694, "Apache-2.0"
)
