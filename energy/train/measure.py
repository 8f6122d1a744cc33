"""What a run measures of its network while it trains, on the first images of a split."""

from typing import Any

from energy.analysis.probe import NOTHING_MEASURED, probe
from energy.analysis.units import units
from energy.data.images import Images
from energy.network import Network
from energy.objectives import one_hot
from energy.rules.local import Local
from energy.train.run import Run


def probe_run(run: Run, network: Network, images: Images) -> dict[str, Any]:
    """:func:`probe` of a run's settler and rule on the first ``train.probe_batch`` of ``images``, not augmented.

    A local rule has another aim than the objective, so no angle.
    """
    if isinstance(run.rule, Local):
        return NOTHING_MEASURED
    x, labels = images.take(slice(0, run.train.probe_batch))
    target = one_hot(labels, network.output.shape[0], x.dtype)
    return probe(network, run.settler, run.rule, run.objective, x, target)


def populations(run: Run, network: Network, images: Images) -> dict[str, dict[str, Any]]:
    """:func:`units` on the first ``train.probe_batch`` images of a run, not augmented."""
    assert isinstance(run.rule, Local)
    x, labels = images.take(slice(0, run.train.probe_batch))
    return units(network, run.rule, run.settler, x, labels)
