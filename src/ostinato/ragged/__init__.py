"""Batches of sequences of unequal length: lengths and resets as arguments, segments, index tensors, gathering."""
