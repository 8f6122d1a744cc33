"""The training loop: settle, learn, step; a line per epoch; the test set once, at the end.

Nothing inside a step waits for the device. The host reads the check for non-finite numbers every `train.check_every`
steps and everything else once per epoch.
"""

import functools
import time
from contextlib import ExitStack, suppress
from typing import Any, Final

import torch

from energy import exchange, ranks
from energy.cautions import strict, told
from energy.data.dataset import Splits
from energy.errors import EnergyError, LockedFolderError, LostRankError, OutOfMemory
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS, RESULT, exclusive_lock
from energy.io.scores import main_value
from energy.ledger import Ledger
from energy.parameters import parameters
from energy.readout.readout import kept
from energy.targets import target_of
from energy.train.conclusion import conclude
from energy.train.disk_refusal import disk_refusal
from energy.train.epoch_line import epoch_line
from energy.train.evaluate import decoder, score
from energy.train.folder import acquire, clear_up, finished_result
from energy.train.guarded_log import logged
from energy.train.interrupt import Interrupt, Stopped
from energy.train.interruptible import interruptible
from energy.train.leaving import leave_if_asked
from energy.train.live_view import LiveView
from energy.train.measure import measure_epoch
from energy.train.memory import lacks_memory
from energy.train.out_of_memory import out_of_memory
from energy.train.progress import opening, report_epoch
from energy.train.run import Run
from energy.train.session import Session
from energy.train.settings import settings
from energy.train.terminal import Bar, bar, one_line_warnings, say
from energy.train.together import require_together

VALIDATED: Final = ("validation_accuracy", "validation_top5_accuracy")


def fit(run: Run) -> dict[str, Any]:
    """Train `run` in its folder, from the newest checkpoint if there is one.

    A run that is finished there is not trained again.

    Returns:
        the contents of `result.json`.

    Raises:
        Stopped: after a signal or the time limit, with the state saved (a `SystemExit` of 128 + the signal, or of 0).
        NonFinite: when a number was not finite, before the update that would have spread it.
        OutOfMemory: when there was not enough memory, with the state saved as far as it was whole.
        ConfigurationError: when the folder belongs to another run, the components do not fit together, or a logger is
            asked for that is not installed.
        DamagedCheckpointError: when the checkpoint to continue from is not what was written.
        LostRankError: when another rank has ended or does not answer (`energy.ranks`).
    """
    with ranks.joined(run.place() if ranks.asked() > 1 else None):
        return fit_together(run)


def fit_together(run: Run) -> dict[str, Any]:
    """Train `run` as one of the ranks that have joined, or alone; see `fit`."""
    result = exchange.by_first(lambda: finished_result(run, run.folder))
    if result is None:
        require_together(run)
        run.train.logger.prepare()
        compiling = functools.cache(lambda: say(run.train.progress, f"{run.title}: compiling kernels …"))
        with (
            settings(run.train.deterministic, run.fused, compiling),
            one_line_warnings(run.title),
            told(lambda text: say(True, f"{run.title}: warning: {text}")),
            strict(run.train.strict),
        ):
            try:
                with Interrupt(run.train.time_limit) as interrupt:
                    return carry_out(run, interrupt)
            except Stopped as stopped:
                say(True, f"{run.title}: {stopped}")
                raise
            except LostRankError as lost:
                onward = f"the same command, on any number of ranks, continues from {run.folder / CHECKPOINTS}"
                raise LostRankError(f"{run.title}: {lost}; {onward}") from lost
    with suppress(LockedFolderError, OSError):
        if ranks.here().speaks:
            clear_up(run.folder)
    return kept_as_it_is(run, result)


