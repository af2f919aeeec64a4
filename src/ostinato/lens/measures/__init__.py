"""The measures: one quantity a file, with its formula, unit, range, healthy value, cost and source."""
