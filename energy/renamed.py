"""Former names of configuration fields and of their values.

Run folders written under a former name still load (`energy.io.former.current`). Elsewhere a former name is refused, and
the present one is suggested; those in `ACCEPTED` are still taken, with a warning.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Final

_STEPS: Final = {"norm": "p", "radius": "target_norm"}  # of every rule of one population
_DYADIC: Final = ("dual_propagation", "equilibrium_propagation", "contrastive_hebbian", "implicit")
_SIGNS: Final = ("sign", "sign_unit", "sign_batch")
_LOCAL: Final = ("softhebb", "krotov_hopfield", "hebb", "oja", "sanger")

FIELDS: Final[Mapping[tuple[str, str, str], str]] = {
    **{("rule", rule, old): new for rule in _LOCAL for old, new in _STEPS.items()},
    **{("settler", settler, "hold"): "freeze_mean" for settler in _DYADIC},
    **{("feedback", feedback, "agreement"): "sign_agreement" for feedback in _SIGNS},
    ("train", "", "renamed"): "layer_map",
    ("train", "", "tensorboard"): "logger",
    ("model", "softhebb", "centred"): "centered",
    ("model", "softhebb", "normalised"): "normalized",
    ("rule", "softhebb", "normalised"): "normalized",
    ("rule", "softhebb", "push"): "anti_hebbian",
    ("readout", "nearest", "neighbours"): "neighbors",
    ("rule", "krotov_hopfield", "push"): "anti_hebbian",
}
"""(group, component, former field): present field. The component of a class without a name is ""."""

VALUES: Final[Mapping[tuple[str, str, str, str | bool], str]] = {
    ("settler", "two_phase", "kind", "centred"): "centered",
    ("settler", "coupled_learning", "kind", "centred"): "centered",
    ("rule", "softhebb", "variant", "labelled"): "supervised",
    ("train", "", "logger", True): "tensorboard",
    ("train", "", "logger", False): "none",
}
"""(group, component, present field, former value): present value; of enumerations and names."""

ACCEPTED: Final[Mapping[tuple[str, str, str], str]] = {("train", "", "tensorboard"): "0.3"}
"""(group, component, former field) that is still taken: the version in which it goes."""


class FormerNameWarning(DeprecationWarning):
    """A former name that is still taken; the message names its successor and the version in which it goes."""


def renamed(group: str, component: str, field: str, value: Any) -> tuple[str, Any]:
    """Return the present name of a field, and its value under that name.

    Args:
        group: of the component.
        component: its name; "" for a class without one.
        field: a name of before, or the present one.
        value: of the field.
    """
    present = FIELDS.get((group, component, field), field)
    known = isinstance(value, str | bool)
    return present, VALUES.get((group, component, present, value), value) if known else value


def successors(former: str) -> list[str]:
    """Return the present names of a field or value that was called `former`."""
    fields = [new for (_, _, old), new in FIELDS.items() if old == former]
    values = [new for (_, _, _, old), new in VALUES.items() if old == former]
    return sorted({*fields, *values})


def accepted(group: str, component: str, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Put fields with a former name that is still taken under their present one, and warn of each.

    Args:
        group: of the component.
        component: its name; "" for a class without one.
        given: the fields; of both names the present one counts.
        path: the place of the component, for the warning.
    """
    found = dict(given)
    for former in [field for field in given if (group, component, field) in ACCEPTED]:
        field, value = renamed(group, component, former, found.pop(former))
        found.setdefault(field, value)
        before = f"{path}." if path else ""
        gone = ACCEPTED[group, component, former]
        told = f"{before}{former}: goes in version {gone}; say {before}{field}={value}"
        warnings.warn(told, FormerNameWarning, stacklevel=4)
    return found