def kept_as_it_is(run: Run, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a run that was finished before."""
    say(run.train.progress, f"{run.title}: finished already, {run.folder / RESULT} is kept as it is")
    return result


def carry_out(run: Run, interrupt: Interrupt) -> dict[str, Any]:
    """Set up, take the folder, continue from its newest checkpoint, and train to the end."""
    session = None
    try:
        with interrupt.leaving("left before the first step, with nothing to save"):
            session = Session(run, run.folder)  # missing data, or parts that do not fit, are found before it writes
        with ExitStack() as held:
            exchange.by_first(lambda: held.enter_context(exclusive_lock(run.folder)))
            result = exchange.by_first(lambda: acquire(run, run.folder))
            if result is not None:
                exchange.by_first(lambda: checkpoint.prune(run.folder / CHECKPOINTS, 0))
                return kept_as_it_is(run, result)
            say(run.train.progress, opening(run, parameters(session.network), session.device))
            session.resume()
            with logged(run, run.folder, session.epoch) as session.log:
                return train(session, interrupt)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, OutOfMemory) or not lacks_memory(error):
            raise
        raise out_of_memory(session, error) from None
    except OSError as error:
        if session is None or isinstance(error, EnergyError):
            raise
        raise disk_refusal(session.folder, error) from None


def train(session: Session, interrupt: Interrupt) -> dict[str, Any]:
    """Run the epochs that are still to be done, then conclude."""
    run, view = session.run, LiveView(session)
    total = session.epochs * session.steps_per_epoch
    with bar(run.train.progress, run.title, total, session.step, view.details) as shown:
        while session.epoch < session.epochs:
            session.enter()
            train_epoch(session, interrupt, shown)
            view.probed(finish_epoch(session, interrupt))
            interrupt.agree()
            leave_if_asked(session, interrupt)
        result = conclude(session, interrupt)
    interrupt.agree()
    if interrupt.number:  # too late to stop this run, not too late for those after it
        raise interrupt.stopped(f"came when the run was just finished, {session.folder / RESULT}")
    return result


def train_epoch(session: Session, interrupt: Interrupt, shown: Bar) -> None:
    """Run the steps of one epoch that are still to be done."""
    train, start = session.run.train, time.perf_counter()
    session.at("in a step", "train.batch_size", "model")
    for x, labels in session.splits.train.batches(
        train.batch_size, seed=session.run.seed, epoch=session.epoch, train=True, start_step=session.batch
    ):
        with session.clock.time("step"):
            train_step(session, x, labels)
        shown.update(1)
        interrupt.agree()
        if session.step % train.check_every == 0:
            session.check_finite()
        due = train.checkpoint_every and session.step % train.checkpoint_every == 0 and not session.unclosed
        if due or interrupt.asked:
            session.clock.seconds["total"] += time.perf_counter() - start
            start = time.perf_counter()
            session.check_finite()
            session.save()
            leave_if_asked(session, interrupt)
    session.check_finite()
    session.clock.seconds["total"] += time.perf_counter() - start


def train_step(session: Session, x: torch.Tensor, labels: torch.Tensor) -> None:
    """Train on one batch: the settler finds states, the rule turns them into gradients, the optimizer steps."""
    run, network = session.run, session.network
    session.set_rate()
    target = target_of(labels, network.output.shape[0], run.data.targets, x.dtype)
    settled, objective = session.stepper.step(x, target)
    predicted = run.objective.answer(settled.output, run.data.targets) if session.scored else None
    session.metrics.add(objective, predicted, labels, settled.solutions)
    session.metrics.add_control(network)
    session.step += 1
    session.batch += 1
    session.average.update(session.step)
    session.advanced = True


def finish_epoch(session: Session, interrupt: Interrupt) -> dict[str, Any]:
    """Validate, measure the gradient's angle, write and return the line, and save if a checkpoint is due."""
    run, start = session.run, time.perf_counter()
    session.metrics = session.metrics.of_all(shared=True)
    scores = session.metrics.scores()
    session.at("in validation", "train.evaluate_batch")
    look = functools.partial(leave_if_asked, session, interrupt, passing=True)
    validated = validate(session, interruptible(session.splits, look))
    with ranks.separately():
        measured = measure_epoch(session)
    session.clock.seconds["total"] += time.perf_counter() - start
    line = epoch_line(session, scores, validated, measured)
    session.close_epoch(line, main_value(line, "validation"))
    session.log.epoch(session.network, line)
    report_epoch(run.train.progress, session.table, line, session.epochs, session.best, session.left)
    if not run.train.checkpoint_every or session.step % run.train.checkpoint_every == 0:
        session.save()
    return line


def validate(session: Session, splits: Splits) -> dict[str, Any] | None:
    """Score the validation split: by the output layer or, if that does not learn, by a fresh read-out when one is due.

    Returns:
        objective and accuracy; None without validation images and without a score.
    """
    run, images = session.run, splits.validation
    if not len(images):
        return None
    if session.scored:
        with session.average.shown():
            return score(run, session.network, images)
    if not run.readout.every or (session.epoch + 1) % run.readout.every:
        return None
    lines: list[dict[str, Any]] = []
    with ranks.separately():
        decoder(run, session.network, splits, run.readout, Ledger(), lines.append)
    line = kept(lines)
    scores = {name.removeprefix("validation_"): value for name, value in line.items() if name in VALIDATED}
    return {"objective": None, **scores}
