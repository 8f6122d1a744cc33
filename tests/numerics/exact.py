"""Responses and their secants in sixty decimal digits: the oracle where float64 itself would cancel."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Final

from energy.potentials import LeakyReLU

DIGITS: Final = 60
SLOPE: Final = Decimal(LeakyReLU().slope)  # exactly the binary number


def _clip(slope: str, low: str | None, high: str | None) -> Callable[[Decimal], Decimal]:
    def response(a: Decimal) -> Decimal:
        s = Decimal(slope) * a
        s = s if low is None else max(s, Decimal(low))
        return s if high is None else min(s, Decimal(high))

    return response


def _leaky(a: Decimal) -> Decimal:
    return a if a >= 0 else SLOPE * a


def _tanh(a: Decimal) -> Decimal:
    return 1 - 2 / ((2 * a).exp() + 1)


def _sigmoid(a: Decimal) -> Decimal:
    return 1 / (1 + (-a).exp())


def _softplus(a: Decimal) -> Decimal:
    return (1 + a.exp()).ln()


RESPONSES: Final[dict[str, Callable[[Decimal], Decimal]]] = {
    "identity": _clip("1", None, None),
    "relu": _clip("1", "0", None),
    "hard_sigmoid": _clip("1", "0", "1"),
    "half_hard_sigmoid": _clip("0.5", "0", "1"),
    "clipped_relu": _clip("1", "0", "6"),
    "leaky_relu": _leaky,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}


def secant(label: str, drive: float, h: float, beta: float, r_plus: float) -> float:
    """[f(a + r₊βh) − f(a − r₋βh)]/β of the given binary numbers, rounded once."""
    with localcontext() as context:
        context.prec = DIGITS
        a, e, share = Decimal(drive), Decimal(beta) * Decimal(h), Decimal(r_plus)
        f = RESPONSES[label]
        return float((f(a + share * e) - f(a - (1 - share) * e)) / Decimal(beta))


def softmax(drives: list[Decimal]) -> list[Decimal]:
    powers = [a.exp() for a in drives]
    return [p / sum(powers) for p in powers]


def softmax_secant(drives: list[float], h: list[float], beta: float, r_plus: float) -> list[float]:
    with localcontext() as context:
        context.prec = DIGITS
        share, step = Decimal(r_plus), Decimal(beta)
        high = softmax([Decimal(a) + share * step * Decimal(e) for a, e in zip(drives, h, strict=True)])
        low = softmax([Decimal(a) - (1 - share) * step * Decimal(e) for a, e in zip(drives, h, strict=True)])
        return [float((p - q) / step) for p, q in zip(high, low, strict=True)]
