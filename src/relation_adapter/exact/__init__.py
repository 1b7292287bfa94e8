"""Edits that one pair says exactly, and that need no model: mixes of what a pixel shows, curves, turns, motions, bends.

Every one is fitted to the pair and judged on blocks of the pair that no fit has seen. Importing this loads no torch.
"""
