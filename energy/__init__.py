"""An energy-based equilibrium modelling toolkit: one energy, many settlers, one ledger."""

from typing import Final

__version__: Final = "0.1.0"
