"""The network of a run without numbers, on torch's meta device, where no size costs memory."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.modules import module as registrations

from energy.component import ConfigurationError
from energy.errors import DamagedFileError, DataError
from energy.network import Network
from energy.train.run import Run

SPARE: Final = 100  # parameters and parts that a network may register beyond those it is stored with
PARTS: Final = 50  # modules for each stored tensor


def drafted(run: Run) -> Network:
    """Build the network without numbers; with them if a model of the user's own cannot do without.

    Raises:
        ConfigurationError: when it cannot be built or cannot read an image, or the data that tell its shape are absent.
    """
    try:
        with torch.device("meta"):
            network = run.draft()
            network.try_out(torch.zeros(1, *run.data.shape))
    except DamagedFileError:
        raise
    except DataError as error:
        raise ConfigurationError(str(error)) from None
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


@contextmanager
def bounded_by(tensors: Mapping[str, Tensor], where: Path) -> Iterator[None]:
    """Let a network be built in this context only as far as `tensors` could be its own.

    A description that asks for more parameters, numbers or parts than a file of these tensors can hold ends at the
    first that is too much, whatever it asks for.

    Args:
        tensors: those that are stored.
        where: their file, which messages begin with.

    Raises:
        DamagedFileError: when the network becomes larger.
    """
    mine, numbers = threading.get_ident(), 2 * sum(tensor.numel() for tensor in tensors.values()) + 10**6
    counts = {"parameters": 0, "numbers": 0, "parts": 0}
    limits = {"parameters": 2 * len(tensors) + SPARE, "numbers": numbers, "parts": PARTS * (len(tensors) + SPARE)}

    def count(kind: str, more: int) -> None:
        counts[kind] += more
        if counts[kind] > limits[kind] and threading.get_ident() == mine:
            told = f"asks for more than {limits[kind]} {kind}, there are {len(tensors)} tensors in it"
            raise DamagedFileError(f"{where}: its configuration {told}")

    def parameter(module: Any, name: str, tensor: Tensor | None) -> None:
        count("parameters", 1)
        count("numbers", 0 if tensor is None or tensor.is_meta else tensor.numel())

    def part(module: Any, name: str, inner: Any) -> None:
        count("parts", 1)

    with ExitStack() as hooks:
        hooks.callback(registrations.register_module_parameter_registration_hook(parameter).remove)
        hooks.callback(registrations.register_module_buffer_registration_hook(parameter).remove)
        hooks.callback(registrations.register_module_module_registration_hook(part).remove)
        yield
