"""How one layer in one direction runs: backends, the choice between them, autograd, checkpointing, observation."""
