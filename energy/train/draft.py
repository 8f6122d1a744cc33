"""The network of a run without numbers, on torch's meta device, where no size costs memory."""

import torch

from energy.component import ConfigurationError
from energy.network import Network
from energy.train.run import Run


def drafted(run: Run) -> Network:
    """Build the network without numbers; with them if a model of the user's own cannot do without.

    Raises:
        ConfigurationError: when it cannot be built, or cannot read an image.
    """
    try:
        with torch.device("meta"):
            network = run.draft()
            network.try_out(torch.zeros(1, *run.data.shape))
    except (ConfigurationError, ValueError, RuntimeError, TypeError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, RuntimeError) and "meta" in str(cause).lower():
            return run.draft()
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"model={run.model.name}: cannot read an image of {run.data.shape}: {error}"
        ) from error
    return network
