"""The training page: settle, learn, step; a line per epoch; the test set once, at the end.

Nothing inside a step waits for the device. The host looks at the non-finite watch every ``train.check_every`` steps
and reads everything else once per epoch.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch

from energy.cautions import strict, told
from energy.component import describe
from energy.ledger import Ledger, backprop_multiply_adds
from energy.network import Network
from energy.objectives import one_hot
from energy.rules.local import Local
from energy.train import checkpoint
from energy.train.board import Board, require_board
from energy.train.evaluate import decoder, score
from energy.train.folder import UNITS, claim, held
from energy.train.interrupt import Interrupt
from energy.train.meter import ACTIVITY, spread
from energy.train.probe import NOTHING_MEASURED, alignment, probe_run
from energy.train.progress import Bar, bar, epoch_line, readout_line, say
from energy.train.provenance import provenance
from energy.train.readout import Decoder, install, kept
from energy.train.record import (
    CHECKPOINTS,
    FINAL,
    OBSERVED,
    READOUT,
    RECORD,
    RESULT,
    alone,
    append_line,
    read_lines,
    write_json,
)
from energy.train.run import Run, digest, identity
from energy.train.session import Session
from energy.train.settings import settings
from energy.train.units import populations

NO_SECONDS: Final = {"learn": 0.0, "step": 0.0, "total": 0.0}  # of a run in which only a read-out learns


def fit(run: Run) -> dict[str, Any]:
    """Train ``run`` in its folder, from where it was left, and return what ``result.json`` then holds.

    A run that is finished there is not trained again: its result is returned.

    Raises:
        Stopped: after SIGTERM, SIGINT or the time limit, with the state saved (a ``SystemExit`` of 143, 130 or 0).
        NonFinite: when a number stopped being one, before the update that would have spread it.
        ConfigurationError: when the folder belongs to another run, the components do not fit together, or TensorBoard
            is asked for and not installed.
        DamagedCheckpoint: when the checkpoint to continue from is not what was written.
    """
    folder = run.folder
    result = held(run, folder)
    if result is None:
        if run.train.tensorboard:
            require_board()
        with settings(run.train.deterministic, run.fused), told(partial(warn, run)), strict(run.train.strict):
            session = Session(
                run, folder
            )  # missing data, or parts that do not fit, are found before anything is written
            with alone(folder), Interrupt(run.train.time_limit) as interrupt:
                result = claim(run, folder)
                if result is None:
                    session.resume()
                    with shown_on_board(session):
                        return train(session, interrupt)
    say(run.train.progress, f"{run.title}: finished already, {folder / RESULT} is kept as it is")
    return result


def warn(run: Run, text: str) -> None:
    """The line of a caution."""
    say(True, f"{run.title}: warning: {text}")


@contextmanager
def shown_on_board(session: Session) -> Iterator[None]:
    """Open the board, where the run asks for one, and write it out however training ends."""
    if not session.run.train.tensorboard:
        yield
        return
    session.board = Board(session.run, session.folder, session.epoch)
    try:
        yield
    finally:
        session.board.close()


def train(session: Session, interrupt: Interrupt) -> dict[str, Any]:
    """The epochs that are still to be done, then the end."""
    run = session.run
    total = session.epochs * session.steps_per_epoch
    with bar(run.train.progress, run.title, total, session.step) as shown:
        while session.epoch < session.epochs:
            session.enter()
            train_epoch(session, interrupt, shown)
            finish_epoch(session)
            leave_if_asked(session, interrupt)
    result = conclude(session, interrupt)
    if interrupt.number:  # too late to stop this run, not too late for those after it
        raise interrupt.stopped(f"{run.title} was just finished, {session.folder / RESULT}")
    return result


def train_epoch(session: Session, interrupt: Interrupt, shown: Bar) -> None:
    """The steps of one epoch that are still to be done."""
    train, start = session.run.train, time.perf_counter()
    for x, labels in session.splits.train.batches(
        train.batch_size, seed=session.run.seed, epoch=session.epoch, train=True, start_step=session.batch
    ):
        with session.clock.time("step"):
            train_step(session, x, labels)
        shown.update(1)
        if session.step % train.check_every == 0:
            session.check()
        due = train.checkpoint_every and session.step % train.checkpoint_every == 0
        if due or interrupt.asked:
            session.clock.seconds["total"] += time.perf_counter() - start
            start = time.perf_counter()
            session.check()
            session.save()
            leave_if_asked(session, interrupt)
    session.check()
    session.clock.seconds["total"] += time.perf_counter() - start


def train_step(session: Session, x: torch.Tensor, labels: torch.Tensor) -> None:
    """One batch: the settler finds states, the rule turns them into gradients, the optimiser steps."""
    run, network = session.run, session.network
    session.set_rate()
    target = one_hot(labels, network.output.shape[0], x.dtype)
    with session.clock.time("learn"):
        settled = session.learn(x, target)
    objective = run.settler.value(run.objective, settled, target) if session.scored else None
    session.guard.watch(objective, session.step)
    if session.guard.immediate and session.guard.tripped:
        session.check()
    session.optimizer.step()
    predicted = run.objective.predict(settled.output) if session.scored else None
    session.tally.add(objective, predicted, labels, settled.solutions)
    session.step, session.batch = session.step + 1, session.batch + 1


def finish_epoch(session: Session) -> None:
    """Validate, measure the gradient's angle, write the line, and save if a checkpoint is due each epoch."""
    run, start = session.run, time.perf_counter()
    objective, accuracy = session.tally.quality()
    held = validate(session)
    asked = run.train.probe_every and session.epoch % run.train.probe_every == 0
    angle = probe_run(run, session.network, session.splits.train) if asked else NOTHING_MEASURED
    local = asked and isinstance(run.rule, Local)
    units = {"units": populations(run, session.network, session.splits.train)} if local else {}
    session.clock.seconds["total"] += time.perf_counter() - start
    line = {
        "epoch": session.epoch,
        "step": session.step,
        "learning_rate": session.optimizer.param_groups[0]["lr"],
        "train_objective": objective,
        "train_accuracy": accuracy,
        "validation_objective": None if held is None else held["objective"],
        "validation_accuracy": None if held is None else held["accuracy"],
        "settle": session.tally.settling(),
        "validation_settle": {} if held is None else held.get("settle", {}),
        "diverged_layer": session.tally.diverged or None,
        **session.tally.spent(session.network),
        **session.tally.fired(),
        **angle,
        **units,
        **alignment(session.network),
        "seconds": session.clock.read(),
    }
    session.close_epoch(line, None if held is None else held["accuracy"])
    if session.board:
        session.board.epoch(session.network, line)
    say(run.train.progress, epoch_line(run.title, line, session.epochs))
    if not run.train.checkpoint_every:
        session.save()


