"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PART_SUFFIX = ".part"


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, then rename it over `path`.

    Missing parent folders are created. A kill or a full disk leaves the old file, or none, never a part of the new
    one. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opened plainly and not with `tempfile`, which would leave the file readable by its owner alone.
    part = path.parent / f".{secrets.token_hex(8)}{PART_SUFFIX}"
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Remove the temporary files that a killed writer left in `folder`; only while no other process writes there."""
    for part in folder.glob(f".*{PART_SUFFIX}"):
        part.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """What an exception of another library says, in one line: "No space left on device"."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
