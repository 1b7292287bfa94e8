"""Files in object storage under the same `Path`s as those on a disk: `Path("s3://bucket/a.png")` is one.

Whatever fsspec has a protocol for; the packages of some are to be installed. A path lies in a store from its last part
that ends in a colon on, as `s3:`; what stands before, a folder that it was joined to, does not count.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from relation_adapter.errors import MissingExtraError, RelationAdapterError, UsageError

_PLACE = re.compile(r"(?:.*/)?([a-z][a-z0-9+-]+):/+(.*)", re.DOTALL)
_SHOWN = re.compile(r"(?<![\w/:])(?:/[^\s:]*/)?([a-z][a-z0-9+-]+):/(?=[^/\s])")
ON_DISK = ("file", "local")
WITH_FOLDERS = ("sftp", "ssh", "hdfs", "webhdfs", "smb", "ftp")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "oci": "ocifs"}


def address(path: Path) -> str | None:
    """The address of a file in a store, `..` followed; None for one on a disk."""
    text = path.as_posix()
    found = _PLACE.fullmatch(text) if ":/" in text else None
    if found is None:
        return None
    rest = posixpath.normpath(found[2])
    return f"{found[1]}://{'/' if found[1] in ON_DISK else ''}{rest}"


def shown(text: str) -> str:
    """A message with addresses as they are written, where it holds them as paths."""
    return _SHOWN.sub(r"\1://", text) if ":/" in text else text


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A file to read, on a disk or in a store. Raises OSError, also for whatever a store's own library raises."""
    if (place := address(path)) is None:
        with path.open("rb") as file:
            yield file
        return
    # The files of fsspec read no line of bounded length by themselves.
    with _asked(place) as store, store.open(place, "rb") as far, BufferedReader(far) as file:
        yield file


def read(path: Path) -> bytes:
    """All of a file. Raises OSError."""
    if (place := address(path)) is None:
        return path.read_bytes()
    with _asked(place) as store:
        return bytes(store.cat_file(place))


def put(path: Path, data: bytes) -> None:
    """Write a file into a store, in one piece: it is there whole or not at all. Raises OSError."""
    place = _place(path)
    with _asked(place) as store:
        _make_folder(store, place)
        store.pipe_file(place, data)


def put_file(path: Path, local: Path) -> None:
    """Bring a file from this disk into a store. Raises OSError."""
    place = _place(path)
    with _asked(place) as store:
        _make_folder(store, place)
        store.put_file(str(local), place)


def fetch(path: Path, local: Path) -> None:
    """Bring a file from a store to this disk. Raises OSError."""
    place = _place(path)
    with _asked(place) as store:
        store.get_file(place, str(local))


def is_file(path: Path) -> bool:
    """Whether a file is there."""
    if (place := address(path)) is None:
        return path.is_file()
    with _asked(place) as store:
        return bool(store.isfile(place))


def names(folder: Path) -> set[str]:
    """The names of the files right in a folder; none where there is no such folder. Raises OSError."""
    if (place := address(folder)) is None:
        return {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    with _asked(place) as store:
        store.invalidate_cache()
        try:
            found = store.ls(place, detail=True)
        except FileNotFoundError:
            return set()
        return {posixpath.basename(str(one["name"])) for one in found if one["type"] == "file"}


def remove(path: Path) -> None:
    """Remove a file. Raises OSError."""
    if (place := address(path)) is None:
        path.unlink()
        return
    with _asked(place) as store:
        store.rm_file(place)


def _make_folder(store: Any, place: str) -> None:
    """Where a store has real folders; of another this would make a bucket."""
    if place.partition(":")[0] in (*ON_DISK, *WITH_FOLDERS):
        store.makedirs(place.rpartition("/")[0], exist_ok=True)


def _place(path: Path) -> str:
    place = address(path)
    assert place is not None, path
    return place


@contextmanager
def _asked(place: str) -> Iterator[Any]:
    """The store of an address; all that goes wrong there is an OSError.

    Raises MissingExtraError for a protocol whose package is not installed, UsageError for one that nobody knows.
    """
    import fsspec

    protocol = place.partition(":")[0]
    try:
        store, _ = fsspec.core.url_to_fs(place)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        told = f"pip install {package}" if package else " ".join(str(error).split())
        raise MissingExtraError(f"{protocol}:// needs a package that is not installed; {told}") from error
    except ValueError as error:
        raise UsageError(
            f"{place}: no kind of store is called {protocol}; use one of fsspec's, as s3, gs, az"
        ) from error
    except Exception as error:  # as a store that wants to be told who asks
        raise OSError(_why(error)) from error
    try:
        yield store
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place) from error
    except (OSError, RelationAdapterError):
        raise
    except Exception as error:  # libraries of stores have errors of their own
        raise OSError(_why(error)) from error


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
