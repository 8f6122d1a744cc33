"""A dry run: complete configurations as JSON, and nothing else."""

import json
from collections.abc import Sequence
from typing import Any

from energy.component import to_dict


def print_descriptions(components: Sequence[Any]) -> int:
    """Print complete configurations as JSON."""
    for component in components:
        print(json.dumps(to_dict(component), indent=2, allow_nan=False))
    return 0
