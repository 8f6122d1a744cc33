"""A study small enough to be measured in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from energy.component import from_dict
from energy.study.inference.study import Study
from energy.train.registration import register_builtins

Maker = Callable[..., Study]

SMALL: dict[str, Any] = {
    "model": {"name": "mlp", "sizes": [12, 8], "hidden": {"name": "hard_sigmoid"}, "gain": 0.5},
    "data": {"name": "digits", "limit": 150, "crop": 0},
    "objective": {"name": "squared_error"},
    "optimizer": {"name": "sgd", "lr": 0.02},
    "train": {"epochs": 2, "batch_size": 20, "weights": "last", "progress": False, "probe_every": 0, "program": "off"},
    "settlers": ["DP: dual_propagation", "EP: equilibrium_propagation keep_contracting=0"],
    "seeds": [0],
    "batch": 6,
    "validation_images": 10,
    "timing_rounds": 3,
    "title": "small",
}


def small_study(out: str, **changes: Any) -> Study:
    """The small study with some of its values changed; parts are merged."""
    register_builtins()
    plain = {**SMALL, "out": out}
    for name, value in changes.items():
        held = plain.get(name)
        other = isinstance(value, dict) and value.get("name", held.get("name") if isinstance(held, dict) else None)
        merges = isinstance(value, dict) and isinstance(held, dict) and other == held.get("name")
        plain[name] = {**held, **value} if merges and isinstance(held, dict) else value
    return from_dict(Study, plain, path="")
