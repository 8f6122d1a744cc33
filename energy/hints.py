"""Suggestions for a misspelled name: by similarity, by a usual abbreviation, by place in the tree.

Two names are near when `difflib`'s ratio of their letters is at least `NEAR`, or when one is a whole word of the other
or its beginning. Below that a guess misleads more often than it helps, and none is made.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from energy.renamed import successors

T = TypeVar("T")

NEAR: Final = 0.6
SHOWN: Final = 3  # places of a field that a hint lists
LONGEST: Final = 100  # letters of a name that is compared; a longer one is no slip of a name

USUAL: Final[Mapping[str, str]] = {
    "ep": "equilibrium_propagation",
    "eqprop": "equilibrium_propagation",
    "eq_propagation": "equilibrium_propagation",
    "dp": "dual_propagation",
    "dualprop": "dual_propagation",
    "chl": "contrastive_hebbian",
    "bp": "backprop",
    "backpropagation": "backprop",
    "autograd": "backprop",
    "bptt": "surrogate_backprop",
    "cl": "coupled_learning",
    "ff": "feedforward",
    "mse": "squared_error",
    "l2": "squared_error",
    "ce": "cross_entropy",
    "xent": "cross_entropy",
    "nll": "cross_entropy",
    "fa": "random",
    "dfa": "direct",
    "kp": "kolen_pollack",
    "kh": "krotov_hopfield",
    "bf16": "bfloat16",
    "fp16": "bfloat16",
    "half": "bfloat16",
    "fp32": "float32",
    "fp64": "float64",
    "double": "float64",
    "relu6": "clipped_relu",
    "linear": "identity",
    "soft": "subtract",
    "hard": "zero",
    "fmnist": "fashion_mnist",
    "learning_rate": "lr",
    "eta": "lr",
    "bs": "batch_size",
    "num_epochs": "epochs",
    "decay": "weight_decay",
    "wd": "weight_decay",
    "l2_penalty": "weight_decay",
    "activation": "hidden",
    "nonlinearity": "hidden",
    "layers": "sizes",
    "widths": "sizes",
    "hidden_sizes": "sizes",
    "dataset": "data",
    "net": "model",
    "network": "model",
    "arch": "model",
    "optim": "optimizer",
    "opt": "optimizer",
    "loss": "objective",
    "criterion": "objective",
    "scheduler": "schedule",
    "lr_schedule": "schedule",
    "method": "settler",
    "solver": "relax",
    "output_dir": "out",
    "dtype": "precision",
}


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Find the candidate nearest to `name`, upper and lower case alike.

    Returns:
        The candidate; an empty string if none is near, or if `name` has more than `LONGEST` letters.

    Example:
        >>> nearest("dualprop", ["backprop", "dual_propagation"])
        'dual_propagation'
    """
    known = sorted(candidates)
    if len(name) > LONGEST:
        return ""
    for usual in (USUAL.get(_plain(name), ""), *successors(name)):
        if usual in known:
            return usual
    return max(known, key=lambda other: _likeness(name, other), default="") if _near(name, known) else ""


def meant(name: str, candidates: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"`, or an empty string if no candidate is near."""
    guess = nearest(name, candidates)
    return f"; did you mean {guess!r}?" if guess else ""


def hint(name: str, candidates: Iterable[str]) -> str:
    """Return the text that follows `"unknown; "`: the guess if there is one, and every valid name."""
    known = sorted(candidates)
    guess = nearest(name, known)
    listed = f"known: {', '.join(known)}" if known else "there is none"
    return f"did you mean {guess!r}? {listed}" if guess else listed


def elsewhere(name: str, root: T, children: Callable[[T], Mapping[str, Sequence[T]]], deepest: int = 3) -> list[str]:
    """Search the tree below `root` for fields called `name`, or for those of the nearest name if there is none.

    Args:
        name: the name of the field.
        root: the node to begin at; its own fields do not count.
        children: returns the fields of a node, each with the nodes that it may hold.
        deepest: the most fields that a path may have above its last one.

    Returns:
        Dotted paths, the shortest first, at most `SHOWN` of them.
    """
    found: dict[str, dict[str, None]] = {}
    level: list[tuple[str, T]] = [("", root)]
    for _ in range(deepest):
        pairs = [(f"{path}{field}.", nodes) for path, one in level for field, nodes in children(one).items()]
        level = [(path, node) for path, nodes in pairs for node in nodes]
        for path, node in level:
            for field in children(node):
                found.setdefault(field, {}).setdefault(f"{path}{field}")
    wanted = name if name in found else nearest(name, found)
    paths = found.get(wanted, {})
    return [path for path in paths if _further_up(path) not in paths][:SHOWN]


def _further_up(path: str) -> str:
    """The same field one part further up, beside which one inside a part of it (`relax.inner`) is not worth showing."""
    *parts, _, field = path.split(".") if "." in path else ("", path)
    return ".".join((*parts, field))


def _near(name: str, known: Iterable[str]) -> bool:
    return any(_likeness(name, other) >= NEAR for other in known)


def _likeness(name: str, other: str) -> float:
    """The ratio of `difflib`; at least 0.9 if one name is a whole word or the beginning of the other."""
    one, two = _plain(name), _plain(other)
    ratio = difflib.SequenceMatcher(None, one, two).ratio()
    short, long = sorted((one, two), key=len)
    part = len(short) >= 3 and (long.startswith(short) or short in long.split("_"))
    return max(ratio, 0.9) if part else ratio


def _plain(name: str) -> str:
    return name.strip("-").lower().replace("-", "_")
