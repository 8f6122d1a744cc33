"""All that a study has measured, gathered into its record with what it stands on."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from energy.component import to_dict
from energy.io.plain_file import require_kind
from energy.io.provenance import provenance
from energy.io.record import CONFIGURATION, RECORD, read_json, read_lines, write_json
from energy.io.result import is_finished, read_configuration, read_result
from energy.study.inference.carry_out import path_of
from energy.study.inference.cases import digest
from energy.study.inference.complete import complete_record
from energy.study.inference.point import PROTOCOL, PlannedPoint
from energy.study.inference.record import SCHEMA, STUDY, write_table
from energy.study.inference.study import Study, points
from energy.train.run import hash_of_description, identity


def gathered(study: Study, command: str = "") -> dict[str, Any]:
    """Write `study.json` and the table from the points that are in the folder, and return the record.

    Args:
        study: the study.
        command: the line that carries it out.
    """
    wanted = points(study)
    there = [(point, read_json(path_of(study, point))) for point in wanted if require_kind(path_of(study, point))]
    found = [{**held, "blocks": list(point.blocks)} for point, held in there]
    sound = [one for one in found if "failed" not in one]
    trained = trainings(study, wanted)
    record = complete_record(
        {
            "schema": SCHEMA,
            "protocol": PROTOCOL,
            "title": study.title,
            "command": command,
            "study": to_dict(study),
            "key": hash_of_description(identity(study)),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **provenance(study.place()),
            "data": data_digests(study),
            "spent": spent(sound, trained),
            "limits": limits(wanted, found, trained),
            "points": sound,
            "failed": [one for one in found if "failed" in one],
            "trainings": trained,
            "timing": [one["timing"] for one in sound if "timing" in one][:1],
        }
    )
    write_json(study.folder / STUDY, record)
    write_table(study.folder, record)
    return record


def trainings(study: Study, wanted: Sequence[PlannedPoint]) -> list[dict[str, Any]]:
    """Return the trainings that points stand on, in the words of the record, as far as they have come."""
    found: dict[str, dict[str, Any]] = {}
    for point in wanted:
        run = point.training
        if run is not None and str(run.folder) not in found and require_kind(run.folder / CONFIGURATION):
            label = {"settler": study.trainer or point.label, "gain": point.gain}
            found[str(run.folder)] = training(run.folder) | label
    return list(found.values())


def training(folder: Path) -> dict[str, Any]:
    """Return one training in the words of the record."""
    run = read_configuration(folder)["run"]
    lines = read_lines(folder / RECORD)
    result = read_result(folder) if is_finished(folder) else {}
    return {
        "folder": folder.name,
        "kind": run["settler"]["name"],
        "gamma": run["settler"]["gamma"],
        "model": run["model"]["name"],
        "data": run["data"]["name"],
        "seed": run["seed"],
        "epochs": [_epoch(line) for line in lines],
        "test_accuracy": result.get("test_accuracy"),
        "multiply_adds": result.get("multiply_adds"),
        "state": "finished" if result else f"stopped after {len(lines)} of {run['train']['epochs']} epochs",
    }


def _epoch(line: Mapping[str, Any]) -> dict[str, Any]:
    sweeps = {phase: numbers.get("sweeps_mean") for phase, numbers in line["settle"].items()}
    outcomes = {phase: numbers.get("outcomes") for phase, numbers in line["settle"].items()}
    return {
        "epoch": line["epoch"] + 1,
        "train_accuracy": line["train_accuracy"],
        "validation_accuracy": line["validation_accuracy"],
        "cosine_worst": line.get("cosine_worst"),
        "cosine_whole": line.get("cosine_whole"),
        "sweeps": sweeps,
        "outcomes": outcomes,
        "backprop_steps": line["backprop_steps"],
        "seconds": line["seconds"]["total"],
    }


def data_digests(study: Study) -> dict[str, Any]:
    """Return the SHA-256 of the pixels and labels of each split, as they are used."""
    splits = study.data.load("cpu", study.seeds[0], torch.float32)
    named = {name: getattr(splits, name) for name in ("train", "validation", "test")}
    digests = {
        f"{name} {part}": digest(getattr(images, part))
        for name, images in named.items()
        for part in ("pixels", "labels")
        if len(images)
    }
    return {"name": study.data.name, "seed": study.seeds[0], "digests": digests}


def spent(sound: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the seconds, multiply-adds, points and trainings of a study, in the record's words."""
    seconds = sum(one["spent"]["seconds"] for one in sound)
    seconds += sum(epoch["seconds"] for one in trained for epoch in one["epochs"])
    counted = sum(one["spent"]["multiply_adds"] for one in sound) + sum(one["multiply_adds"] or 0 for one in trained)
    return {"seconds": seconds, "multiply_adds": counted, "points": len(sound), "trainings": len(trained)}


def limits(
    wanted: Sequence[PlannedPoint], found: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return sentences on what the record does not say."""
    sound = [one for one in found if "failed" not in one]
    told = []
    if missing := len(wanted) - len(found):
        told.append(f"{missing} of {len(wanted)} points are not measured yet.")
    for reason, times in Counter(one["failed"] for one in found if "failed" in one).items():
        told.append(f"{times} points could not be measured: {reason}.")
    references = [one["measures"]["reference"] for one in sound if one["measures"].get("reference")]
    loose = sum(bool({"budget", "diverged"} & set(outcomes.values())) for outcomes in references)
    if loose:
        told.append(
            f"{loose} of {len(references)} cosines are with an exact gradient whose own solve did not reach its "
            "tolerance (`reference`), so they say little."
        )
    if not any(one["measures"].get("joules") is not None for one in sound):
        told.append("No joules: the device reports none here.")
    unfinished = [one for one in trained if one["state"] != "finished"]
    if unfinished:
        told.append(f"{len(unfinished)} of {len(trained)} trainings are not finished.")
    return told
