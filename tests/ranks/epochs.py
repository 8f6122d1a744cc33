"""What two ranks find of epochs, scores and whole trainings."""

from __future__ import annotations

import dataclasses
import functools
import signal
from pathlib import Path
from typing import Any

import torch

from energy import exchange, ranks
from energy.couplings import Dense
from energy.data import Augment, Digits, Images
from energy.io import checkpoint
from energy.io.record import FAILED, RESULT
from energy.ledger import Ledger
from energy.models import MLP
from energy.network import Network
from energy.potentials import Identity, Tanh
from energy.readout import Ridge
from energy.relax.solution import Outcome, Solution
from energy.relax.sweep import Sweep
from energy.rules import SoftHebb
from energy.settle import EquilibriumPropagation, Feedforward
from energy.state import State
from energy.train.evaluate import predict, score
from energy.train.finite_check import NonFinite
from energy.train.fit import train, train_step
from energy.train.interrupt import Interrupt, Stopped
from energy.train.metrics import EpochMetrics
from energy.train.run import Precision, Run, Training, UseProgram
from energy.train.session import Session
from tests.settle.nets import draw

Found = dict[str, Any]
COUNT = 23  # images
BATCHES = (4, 4, 1)


def solution(samples: range) -> Solution:
    steps = torch.tensor([3 + one for one in samples])
    residual = torch.tensor([0.5 / (1 + one) for one in samples], dtype=torch.float64)
    done = torch.tensor([one % 2 == 0 for one in samples])
    outcome = Outcome.BUDGET if 1 in samples else Outcome.CONVERGED  # what the ranks of a shared solve have agreed on
    return Solution(State([]), outcome, steps, residual, done, taken=9, rate=residual / 2)


def add(metrics: EpochMetrics, rows: range, whole: range) -> None:
    """The share `rows` of a batch, whose solve has the end of the whole one."""
    values = torch.tensor([float(2**row) for row in rows], dtype=torch.float64)
    labels, predicted = torch.tensor([row % 3 for row in rows]), torch.tensor([row % 2 for row in rows])
    settled = solution(rows)
    settled = Solution(**{**vars(settled), "outcome": solution(whole).outcome})
    metrics.add(values, predicted, labels, {"free": settled, "nudged": settled})
    metrics.ledger.apply("free", 10, len(rows))
    metrics.ledger.sweeps["free"] += 9
    metrics.samples["control/scale"].append(torch.tensor([0.5]))
    metrics.samples["control/factor"].append(torch.tensor([0.5]))


def counts(metrics: EpochMetrics) -> Found:
    """All that an epoch tells of its samples."""
    return {
        **metrics.facts(),
        "quality": metrics.quality(),
        "settling": metrics.settling(),
        "histogram": metrics.histogram(),
        "control": metrics.control(),
        "multiply_adds": metrics.ledger.multiply_adds,
    }


def batches() -> list[range]:
    """The samples of batches of unequal sizes."""
    found, start = list[range](), 0
    for size in BATCHES:
        found.append(range(start, start + size))
        start += size
    return found


def meters(number: int) -> Found:
    shared, dealt = EpochMetrics(torch.device("cpu")), EpochMetrics(torch.device("cpu"))
    for whole in batches():
        add(shared, whole[ranks.share(len(whole))], whole)
    for whole in batches()[number::2]:
        add(dealt, whole, whole)
    return {"shared": counts(shared.of_all(shared=True)), "dealt": counts(dealt.of_all(shared=False))}


def pictures() -> tuple[Run, Network, Images]:
    """An untrained network, and images of a hundred classes for it."""
    settler = EquilibriumPropagation(relax=Sweep(max_steps=50, tolerance=1e-6, check_every=1))
    train = Training(evaluate_batch=5)
    run = Run(model=MLP(), data=Digits(), settler=settler, train=train, precision=Precision.FLOAT64)
    network = Network((1, 4, 4))
    network.add(Dense(16, 6), Tanh())
    network.add(Dense(6, 100), Identity())
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand((COUNT, 1, 4, 4), generator=generator, dtype=torch.float64)
    one = torch.ones((1, 1, 1), dtype=torch.float64)
    draw(network, 0.5, 0, norm=0.4)
    seen = [predict(run, network, x - one / 2, Ledger()).alone for x in (pixels, pixels.flip(-1))]
    right, either = seen[0].argmax(1), (seen[0] + seen[1]).argmax(1)
    labels = torch.randint(100, (COUNT,), generator=generator)  # a third stays: every batch has some right
    labels[::3], labels[1::3] = right[::3], either[1::3]
    return run, network, Images(pixels, labels, one, one / 2, 100, Augment(), torch.float64)


def scores(number: int) -> Found:
    return {"score": score(*pictures(), mirrored=True)}


def run_in(folder: Path) -> Run:
    """A run of four steps an epoch, of fifteen samples each."""
    train = Training(epochs=2, batch_size=15, progress=False, program=UseProgram.OFF, keep_epochs=[1])
    data = Digits(limit=66, validation=0.0)
    return Run(model=MLP(sizes=[6]), data=data, train=train, precision=Precision.FLOAT64, device="cpu", out=str(folder))


def steps(session: Session, count: int) -> None:
    size = session.run.train.batch_size
    given = session.splits.train.batches(size, seed=0, epoch=session.epoch, train=True)
    for (x, labels), _ in zip(given, range(count), strict=False):
        train_step(session, x, labels)


def sessions(number: int, folder: Path) -> Found:
    """Two steps, saved and taken up again; an epoch that ends; and a weight that is lost on one rank alone."""
    written, write = list[str](), checkpoint.write

    def noted(place: Path, *given: Any) -> Path:
        written.append(place.name)
        return write(place, *given)

    checkpoint.write = noted
    run = run_in(folder / "run")
    session = Session(run, run.folder)
    steps(session, 2)
    before = session.metrics.examples
    session.save()
    after = session.metrics.examples
    again = Session(run, run.folder)
    resumed, own = again.resume(), again.metrics.examples
    weights = again.network.state_dict()
    found = {
        "own": (before, after, own),
        "resumed": resumed,
        "all": again.metrics.of_all(shared=True).facts(),
        "equal": all(torch.equal(one, weights[name]) for name, one in session.network.state_dict().items()),
        "weights": {name: tensor.clone() for name, tensor in weights.items()},
    }
    again.epoch = 1
    again.keep_weights()
    if number == 1:
        next(again.network.parameters()).data.fill_(torch.nan)
    try:
        again.check_finite()
    except NonFinite as error:
        found["told"] = str(error)
    exchange.agreed(0)
    checkpoint.write = write
    return found | {"written": written, "failed": len([*(run.folder / FAILED).glob("step-*")])}


def endings(number: int, folder: Path) -> Found:
    """A signal that comes to one rank alone, in the read-out or in the test of a run whose epochs are done."""
    found = Found()
    parts = {"rule": SoftHebb(), "settler": Feedforward(), "readout": Ridge()}
    for name, more in (("read-out", parts), ("test", {})):
        run = dataclasses.replace(run_in(folder / name), **more)
        session = Session(run, run.folder)
        session.epoch = session.epochs
        with Interrupt() as interrupt:
            session.enter()
            noted = functools.partial(setattr, interrupt, "number", int(signal.SIGTERM))
            session.at = lambda doing, *fields, when=f"in the {name}", note=noted: (  # what is about to be done
                note() if number and doing == when else None
            )
            try:
                train(session, interrupt)
            except Stopped as stopped:
                found[name] = (stopped.code, (run.folder / RESULT).exists())
    return found
