"""The line of an epoch in the record of a run."""

from collections.abc import Mapping
from typing import Any

from energy.analysis.gradient_alignment import feedback_alignment
from energy.io.scores import further_scores
from energy.train.metrics import top_five
from energy.train.session import Session


def epoch_line(
    session: Session,
    scores: Mapping[str, Any],
    validated: Mapping[str, Any] | None,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect the numbers of the epoch that `session` has just done all steps of.

    Args:
        session: the training.
        scores: objective and scores of the epoch's own batches, by name; empty if its output did not learn.
        validated: objective, scores and settling on the validation split; None if it was not scored.
        measured: what was measured at the end of the epoch.
    """
    return {
        "epoch": session.epoch,
        "step": session.step,
        "learning_rate": max(session.rates(session.batch - 1)),
        "train_objective": scores.get("objective"),
        "train_accuracy": scores.get("accuracy"),
        "validation_objective": None if validated is None else validated["objective"],
        "validation_accuracy": None if validated is None else validated["accuracy"],
        **top_five("validation", validated),
        **further_scores(scores, "train"),
        **further_scores(validated or {}, "validation"),
        "gamma": session.run.settler.gain(session.network),
        "control": session.metrics.control(),
        "settle": session.metrics.settling(),
        "validation_settle": {} if validated is None else validated.get("settle", {}),
        "diverged_layer": session.metrics.diverged or None,
        **session.metrics.cost(session.network),
        **session.metrics.spike_counts(),
        **measured,
        **feedback_alignment(session.network),
        "seconds": session.clock.read(),
    }
