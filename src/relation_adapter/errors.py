"""Everything that can go wrong for a user, one clear line each.

RelationAdapterError
├── UsageError          the call or the options do not fit together
├── InputError          a file the user gave cannot be used
│   ├── PictureError    a picture: missing, corrupt, too large, not a picture
│   ├── QuadsError      a JSONL of quads: a broken line, an unknown key, a path outside
│   └── WeightsError    a weights or relation file: another design, another version, cut short
├── VlmError            a server of a vision-language model: no such address, a wrong key, no answers, a budget spent
├── BusyError           a server that has as many edits as it takes
└── MissingExtraError   an optional dependency is not installed

A message names the file or field, the value, and what to do next. The two in the middle are ValueErrors as well, which
is what callers of a diffusers pipeline catch.
"""

from __future__ import annotations


class RelationAdapterError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(RelationAdapterError, ValueError):
    """Options that do not fit together."""


class InputError(RelationAdapterError, ValueError):
    """A file the user gave cannot be used."""


class PictureError(InputError):
    """A picture that cannot be opened or is out of bounds."""


class QuadsError(InputError):
    """A file of quads or pairs with a line that cannot be used."""


class WeightsError(InputError):
    """A weights or relation file that does not fit."""


class VlmError(RelationAdapterError):
    """A vision-language model's server that cannot be asked, or may not be asked any more."""


class BusyError(RelationAdapterError):
    """A server has as many edits as it takes; the same request again, later, may be taken."""


class MissingExtraError(RelationAdapterError):
    """An optional dependency is not installed; the message is the install line."""
