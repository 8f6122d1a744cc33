"""The state of one seed of a cell: from `results.csv`, the records and the run folder."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from energy.component import ConfigurationError
from energy.io.plain_file import require_kind
from energy.io.record import CONFIGURATION, RECORD, read_lines
from energy.study.reproduction.records import RecordedCell, cell_identity
from energy.train.folder import finished_result
from energy.train.run import Run, hash_of_description


class SeedProgress(enum.Enum):
    """The progress of one seed of a cell."""

    DONE = "done"
    EARLIER = "done, recorded under an earlier key"
    FINISHED = "finished, not gathered"
    CUT = "cut"
    OTHER = "done at another configuration"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class SeedStatus:
    """The state of one seed.

    Attributes:
        progress: the state.
        text: the same in words, with the epoch of a run that was cut.
    """

    progress: SeedProgress
    text: str

    @property
    def done(self) -> bool:
        """True if nothing is left to run for the present configuration."""
        return self.progress in (SeedProgress.DONE, SeedProgress.EARLIER)


def seed_status(run: Run, cell: str, recorded: RecordedCell, lines: Iterable[Mapping[str, str]]) -> SeedStatus:
    """Return the state of one seed.

    Args:
        run: the run as it is composed now, with its folder.
        cell: the name of the cell.
        recorded: the configuration of the cell's rows.
        lines: the lines of `results.csv`.
    """
    keys = [line["configuration"] for line in lines if (line["cell"], line["seed"]) == (cell, str(run.seed))]
    if keys:
        if keys[-1] == hash_of_description(cell_identity(run)):
            return SeedStatus(SeedProgress.DONE, SeedProgress.DONE.value)
        if keys[-1] in recorded.keys and recorded.describes(run):
            return SeedStatus(SeedProgress.EARLIER, SeedProgress.EARLIER.value)
    begun = _begun(run)
    if begun is not None:
        return begun
    progress = SeedProgress.OTHER if keys else SeedProgress.NOT_RUN
    return SeedStatus(progress, progress.value)


def _begun(run: Run) -> SeedStatus | None:
    """The state of a run folder that holds this run and is not gathered."""
    if not require_kind(run.folder / CONFIGURATION):
        return None
    try:
        result = finished_result(run, run.folder)
    except ConfigurationError:  # it holds another run
        return None
    if result is not None:
        return SeedStatus(SeedProgress.FINISHED, SeedProgress.FINISHED.value)
    done = len(read_lines(run.folder / RECORD))
    return SeedStatus(SeedProgress.CUT, f"cut at epoch {done} of {run.train.epochs}")
