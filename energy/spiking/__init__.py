"""Spiking units, what stands for their derivative, encoders, errors of spike trains, and looking at them."""
