"""The report of a watched training step: data classes, how they are built, their text form, and the diagnosis.

Letters: T steps of a call, B rows of its batch, S states of a cell, H units of a state (P behind a projection), N
segments, K lags. A segment is an unbroken sequence: a row of the batch up to its length, or the part of it between two
resets. Lag counts steps back from a segment's last step, in the order of computation: for the second direction of a
bidirectional layer lag 0 is the row's first step. Tensors are on the CPU, float64; NaN stands past a row's end.
"""
