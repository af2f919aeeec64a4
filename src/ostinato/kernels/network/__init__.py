"""Kernels of whole networks: one function that runs all nodes of a network, step by step, its sizes constants."""
