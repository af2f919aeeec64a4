"""One file a task: its encoding, network, loss, predictions, metrics and baselines."""
