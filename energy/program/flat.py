"""Objects taken apart into their tensors, and put together again around others."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final
from weakref import ref

from torch import Tensor, nn

from energy.component import Component
from energy.ledger import Ledger
from energy.program.record import Untraceable

# by reference: what a settling reads and does not change
KEPT: Final = (nn.Module, Component, FunctionType, BuiltinFunctionType, type)
Place = tuple[str, int]


@dataclass(frozen=True)
class Skeleton:
    """An object without its tensors and its ledger.

    Attributes:
        stripped: the object, pickled, with numbers in the place of tensors and kept parts.
        kept: the parts that are not taken apart; of modules weak references, so that no skeleton keeps a network.
    """

    stripped: bytes
    kept: tuple[Any, ...]

    def around(self, tensors: Sequence[Tensor], network: Sequence[Tensor], ledger: Ledger) -> Any:
        """Return the object with `tensors` in it.

        Args:
            tensors: in the order that `take_apart` gave them.
            network: the tensors of the network that were known then.
            ledger: in place of the one it had.
        """
        reader = _Reader(io.BytesIO(self.stripped))
        reader.parts = {"tensor": tensors, "network": network, "kept": self.kept, "ledger": [ledger]}
        return reader.load()

    def alike(self, other: Skeleton) -> bool:
        """Return True if the objects differ in their tensors alone."""
        same = self.stripped == other.stripped and len(self.kept) == len(other.kept)
        return same and all(a is b or a == b for a, b in zip(self.kept, other.kept, strict=True))


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, network: Sequence[Tensor]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[Tensor] = []
        self.kept: list[Any] = []
        self.places: dict[int, Place] = {id(tensor): ("network", k) for k, tensor in enumerate(network)}

    def persistent_id(self, obj: Any) -> Place | None:
        if isinstance(obj, Tensor):
            return self._place(obj, "tensor", self.tensors)
        if isinstance(obj, Ledger):
            return ("ledger", 0)
        if isinstance(obj, FunctionType):
            _require_open(obj)
        return self._place(obj, "kept", self.kept) if isinstance(obj, KEPT) else None

    def _place(self, obj: Any, kind: str, found: list[Any]) -> Place:
        if id(obj) not in self.places:
            self.places[id(obj)] = (kind, len(found))
            found.append(ref(obj) if isinstance(obj, nn.Module) else obj)
        return self.places[id(obj)]


class _Reader(pickle.Unpickler):
    parts: Mapping[str, Sequence[Any]]

    def persistent_load(self, pid: Place) -> Any:
        kind, number = pid
        found = self.parts[kind][number]
        return found() if isinstance(found, ref) else found


def _require_open(function: FunctionType) -> None:
    """Check that a function encloses nothing that another batch would replace."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            if isinstance(cell.cell_contents, (Tensor, Ledger)):
                enclosed = type(cell.cell_contents).__name__
                raise Untraceable(f"the function {function.__qualname__} of a problem encloses a {enclosed}")


def take_apart(value: Any, network: Sequence[Tensor]) -> tuple[Skeleton, list[Tensor]]:
    """Return the skeleton of an object, and its tensors, each once however often it is held.

    Args:
        value: any object that can be pickled but for its tensors, functions, modules and components.
        network: tensors that are left out, as they are known.

    Raises:
        Untraceable: for an object that cannot be taken apart.
    """
    file = io.BytesIO()
    writer = _Writer(file, network)
    try:
        writer.dump(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise Untraceable(f"a part of the problem cannot be taken apart: {error}") from error
    return Skeleton(file.getvalue(), tuple(writer.kept)), writer.tensors
