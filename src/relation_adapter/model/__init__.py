"""The model: torch and diffusers, tensors only."""
