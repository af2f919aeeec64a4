"""A training and what is done with its result: prepare, train, judge, evaluate, predict, compare."""
