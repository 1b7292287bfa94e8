"""What a pipeline tells of the call at work, by the names that diffusers' callbacks and caches know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from relation_adapter.pipeline.flow_loop import Run


class CallState:
    """The state of the last call, or of the one at work."""

    _interrupt: bool = False
    _guidance_scale: float | None = None
    _num_timesteps: int | None = None
    _current_timestep: Tensor | None = None
    _joint_attention_kwargs: Mapping[str, Any] | None = None

    def _begin(self, run: Run) -> None:
        self._interrupt = False
        self._guidance_scale, self._num_timesteps, self._joint_attention_kwargs = run.guidance, run.steps, run.attention

    @property
    def interrupt(self) -> bool:
        """Set `pipe._interrupt = True` in a callback to stop after the step."""
        return self._interrupt

    @property
    def guidance_scale(self) -> float | None:
        """A callback may set `pipe._guidance_scale` for the steps to come."""
        return self._guidance_scale

    @property
    def num_timesteps(self) -> int | None:
        """Steps of the call."""
        return self._num_timesteps

    @property
    def current_timestep(self) -> Tensor | None:
        """Of the step at work, 1000 at the start, 0 at the picture; None between calls."""
        return self._current_timestep

    @property
    def joint_attention_kwargs(self) -> Mapping[str, Any] | None:
        """What is passed on to the attention."""
        return self._joint_attention_kwargs
