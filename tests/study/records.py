"""A record of a study made from formulas, so that its prices, exponents and laws are known in closed form.

One sweep contracts by r = γ ρ₀² with ρ₀² = 0.6 gain² (1 + 0.02 age); Anderson's mixing contracts by r to the power 1.8
at 1.3 times the price of a sweep. After n sweeps the residual is r^n, and 1 − cosine is 0.8 r^n (1 + 0.1 (seed − 1)).
"""

import hashlib
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

SEEDS: Final = (0, 1, 2)
LADDER: Final = ((1, 1), (2, 1), (4, 2), (6, 3), (8, 4), (12, 6), (18, 9), (24, 12))  # sweeps of both phases
GAINS: Final = (0.7, 1.0)
AGES: Final = (0, 5)
GAMMAS: Final = (0.1, 0.3, 0.5, 0.7, 0.85, 1.0)
PHASE_GAINS: Final = (0.5, 0.75, 1.0, 1.3, 1.5)
BETAS: Final = (1e-4, 1e-3, 1e-2, 1e-1)
EPSILONS: Final = {"float64": 1e-16, "float32": 1e-7, "bfloat16": 4e-3}
WIDTHS: Final = (64, 128, 256, 512)
SIZES: Final = (("depth", "depth", (2, 4, 8, 16)), ("width", "units", WIDTHS), ("batch", "batch", (8, 32, 128)))
POWERS: Final = {f"scaling-{block}": (axis, values) for block, axis, values in SIZES}
EXPONENTS: Final = {"depth": 1.5, "units": 0.25, "batch": 0.0}
TOLERANCE: Final = 1e-4
BATCH: Final = 32
SECONDS: Final = 0.01  # of a back-propagation step
MACHINE: Final = {"device": "cpu", "device_name": "a made-up processor", "threads": 2, "torch": "2.9.0"}
UNMEASURED: Final = (
    *("bytes_held", "bytes_moved", "seconds", "seconds_over_backprop", "seconds_over_compiled", "joules"),
    *("cosine_whole", "cosine_worst", "worst_layer", "loop_gain", "rate_predicted", "rate_measured", "accuracy"),
)
LAYERS: Final = ("hidden1", "hidden2", "output")


class Arm(NamedTuple):
    """A settler of the record, the power of r by which a sweep of it contracts, and its price in BP steps."""

    settler: str
    kind: str
    relaxation: str
    power: float
    sweep: float
    gamma: float = 1.0


SWEEP: Final = Arm("EP by sweep", "equilibrium_propagation", "block", 1.0, 0.7)
ANDERSON: Final = Arm("EP, Anderson <m=5>", "equilibrium_propagation", "anderson", 1.8, 0.91)
SLOW: Final = Arm("EP, synchronous", "equilibrium_propagation", "synchronous", 0.5, 0.7)
DUAL: Final = Arm("dual propagation", "dual_propagation", "block", 1.0, 0.5, 0.0)
ARMS: Final = (SWEEP, ANDERSON, SLOW)


def radius(gain: float, age: int = 0) -> float:
    """ρ₀² of the network."""
    return 0.6 * gain**2 * (1 + 0.02 * age)


def rate(arm: Arm, gain: float, age: int = 0, gamma: float | None = None) -> float:
    """The factor by which a sweep of the arm shrinks the residual."""
    return (arm.gamma if gamma is None else gamma) ** arm.power * radius(gain, age) ** arm.power


def gap(arm: Arm, sweeps: int, seed: int, gain: float, age: int = 0) -> float:
    """1 − cosine in the worst layer after a number of sweeps."""
    return min(0.8 * rate(arm, gain, age) ** sweeps * (1 + 0.1 * (seed - 1)), 1.5)


def study_record() -> dict[str, Any]:
    """Return a record with every block, figure by figure as a study writes it."""
    points = [*anytime(), *tolerance(), *scaling(), *phases(), *evaluation(), *nudge(), *recipes()]
    spent = {"seconds": 1234.5, "multiply_adds": 10**12, "points": len(points), "trainings": 4}
    return {
        "schema": 1,
        "protocol": "inference-cost/1",
        "title": "a made-up study",
        "command": "energy study study=made_up out=runs/study",
        "study": {"title": "a made-up study", "blocks": ["anytime", "tolerance"], "seeds": list(SEEDS)},
        "key": "0f1e2d3c",
        **MACHINE,
        "commit": "0123456789abcdef",
        "date": "2026-01-02",
        "data": {"name": "digits", "digests": {"digits.npz": "ab" * 32}},
        "spent": spent,
        "limits": ["Joules are not measured on this machine."],
        "points": points,
        "trainings": trainings(),
        "timing": {},
    }


