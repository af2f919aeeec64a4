"""Observing a run: what a layer's forward and backward pass had in memory, and the values inside each step."""
