"""Kernels that only the lens calls: norms of gradients, by row and of outer products."""
