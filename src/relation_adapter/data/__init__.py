"""Quads: their file form, where they come from, how they are checked, written and loaded."""