def point(block: str, arm: Arm, seed: int, axes: dict[str, Any] | None = None, **measures: Any) -> dict[str, Any]:
    """A point of a block: axes and measures of the arm, with those given in place of the usual ones."""
    usual = {
        "settler": arm.settler,
        "kind": arm.kind,
        "relaxation": arm.relaxation,
        "gamma": arm.gamma,
        "beta": 0.01,
        "budget": None,
        "tolerance": None,
        "precision": "float32",
        "gain": 1.0,
        "depth": 3,
        "units": 256,
        "parameters": 50000,
        "batch": BATCH,
        "seed": seed,
        "age": 0,
        "model": "mlp",
        "data": "digits",
    } | (axes or {})
    samples = measures.pop("samples", {"sweeps": {}, "residual": [], "energy_gap": [], "cosine": []})
    layers = measures.pop("layers", {})
    name = hashlib.sha256(repr((block, sorted(usual.items(), key=str))).encode()).hexdigest()[:12]
    blank = dict.fromkeys(UNMEASURED)
    found = {"outcome": "fixed", "outcomes": {}, "steps": {}, "backprop_steps": 1.0, "multiply_adds": 10**6, **blank}
    measured = found | {"reference": {"free": "converged", "nudged": "converged"}} | measures
    return {"id": name, "blocks": [block], "axes": usual, "measures": measured, "layers": layers, "samples": samples}


def priced(arm: Arm, sweeps: int) -> dict[str, float]:
    """Prices of a number of sweeps."""
    steps = 1 + arm.sweep * sweeps
    seconds = SECONDS * 1.2 * steps
    ratios = {"seconds_over_backprop": 1.2 * steps, "seconds_over_compiled": 1.8 * steps}
    return {"backprop_steps": steps, "seconds": seconds, "joules": 30 * seconds, **ratios}


def judged(wide: float) -> dict[str, Any]:
    """Cosines of the whole gradient and of the layers for 1 − cosine of the worst, which is the first."""
    cosines = {layer: {"cosine": 1 - wide / 2**index} for index, layer in enumerate(LAYERS)}
    layers = {layer: {**one, "residual_median": wide, "residual_p95": 2 * wide} for layer, one in cosines.items()}
    return {"cosine_worst": 1 - wide, "cosine_whole": 1 - wide / 3, "worst_layer": LAYERS[0], "layers": layers}


def anytime() -> Iterator[dict[str, Any]]:
    """Budgets of every arm at two gains and two ages; dual propagation pays one sweep and is off by 0.002."""
    for seed in SEEDS:
        for gain in GAINS:
            for age in AGES:
                cell = {"gain": gain, "age": age}
                for arm in ARMS:
                    for free, nudged in LADDER:
                        yield budgeted("anytime", arm, seed, (free, nudged), cell)
                made = {
                    **priced(DUAL, 0),
                    **judged(0.002),
                    "samples": settled(1e-7, 2),
                    "steps": {"free": 1, "nudged": 1},
                }
                yield point("anytime", DUAL, seed, {**cell, "budget": "1+1"}, **made)


def budgeted(block: str, arm: Arm, seed: int, budget: tuple[int, int], cell: dict[str, Any]) -> dict[str, Any]:
    """A point of a fixed budget."""
    free, nudged = budget
    sweeps, shrunk = free + nudged, rate(arm, cell["gain"], cell["age"])
    made = judged(gap(arm, sweeps, seed, cell["gain"], cell["age"]))
    axes = {**cell, "budget": f"{free}+{nudged}"}
    steps = {"free": free, "nudged": nudged}
    samples = settled(shrunk**sweeps, sweeps)
    return point(block, arm, seed, axes, **priced(arm, sweeps), **made, samples=samples, steps=steps)


def settled(residual: float, sweeps: int) -> dict[str, Any]:
    """Samples whose residuals are spread evenly from 0.5 to 1.5 times a number; the energy gap is its square."""
    spread = [residual * (0.5 + index / (BATCH - 1)) for index in range(BATCH)]
    return {
        "sweeps": {"free": [sweeps] * BATCH},
        "residual": spread,
        "energy_gap": [one**2 for one in spread],
        "cosine": [1 - min(one, 1.5) for one in spread],
    }


def needed(shrunk: float, tolerance: float = TOLERANCE) -> float:
    """Sweeps until r^n is a tolerance."""
    return math.log(tolerance) / math.log(shrunk)


