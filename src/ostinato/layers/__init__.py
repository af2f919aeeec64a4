"""Torch modules with gradients around the cells."""
