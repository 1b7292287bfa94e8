"""Training: the loss, the loop, the state."""
