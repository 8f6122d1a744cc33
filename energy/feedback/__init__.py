"""The weights that carry the difference down: A′(m)ᵀδ with the weight W, or with feedback weights B in its place.

    h_k = A′_{k+1}(m; B)ᵀ δ_{k+1} + γ A_k δ_{k−1}      B has the shape of W; pooling, switches and flattening stay exact

Only the path of δ from above reads B: drives, means and weight products keep W, so β → 0 gives back-propagation whose
backward pass reads B. With B ≠ W this is no longer the stationarity of F, and no energy decreases.

    random          B = R                                   feedback alignment (Lillicrap et al. 2016)
    direct          h_k = D_kᵀ δ_L                          direct feedback alignment (Nøkland 2016)
    sign            B = sign(W)∘|R|                         sign-concordant (Liao, Leibo & Poggio 2016: frSF)
    sign_batch      the same, R drawn for every step        brSF
    sign_unit       B = sign(W)·σ√(2/π)                     uSF, at the mean magnitude of a Gaussian
    kolen_pollack   B = R, which takes W's steps            Kolen & Pollack 1994; Akrout et al. 2019

R ~ N(0, σ²) with σ the root mean square of W when the feedback weights are attached; D_k ~ N(0, 1/outputs).
"""

from energy.feedback.direct import DirectFeedback
from energy.feedback.feedback import (
    Feedback,
    FeedbackSlot,
    FeedbackWeights,
    Tied,
    feedback_weights,
    mirrored_parameters,
    resample,
)
from energy.feedback.random import KolenPollack, Random
from energy.feedback.sign import Sign, SignBatch, SignUnit
from energy.feedback.transport import TIED, TiedWeights, Transport

__all__ = [
    "TIED",
    "DirectFeedback",
    "Feedback",
    "FeedbackSlot",
    "FeedbackWeights",
    "KolenPollack",
    "Random",
    "Sign",
    "SignBatch",
    "SignUnit",
    "Tied",
    "TiedWeights",
    "Transport",
    "feedback_weights",
    "mirrored_parameters",
    "resample",
]
