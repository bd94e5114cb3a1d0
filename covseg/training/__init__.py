"""Training: the loop, the step, the state, and how films reach it."""
