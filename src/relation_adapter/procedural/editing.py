"""Editing tasks: something in the scene changes, everything else stays."""

from __future__ import annotations

from . import editing_faces, editing_figures, editing_land, editing_objects, geometry
from .task import Task

MODULES = (editing_faces, editing_figures, editing_objects, editing_land, geometry)
TASKS: tuple[Task, ...] = tuple(entry for module in MODULES for entry in module.TASKS)
