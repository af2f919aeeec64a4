"""Tables with times, read into windows of series on a regular grid: the rows of a forecast."""
