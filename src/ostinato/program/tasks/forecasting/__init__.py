"""The forecast of series: the task, its scales and network, its bands and metrics."""
