"""Former names of configuration fields and of their values.

Run folders written under a former name still load (`energy.io.former.current`); everywhere else it is refused, and the
present one is suggested."""

from collections.abc import Mapping
from typing import Final

_STEPS: Final = {"norm": "p", "radius": "target_norm"}  # of every rule of one population
_LOCAL: Final = ("softhebb", "krotov_hopfield", "hebb", "oja", "sanger")

FIELDS: Final[Mapping[tuple[str, str, str], str]] = {
    **{("rule", rule, old): new for rule in _LOCAL for old, new in _STEPS.items()},
    ("rule", "softhebb", "push"): "anti_hebbian",
    ("rule", "krotov_hopfield", "push"): "anti_hebbian",
}
"""(group, component, former field): present field. The component of a class without a name is ""."""

VALUES: Final[Mapping[tuple[str, str, str, str], str]] = {
    ("rule", "softhebb", "variant", "labelled"): "supervised",
}
"""(group, component, present field, former value): present value; of enumerations."""


def successors(former: str) -> list[str]:
    """The present names of what was once called `former`, as a field or as a value."""
    fields = [new for (_, _, old), new in FIELDS.items() if old == former]
    values = [new for (_, _, _, old), new in VALUES.items() if old == former]
    return sorted({*fields, *values})
