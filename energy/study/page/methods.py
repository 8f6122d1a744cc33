"""Definitions of the numbers of a report."""

from typing import Final

WORDS: Final = (
    "In one line: the cosine is that of the angle between the gradient a settler gives and the exact gradient of the "
    "equilibrium at its own γ, 1 being exact; the worst layer is the one where it is least. Price is in BP steps, the "
    "multiply-adds of one step of back-propagation on the same batch; γ is the gain of the feedback, 1 in equilibrium "
    "propagation and 0 in back-propagation; a sweep is one pass of the relaxation over all layers; a settler is a "
    "method of inference, with its relaxation."
)
EQUATIONS: Final = """\
E_γ(s; x) = Σ_k γ^(k−1) [ G_k(s_k) − ⟨s_k, A_k(s_{k−1})⟩ ]        energy
s = f(J(s)),  J(s)_k = A_k(s_{k−1}) + γ A_{k+1}ᵀ(s_{k+1})         equilibrium, f_k = ∇G_k*
residual = max_k |f(J(s))_k − s_k| / |s_k|                        for each sample; of a layer, its own
cosine_k = ⟨ĝ_k, g_k⟩ / (|ĝ_k| |g_k|)                             layer k; worst: the least over k
price(c) = min { BP steps of a budget : worst cosine ≥ c }        for each seed
n ≈ ln ε / ln(γρ₀²)                                               sweeps of one phase to a tolerance ε"""
TERMS: Final = (
    (
        "Free and nudged phase",
        "A settler first relaxes without a target (free), then with the output drawn towards it by β (nudged); a dyad "
        "carries mean and difference of two nudged states in one phase, others store a state for each sign of β.",
    ),
    (
        "Relaxations",
        "sweep: layers one after the other, up and down, with momentum in some settlers; zebra: even and odd layers in "
        "turn; synchronous: all at once; flow and adaptive_flow: Runge–Kutta steps of the gradient flow; "
        "anderson: sweeps, extrapolated from several of them. A settler without one named in figures has its own, of "
        "the list below.",
    ),
    (
        "Exact gradient",
        "The gradient of the objective, at the settler's own γ, at the equilibrium that its own relaxation reaches "
        "when it runs on; by implicit differentiation (the settler `implicit`). Points whose exact gradient did not "
        "converge itself have no price.",
    ),
    (
        "Budget",
        "Sweeps of the free phase + sweeps of the nudged phase, each fixed; with a tolerance, a sample stops when its "
        "residual is below it.",
    ),
    (
        "BP steps",
        "Multiply-adds of the whole step, counted by the ledger (not measured), over those of one back-propagation "
        "step on the same batch.",
    ),
    (
        "Seconds",
        "Median time of one step on this machine, settling and products of the rule, without the optimizer, taken "
        "in turn with the others of the same weights and with back-propagation on them, so that ratios, not seconds, "
        "compare between weights. Where one seed was timed, its seconds stand for a fixed budget at all seeds. "
        "× BP, eager is that time over the one of back-propagation on the same network and "
        "batch; × BP, compiled over that of compiled back-propagation.",
    ),
    (
        "Interval",
        "Of prices: 95 % interval of the geometric mean over seeds, by Student's t over their logarithms; "
        "counted prices of seeds that choose the same budget are equal, and such an interval has no width. Of figures: "
        "as their captions say.",
    ),
    (
        "Tied",
        "Settlers whose intervals overlap that of the least mean. With one seed there is no interval, and all are "
        "tied.",
    ),
    (
        "Energy gap",
        "Energy at the end of the free phase above that of its equilibrium, for each sample, in float64.",
    ),
    (
        "γρ₀² and loop gain",
        "ρ₀ is the spectral radius of the linearized response of all layers at once, at γ = 1; γρ₀² is the factor "
        "by which a sweep is predicted to shrink the distance to the equilibrium, and settling contracts where it "
        "is below 1. Both it and the measured rate are medians over samples.",
    ),
    (
        "Outcome",
        "Converged: every sample reached the tolerance; fixed: a fixed budget was spent; budget: sweeps ran out before "
        "the tolerance; diverged: states left the finite numbers.",
    ),
    (
        "Weights",
        "Gain is a factor on the initial weights; epochs are those of the trainings of this page, and the weights of a "
        "cell are the same for all its settlers.",
    ),
)
