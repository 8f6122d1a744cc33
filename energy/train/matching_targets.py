"""The parts of a run that read targets, compared with the kind of targets that its data have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from energy.component import ConfigurationError
from energy.targets import TargetKind

if TYPE_CHECKING:
    from energy.train.run import Setting


def require_targets(setting: Setting) -> None:
    """Check that the objective is for the targets of the data, and that nothing else asks for classes if they are not.

    Raises:
        ConfigurationError: naming the field that does not fit, and what does.
    """
    data, kind = setting.data, setting.data.targets
    named = data.name or type(data).__name__
    setting.objective.validate_targets(kind, named)
    if kind is TargetKind.CLASSES:
        return
    told = f"needs {TargetKind.CLASSES.value}; data={named} has {kind.value}"
    if setting.readout.fitted:
        raise ConfigurationError(f"readout={setting.readout.name}: {told}; take joint")
    if not setting.rule.descends:
        raise ConfigurationError(f"rule={setting.rule.name}: {told}; take contrast")
    if setting.train.mirrored:
        raise ConfigurationError(f"train.mirrored=true: {told}; take false")
