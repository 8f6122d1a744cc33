"""The run folder: its owner, its result if there is one, and the units of the numbers in it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from energy.component import ConfigurationError, from_dict, to_dict
from energy.errors import DamagedCheckpointError
from energy.io import checkpoint
from energy.io.atomic import unfinished
from energy.io.former import current
from energy.io.plain import flatten
from energy.io.plain_file import require_kind
from energy.io.record import (
    CHECKPOINTS,
    CONFIGURATION,
    EPOCHS,
    FINAL,
    RECORD,
    RESULT,
    exclusive_lock,
    require_plain_folder,
    with_inner_folders,
)
from energy.io.result import is_finished, read_configuration, read_result, write_configuration
from energy.io.schema import require_fields
from energy.train.run import Run, hash_of_description, identity

UNITS: Final = {
    "epoch": "number, from 0",
    "step": "steps since the start of the run, at the end of the epoch",
    "learning_rate": "of the last step; the greatest over the layers",
    "*_objective": "mean per sample, in the units of the objective",
    "*_accuracy": "percent of samples",
    "test_accuracy": "percent of samples",
    "*_r2": "R², the mean over the outputs of 1 − Σ(s − y)²/Σ(y − ȳ)²; 1 is exact; of real targets",
    "*_mean_squared_error": "mean of (s − y)² over samples and outputs, in the units in which targets are learned",
    "*_label_accuracy": "percent of labels, over samples and outputs; of targets that are on or off",
    "*_exact_match": "percent of samples all labels of which are right",
    "gamma": "feedback gain at the end of the epoch; below the settler's where its contraction is held",
    "control.acted_percent": "percent of steps in which settler.keep_contracting scaled anything down; none without it",
    "control.gamma_scale_*": "factor on gamma over those steps and all others",
    "control.weight_factor": "product of the factors on the weights of the edges that carry feedback",
    "settle.<phase>.outcomes": "solves (one per batch) by how they ended",
    "settle.<phase>.sweeps_*": "steps of the relaxation per sample, until it converged or the solve ended",
    "settle.<phase>.residual_*": "relative change that a response would still make to a layer, the largest, per sample",
    "settle.<phase>.rate_*": "factor by which a step lessened the residual, per sample, late in a solve; below 1 it "
    "contracts, null where fewer than two looks were taken",
    "settle.<phase>.converged_percent": "percent of samples within the tolerance when the solve ended",
    "diverged_layer": "name of the first layer that a solve of this epoch gave up as diverged",
    "multiply_adds": "multiply-adds of couplings: settling and weight products",
    "backprop_steps": "the same in units of back-propagation steps over the same samples (3U - U1 each)",
    "spikes": "spikes per sample, the input's too where it is encoded as spikes; only of networks that spike",
    "synaptic_operations": "the same, each times its fan-out: additions per sample on event-driven hardware",
    "spikes_by_layer": "spikes per sample by the layer that fires them",
    "seconds.learn": "settling and rule, training batches",
    "seconds.step": "in training steps: settling, rule, watch and optimizer; without the batches' preparation",
    "seconds.total": "wall clock of epochs: training, validation and probe",
    "cosine_binds": "what, put right by itself, raises the worst cosine most; null from 0.9 on",
    "reference": "how the solves of the exact gradient ended, by phase",
    "contraction": "how the free phase contracts about its equilibrium on the first images of the probe: loop gain, "
    "rates predicted and measured, steps expected and taken; median and max over samples, null where unknown",
    "weight_product_norm": "greatest stretch of the input by all weights in turn, potentials left out; null where a "
    "map between layers is not affine",
    "cosine_*": "cosine of the gradient with the exact one on the probe batch; 0 where nothing is learned, "
    "null where the exact one is zero",
}


def finished_result(run: Run, folder: Path) -> dict[str, Any] | None:
    """Read the result of `run`, if it is finished in `folder` already.

    Returns:
        None if it is not finished.

    Raises:
        ConfigurationError: when the folder holds another run, naming the first field that differs.
    """
    if os.path.lexists(folder / CONFIGURATION):
        require_plain_folder(folder)
        configured = read_configuration(folder)
        difference = _difference(_completed(current(Run, configured.get("identity"))), identity(run))
        if difference:
            raise ConfigurationError(f"out={str(folder)!r}: holds another run; {difference}; choose another folder")
        return read_result(folder) if is_finished(folder) else None
    strangers = [name for name in (RECORD, RESULT, CHECKPOINTS, FINAL) if os.path.lexists(folder / name)]
    if strangers:
        raise ConfigurationError(f"out={str(folder)!r}: holds {strangers[0]} but no {CONFIGURATION}; choose another")
    require_plain_folder(folder)
    return None


def acquire(run: Run, folder: Path) -> dict[str, Any] | None:
    """Make `folder` the folder of `run`, by writing its configuration.

    Returns:
        the result, if the run is finished there already.

    Raises:
        ConfigurationError: when the folder holds another run.
        DamagedFileError: when a file in it is not what was written, or a checkpoint in it is of another run.
    """
    result = finished_result(run, folder)
    if result is None and not require_kind(folder / CONFIGURATION):
        plain = identity(run)
        facts = {"run": to_dict(run), "identity": plain, "key": hash_of_description(plain)}
        write_configuration(folder, {**facts, "units": UNITS})
    if result is None:
        held = {name: checkpoint.steps(folder / name) for name in (CHECKPOINTS, FINAL, EPOCHS)}
        for path in [*held[CHECKPOINTS][-1:], *held[FINAL], *held[EPOCHS]]:
            _require_own(run, folder, path)
    return result


def clear_up(folder: Path) -> None:
    """Remove what a finished run left when it was killed: its checkpoints, and what is half-written or half-removed.

    Raises:
        LockedFolderError: while another process is at work in the folder.
        OSError: when the folder cannot be written in.
    """
    if checkpoint.steps(folder / CHECKPOINTS) or any(map(unfinished, with_inner_folders(folder))):
        with exclusive_lock(folder):
            checkpoint.prune(folder / CHECKPOINTS, 0)


def _require_own(run: Run, folder: Path, path: Path) -> None:
    """Refuse a checkpoint of another run, by its key, or by its description if it was written without a key."""
    facts = checkpoint.read_facts(path)
    require_fields(facts, {"run": dict}, f"{path}: facts.json", DamagedCheckpointError)
    key = read_configuration(folder).get("key")
    if "key" in facts:
        other = "" if facts["key"] == key else f"its key is {facts['key']}, that of the folder {key}"
    else:
        wanted = {name: value for name, value in identity(run).items() if name != "plugins"}
        other = _difference(_completed(current(Run, facts["run"])), wanted)
    if other:
        raise DamagedCheckpointError(f"{path}: is of another run ({other}); take it out of there")


def rebuilt(plain: Mapping[str, Any], folder: Path) -> Run:
    """Rebuild the run that `plain` describes, and check that its plug-ins are those it was trained with.

    Args:
        plain: the run as `to_dict` writes it.
        folder: the run folder, whose configuration has the digests of the plug-ins.

    Raises:
        ConfigurationError: naming the file, module or class that is missing or was another.
    """
    there = read_configuration(folder).get("identity", {}).get("plugins")
    if there is not None:
        require_fields({"plugins": there}, {"plugins": dict[str, str]}, f"{folder / CONFIGURATION}: identity")
    cure = f"take the code it was trained with, or take `plugins` out of {folder / CONFIGURATION} to go on without"
    return rebuilt_with(plain, there or {}, folder, cure)


def rebuilt_with(plain: Mapping[str, Any], there: Mapping[str, str], where: Path, cure: str) -> Run:
    """Rebuild the run that `plain` describes, and compare its plug-ins with others.

    Args:
        plain: the run as `to_dict` writes it.
        there: digests of the plug-ins that it was trained with.
        where: the folder or file that it comes from, which messages begin with.
        cure: the advice when they are others.

    Raises:
        ConfigurationError: as `rebuilt`.
    """
    try:
        run = from_dict(Run, _unlogged(current(Run, plain)))
    except ConfigurationError as error:
        if not there:
            raise
        needed = ", ".join(there)
        raise ConfigurationError(
            f"{where}: was trained with {needed}; give --plugin, or install or import it ({error})"
        ) from None
    here = identity(run).get("plugins", {})
    if there and sorted(there.values()) != sorted(here.values()):
        difference = _difference({"plugins": there}, {"plugins": here})
        raise ConfigurationError(f"{where}: {difference}; {cure}")
    return run


def _unlogged(plain: dict[str, Any]) -> dict[str, Any]:
    """The run without its logger, which may be a component that is not here, and which no weight depends on."""
    train = plain.get("train")
    if not isinstance(train, Mapping):
        return plain
    return {**plain, "train": {name: value for name, value in train.items() if name != "logger"}}


def _completed(held: Any) -> Any:
    """A description with the fields that were added since it was written, at their defaults."""
    if not isinstance(held, Mapping):
        return held
    try:
        found = identity(from_dict(Run, {name: value for name, value in held.items() if name != "plugins"}, path=""))
    except ConfigurationError:  # it has a part or a field that is not there now: the difference will name it
        return held
    found.pop("plugins", None)
    return {**found, "plugins": held["plugins"]} if "plugins" in held else found


def _difference(held: Any, wanted: Mapping[str, Any]) -> str:
    """The first field in which two descriptions differ, in words; empty when they are equal."""
    before, after = dict(flatten(held, ".")), dict(flatten(wanted, "."))
    for name in [*after, *before]:
        one, other = before.get(name, "nothing"), after.get(name, "nothing")
        if one != other and name.startswith("plugins."):
            sides = [f"SHA-256 {str(sha)[:12]}" if sha != "nothing" else sha for sha in (one, other)]
            return f"its code in {name.removeprefix('plugins.')} was another, there {sides[0]}, here {sides[1]}"
        if one != other:
            return f"there {name}={one!r}, here {other!r}"
    return ""
