"""Spiking units, surrogate derivatives, encoders, errors of spike trains, and recordings of trials."""
