"""The verb `doctor`: the diagnosis of a run before it trains, or of the weights that a finished one ended with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from energy.command.arguments import Arguments
from energy.command.folders import sort
from energy.command.output import show
from energy.component import ConfigurationError
from energy.errors import shown
from energy.paths import expanded

if TYPE_CHECKING:
    from energy.network import Network
    from energy.train.run import Run

SAMPLES: Final = 16
WRITTEN: Final = "doctor.json"
FIGURE: Final = "doctor.png"


def examine_runs(line: Arguments) -> int:
    """Diagnose the run folders among the words, or else the run that the words describe, and return the exit status.

    Nothing is trained. The diagnosis is printed, and written with its figure into the run folder, or into `out=` where
    that is given.

    Raises:
        ConfigurationError: for a mistake in the words, and as `energy.analysis.doctor.diagnose` does.
    """
    if any(expanded(word).is_dir() for word in line.rest):
        return _finished(line)
    from energy.command.compose import plan
    from energy.train.rehearsal import rehearse
    from energy.train.run import Run

    (run,) = plan(Run, "run", line)
    rehearse(run)
    run.place()
    _examine(run, run.network(), SAMPLES, expanded(run.out) if run.out else None)
    return 0


def _finished(line: Arguments) -> int:
    """Diagnose finished runs at their final weights."""
    paths, options = sort("doctor", line.rest, ("device", "samples", "out"))
    if line.folders:
        raise ConfigurationError("--config-dir: energy doctor takes it for overrides only, not for run folders")
    if "out" in options and len(paths) > 1:
        raise ConfigurationError(f"doctor out={shown(options['out'])}: must be left out for {len(paths)} folders")
    wanted = options.get("samples", str(SAMPLES))
    if not wanted.isascii() or not wanted.isdigit() or len(wanted) > 9 or not int(wanted):
        raise ConfigurationError(f"doctor samples={shown(wanted)}: must be a whole number of at least 1")
    from energy.train.evaluate import load_run

    for path in paths:
        run, network, _ = load_run(path, options.get("device", ""))
        _examine(run, network, int(wanted), expanded(options["out"]) if "out" in options else path)
    return 0


def _examine(run: Run, network: Network, samples: int, folder: Path | None) -> None:
    """Print the diagnosis of a network on the first training images, and write it into a folder if there is one."""
    from energy.analysis.doctor import diagnose
    from energy.io.provenance import provenance
    from energy.io.record import write_json

    place = run.place()
    x, _ = run.data.load(place, run.seed, run.precision.activity).train.take(slice(0, samples))
    found = diagnose(network, x, run.settler, samples=samples)
    show(f"{run.title}: {run.model.name} on {run.data.name}\n{found}")
    if folder is None:
        return
    record = {"title": run.title, "model": run.model.name, "data": run.data.name, **found.to_dict()}
    write_json(folder / WRITTEN, {**record, **provenance(place)})
    show(f"Record: {folder / WRITTEN}")
    from energy.errors import MissingDependencyError
    from energy.plots.doctor import draw_diagnosis

    try:
        show(f"Figure: {draw_diagnosis(record, folder / FIGURE, run.title)}")
    except MissingDependencyError as error:
        show(f"No figure: {error}")
