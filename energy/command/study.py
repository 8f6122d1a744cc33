"""The verb `study`: carry out a study, gather it again, or merge several."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from energy.command import folders
from energy.command.arguments import Arguments
from energy.command.dry import print_descriptions
from energy.command.output import show
from energy.command.presets import EXPERIMENT
from energy.component import ConfigurationError, annotations

if TYPE_CHECKING:
    from energy.launch.launcher import Launcher
    from energy.study.inference.study import Study


def run_studies(arguments: Arguments) -> int:
    """Carry out the studies that the overrides describe, one after the other, and report on each."""
    if arguments.rest[:1] == ["merge"]:
        return merge_command(arguments)
    from energy.command.compose import plan
    from energy.command.launched_study import study_commands
    from energy.command.launching import print_commands, take_launcher
    from energy.study.inference.study import Study, points

    launcher = take_launcher(arguments, [*annotations(Study), EXPERIMENT])
    studies = plan(Study, "study", arguments)
    for study in studies:
        points(study)  # a mistake in any of them is found before the first is measured
    if arguments.dry:
        return print_descriptions(studies)
    if arguments.printed:
        print_commands([one for study in studies for one in study_commands(study, arguments.plugins)])
        return 0
    for study in studies:
        study.place()
    return max([_carried_out(study, launcher, arguments) for study in studies], default=0)


def _carried_out(study: Study, launcher: Launcher | None, arguments: Arguments) -> int:
    """Carry out one study; 1 if a part of it that was launched failed."""
    from energy.command.launched_study import launch_points
    from energy.study.inference.carry_out import measure_groups

    if arguments.groups:
        measure_groups(study, arguments.groups)
        return 0
    show(_announced(study), sys.stderr)
    if launcher is not None and launch_points(study, launcher, arguments.plugins):
        return 1
    carry_out_and_report(study, written(arguments))
    return 0


def written(arguments: Arguments) -> str:
    """Return the command line of a study."""
    options = [f"--plugin={name}" for name in arguments.plugins] + [
        f"--config-dir={path}" for path in arguments.folders
    ]
    options += ["-m"] if arguments.sweep else []
    return shlex.join(["energy", "study", *options, *arguments.rest])


def carry_out_and_report(study: Study, command: str) -> None:
    """Measure what is missing, write the record, and draw the report; an error costs only the report."""
    from energy.study.inference.carry_out import carry_out_study
    from energy.study.inference.gather import gathered

    carry_out_study(study)
    record = gathered(study, command)
    show(f"{record['spent']['points']} points, {study.folder / 'study.json'}, {study.folder / 'study.csv'}")
    report(study.folder)


def report(folder: Path) -> None:
    """Write the report of a study into its folder."""
    try:
        from energy.study.page.report import write_report

        show(f"Report: {write_report(folder)}")
    except Exception as error:
        show(f"No report: {error or type(error).__name__}; energy study merge {folder} out={folder} writes it.")


def merge_command(arguments: Arguments) -> int:
    """Join the records of several studies into one, with its table and report."""
    from energy.io.record import write_json
    from energy.study.inference.record import STUDY, merged, read_study, write_table

    given, options = folders.sort("study merge", arguments.rest[1:], ("out",))
    if not given or "out" not in options:
        raise ConfigurationError("study merge: needs the folders of studies, and out=FOLDER")
    record = merged((str(folder), read_study(folder)) for folder in given)
    out = Path(options["out"])
    write_json(out / STUDY, record)
    write_table(out, record)
    show(f"{len(record['points'])} points of {len(given)} studies, {out / STUDY}")
    report(out)
    return 0


def _announced(study: Study) -> str:
    """Describe a study before it starts, in one line."""
    from energy.study.inference.study import points

    found = points(study)
    trained = {str(point.training.folder) for point in found if point.training is not None}
    told = f", {len(trained)} trainings" if trained else ""
    return f"study: {study.title}: {study.model.name} on {study.data.name}, {len(found)} points{told}, {study.folder}"
