"""The study of what the inference phase costs: its points, their measurement, and their record."""
