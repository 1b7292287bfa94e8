"""Customized tasks: the picture made into an object of its own."""

from __future__ import annotations

from . import customized_forms, customized_frames, customized_people, customized_prints, customized_things
from .task import Task

MODULES = (customized_frames, customized_prints, customized_things, customized_forms, customized_people)
TASKS: tuple[Task, ...] = tuple(entry for module in MODULES for entry in module.TASKS)
