"""Applications of the library: the command line, the demo, the lab of known problems, the inspection of models."""
