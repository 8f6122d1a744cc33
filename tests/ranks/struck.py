"""A plug-in: the contrastive rule, at one call of which a rank gets a signal, as `STRUCK=RANK,CALL,SIGNAL` says."""

import os
from itertools import count
from typing import Any

from energy.network import Network
from energy.rules.contrast import Contrast
from energy.settle.settled import Settled

CALLS = count(1)


class StruckContrast(Contrast, name="struck_contrast"):
    """The contrastive rule, with its only difference in the one process that is struck."""

    def batch(self, network: Network, *given: Any, **named: Any) -> Settled:
        rank, call, signal = (int(word) for word in os.environ.get("STRUCK", "-1,0,0").split(","))
        if next(CALLS) == call and int(os.environ["RANK"]) == rank:
            os.kill(os.getpid(), signal)
        return super().batch(network, *given, **named)
