"""The mean of two files of weights of one design, the second of which went on from the first.

    python recipes/mean_weights.py FIRST.safetensors SECOND.safetensors MEAN.safetensors --share 0.6

A stretch on few tasks forgets some of the others; between its weights and those that it began with lie some that know
both (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from relation_adapter.files import write_whole


def mean_weights(first: Path, second: Path, share: float) -> bytes:
    """A file of both with the metadata of the second. Raises ValueError where they hold different tensors.

    share: how much the second counts, from 0 to 1.
    """
    with safe_open(first, "pt") as one, safe_open(second, "pt") as other:
        forms = [[(name, file.get_slice(name).get_shape()) for name in sorted(file.keys())] for file in (one, other)]
        if forms[0] != forms[1]:
            raise ValueError(f"{first} and {second} hold different tensors; give two files of one design")
        mixed = {}
        for name, _ in forms[0]:
            old, new = one.get_tensor(name), other.get_tensor(name)
            mixed[name] = ((1 - share) * old.float() + share * new.float()).to(new.dtype).contiguous()
        metadata = dict(other.metadata())
    provenance = json.loads(metadata.get("provenance", "{}"))
    metadata["provenance"] = json.dumps({**provenance, "mean_with": first.name, "share": share})
    return save(mixed, metadata)


def main() -> None:
    """Write the mean of two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("first", type=Path, help="the weights that a stretch began with")
    parser.add_argument("second", type=Path, help="the weights that it ended with")
    parser.add_argument("mean", type=Path, help="the file to write")
    parser.add_argument("--share", type=float, default=0.5, help="how much the second counts, from 0 to 1")
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        sys.exit(f"--share {options.share} is not from 0 to 1")
    try:
        write_whole(options.mean, mean_weights(options.first, options.second, options.share))
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
