"""A record in which every point has every measure: those that were not asked for are None."""

from collections.abc import Mapping
from typing import Any, Final

from energy.study.inference.record import MEASURES, OF_LAYER

TREES: Final = ("outcomes", "steps", "reference")  # measures of each phase
SAMPLES: Final = ("residual", "energy_gap", "cosine")


def complete_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a study with None for what a point, a layer or a training does not tell.

    A study measures of each block what that asks for, so that a point has a part of the measures only.
    """
    points = [_complete_point(point) for point in record["points"]]
    return {**record, "points": points, "trainings": [{"gain": None, **one} for one in record["trainings"]]}


def _complete_point(point: Mapping[str, Any]) -> dict[str, Any]:
    found = point["measures"]
    measures = {**dict.fromkeys(MEASURES), **found, **{name: found.get(name) or {} for name in TREES}}
    layers = {layer: {**dict.fromkeys(OF_LAYER), **numbers} for layer, numbers in point["layers"].items()}
    samples = {"sweeps": {}, **{name: [] for name in SAMPLES}, **point["samples"]}
    return {**point, "measures": measures, "layers": layers, "samples": samples}
