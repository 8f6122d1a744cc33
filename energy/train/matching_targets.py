"""The parts of a run that read targets, compared with the kind of targets that its data have."""

from __future__ import annotations

from energy.component import ConfigurationError
from energy.data.dataset import DataSet
from energy.objectives import Objective
from energy.readout.readout import Readout
from energy.rules.rule import Rule
from energy.targets import TargetKind


def require_targets(data: DataSet, objective: Objective, rule: Rule, readout: Readout, *, mirrored: bool) -> None:
    """Check that the objective is for the targets of the data, and that nothing else asks for classes if they are not.

    Args:
        data: has the targets.
        objective: of the run.
        rule: of the run.
        readout: of the run.
        mirrored: whether mirror images are scored too.

    Raises:
        ConfigurationError: naming the field that does not fit, and what does.
    """
    kind, named = data.targets, data.name or type(data).__name__
    objective.validate_targets(kind, named)
    if kind is TargetKind.CLASSES:
        return
    told = f"needs {TargetKind.CLASSES.value}; data={named} has {kind.value}"
    if readout.fitted:
        raise ConfigurationError(f"readout={readout.name}: {told}; take joint")
    if not rule.descends:
        raise ConfigurationError(f"rule={rule.name}: {told}; take contrast")
    if mirrored:
        raise ConfigurationError(f"train.mirrored=true: {told}; take false")
