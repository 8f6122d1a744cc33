"""What a person sees while a run trains: a bar on a terminal where tqdm is installed, and one line per epoch."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol


class Bar(Protocol):
    """The one thing asked of a progress bar."""

    def update(self, n: float | None = 1, /) -> object:
        """Move by ``n`` steps."""


class Silent:
    """A bar that shows nothing."""

    def update(self, n: float | None = 1, /) -> object:
        """Nothing."""
        return n


@contextmanager
def bar(show: bool, title: str, total: int, done: int) -> Iterator[Bar]:
    """A bar over ``total`` steps of which ``done`` are done, silent when unwanted, off a terminal or without tqdm."""
    if not show or not sys.stderr.isatty():
        yield Silent()
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield Silent()
        return
    with tqdm(desc=title, total=total, initial=done, leave=False, unit="step", file=sys.stderr) as shown:
        yield shown


def say(show: bool, text: str) -> None:
    """One line on the error stream, where records and tables do not go."""
    if show:
        print(text, file=sys.stderr, flush=True)


def epoch_line(title: str, line: Mapping[str, Any], epochs: int) -> str:
    """The line of a finished epoch."""
    parts = [f"{title}: epoch {line['epoch'] + 1}/{epochs}"]
    if line["train_accuracy"] is not None:  # nothing is scored where the output does not learn
        parts.append(f"objective {_number(line['train_objective'], 4)}")
        parts.append(f"accuracy {line['train_accuracy']:.2f} %")
    for layer, found in line.get("units", {}).items():
        parts.append(f"{layer} norm {found['norm']:.2f}")
    if line["validation_accuracy"] is not None:
        parts.append(f"validation {_number(line['validation_accuracy'], 2)} %")
    parts += [f"{phase} {found['sweeps_mean']:.1f} sweeps" for phase, found in line["settle"].items()]
    if line["diverged_layer"]:
        parts.append(f"{line['diverged_layer']} diverged")
    if line["cosine_worst"] is not None:
        parts.append(f"worst cosine {line['cosine_worst']:.4f} ({line['cosine_worst_layer']})")
    parts.append(f"{line['seconds']['total']:.1f} s")
    return ", ".join(parts)


def readout_line(title: str, line: Mapping[str, Any]) -> str:
    """The line of a fitted read-out: of the epoch whose weights are kept."""
    parts = [f"{title}: read-out, epoch {line['epoch'] + 1}, accuracy {line['train_accuracy']:.2f} %"]
    if "validation_accuracy" in line:
        parts.append(f"validation {line['validation_accuracy']:.2f} %")
    return ", ".join([*parts, f"{line['seconds']:.1f} s"])


def _number(value: float | None, digits: int) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"
