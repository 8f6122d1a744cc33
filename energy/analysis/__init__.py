"""Measurements on a network, a settler, a rule and images: gradients, units, filters, receptive fields."""
