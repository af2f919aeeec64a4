"""Training on examples: batches by length, the fit with its budget, exact resumption."""
