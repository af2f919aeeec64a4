"""Rendering: a report as one page of HTML, numbers as plots of matplotlib, models as SVG diagrams."""
