"""Measurements on networks, settlers, rules and images: gradients, units, filters, receptive fields."""
