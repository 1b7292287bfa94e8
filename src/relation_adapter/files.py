"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART_SUFFIX = ".part"


@contextmanager
def writing_whole(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside `path` to write to; once the block ends it is renamed over `path`.

    Missing parent folders are created. A kill, an error or a full disk leaves the old file, or none, never a part of
    the new one. Raises OSError.
    """
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
    with writing_whole(path) as part:
        part.write_bytes(data)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files that a killed writer left in `folder`; only while no other process writes there."""
    for part in folder.glob(f".*{PART_SUFFIX}"):
        part.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """What an exception of another library says, in one line: "No space left on device"."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
