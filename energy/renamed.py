"""Former names of configuration fields and of their values.

Run folders written under a former name still load (`energy.io.former.current`); everywhere else a former name is
refused, and the present one is suggested.
"""

from collections.abc import Mapping
from typing import Final

_STEPS: Final = {"norm": "p", "radius": "target_norm"}  # of every rule of one population
_DYADIC: Final = ("dual_propagation", "equilibrium_propagation", "contrastive_hebbian", "implicit")
_SIGNS: Final = ("sign", "sign_unit", "sign_batch")
_LOCAL: Final = ("softhebb", "krotov_hopfield", "hebb", "oja", "sanger")

FIELDS: Final[Mapping[tuple[str, str, str], str]] = {
    **{("rule", rule, old): new for rule in _LOCAL for old, new in _STEPS.items()},
    **{("settler", settler, "hold"): "freeze_mean" for settler in _DYADIC},
    **{("feedback", feedback, "agreement"): "sign_agreement" for feedback in _SIGNS},
    ("train", "", "renamed"): "layer_map",
    ("model", "softhebb", "centred"): "centered",
    ("model", "softhebb", "normalised"): "normalized",
    ("rule", "softhebb", "normalised"): "normalized",
    ("rule", "softhebb", "push"): "anti_hebbian",
    ("readout", "nearest", "neighbours"): "neighbors",
    ("rule", "krotov_hopfield", "push"): "anti_hebbian",
}
"""(group, component, former field): present field. The component of a class without a name is ""."""

VALUES: Final[Mapping[tuple[str, str, str, str], str]] = {
    ("settler", "two_phase", "kind", "centred"): "centered",
    ("settler", "coupled_learning", "kind", "centred"): "centered",
    ("rule", "softhebb", "variant", "labelled"): "supervised",
}
"""(group, component, present field, former value): present value; of enumerations."""


def successors(former: str) -> list[str]:
    """Return the present names of a field or value that was called `former`."""
    fields = [new for (_, _, old), new in FIELDS.items() if old == former]
    values = [new for (_, _, _, old), new in VALUES.items() if old == former]
    return sorted({*fields, *values})
