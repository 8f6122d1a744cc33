"""The state of a training as a checkpoint holds it, compared with what the training has before any of it is used."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from energy.errors import DamagedCheckpointError
from energy.io.old_names import ledger_name
from energy.io.schema import Kind, require_fields
from energy.ledger import Ledger
from energy.train.matching_tensors import require_tensors
from energy.train.metrics import CONTROLS

BEST: Final[dict[str, Kind]] = {"epoch": int, "accuracy": float}
FACTS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("epoch", "batch", "step"), int),
    "best": dict | None,
    "tally": {
        **dict.fromkeys(("examples", "batches"), int),
        "diverged": str,
        "ledger": dict[str, dict[str, float]],
        "outcomes": dict[str, dict[str, int]],
    },
    "seconds": dict[str, float],
    "totals": {
        "multiply_adds": float,
        "seconds": dict[str, float],
        "outcomes": dict[str, dict[str, int]],
        "sweeps": list[list[int]],
    },
    "breaks": list[dict],
    "optimizer": dict[str, dict],
}
LATER: Final[dict[str, Kind]] = {  # which older checkpoints lack
    "record": str,
    "forms": dict[str, dict[str, str]],
    "provenance": dict,
}
TALLY: Final[dict[str, Kind]] = {"scored": int}  # also
PROGRAM: Final[dict[str, Kind]] = {"used": bool, "ratio": float | None, "why": str}
SAMPLES: Final = re.compile(r"(steps|residual|converged|rate)/[^/]+|control/(scale|factor)")


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `<prefix>/` before their names."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def require_facts(facts: Mapping[str, Any], epochs: int, steps: int, where: Path) -> None:
    """Check the facts of a checkpoint: their types, and the place in the training.

    Args:
        facts: as they were stored.
        epochs: of the whole training.
        steps: of an epoch.
        where: the checkpoint, which messages begin with.

    Raises:
        DamagedCheckpointError: naming the first field that cannot be.
    """
    told = f"{where}: facts.json"
    require_fields(facts, FACTS, told, DamagedCheckpointError)
    require_fields(facts, LATER, told, DamagedCheckpointError, partial=True)
    require_fields(facts["tally"], TALLY, f"{told}: tally", DamagedCheckpointError, partial=True)
    if facts["best"] is not None:
        require_fields(facts["best"], BEST, f"{told}: best", DamagedCheckpointError)
    if facts.get("program") is not None:
        require_fields({"program": facts["program"]}, {"program": PROGRAM}, told, DamagedCheckpointError)
    epoch, batch = facts["epoch"], facts["batch"]
    step = facts["step"]
    if not (0 <= epoch <= epochs and 0 <= batch <= steps and step == epoch * steps + batch):
        place = f"epoch={epoch}, batch={batch}, step={step}"
        raise DamagedCheckpointError(f"{told}: {place}: cannot be, with {epochs} epochs of {steps} steps")
    if any(len(pair) != 2 for pair in facts["totals"]["sweeps"]):
        raise DamagedCheckpointError(f"{told}: totals: sweeps: must be pairs of numbers")
    known = {field.name for field in dataclasses.fields(Ledger)}
    if unknown := {ledger_name(name) for name in facts["tally"]["ledger"]} - known:
        raise DamagedCheckpointError(f"{told}: tally: ledger: {min(unknown)}: unknown; known: {', '.join(known)}")


def require_state(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], facts: Mapping[str, Any], at: Path
) -> None:
    """Check the tensors of a checkpoint but those of its optimizer.

    Args:
        tensors: as they were stored.
        wanted: as they must be, with the sums of the tally but without its samples.
        facts: those beside them.
        at: the checkpoint, which messages begin with.

    Raises:
        DamagedCheckpointError: for the first that is missing, unknown, or of another shape or type.
    """
    samples = {name: x for name, x in under(tensors, "tally/").items() if SAMPLES.fullmatch(name)}
    others = {name for name in tensors if name.startswith("optimizer/")} | {f"tally/{name}" for name in samples}
    own = {name: tensor for name, tensor in tensors.items() if name not in others}
    require_tensors(own, wanted, str(at), DamagedCheckpointError)
    _require_samples(samples, facts, at)


def _require_samples(samples: Mapping[str, Tensor], facts: Mapping[str, Any], at: Path) -> None:
    """Refuse samples of another shape or type, and those of a phase without the steps that they took."""
    for name, tensor in samples.items():
        most = facts["tally"]["batches" if name.startswith("control/") else "examples"]
        if tensor.dim() != 1 or len(tensor) > most:
            shape = tuple(tensor.shape)
            raise DamagedCheckpointError(f"{at}: tally/{name} has the shape {shape}, must be at most {most} in a row")
    for name, tensor in samples.items():
        exact = {"steps": torch.int64, "converged": torch.bool}.get(name.split("/")[0])
        if tensor.dtype is not exact if exact else not tensor.is_floating_point():
            said = str(exact or "a floating type").removeprefix("torch.")
            raise DamagedCheckpointError(f"{at}: tally/{name} is {tensor.dtype}, must be {said}")
    for name in (*samples, *(f"residual/{phase}" for phase in facts["tally"]["outcomes"])):
        what, phase = name.split("/", 1)
        together = [f"control/{one}" for one in CONTROLS] if what == "control" else [f"steps/{phase}"]
        together += [name, f"converged/{phase}"] if what == "residual" else []
        for other in together:
            if not len(samples.get(other, ())):
                raise DamagedCheckpointError(f"{at}: tally/{other} is missing or empty; must be there beside {name}")
