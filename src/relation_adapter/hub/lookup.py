"""From a part to its files: a given path, the weights folder, the hub's cache, the hub."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

from relation_adapter.errors import WeightsError
from relation_adapter.hub.fetch import cached, fetch, only_weights
from relation_adapter.hub.parts import ANY_FILE, FLUX_DEV, OTHERS, WEIGHTS_SUFFIXES, Part, Places
from relation_adapter.hub.refusals import UnreachableError
from relation_adapter.hub.whole import check_file, check_part

WEIGHTS_VARIABLE = "RELATION_ADAPTER_WEIGHTS"
HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w.-]+)(@(?P<revision>[^:\s]+))?(:(?P<file>[^:]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
SUFFIXES = (*WEIGHTS_SUFFIXES, ".pt", ".ckpt", ".gguf")
log = logging.getLogger(__name__)


def find(part: Part, places: Places, given: str | None = None) -> Path:
    """Where a part lies: a whole file, or a whole folder; fetched from the hub if need be.

    given: a local path; or a hub id `OWNER/NAME[@REVISION][:FILE]`; or None for the published one, which is looked
    for in the weights folder, then in the hub's cache, then fetched.
    Raises WeightsError, in one line with what to do, where it is nowhere, not whole or cannot be fetched.
    """
    if given is None:
        return _in_weights_folder(part, places) or _on_the_hub(part, places, published=True)
    path = Path(given).expanduser()
    if path.exists():
        return _local(part, path)
    return _on_the_hub(_named(part, given), places, published=False)


def weights_folder(places: Places) -> Path | None:
    """The folder of weights that is given or that RELATION_ADAPTER_WEIGHTS names. Raises WeightsError if missing."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    folder = places.folder or (Path(named) if named else None)
    if folder is None:
        return None
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        source = "given as the folder of weights" if places.folder else f"named by {WEIGHTS_VARIABLE}"
        raise WeightsError(f"{folder}: no such folder, {source}; check the path")
    return folder


def _in_weights_folder(part: Part, places: Places) -> Path | None:
    """The published part in the weights folder; one that is there but not whole is told, not fetched anew."""
    folder = weights_folder(places)
    if folder is None:
        return None
    return next((_local(part, folder / name) for name in part.local if (folder / name).exists()), None)


def _local(part: Part, path: Path) -> Path:
    """A given path, or the part's file in a given folder. Raises WeightsError where it is not whole."""
    if part.file is None:
        if not path.is_dir():
            raise WeightsError(f"{path}: one file; {part.name} needs the folder that diffusers or transformers saves")
        check_part(path, part)
        return path
    if path.is_dir():
        usual = (path / name for name in part.local)
        path = next((file for file in usual if file.exists()), None) or only_weights(path)
    check_file(path)
    return path


def _named(part: Part, given: str) -> Part:
    """The part that a hub id names. Raises WeightsError where it is neither an id nor a path that exists."""
    match = HUB_ID.fullmatch(given)
    if match is None or Path(match["repo"]).suffix in SUFFIXES:
        hint = "check the path, or give a hub id as OWNER/NAME[@REVISION][:FILE]"
        raise WeightsError(f"{given}: no such file or folder; {hint}")
    if match["file"] and part.file is None:
        raise WeightsError(f"{given}: {part.name} is a folder, not one file; leave out ':{match['file']}'")
    repo, revision, file = match["repo"], match["revision"], match["file"]
    known = next((other for other in (part, *FLUX_DEV.values(), *OTHERS) if _same(other, part, repo)), None)
    if known is None:
        known = replace(part, repo=repo, revision="main", size=0, gated=False, licence="", sha256={}, local=())
        known = known if part.file is None else _with_file(known, ANY_FILE)
    if file:
        known = _with_file(known, file)
    return replace(known, revision=revision, sha256={}) if revision else known


def _same(other: Part, part: Part, repo: str) -> bool:
    return other.name == part.name and other.repo.lower() == repo.lower()


def _with_file(part: Part, file: str) -> Part:
    patterns = tuple(f"*{suffix}" for suffix in WEIGHTS_SUFFIXES) if file == ANY_FILE else (file,)
    return replace(part, file=file, patterns=patterns)


def _on_the_hub(part: Part, places: Places, published: bool) -> Path:
    """From the cache where the revision is fixed or nothing may be fetched, else from the hub."""
    from huggingface_hub import constants

    offline = places.offline or constants.HF_HUB_OFFLINE
    if offline:
        return _offline(part, places)
    if published or COMMIT.fullmatch(part.revision):
        try:
            return cached(part, places)
        except WeightsError:
            return fetch(part, places)
    try:
        return fetch(part, places)
    except UnreachableError as error:
        try:
            found = cached(part, places)
        except WeightsError:
            raise error from None
        log.warning("%s; going on with what the cache holds", error)
        return found


def _offline(part: Part, places: Places) -> Path:
    """The part in the cache; of a fixed revision that is not there, what stands for main. Raises WeightsError."""
    try:
        return cached(part, places)
    except WeightsError as error:
        first = error
    try:
        return cached(replace(part, revision="main"), places)
    except WeightsError:
        size = f" ({part.size / 1e9:.1f} GB)" if part.size else ""
        by_hand = f", or copy it to a folder of weights as {part.local[0]}" if part.local else ""
        raise WeightsError(f"{first}; offline nothing is fetched: run once online{size}{by_hand}") from first
