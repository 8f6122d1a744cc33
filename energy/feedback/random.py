"""Feedback weights drawn without regard to the weights."""

from __future__ import annotations

from typing import ClassVar

from energy.feedback.feedback import Feedback


class Random(Feedback, name="random"):
    """B = R, fixed: feedback alignment.

    Reference:
        Lillicrap et al., Nat. Commun. 2016.
    """


class KolenPollack(Random, name="kolen_pollack"):
    """B = R, which receives the increments and the decay of W.

    W − R shrinks by Π(1 − ηλ) whatever the data are, under SGD and AdamW; with momentum by the same linear recursion as
    W. Without decay it stays. Adam with the decay in its gradient divides it by each tensor's own scale, so no such law
    holds.

    Reference:
        Kolen & Pollack 1994; Akrout et al. 2019 (arXiv 1904.05391).
    """

    mirrors_updates: ClassVar[bool] = True