def validate(session: Session) -> dict[str, Any] | None:
    """Objective and accuracy on the validation split, of the output layer or, where that does not learn, of a fresh
    read-out when one is due; None without either.
    """
    run, images = session.run, session.splits.validation
    if not len(images):
        return None
    if session.scored:
        return score(run, session.network, images)
    if not run.readout.every or (session.epoch + 1) % run.readout.every:
        return None
    lines: list[dict[str, Any]] = []
    decoder(run, session.network, session.splits, run.readout, Ledger(), lines.append)
    return {"objective": None, "accuracy": kept(lines)["validation_accuracy"]}


def read_out(session: Session, interrupt: Interrupt) -> dict[str, Any]:
    """Fit the read-out and put it into the output layer; what that was, for the result."""
    run, network, start = session.run, session.network, time.perf_counter()
    ledger, lines = Ledger(), list[dict[str, Any]]()
    (session.folder / READOUT).unlink(missing_ok=True)

    def report(line: dict[str, Any]) -> None:
        line["seconds"] = time.perf_counter() - start
        lines.append(line)
        append_line(session.folder / READOUT, line)
        if session.board:
            session.board.readout(line)
        if interrupt.asked:
            leave_if_asked(session, interrupt)

    fitted = decoder(run, network, session.splits, run.readout, ledger, report)
    assert isinstance(fitted, Decoder)  # a run admits no read-out without weights
    install(network, fitted)
    line = kept(lines)
    say(run.train.progress, readout_line(run.title, line))
    return {
        "readout": describe(run.readout),
        "readout_epochs": len(lines),
        "readout_train_accuracy": line["train_accuracy"],
        "readout_validation_accuracy": line.get("validation_accuracy"),
        "readout_feature_multiply_adds": ledger.multiply_adds,
        "readout_seconds": time.perf_counter() - start,
    }


