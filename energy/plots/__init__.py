"""Figures, drawn from records only; matplotlib is an extra and is imported when a figure is drawn."""
