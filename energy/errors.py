"""Errors that more than one room raises or catches."""


class NonFiniteError(ValueError):
    """A number that is NaN or infinite, named before it reaches a weight."""
