"""The hub and its cache, through huggingface_hub."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from relation_adapter.errors import WeightsError
from relation_adapter.hub.parts import ANY_FILE, WEIGHTS_SUFFIXES, Part, Places
from relation_adapter.hub.refusals import one_line, page_of
from relation_adapter.hub.whole import check_file, check_part

GB = 1e9


@dataclass(frozen=True)
class _Remote:
    """One file on the hub: its path, its size, and the name that its content has in the cache."""

    path: str
    size: int
    blob: str


def cached(part: Part, places: Places) -> Path:
    """The part in the hub's cache, whole. Asks nobody. Raises WeightsError where it is not there or not whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            part.repo,
            revision=part.revision,
            cache_dir=places.cache,
            allow_patterns=list(part.patterns),
            local_files_only=True,
        )
    except LocalEntryNotFoundError as error:
        raise WeightsError(f"{part.repo}: not in the hub's cache at {cache_folder(places)}, or not whole") from error
    return whole(part, Path(folder))


def fetch(part: Part, places: Places) -> Path:
    """The part from the hub, through its cache: what is there already is not fetched again.

    One file after the other, so that Ctrl-C ends it at once and the first refusal is the one told.
    Raises WeightsError, in one line with what to do.
    """
    from huggingface_hub import get_token, hf_hub_download

    token = places.token or get_token()
    with one_line(part, with_token=bool(token)):
        commit, files = _listing(part, token)
        _check_room(part, places, files)
        options: dict[str, Any] = {"cache_dir": places.cache, "token": token}
        for file in files:
            broken = _is_broken(part, places, file, commit)
            hf_hub_download(part.repo, file.path, revision=commit, force_download=broken, **options)
        # Once all is there: the cache then knows which commit the name of a branch stands for.
        last = hf_hub_download(part.repo, files[0].path, revision=part.revision, **options)
    return whole(part, Path(last).parents[files[0].path.count("/")])


def whole(part: Part, folder: Path) -> Path:
    """The part in a folder that holds the repository, once checked. Raises WeightsError."""
    if part.file is None:
        check_part(folder, part)
        return folder
    file = only_weights(folder) if part.file == ANY_FILE else folder / part.file
    check_file(file)
    return file


def only_weights(folder: Path) -> Path:
    """The one file of weights in a folder. Raises WeightsError where there is none or more than one."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in WEIGHTS_SUFFIXES]
    if len(files) != 1:
        raise WeightsError(f"{folder}: {_choice([file.name for file in files], f'{folder}/')}")
    return files[0]


def cache_folder(places: Places) -> Path:
    """Where the hub's cache lies."""
    from huggingface_hub import constants

    return Path(places.cache or constants.HF_HUB_CACHE).expanduser()


def _listing(part: Part, token: str | None) -> tuple[str, list[_Remote]]:
    """The commit, and its files that the part needs, smallest first: what is wrong shows before the long ones."""
    from huggingface_hub import HfApi, constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT  # without one, the client waits for ever
    info = HfApi(token=token).model_info(part.repo, revision=part.revision, files_metadata=True, timeout=timeout)
    files = [
        _Remote(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else entry.blob_id or "")
        for entry in info.siblings or []
    ]
    needed = [file for file in files if any(fnmatchcase(file.path, pattern) for pattern in part.patterns)]
    if part.file == ANY_FILE:
        needed = [file for file in needed if "/" not in file.path]
        if len(needed) != 1:
            raise WeightsError(f"{part.repo}: {_choice([file.path for file in needed], part.repo + ':')}")
    if not needed:
        wanted = f"no {part.file}" if part.file else "none of the files of a model"
        raise WeightsError(f"{part.repo}: has {wanted} at {part.revision}; see {page_of(part)}/tree/main")
    return str(info.sha), sorted(needed, key=lambda file: (file.size, file.path))


def _choice(names: list[str], before: str) -> str:
    if not names:
        return "no .safetensors or .bin file in it; check the name"
    return f"{len(names)} files of weights in it ({', '.join(names[:4])}); give one, as {before}{names[0]}"


def _check_room(part: Part, places: Places, files: list[_Remote]) -> None:
    """Refuse to begin what the disk cannot hold. Raises WeightsError."""
    cache = cache_folder(places)
    blobs = cache / f"models--{part.repo.replace('/', '--')}" / "blobs"
    needed = sum(file.size for file in files if not (blobs / file.blob).exists())
    home = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(home).free
    if needed > free:
        raise WeightsError(
            f"{part.repo}: {needed / GB:.1f} GB to fetch, and {free / GB:.1f} GB free at {cache}; "
            "make room, or name another disk with HF_HOME"
        )


def _is_broken(part: Part, places: Places, file: _Remote, commit: str) -> bool:
    """Whether the cache holds this file with another size than the hub's."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(part.repo, file.path, cache_dir=places.cache, revision=commit)
    return isinstance(found, str) and bool(file.size) and Path(found).stat().st_size != file.size
