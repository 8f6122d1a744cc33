"""The end of a training: the weights that it keeps, the read-out that is fitted to them, and the one test."""

import functools
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from energy import exchange, ranks
from energy.component import to_dict
from energy.data.dataset import Splits
from energy.io import checkpoint
from energy.io.provenance import provenance
from energy.io.record import CHECKPOINTS, FINAL, READOUT, SNAPSHOT, append_line, write_json
from energy.io.result import write_result
from energy.ledger import Ledger
from energy.readout.decoder import Decoder, install
from energy.readout.readout import kept
from energy.train.evaluate import decoder, score
from energy.train.interrupt import Interrupt
from energy.train.interruptible import interruptible
from energy.train.leaving import leave_if_asked
from energy.train.metrics import top_five
from energy.train.progress import closing, readout_line
from energy.train.result import run_summary
from energy.train.session import Session
from energy.train.terminal import say


def read_out(session: Session, splits: Splits, look: Callable[[], None]) -> dict[str, Any]:
    """Fit the read-out, put it into the output layer, and return its part of the result.

    Args:
        session: the training, done.
        splits: the data.
        look: called after each epoch of the fit.
    """
    run, network = session.run, session.network
    start = time.perf_counter()
    ledger, lines = Ledger(), list[dict[str, Any]]()
    if ranks.here().speaks:
        (session.folder / READOUT).unlink(missing_ok=True)

    def report(line: dict[str, Any]) -> None:
        line["seconds"] = time.perf_counter() - start
        lines.append(line)
        if ranks.here().speaks:
            append_line(session.folder / READOUT, line)
        session.log.readout(line)
        look()

    fitted = decoder(run, network, splits, run.readout, ledger, report)
    assert isinstance(fitted, Decoder)  # a run admits no read-out without weights
    install(network, fitted)
    line = kept(lines)
    say(run.train.progress, readout_line(run.title, line))
    return {
        "readout": to_dict(run.readout),
        "readout_epochs": len(lines),
        "readout_train_accuracy": line["train_accuracy"],
        "readout_validation_accuracy": line.get("validation_accuracy"),
        **top_five("readout_validation", line, "validation_"),
        "readout_feature_multiply_adds": ledger.multiply_adds,
        "readout_seconds": time.perf_counter() - start,
    }


def read_out_by_each(
    session: Session, splits: Splits, interrupt: Interrupt, look: Callable[[], None]
) -> dict[str, Any]:
    """Fit the read-out on every rank, the same on each; see `read_out`. Several leave after it, all or none.

    Args:
        session: the training, done.
        splits: the data.
        interrupt: the signals and the time.
        look: leaves if asked; of one process alone after each epoch of the fit.
    """
    several = ranks.here().several
    with ranks.separately():
        found = read_out(session, splits, _nothing if several else look)
    if several:
        interrupt.agree()
        look()
    return found


def conclude(session: Session, interrupt: Interrupt) -> dict[str, Any]:
    """Store the chosen weights, fit a read-out if asked for, score the test split once, and write `result.json`.

    The checkpoints are removed at the end.
    """
    run, folder = session.run, session.folder
    saved = session.save()
    look = functools.partial(leave_if_asked, session, interrupt, saved, passing=True)
    splits = interruptible(session.splits, look)
    weights, which = session.final_weights()
    session.network.load_state_dict(weights)
    session.at("in the read-out", "train.evaluate_batch", "data.limit")
    read = read_out_by_each(session, splits, interrupt, look) if run.readout.fitted else {}
    session.at("in the test", "train.evaluate_batch")
    if ranks.here().speaks:
        checkpoint.prune(folder / FINAL, 0)  # of a process that was killed during the test
        checkpoint.write(folder / FINAL, session.step, *_final(session, which))
    tested = score(run, session.network, splits.test, run.train.mirrored)
    snapshot = run.settler.snapshot(session.network, session.splits.test.take(slice(0, 1))[0])
    if snapshot is not None and ranks.here().speaks:
        write_json(folder / SNAPSHOT, snapshot)
    summary = {**run_summary(session, tested), **read, "weights": which}
    result = exchange.by_first(lambda: write_result(folder, summary))
    session.log.end(result)
    say(run.train.progress, closing(run, result))
    exchange.by_first(lambda: checkpoint.prune(folder / CHECKPOINTS, 0))
    return result


def _nothing() -> None:
    """Look at nothing."""


def _final(session: Session, which: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of the weights that a run ends with."""
    facts = {"run": to_dict(session.run), "key": session.key, "weights": which, "step": session.step, **session.data}
    weights = {f"weights/{name}": tensor for name, tensor in session.network.state_dict().items()}
    return weights, {**facts, "provenance": provenance(session.device)}
