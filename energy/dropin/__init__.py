"""Ordinary PyTorch modules as networks, and training scripts that change by two lines."""

from energy.dropin.conversion import from_module
from energy.dropin.module_network import ModuleNetwork
from energy.dropin.wrapped import wrap

__all__ = ["ModuleNetwork", "from_module", "wrap"]
