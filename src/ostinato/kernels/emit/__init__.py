"""Emitters: from a schedule to the functions of a kernel: products, pointwise code, the step, the loop over time."""
