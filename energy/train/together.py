"""The conditions of a training on several ranks."""

from __future__ import annotations

from energy import ranks
from energy.component import ConfigurationError
from energy.train.run import Run


def require_together(run: Run) -> None:
    """Check that the ranks of this training can share its batches.

    Raises:
        ConfigurationError: naming the field that needs one process.
    """
    count = ranks.here().count
    if count == 1:
        return
    settler = run.settler
    relaxations = [getattr(settler, name, None) for name in ("relax", "nudged")]
    if run.train.batch_size < count:
        raise ConfigurationError(
            f"train.batch_size={run.train.batch_size}: must be at least 1 for each of {count} ranks"
        )
    if visited := getattr(settler, "warm_starts", 0):
        raise ConfigurationError(f"settler.warm_starts={visited}: needs one process, which sees every visit")
    for name, relax in zip(("relax", "nudged"), relaxations, strict=True):
        if getattr(relax, "name", "") == "adaptive_flow":
            raise ConfigurationError(
                f"settler.{name}=adaptive_flow: needs one process: the whole batch decides the length of its steps"
            )
