"""Scores: the free phase is settled as in training and compared with the labels, and nothing changes."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from energy.component import to_dict
from energy.data.dataset import Splits
from energy.data.images import Images
from energy.errors import DamagedCheckpointError, MissingFileError, UsageError
from energy.exchange import sum_of_all
from energy.io import checkpoint
from energy.io.record import EPOCHS
from energy.io.result import final_weights, require_owner
from energy.io.schema import Kind, require_fields
from energy.ledger import Ledger
from energy.network import Network
from energy.paths import expanded
from energy.ranks import separately
from energy.readout.decoder import Decoder, accuracies, dense_output
from energy.readout.features import batch_features, features
from energy.readout.readout import Readout, Report
from energy.readout.top_five import TopFive
from energy.settle.settled import Prediction
from energy.targets import TargetKind, target_of
from energy.train.exported import load_exported, require_fit
from energy.train.folder import rebuilt
from energy.train.metrics import EpochMetrics
from energy.train.registration import register_builtins
from energy.train.run import Run
from energy.train.same_data import data_facts, require_same_data

FACTS: Final[dict[str, Kind]] = {"run": dict, "weights": str, "step": int, "provenance": dict}
SPLITS = ("train", "validation", "test")


@torch.no_grad()
def score(run: Run, network: Network, images: Images, mirrored: bool = False) -> dict[str, Any]:
    """Score a network on all of `images`.

    The free phase of `run.settler` is used, with its own gamma and relaxation and without any nudge.

    Args:
        run: its settler finds the free state.
        network: the network.
        images: a split.
        mirrored: also score the mean of the outputs for an image and for its mirror image, as `mirrored_accuracy`.

    Returns:
        objective per sample, accuracy in percent, from 100 classes on also `top5_accuracy`, outcomes and steps of
        settling by phase, multiply-adds, spike counts if a unit spikes, and seconds. Of other targets than classes
        accuracy is None, and the scores of `energy.io.scores` are beside it.
    """
    classes, dtype = network.output.shape[0], run.precision.activity
    start, kind = time.perf_counter(), images.targets
    metrics = EpochMetrics(next(network.parameters()).device, kind, classes)
    top = TopFive(classes if kind is TargetKind.CLASSES else 0, metrics.objective.device)
    both = torch.zeros_like(metrics.objective, dtype=torch.int64)
    batches = images.batches(run.train.evaluate_batch, seed=run.seed, epoch=0, train=False)
    with separately():  # each rank scores batches of its own
        for x, labels in batches:
            prediction = predict(run, network, x.to(dtype), metrics.ledger)
            output = prediction.alone  # a score must not depend on how the images are batched
            target = target_of(labels, classes, kind, output.dtype)
            solutions = {} if prediction.solution is None else {"free": prediction.solution}
            objective = run.settler.value(run.objective, dataclasses.replace(prediction, output=output), target)
            metrics.add(objective, run.objective.answer(output, kind), labels, solutions)
            top.add(output, labels)
            if mirrored:
                output = output + predict(run, network, x.flip(-1).to(dtype), metrics.ledger).alone
                both += (run.objective.predict(output) == labels).sum()
    metrics = metrics.of_all(shared=False)
    top.of_all()
    sum_of_all([both])
    return {
        **dict.fromkeys(("objective", "accuracy")),
        **metrics.scores(),
        **top.accuracy(),
        **({"mirrored_accuracy": 100.0 * both.item() / metrics.examples} if mirrored else {}),
        "examples": metrics.examples,
        "settle": metrics.settling(),
        "multiply_adds": metrics.ledger.multiply_adds,
        **metrics.spike_counts(),
        "seconds": time.perf_counter() - start,
    }


def predict(run: Run, network: Network, x: Tensor, ledger: Ledger) -> Prediction:
    """Predict the output of the free phase.

    An output layer that was fitted to features scores them in the precision of its weights.

    Args:
        run: its settler finds the free state, and its read-out tells whether the output layer was fitted to features.
        network: the network.
        x: inputs (B, C, H, W).
        ledger: counts the multiply-adds.
    """
    if not run.readout.fitted:
        return run.settler.predict(network, x, ledger)
    values, dense = batch_features(network, run.settler, x, ledger), dense_output(network)
    assert dense.bias is not None
    ledger.apply("free", network.into(len(network.layers))[0].multiply_adds, len(x))
    return Prediction(network.output.potential.response(Decoder(dense.weight, dense.bias)(values)))


def load_run(folder: Path, device: str = "") -> tuple[Run, Network, dict[str, Any]]:
    """Load the run and the network of a finished run folder, or of a file that `energy export` wrote.

    Components are rebuilt by their registered names, never by an import path from the file.

    Args:
        folder: the run folder, or the file.
        device: of the network; empty for the run's own.

    Returns:
        the run, the network with its final weights, and the facts stored beside them.

    Raises:
        FileNotFoundError: when the run left no final weights.
        DamagedFileError: when they are not what was written; of a folder, a `DamagedCheckpointError`.
        ConfigurationError: when a component they need is not registered.
    """
    if folder.is_file():
        return load_exported(folder, device)
    return _loaded(folder, final_weights(folder), device)


def load_epoch(folder: Path, epoch: int, device: str = "") -> tuple[Run, Network, dict[str, Any]]:
    """Load the run and the network with the weights that `train.keep_epochs` kept after an epoch; see `load_run`.

    Args:
        folder: the run folder.
        epoch: the number of epochs done.
        device: of the network; empty for the run's own.

    Raises:
        FileNotFoundError: when the weights after that epoch were not kept, naming the epochs that were.
    """
    closed = [path for path in checkpoint.steps(folder / EPOCHS) if not path.name.endswith(checkpoint.OPEN)]
    found = {int(path.name.removeprefix("step-")): path for path in closed}
    if epoch not in found:
        kept = f"kept are those after {', '.join(map(str, found))}" if found else "train.keep_epochs keeps some"
        raise MissingFileError(f"{folder}: has no weights of epoch {epoch}; {kept}")
    return _loaded(folder, found[epoch], device)


def _loaded(folder: Path, path: Path, device: str) -> tuple[Run, Network, dict[str, Any]]:
    """The run in `folder`, its network with the weights in the checkpoint `path`, and the facts there."""
    register_builtins()
    tensors, facts = checkpoint.read(path)
    require_fields(facts, FACTS, f"{path}: facts.json", DamagedCheckpointError)
    run = rebuilt({**facts["run"], "device": device or facts["run"].get("device", "auto")}, folder)
    require_owner(folder, path)
    weights = {name.removeprefix("weights/"): tensor for name, tensor in tensors.items()}
    require_fit(run, weights, path)
    network = run.network()
    network.load_state_dict(weights)
    return run, network, facts


def decoder(
    run: Run, network: Network, splits: Splits, readout: Readout, ledger: Ledger, report: Report
) -> Callable[[Tensor], Tensor]:
    """Fit a decoder to the features of the training split, scored on the validation split if it is not empty.

    Args:
        run: its settler computes the features.
        network: the network.
        splits: the data.
        readout: the way to fit.
        ledger: counts the multiply-adds of the features.
        report: called with one line per epoch of the fit.

    Returns:
        a function from features (B, F) to scores (B, classes).
    """
    train = features(network, run.settler, splits.train, run.train.evaluate_batch, ledger)
    validation = None
    if len(splits.validation):
        validation = features(network, run.settler, splits.validation, run.train.evaluate_batch, ledger)
    return readout.fit(train, validation, splits.train.classes, run.seed, report)


def evaluate(
    folder: str | Path, split: str = "test", device: str = "", readout: Readout | None = None
) -> dict[str, Any]:
    """Score a finished run folder on one split, with the settler and gamma stored beside the weights.

    Args:
        folder: the run folder, or a file that `energy export` wrote.
        split: train, validation or test.
        device: of the network; empty for the run's own.
        readout: fitted to the features of the training split, in place of the output layer of the run.

    Returns:
        the split, the step and choice of the weights, and what `score` returns; with a `readout` its accuracy and its
        fit.

    Raises:
        ValueError: when there is no such split, or it is empty.
        FileNotFoundError: when the run left no final weights.
        DataError: when the classes of the data are others than those that were trained on. Other examples of them are a
            caution.
    """
    if split not in SPLITS:
        raise UsageError(f"split={split!r}: must be one of {', '.join(SPLITS)}")
    run, network, facts = load_run(expanded(folder), device)
    place = run.place()
    splits = run.data.load(place, run.seed, run.precision.activity)
    require_same_data(facts, data_facts(run.data), folder, exactly=False)
    images: Images = getattr(splits, split)
    if not len(images):
        raise UsageError(f"split={split!r}: is empty in this run (data.validation={run.data.validation:g})")
    head = {"split": split, "step": facts["step"], "weights": facts["weights"]}
    if readout is None:
        return {**head, **score(run, network, images, run.train.mirrored)}
    start = time.perf_counter()
    ledger, lines = Ledger(), list[dict[str, Any]]()
    decode = decoder(run, network, splits, readout, ledger, lines.append)
    held = features(network, run.settler, images, run.train.evaluate_batch, ledger)
    found = {**accuracies(decode, held), "examples": len(held), "readout": to_dict(readout), "fit": lines}
    return {**head, **found, "multiply_adds": ledger.multiply_adds, "seconds": time.perf_counter() - start}
