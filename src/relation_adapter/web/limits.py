"""What one server takes, from one visitor and from all."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1_048_576

MAX_PAIRS = 4
MAX_RELATIONS = 4
MAX_STEPS = 100
MAX_STRENGTH = 4.0  # either way; 1 is as shown
MAX_SEED = 2**53 - 1  # the largest that JSON's numbers hold exactly
TIMES_NATIVE = 16  # times the area that the model was trained at, to work at
VIEW_SIDE = 1280  # px, of what the page shows; downloads are whole


@dataclass(frozen=True)
class Limits:
    """What one server takes.

    upload_mib: of one file. megapixels: of one picture. sources: of one edit. queue: edits at once, waiting and at
    work, of all visitors. per_visitor: the part of them that one visitor may have; a page has one. visit_mib: files
    kept for one visit, the oldest results go first. disk_mib: files of all visits, above which no upload is taken.
    """

    upload_mib: int = 32
    megapixels: int = 50
    sources: int = 50
    queue: int = 32
    visit_mib: int = 1024
    disk_mib: int = 8192

    @property
    def upload_bytes(self) -> int:
        """Of one file."""
        return self.upload_mib * MIB

    @property
    def request_bytes(self) -> int:
        """Of all files of one request."""
        return self.upload_bytes * 8

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return self.megapixels * 1_000_000

    @property
    def per_visitor(self) -> int:
        """Edits of one visitor at once."""
        return max(1, self.queue // 2)