def leave_if_asked(session: Session, interrupt: Interrupt) -> None:
    """Save and leave, if a signal or the time limit asks for it."""
    if interrupt.asked:
        path = session.save()
        stopped = interrupt.stopped(f"left after step {session.step}; the same command continues from {path}")
        say(True, f"{session.run.title}: {stopped}")
        raise stopped


def conclude(session: Session, interrupt: Interrupt) -> dict[str, Any]:
    """Store the chosen weights, fit a read-out to them where the run asks for one, score the test split once, write
    ``result.json``, and let the checkpoints go.
    """
    run, folder = session.run, session.folder
    weights, which = session.final_weights()
    session.network.load_state_dict(weights)
    read = read_out(session, interrupt) if run.readout.fitted else {}
    weights = session.network.state_dict()
    facts = {"run": describe(run), "weights": which, "step": session.step, "provenance": provenance(session.device)}
    checkpoint.write(folder / FINAL, session.step, {f"weights/{name}": x for name, x in weights.items()}, facts)
    tested = score(run, session.network, session.splits.test)
    result = {**summary(session, tested), **read, "weights": which}
    observed = run.settler.observe(session.network, session.splits.test.take(slice(0, 1))[0])
    if observed is not None:
        write_json(folder / OBSERVED, observed)
    write_json(folder / RESULT, result)
    if session.board:
        session.board.end(result)
    say(run.train.progress, f"{run.title}: test accuracy {result['test_accuracy']:.2f} %, {folder / RESULT}")
    checkpoint.prune(folder / CHECKPOINTS, 0)
    return result


def summary(session: Session, tested: dict[str, Any]) -> dict[str, Any]:
    """Everything a table needs to know about a finished run."""
    run, totals = session.run, session.totals
    plain = identity(run)
    last = next(reversed(read_lines(session.folder / RECORD)), {})
    trained = session.step * run.train.batch_size
    return {
        "title": run.title,
        "key": digest(plain),
        "configuration_key": digest({name: value for name, value in plain.items() if name != "seed"}),
        "seed": run.seed,
        "test_accuracy": tested["accuracy"],
        "test_objective": tested["objective"],
        "test_examples": tested["examples"],
        "validation_accuracy": None if session.best is None else last_or_best(session, last),
        "epochs": session.epoch,
        "steps": session.step,
        "sweeps": spread(totals["sweeps"]),
        "outcomes": totals["outcomes"],
        "multiply_adds": totals["multiply_adds"],
        "backprop_steps": totals["multiply_adds"] / (backprop_multiply_adds(session.network) * max(trained, 1)),
        "seconds": {**NO_SECONDS, **totals["seconds"], "test": tested["seconds"]},
        "parameters": parameters(session.network),
        "evaluation": evaluation(run, tested),
        "configuration": describe(run),
        "plugins": plain.get("plugins", {}),
        **provenance(session.device),
        "continued": session.breaks,
        "units": UNITS,
    }


def last_or_best(session: Session, last: dict[str, Any]) -> float | None:
    """Validation accuracy of the weights the run ends with."""
    if session.best_weights and session.best is not None:
        return session.best["accuracy"]
    return last.get("validation_accuracy")


def evaluation(run: Run, tested: dict[str, Any]) -> dict[str, Any]:
    """How the scored outputs were obtained."""
    plain = describe(run.settler)
    return {
        "settler": plain["name"],
        "gamma": run.settler.gamma,
        "nudge": "none",
        "relaxation": plain.get("relax") if run.settler.gamma else "one bottom-up pass",
        "settle": tested["settle"],
        "multiply_adds": tested["multiply_adds"],
        **{name: tested[name] for name in ACTIVITY if name in tested},
    }


def parameters(network: Network) -> int:
    """How many numbers are learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
