"""Measurements of a finished run for pictures: filters, receptive fields, populations, features.

Everything comes from the final weights and from at most a thousand images that were not trained on: those of the
validation split, or of the test split if there is none. Nothing is chosen by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from energy.analysis.embedding import MOST, neighborhoods, principal
from energy.analysis.filters import even, filters
from energy.analysis.population import Survey, survey
from energy.analysis.receptive import receptive
from energy.data.images import Images
from energy.io.figure_data import FIGURE_DATA, write_figure_data
from energy.network import Network
from energy.train.evaluate import load_run
from energy.train.run import Run
from energy.train.settings import settings

NEURONS: Final = 16  # receptive fields per layer


def measure_run(folder: Path, seed: int = 0) -> Path:
    """Measure the finished run in `folder` and write its `pictures.npz`.

    Args:
        folder: the run folder.
        seed: of the noise that receptive fields start from, and of t-SNE.

    Returns:
        the path of `pictures.npz`.

    Raises:
        FileNotFoundError: when the run left no final weights.
        DataError: when its images are not there.
    """
    run, network, stored = load_run(folder)
    images, split = _aside(run)
    arrays: dict[str, np.ndarray] = {}
    with settings(deterministic=False, fused_kernels=False):
        shown = filters(network)
        if shown is not None:
            arrays["filters"] = _on_host(shown)
        for name, fields in _receptive(network, images, seed).items():
            arrays[f"receptive/{name}"] = _on_host(even(fields))
        found = survey(network, run.settler, run.rule, images)
        arrays |= _populations(found) | _features(found, seed)
    facts = {"split": split, "images": len(images), "step": stored["step"], "seed": seed, **_names(run, network)}
    return write_figure_data(folder / FIGURE_DATA, arrays, facts)


def _names(run: Run, network: Network) -> dict[str, Any]:
    radii = {}
    for k, layer in enumerate(network.layers[:-1], start=1):
        law = run.rule.rule_for(network, k)
        radii[layer.name] = None if law is None else {"norm": law.p, "radius": law.target_norm}
    return {"title": run.title, "layers": list(radii), "laws": radii, "classes": list(run.data.names)}


def _aside(run: Run) -> tuple[Images, str]:
    """The first images that were not trained on, and the name of their split."""
    splits = run.data.load(run.place(), run.seed, run.precision.activity)
    split = "validation" if len(splits.validation) else "test"
    images: Images = getattr(splits, split)
    return images.first(MOST), split


def _receptive(network: Network, images: Images, seed: int) -> dict[str, Tensor]:
    """Receptive fields of each hidden layer about the mean of every channel, with the contrast of the images."""
    x = images.take(slice(None))[0].float()
    center = x.mean((0, 2, 3), keepdim=True)[0]
    contrast = float((x - center).square().mean().sqrt())
    return {
        layer.name: receptive(network, k, NEURONS, center=center, contrast=contrast, seed=seed)
        for k, layer in enumerate(network.layers[:-1], start=1)
    }


def _populations(found: Survey) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, one in found.layers.items():
        for what in ("norm", "rate", "weight", "activity"):
            drawn = getattr(one, what)
            if drawn is not None:
                arrays[f"{what}/{name}"], arrays[f"{what}_edges/{name}"] = map(_on_host, drawn)
        if one.wins is not None:
            arrays[f"wins/{name}"] = _on_host(one.wins)
    return arrays


def _features(found: Survey, seed: int) -> dict[str, np.ndarray]:
    """The features below the output layer, in the plane."""
    if not found.features:
        return {}
    values = torch.cat(found.features)
    placed, share = principal(values)
    arrays = {"principal": placed, "principal_share": share, "labels": torch.cat(found.labels)}
    if 4 <= len(values) <= MOST:
        arrays["neighbourhoods"] = neighborhoods(values, seed)
    return {name: _on_host(tensor) for name, tensor in arrays.items()}


def _on_host(tensor: Tensor) -> np.ndarray:
    """An array on the host, in single precision if its numbers are floating."""
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
