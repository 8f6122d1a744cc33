"""The contents of `result.json`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from energy.component import to_dict
from energy.io.provenance import provenance
from energy.io.record import RECORD, read_lines
from energy.io.scores import further_scores, main_value
from energy.ledger import backprop_multiply_adds
from energy.parameters import parameters
from energy.train.counts import summarize_histogram
from energy.train.folder import UNITS
from energy.train.metrics import ACTIVITY, top_five
from energy.train.run import hash_of_description, identity
from energy.train.scores import main_score_of
from energy.train.session import Session

NO_SECONDS: Final = {"learn": 0.0, "step": 0.0, "total": 0.0}  # of a run in which only a read-out learns


def run_summary(session: Session, tested: dict[str, Any]) -> dict[str, Any]:
    """Summarize a finished run: everything that a table needs."""
    run, totals = session.run, session.totals
    plain = identity(run)
    last = next(reversed(read_lines(session.folder / RECORD)), {})
    trained = session.step * run.train.batch_size
    return {
        "title": run.title,
        "key": hash_of_description(plain),
        "configuration_key": hash_of_description({name: value for name, value in plain.items() if name != "seed"}),
        "seed": run.seed,
        **tested_scores(tested),
        "test_objective": tested["objective"],
        "test_examples": tested["examples"],
        **validated_scores(session, last),
        "epochs": session.epoch,
        "steps": session.step,
        "sweeps": summarize_histogram(totals["sweeps"]),
        "outcomes": totals["outcomes"],
        "control": control_of_run(read_lines(session.folder / RECORD)),
        "weight_product_norm": last.get("weight_product_norm"),
        "multiply_adds": totals["multiply_adds"],
        "backprop_steps": totals["multiply_adds"] / (backprop_multiply_adds(session.network) * max(trained, 1)),
        "seconds": {**NO_SECONDS, **totals["seconds"], "test": tested["seconds"]},
        "parameters": parameters(session.network),
        "evaluation": evaluation(session, tested),
        "configuration": to_dict(run),
        **session.data,
        "plugins": plain.get("plugins", {}),
        **provenance(session.device),
        "continued": session.breaks,
        "program": session.stepper.facts(),
        "units": UNITS,
    }


def control_of_run(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarize what held the contraction of a run, from the lines of its epochs; empty if nothing did."""
    found = [line["control"] for line in lines if line.get("control")]
    if not found:
        return {}
    return {
        "acted_percent": sum(one["acted_percent"] for one in found) / len(found),
        "gamma_scale_mean": sum(one["gamma_scale_mean"] for one in found) / len(found),
        "gamma_scale_min": min(one["gamma_scale_min"] for one in found),
        "weight_factor": math.prod(one["weight_factor"] for one in found),
    }


def tested_scores(tested: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of the test by their columns."""
    found = {name: tested[name] for name in ("accuracy", "mirrored_accuracy") if tested.get(name) is not None}
    columns = {f"test_{name}": value for name, value in found.items()}
    return {**columns, **top_five("test", tested), **further_scores(tested, "test")}


def validated_scores(session: Session, last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validation score of the weights the run ends with, by its column; None for accuracy without one."""
    if session.best is None:
        return {"validation_accuracy": None}
    best = session.best["accuracy"] if session.best_weights else main_value(last, "validation")
    return {"validation_accuracy": None, main_score_of(session.run.data.targets).validation: best}


def evaluation(session: Session, tested: dict[str, Any]) -> dict[str, Any]:
    """Describe the settling that gave the scored outputs."""
    run = session.run
    plain = to_dict(run.settler)
    return {
        "settler": plain["name"],
        "gamma": run.settler.gain(session.network),
        "nudge": "none",
        "relaxation": plain.get("relax") if run.settler.gamma else "one bottom-up pass",
        "settle": tested["settle"],
        "multiply_adds": tested["multiply_adds"],
        **{name: tested[name] for name in ACTIVITY if name in tested},
    }
