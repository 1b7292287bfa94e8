"""Run any editor over quads, score what it made, and report."""
