"""Former names of tensors, counts and diagnostics in files of earlier versions, and the present ones.

    checkpoint  wiring.wires<edge>   feedback_weights.edge<edge>
    checkpoint  spent (ledger)       multiply_adds_by_phase
    record      units                unit_diagnostics
    record      never, silent, dead  never_win, inactive, zero_weight

Fields of the configuration are in `energy.renamed`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

LEDGER: Final = {"spent": "multiply_adds_by_phase"}
DIAGNOSTICS: Final = {"never": "never_win", "silent": "inactive", "dead": "zero_weight"}


def tensor_name(name: str) -> str:
    """Return the present name of a tensor in a checkpoint."""
    return re.sub(r"(?<![^/])wiring\.wires(?=\d+$)", "feedback_weights.edge", name)


def ledger_name(name: str) -> str:
    """Return the present name of a count in a checkpoint."""
    return LEDGER.get(name, name)


def record_line(line: dict[str, Any]) -> dict[str, Any]:
    """Translate a line of a record to its present names; a line without former names is returned itself."""
    if not isinstance(line.get("units"), Mapping):
        return line
    found = {layer: {DIAGNOSTICS.get(name, name): x for name, x in one.items()} for layer, one in line["units"].items()}
    return {
        ("unit_diagnostics" if name == "units" else name): found if name == "units" else x for name, x in line.items()
    }
