"""The points of a study measured one after the other, those that share a network by the same exact gradients."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from energy.errors import NonFiniteError
from energy.network import Network
from energy.study.inference.block import Quantity
from energy.study.inference.exact import Exact, exact_gradient, exact_key
from energy.study.inference.measure import Case, measure_point, validation_accuracy
from energy.study.inference.networks import Networks
from energy.study.inference.point import PlannedPoint, axes
from energy.study.inference.study import Study
from energy.train.finite_check import NonFinite
from energy.train.run import Run
from energy.train.settings import settings


def measure_cases(
    study: Study, networks: Networks, wanted: Iterable[PlannedPoint]
) -> Iterator[tuple[PlannedPoint, dict[str, Any]]]:
    """Yield each point with what is measured on it, times aside.

    A point whose training or activity is not finite yields `failed`, the reason, and no measures.
    """
    judged: dict[str, Exact] = {}
    for point in wanted:
        start = time.perf_counter()
        head: dict[str, Any] = {"id": point.key, "blocks": list(point.blocks), "axes": axes(point), "measured": []}
        try:
            with settings(study.train.deterministic, study.fused):
                found = _measured(study, networks, point, judged)
        except (NonFinite, NonFiniteError) as error:
            yield point, {**head, "failed": str(error), "measures": {}}
            continue
        head["axes"] |= sizes(networks.network(point))
        head["measured"] = sorted(one.name for one in point.measure - {Quantity.TIME})
        spent = {"seconds": time.perf_counter() - start, "multiply_adds": found["measures"]["multiply_adds"]}
        yield point, {**head, **found, "spent": spent}


def _measured(study: Study, networks: Networks, point: PlannedPoint, judged: dict[str, Exact]) -> dict[str, Any]:
    case = case_of(study, networks, point, judged)
    found = measure_point(case)
    if Quantity.ACCURACY in point.measure:
        parts = {name: point.setting[name] for name in ("model", "data", "objective", "rule")}
        run = Run(**parts, settler=point.settler, seed=point.seed, precision=point.precision, train=study.train)
        found["measures"]["accuracy"] = validation_accuracy(case, run)
    return found


def case_of(study: Study, networks: Networks, point: PlannedPoint, judged: dict[str, Exact]) -> Case:
    """Return a point with its network and images.

    Args:
        study: gives the number of validation images.
        networks: loads and trains.
        point: the point.
        judged: the exact gradients so far, to which its own are added.
    """
    network, batch = networks.network(point), networks.batch(point)

    def judge(given: tuple[torch.Tensor, torch.Tensor]) -> Exact:
        key = repr((point.group, exact_key(point.settler, given[0].dtype), digest(given[0])))
        if key not in judged:
            judged[key] = exact_gradient(network, point.settler, given, point.setting["objective"])
        return judged[key]

    return Case(point, network, batch, judge, networks.validation(point, study.validation_images))


def point_line(found: Mapping[str, Any]) -> str:
    """Return one line on a point that was just measured."""
    where, measures = found["axes"], found["measures"]
    if "failed" in found:
        return f"{where['settler']}: {found['failed']}"
    shown = {name: where[name] for name in ("gamma", "beta", "budget", "tolerance", "gain", "batch", "seed", "age")}
    words = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in shown.items()
        if value is not None
    ]
    angle = measures.get("cosine_worst")
    judged = "" if angle is None else f", worst cosine {angle:.4f}"
    price = f"{measures['outcome']}, {measures['backprop_steps']:.2f} BP steps"
    return f"{where['settler']} ({', '.join(words)}): {price}{judged}"


def sizes(network: Network) -> dict[str, int]:
    """Return the number of layers, of units above the input, and of parameters."""
    return {
        "depth": len(network.layers),
        "units": sum(torch.Size(layer.shape).numel() for layer in network.layers),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def digest(tensor: torch.Tensor) -> str:
    """Return the SHA-256 of the bytes of a tensor."""
    plain = tensor.detach().contiguous().cpu()
    return hashlib.sha256(plain.view(torch.uint8).numpy().tobytes()).hexdigest()
