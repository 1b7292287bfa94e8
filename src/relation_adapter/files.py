"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relation_adapter import stores
from relation_adapter.errors import UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PART_SUFFIX = ".part"
LOCK_NAME = ".lock"
# The models that come with the package.
SHIPPED = {"mini": Path(__file__).parent / "weights" / "mini.safetensors"}


@contextmanager
def writing_whole(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside `path` to write to; once the block ends it is renamed over `path`.

    In a store (`stores`) it is a file of this disk, which is then put there in one piece. Missing parent folders are
    created. A kill, an error or a full disk leaves the old file, or none, never a part of
    the new one. Raises OSError.
    """
    if stores.address(path) is not None:
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / path.name
            yield part
            stores.put_file(path, part)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{secrets.token_hex(8)}{PART_SUFFIX}"
    try:
        part.touch(exist_ok=False)
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)  # writers that go through `tempfile` would leave it readable by its owner alone
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all (`writing_whole`). Raises OSError."""
    if stores.address(path) is not None:
        stores.put(path, data)
        return
    with writing_whole(path) as part:
        part.write_bytes(data)


@contextmanager
def writing_whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files: yield a folder to write to, `part_folder(path)`, which then becomes `path`."""
    part = part_folder(path)
    part.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        for file in filter(Path.is_file, part.rglob("*")):
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def part_folder(path: Path) -> Path:
    """Where a folder is written before it has its name: known beforehand, so that many processes may write to it."""
    return path.with_name(f".{path.name}{PART_SUFFIX}")


def remove_parts(folder: Path) -> None:
    """Remove the temporary files that a killed writer left in `folder`; only while no other process writes there."""
    if stores.address(folder) is not None:  # what is put there in one piece leaves no parts
        return
    for part in folder.glob(f".*{PART_SUFFIX}"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def seen(folder: Path) -> bool:
    """Whether a folder is there; in a store any is."""
    return stores.address(folder) is not None or folder.is_dir()


def file_sum(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with stores.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: BaseException) -> str:
    """What an exception of another library says, in one line: "No space left on device"."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is missing, for this process.

    The system lets go of the lock when the process ends, however it ends. Raises UsageError where the folder cannot be
    made or another process holds it. A store knows no locks: there it is for the user to see to that.
    """
    if stores.address(folder) is not None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_NAME).open("a+b")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be used as the output folder ({reason(error)}); choose another") from error
    with file:
        try:
            if sys.platform == "win32":
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                # Not flock: worker processes would inherit it, and for a while outlive a killed parent with it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{folder}: another process works in this folder; wait for it or choose another"
            ) from error
        yield
