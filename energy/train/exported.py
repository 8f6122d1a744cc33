"""A run from a file of exported weights: rebuilt by registered names, and compared with the file before it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from energy.component import ConfigurationError
from energy.io.weights import read_weights
from energy.network import Network
from energy.train.draft import bounded_by, drafted
from energy.train.folder import rebuilt_with
from energy.train.matching_tensors import require_tensors
from energy.train.registration import register_builtins
from energy.train.run import Run

CURE: Final = "take the code it was trained with"


def load_exported(path: Path, device: str = "") -> tuple[Run, Network, dict[str, Any]]:
    """Load the run and the network of a file that `energy.train.export.export` wrote.

    Names, shapes and types of the tensors are compared with those that the configuration asks for before any weight is
    drawn, so that a configuration of a huge network costs nothing.

    Args:
        path: the file.
        device: of the network; empty for the run's own.

    Returns:
        the run, the network with the weights, and the facts stored beside them.

    Raises:
        FileNotFoundError: when there is no such file.
        DamagedFileError: when it is not what was written, or its tensors are not those of its configuration.
        ConfigurationError: when a component it needs is not registered, or its configuration cannot be used.
    """
    register_builtins()
    tensors, facts = read_weights(path)
    plain = {**facts["run"], "device": device or facts["run"].get("device", "auto")}
    try:
        run = rebuilt_with(plain, facts["plugins"], path, CURE)
        require_fit(run, tensors, path)
    except (ConfigurationError, RecursionError) as error:
        said = str(error).removeprefix(f"{path}: ") if str(error) else type(error).__name__
        raise ConfigurationError(f"{path}: {said}") from None
    network = run.network()
    network.load_state_dict(tensors)
    return run, network, facts


def require_fit(run: Run, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Compare tensors with those of the network of `run`, which is built without numbers.

    Raises:
        DamagedFileError: for the first that is missing, is too much, or has another shape or type.
        ConfigurationError: when the network cannot be built.
    """
    with bounded_by(tensors, where):
        wanted = drafted(run).to(run.precision.weight).state_dict()
    require_tensors(tensors, wanted, str(where))
