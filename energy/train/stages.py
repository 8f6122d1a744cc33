"""The stages of a run: the layers that learn together, one set after the other."""

import fnmatch

from energy.component import ConfigurationError
from energy.hints import meant
from energy.network import Network
from energy.readout.decoder import dense_output
from energy.train.run import Order, Run


def stages(run: Run, network: Network) -> list[set[str]]:
    """Return the names of the layers that learn in each part of a run.

    There is no part if all layers are frozen and a read-out is fitted to them.

    Raises:
        ConfigurationError: for a pattern in `train.freeze` that matches no layer, and when nothing learns.
    """
    names = [layer.name for layer in network.layers]
    for pattern in run.train.freeze:
        if not fnmatch.filter(names, pattern):
            known = ", ".join(names)
            raise ConfigurationError(
                f"train.freeze: no layer is called {pattern!r}{meant(pattern, names)}; there are {known}"
            )
    awake = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in run.train.freeze)]
    learnable = run.rule.learns(network)
    awake = [name for name in awake if name in learnable]
    if not awake and run.readout.fitted:
        return []
    if not awake:
        raise ConfigurationError(f"train.freeze={run.train.freeze}: leaves no layer that rule={run.rule.name} trains")
    return [{name} for name in awake] if run.train.order is Order.GREEDY else [set(awake)]


def require_learning(run: Run, network: Network, learned: list[set[str]]) -> None:
    """Check that something that learns, or a read-out, reaches the output layer.

    Raises:
        ConfigurationError: when nothing does.
    """
    if run.readout.fitted:
        dense_output(network)
    elif not run.rule.scores_output(network, set().union(*learned)) and not run.train.start:
        raise ConfigurationError(
            f"readout=joint: rule={run.rule.name} leaves the output layer as it is; say readout=linear"
        )
