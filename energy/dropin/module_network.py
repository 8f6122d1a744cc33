"""A network made of a module of PyTorch, with which it shares every parameter and every running statistic."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from energy.admission import HOOKS
from energy.couplings import Coupling
from energy.errors import UsageError
from energy.network import Network


class Bond(NamedTuple):
    """One tensor that a coupling shares with a module.

    Attributes:
        coupling, name: where the network has it.
        module, origin: where the module has it.
    """

    coupling: Coupling
    name: str
    module: nn.Module
    origin: str


class ModuleNetwork(Network):
    """A network whose parameters and running statistics are those of a module; see `energy.from_module`.

    A step of an optimizer on either moves both. `state_dict` and `load_state_dict` are those of the module, names and
    order included.

    Args:
        input_shape: of x, without the batch axis.
        module: the module.
    """

    _module: nn.Module

    def __init__(self, input_shape: Sequence[int], module: nn.Module) -> None:
        super().__init__(input_shape)
        object.__setattr__(self, "_module", module)  # not a part: its tensors are those of the couplings
        self._bonds: list[Bond] = []

    def share(self, coupling: Coupling, module: nn.Module, names: Mapping[str, str]) -> None:
        """Give a coupling the tensors of a module.

        Args:
            coupling: has a tensor for each of them.
            module: it owns them.
            names: its parameters and buffers, by their names in the coupling.
        """
        self._bonds += [Bond(coupling, name, module, origin) for name, origin in names.items()]
        self.relink()

    def relink(self) -> None:
        """Share again what `to` or a new assignment has replaced in the module."""
        for bond in self._bonds:
            tensors, name = bond.module._parameters, bond.name
            if bond.origin in tensors:
                bond.coupling._parameters[name] = tensors[bond.origin]
            else:
                bond.coupling._buffers[name] = bond.module._buffers[bond.origin]

    def require_plain(self) -> None:
        """Check that no part of the module has hooks or parametrizations, which nothing would call.

        Raises:
            ValueError: naming the first that has.
        """
        for name, part in self._module.named_modules():
            for kind in HOOKS:
                if part is not self._module and part.__dict__[kind]:
                    raise UsageError(f"{name}: has a hook ({kind.strip('_')}), which nothing calls: must have none")
            if "parametrizations" in part._modules:
                raise UsageError(
                    f"{name}: has a parametrization, which couplings do not read: must have none; "
                    "torch.nn.utils.parametrize.remove_parametrizations takes it off"
                )

    def to_module(self) -> nn.Module:
        """Return a plain module with these weights: a copy of the one that this network was made of.

        At γ = 0 its predictions are those of the network.
        """
        return copy.deepcopy(self._module)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return self._module.load_state_dict(state_dict, *args, **kwargs)

    def _learning(self) -> list[Coupling]:
        """Those of any network, but for a batch normalization that alone is in evaluation mode, as a frozen one is."""
        held = {id(bond.coupling) for bond in self._bonds if self._module.training and not bond.module.training}
        return [one for one in super()._learning() if not (one.batchwise and id(one) in held)]

    def _apply(self, fn: Any, recurse: bool = True) -> ModuleNetwork:
        self._module._apply(fn, recurse)
        self.relink()
        return self
