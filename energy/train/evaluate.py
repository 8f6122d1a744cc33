"""Scoring: settle the free phase as training did, compare with the labels, change nothing."""

import time
from pathlib import Path
from typing import Any

import torch

from energy.component import build
from energy.data.images import Images
from energy.network import Network
from energy.objectives import one_hot
from energy.train import checkpoint
from energy.train.known import know
from energy.train.meter import Tally
from energy.train.record import FINAL
from energy.train.run import Run

SPLITS = ("train", "validation", "test")


@torch.no_grad()
def score(run: Run, network: Network, images: Images) -> dict[str, Any]:
    """Objective per sample, accuracy in percent, and what settling was and cost, over all of ``images``.

    The free phase of ``run.settler`` is used, with its own gamma and relaxation and without any nudge.
    """
    tally = Tally(next(network.parameters()).device)
    start = time.perf_counter()
    classes, dtype = network.output.shape[-1], run.precision.activity
    for x, labels in images.batches(run.train.evaluate_batch, seed=run.seed, epoch=0, train=False):
        prediction = run.settler.predict(network, x.to(dtype), tally.ledger)
        target = one_hot(labels, classes, prediction.output.dtype)
        solutions = {} if prediction.solution is None else {"free": prediction.solution}
        objective = run.settler.value(run.objective, prediction, target)
        tally.add(objective, run.objective.predict(prediction.output), labels, solutions)
    objective_mean, accuracy = tally.quality()
    return {
        "objective": objective_mean,
        "accuracy": accuracy,
        "examples": tally.examples,
        "settle": tally.settling(),
        "multiply_adds": tally.ledger.multiply_adds,
        **tally.fired(),
        "seconds": time.perf_counter() - start,
    }


def load(folder: Path, device: str = "") -> tuple[Run, Network, dict[str, Any]]:
    """The run and the network of a finished run folder, rebuilt from its final weights by name, never by import path.

    Args:
        folder: the run folder.
        device: where to put the network; empty for what the run said.

    Raises:
        FileNotFoundError: when the run left no final weights.
        DamagedCheckpoint: when they are not what was written.
        ConfigurationError: when a component they need is not registered.
    """
    know()
    found = checkpoint.steps(folder / FINAL)
    if not found:
        raise FileNotFoundError(f"{folder}: has no final weights; the run is not finished")
    tensors, facts = checkpoint.read(found[-1])
    plain = {**facts["run"], "device": device or facts["run"]["device"]}
    run = build(Run, plain)
    network = run.network()
    network.load_state_dict({name.removeprefix("weights/"): tensor for name, tensor in tensors.items()})
    return run, network, facts


def evaluate(folder: str | Path, split: str = "test", device: str = "") -> dict[str, Any]:
    """Score a finished run folder on one split, with the settler and gamma stored beside the weights.

    Raises:
        ValueError: when there is no such split, or it is empty.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: must be one of {', '.join(SPLITS)}")
    run, network, facts = load(Path(folder), device)
    place = run.place()
    images: Images = getattr(run.data.load(place, run.seed), split)
    if not len(images):
        raise ValueError(f"split={split!r}: is empty in this run (data.validation={run.data.validation:g})")
    return {"split": split, "step": facts["step"], "weights": facts["weights"], **score(run, network, images)}
