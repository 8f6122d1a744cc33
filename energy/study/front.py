"""The front of a study: budgets that no other beats in price and cosine."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from energy.study.points import ARM, CELL, RUNG, Key, StudyPoint, arm_names, grouped, rung_text, shortfall
from energy.study.prices import judged_cosine


@dataclass(frozen=True)
class Rung:
    """One budget of one settler in one cell, over seeds.

    Attributes:
        label: name of the settler.
        axes: values of the axes that arm and cell have.
        budget: as words.
        price: back-propagation steps, the mean over seeds.
        cosine: of the worst layer, the least over seeds.
        n: seeds with both.
    """

    label: str
    axes: Mapping[str, Any]
    budget: str
    price: float
    cosine: float
    n: int


def rungs(points: Sequence[StudyPoint], names: Mapping[Key, str] | None = None) -> list[Rung]:
    """Return the budgets of every settler in every cell, with mean price and the least cosine over their seeds.

    Args:
        points: those of budgets or tolerances; budgets with a seed that has no cosine are left out.
        names: of the settlers, by the axes of an arm; those that tell them apart among these points if not given.
    """
    names = arm_names(points) if names is None else names
    found = []
    for key, group in grouped(points, (*ARM, *CELL, *RUNG)).items():
        cosines = [cosine for cosine in map(judged_cosine, group) if cosine is not None]
        if len(cosines) == len(group):
            axes: dict[str, Any] = dict(zip((*ARM, *CELL), key, strict=False))
            price = fmean(point["measures"]["backprop_steps"] for point in group)
            label = names[key[: len(ARM)]]
            found.append(Rung(label, axes, rung_text(group[0]["axes"]), price, min(cosines), len(group)))
    return found


def front(candidates: Iterable[Rung]) -> list[Rung]:
    """Return the candidates that no other beats: by price, those with a greater cosine than all cheaper ones.

    Cosines within 1e-8 of 1 are equal, because rounding tells them apart.
    """
    least, kept = math.inf, []
    for rung in sorted(candidates, key=lambda rung: (rung.price, -rung.cosine)):
        gap = shortfall(rung.cosine)
        if gap is not None and gap < least:
            least = gap
            kept.append(rung)
    return kept
