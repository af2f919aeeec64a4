"""Plots of what the lens measures, as figures of matplotlib; `ostinato.lens.pictures` has the public names."""
