"""A block of a study: every combination of some values, for some settlers, seeds and ages."""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, ClassVar

from hydra.core.override_parser.types import ValueType

from energy.component import Component, ConfigurationError, require
from energy.errors import shown
from energy.study.entrants import unquoted
from energy.study.override_grammar import MOST, parsed, swept_values

Variation = tuple[tuple[str, Any], ...]  # paths and their values, in the order in which they apply


class Quantity(enum.Enum):
    """A group of numbers that a block measures."""

    GRADIENT = "cosines with the exact gradient, residuals, energy gap, sweeps, multiply-adds, outcome"
    SAMPLES = "the cosine of single samples, each settled alone"
    SPECTRUM = "loop gain at the equilibrium, the rate it predicts, and that of the solve"
    TIME = "seconds and joules of a training step, in turn with back-propagation, and the bytes it holds and moves"
    ACCURACY = "percent of validation images that the free phase classifies"


class StudyBlock(Component):
    """Every combination of `vary`, for each of the settlers, seeds and ages.

    A combination that a settler does not admit, such as two phases at γ = 0, is left out.

    Attributes:
        title: the figure that it is for (`anytime`, `tolerance`, `scaling-…`, `phases`, `nudge`, `precision`,
            `evaluation`, `recipes`), or a word of its own.
        settlers: labels; all of the study unless given.
        vary: what is varied, `path=value,value,…`, as on the command line: `settler.…`, `model.…`, `objective.…`,
            `data.…`, `rule.…`; `gain` (a factor on the initial weights), `batch`, `precision`; `budget`, fixed steps
            T+K of the free and of the nudged phases; `tolerance`, of the free phase, that of the nudged phases in
            proportion. They apply from left to right.
        seeds: of weights and batch; those of the study unless given.
        ages: epochs of training after which the weights are measured; 0 for the initial ones.
        measure: the quantities.
    """

    group: ClassVar[str] = "block"
    title: str = "points"
    settlers: list[str] = field(default_factory=list)
    vary: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    ages: list[int] = field(default_factory=lambda: [0])
    measure: list[Quantity] = field(default_factory=lambda: [Quantity.GRADIENT])

    def __post_init__(self) -> None:
        require(bool(self.title) and "," not in self.title, self, "title", "a word")
        require(bool(self.ages) and min(self.ages) >= 0, self, "ages", "numbers of epochs, at least 0")
        require(bool(self.measure), self, "measure", f"some of {', '.join(one.name.lower() for one in Quantity)}")
        count = math.prod(len(values(text)[1]) for text in self.vary)
        require(count <= MOST, self, "vary", f"at most {MOST} combinations, not {count}")

    def variations(self) -> Iterator[Variation]:
        """Yield every combination of the varied values; one without any if nothing is varied."""
        yield from itertools.product(*([(path, one) for one in found] for path, found in map(values, self.vary)))


def values(text: str) -> tuple[str, list[Any]]:
    """Parse `path=value,value,…`.

    Raises:
        ConfigurationError: naming the text, if it cannot be read.

    Example:
        >>> values("settler.gamma=0.25,1")
        ('settler.gamma', [0.25, 1])
    """
    try:
        override = parsed(text)
        found = swept_values(override) if override.is_sweep_override() else [override.value()]
    except ConfigurationError as error:
        raise ConfigurationError(f"block.vary: {error}; say path=value,value") from None
    if override.is_delete() or override.is_add() or override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        raise ConfigurationError(f"block.vary: {shown(text)!r}: must be path=value,value")
    return override.key_or_group, [unquoted(one) for one in found]


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path; a word in place of a component chooses another one, at its defaults.

    Args:
        tree: plain values, changed in place.
        path: names joined by dots.
        value: plain.
    """
    *above, last = path.split(".")
    for name in above:
        inner = tree.setdefault(name, {})
        tree[name] = inner if isinstance(inner, dict) else {"name": inner}
        tree = tree[name]
    held = tree.get(last)
    tree[last] = {"name": value} if isinstance(held, Mapping) and isinstance(value, str) else value
