"""Measurements of a network while it trains, on the first images of a split."""

from typing import Any, Final

from energy.analysis.contraction_report import contraction_report
from energy.analysis.gradient_alignment import NOTHING_MEASURED, gradient_alignment
from energy.analysis.settling_trace import settling_trace
from energy.analysis.unit_diagnostics import unit_diagnostics
from energy.analysis.weight_product import weight_product_norm
from energy.data.images import Images
from energy.network import Network
from energy.targets import target_of
from energy.train.run import Run
from energy.train.session import Session

FEW: Final = 8  # images whose contraction is measured: each takes up to 200 applications of every coupling


def gradient_alignment_of_run(run: Run, network: Network, images: Images) -> dict[str, Any]:
    """Measure `gradient_alignment` of a run's settler and rule on the first `train.probe_batch` images, not augmented.

    A rule that does not descend the objective, such as a local one, has no angle.
    """
    if not run.rule.descends:
        return NOTHING_MEASURED
    x, labels = images.take(slice(0, run.train.probe_batch))
    target = target_of(labels, network.output.shape[0], images.targets, x.dtype)
    return gradient_alignment(network, run.settler, run.rule, run.objective, x, target)


def unit_diagnostics_of_run(run: Run, network: Network, images: Images) -> dict[str, dict[str, Any]]:
    """Measure `unit_diagnostics` on the first `train.probe_batch` images of a run, not augmented."""
    x, labels = images.take(slice(0, run.train.probe_batch))
    return unit_diagnostics(network, run.rule, run.settler, x, labels)


def settling_trace_of_run(run: Run, network: Network, images: Images) -> dict[str, Any]:
    """Measure `settling_trace` on the first `train.probe_batch` images of a run, not augmented."""
    x, labels = images.take(slice(0, run.train.probe_batch))
    target = target_of(labels, network.output.shape[0], images.targets, x.dtype)
    return settling_trace(network, run.settler, run.rule, run.objective, x, target)


def contraction_of_run(run: Run, network: Network, images: Images) -> dict[str, Any]:
    """Measure `contraction_report` on the first images of a run's probe, not augmented; empty without feedback."""
    if not (run.settler.gamma and run.settler.rates):
        return {}
    x, _ = images.take(slice(0, min(run.train.probe_batch, FEW)))
    return contraction_report(network, run.settler, x)


def measure_epoch(session: Session) -> dict[str, Any]:
    """Measure, in an epoch that probes, the gradient's angle, the contraction of the free phase, the norm of the
    product of all weights, and the neurons that learn by a local rule; and in one that traces, the course of settling.
    """
    run, images = session.run, session.splits.train
    session.at("in the probe", "train.probe_batch")
    found: dict[str, Any] = {**NOTHING_MEASURED, "contraction": {}, "weight_product_norm": None}
    if _due(run.train.probe_every, session.epoch):
        units = unit_diagnostics_of_run(run, session.network, images)
        found |= gradient_alignment_of_run(run, session.network, images)
        found |= {"contraction": contraction_of_run(run, session.network, images)}
        found |= {"weight_product_norm": weight_product_norm(session.network)}
        found |= {"unit_diagnostics": units} if units else {}
    if _due(run.train.trace_every, session.epoch):
        found["settling_trace"] = settling_trace_of_run(run, session.network, images)
    return found


def _due(every: int, epoch: int) -> bool:
    return bool(every) and epoch % every == 0
