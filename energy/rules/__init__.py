"""From settled states to parameter gradients: the learning rules."""

from energy.rules.contrast import Contrast
from energy.rules.rule import Rule

__all__ = ["Contrast", "Rule"]