def converged(block: str, arm: Arm, seed: int, free: int, axes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A point of a tolerance, whose samples need from half to all of the sweeps of the free phase."""
    nudged = free // 2
    each = {
        name: [max(round(most * (0.5 + 0.5 * index / (BATCH - 1))), 1) for index in range(BATCH)]
        for name, most in (("free", free), ("nudged", nudged))
    }
    samples = {"sweeps": each, "residual": [TOLERANCE] * BATCH, "energy_gap": [None] * BATCH, "cosine": [0.999] * BATCH}
    made = {**priced(arm, free + nudged), **judged(1e-3), "outcome": "converged"} | more
    steps = {"free": free, "nudged": nudged}
    outcomes = dict.fromkeys(steps, made["outcome"])
    axes = {"tolerance": TOLERANCE, **axes}
    return point(block, arm, seed, axes, **made, samples=samples, steps=steps, outcomes=outcomes)


def tolerance() -> Iterator[dict[str, Any]]:
    """Every arm at its own tolerance."""
    for seed in SEEDS:
        for gain in GAINS:
            for arm in ARMS:
                yield converged("tolerance", arm, seed, math.ceil(needed(rate(arm, gain))) + seed, {"gain": gain})


def scaling() -> Iterator[dict[str, Any]]:
    """Sweeps by a power of depth, width and batch, and by the law of the rate over γ, gain and age."""
    laws = {"gamma": GAMMAS, "gain": (0.5, 0.7, 0.9, 1.1), "age": (0, 1, 5, 10)}
    for seed in SEEDS:
        for arm in (SWEEP, ANDERSON):
            for block, (axis, values) in POWERS.items():
                for value in values:
                    sweeps = 2000 / arm.power * (value / values[0]) ** EXPONENTS[axis] * (1 + 0.02 * (seed - 1))
                    yield converged(block, arm, seed, round(sweeps), {axis: value})
            for axis, values in laws.items():
                for value in values:
                    yield lawful(f"scaling-{axis}", arm, seed, {axis: value})


def lawful(block: str, arm: Arm, seed: int, axes: dict[str, Any]) -> dict[str, Any]:
    """A point that takes as many sweeps as its rate says, or diverges if that is 1 or more."""
    cell = {"gain": 1.0, "age": 0, "gamma": arm.gamma} | axes
    predicted = cell["gamma"] * radius(cell["gain"], cell["age"])
    measured = rate(arm, cell["gain"], cell["age"], cell["gamma"]) * (1 + 0.02 * (seed - 1))
    rates = {"loop_gain": predicted, "rate_predicted": predicted, "rate_measured": measured}
    if measured >= 0.98:
        outcome = "diverged" if measured > 1.1 else "budget"
        wide = {"cosine_worst": None, "cosine_whole": None} if outcome == "diverged" else judged(0.4)
        return converged(block, arm, seed, 500, axes, **{**wide, **rates, "outcome": outcome})
    return converged(block, arm, seed, math.ceil(needed(measured)), axes, **judged(1e-3 / (1 - measured)), **rates)


def phases() -> Iterator[dict[str, Any]]:
    """γ × gain at a tolerance."""
    for seed in SEEDS:
        for gain in PHASE_GAINS:
            for gamma in GAMMAS:
                yield lawful("phases", SWEEP, seed, {"gamma": gamma, "gain": gain})


def evaluation() -> Iterator[dict[str, Any]]:
    """Accuracy at budgets of the free phase on trained weights."""
    for seed in SEEDS:
        for arm in ARMS:
            for free in (1, 2, 4, 8, 16):
                accuracy = 95 - 80 * rate(arm, 1.0) ** free + 0.2 * (seed - 1)
                axes = {"budget": f"{free}+0", "age": 5}
                yield point("evaluation", arm, seed, axes, accuracy=accuracy, steps={"free": free}, **priced(arm, free))


def nudge() -> Iterator[dict[str, Any]]:
    """1 − cosine of β² and the residual over budgets, and of β² and rounding over precisions."""
    for seed in SEEDS:
        for beta in BETAS:
            for free, nudged in LADDER[::2]:
                wide = beta**2 + gap(SWEEP, free + nudged, seed, 1.0)
                axes = {"beta": beta, "budget": f"{free}+{nudged}"}
                yield point("nudge", SWEEP, seed, axes, **judged(wide), **priced(SWEEP, free + nudged))
            for precision, epsilon in EPSILONS.items():
                wide = min(beta**2 + (epsilon / beta) ** 2, 1.0)
                axes = {"beta": beta, "precision": precision, "tolerance": TOLERANCE}
                yield point("precision", SWEEP, seed, axes, **judged(wide), **priced(SWEEP, 20))


def recipes() -> Iterator[dict[str, Any]]:
    """Two published recipes."""
    for seed in SEEDS:
        for name, budget in (("Laborieux 2021", (250, 30)), ("Scellier 2023", (60, 15))):
            arm = SWEEP._replace(settler=f"recipe: {name}")
            yield budgeted("recipes", arm, seed, budget, {"gain": 1.0, "age": 0})


def trainings() -> list[dict[str, Any]]:
    """Five epochs of two settlers and three seeds."""
    return [
        {
            "settler": arm.settler,
            "gamma": arm.gamma,
            "gain": 1.0,
            "seed": seed,
            "model": "mlp",
            "data": "digits",
            "epochs": [epoch(arm, seed, number) for number in range(1, 6)],
            "test_accuracy": 90.0 + seed,
            "state": "finished",
        }
        for arm in (SWEEP, DUAL)
        for seed in SEEDS
    ]


def epoch(arm: Arm, seed: int, number: int) -> dict[str, Any]:
    """An epoch of a training."""
    return {
        "epoch": number,
        "validation_accuracy": 96 - 30 / number + 0.1 * seed,
        "cosine_worst": 0.99,
        "cosine_whole": 0.995,
        "sweeps": {"free": 12.0, "nudged": 6.0},
        "backprop_steps": 1 + 18 * arm.sweep,
        "seconds": 2.0 * (1 + arm.sweep),
    }
