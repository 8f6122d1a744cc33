"""A training step as one program: recorded, compiled and replayed."""

from energy.program.program import Program

__all__ = ["Program"]
