"""Any `nn.Module` as a coupling."""

from __future__ import annotations

from torch import Tensor, nn

from energy.arguments import named
from energy.couplings.coupling import Coupling
from energy.errors import UsageTypeError
from energy.precision import in_precision


class Module(Coupling):
    """A(pre) = module(pre), everything else by autograd, with the module's hooks, masks and parametrizations.

    It runs in the precision of the states and in evaluation mode: dropout drops nothing, and batch norm normalizes by
    its running statistics.

    Raises:
        TypeError: if `module` is no `nn.Module`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise UsageTypeError(
                f"Module: module is {named(module)}: must be an nn.Module, such as nn.Linear(784, 100)"
            )
        self.module = module
        self.eval()

    def forward(self, pre: Tensor) -> Tensor:
        return in_precision(self.module, pre)
