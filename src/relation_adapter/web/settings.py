"""How an edit is made: the settings of the page and of the HTTP API, checked at the door."""

from __future__ import annotations

import math
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from relation_adapter.errors import UsageError
from relation_adapter.images import Size, parse_size
from relation_adapter.web.limits import MAX_SEED, MAX_STEPS, MAX_STRENGTH, TIMES_NATIVE

if TYPE_CHECKING:
    from relation_adapter.config import ModelConfig


@dataclass(frozen=True)
class Settings:
    """How an edit is made.

    strength: of all relations together, 1 as shown, 0 not at all. steps: of the sampler. size: `auto`, the model's
    choice; `own`, the source's; `native`; or `WxH` in pixels. seed: the only source of randomness. instruction: text,
    for models that read one.
    """

    strength: float = 1.0
    steps: int = 2
    size: str = "auto"
    seed: int = 0
    instruction: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @property
    def work_size(self) -> Size | str | None:
        """As the pipeline takes it."""
        return None if self.size == "auto" else parse_size(self.size)


def read_settings(design: ModelConfig, values: dict[str, Any]) -> Settings:
    """Settings from the words or numbers of a form; what is missing or empty is the model's choice.

    seed: `random` draws one. Raises UsageError.
    """
    given = {key: value for key, value in values.items() if value not in (None, "")}
    settings = Settings(
        strength=read_strength("strength", given.get("strength", 1.0)),
        steps=_whole("steps", given.get("steps", design.steps), 1, MAX_STEPS),
        size=str(given.get("size", "auto")).strip().lower(),
        seed=_seed(given.get("seed", 0)),
        instruction=str(given.get("instruction", ""))[:2000],
    )
    size = settings.work_size
    if isinstance(size, tuple):
        check_area(design, size)
    return settings


def read_strength(name: str, value: Any) -> float:
    """A strength, of one relation or of all. Raises UsageError."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} {value!r} is not a number") from error
    if not -MAX_STRENGTH <= number <= MAX_STRENGTH:  # nan is not
        raise UsageError(f"{name} {value} is not from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}")
    return number


def check_area(design: ModelConfig, size: Size) -> None:
    """Refuse to work at more pixels than this server gives one picture. Raises UsageError."""
    if size[0] * size[1] > TIMES_NATIVE * design.native_area:
        side = math.isqrt(TIMES_NATIVE * design.native_area)
        raise UsageError(f"size {size[0]}x{size[1]} is too large to work at here; use up to about {side}x{side}")


def _seed(value: Any) -> int:
    if value == "random":
        return secrets.randbelow(2**31)
    return _whole("seed", value, 0, MAX_SEED)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    try:
        number = int(value)
        exact = float(value) == number
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name} {value!r} is not a whole number") from error
    if not exact or not low <= number <= high:
        raise UsageError(f"{name} {value} is not a whole number from {low} to {high}")
    return number
