"""The line of an epoch in the record of a run."""

from collections.abc import Mapping
from typing import Any

from energy.analysis.gradient_alignment import feedback_alignment
from energy.train.metrics import top_five
from energy.train.session import Session


def epoch_line(
    session: Session,
    quality: tuple[float | None, float | None],
    validated: Mapping[str, Any] | None,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect the numbers of the epoch that `session` has just done all steps of.

    Args:
        session: the training.
        quality: objective and accuracy of the epoch's own batches.
        validated: objective, accuracy and settling on the validation split; None if it was not scored.
        measured: what was measured at the end of the epoch.
    """
    return {
        "epoch": session.epoch,
        "step": session.step,
        "learning_rate": max(session.rates(session.batch - 1)),
        "train_objective": quality[0],
        "train_accuracy": quality[1],
        "validation_objective": None if validated is None else validated["objective"],
        "validation_accuracy": None if validated is None else validated["accuracy"],
        **top_five("validation", validated),
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
