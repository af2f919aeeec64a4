"""Decisions before code is emitted: the program of a cell, the schedule of a step, the layout of saved tensors."""
