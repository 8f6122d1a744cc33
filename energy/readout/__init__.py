"""Features of a network below its output layer, and decoders fitted to them."""

from energy.readout.decoder import Decoder
from energy.readout.features import Features
from energy.readout.linear import LinearReadout, Power
from energy.readout.nearest import Nearest
from energy.readout.readout import Joint, Readout
from energy.readout.ridge import Ridge

__all__ = ["Decoder", "Features", "Joint", "LinearReadout", "Nearest", "Power", "Readout", "Ridge"]
