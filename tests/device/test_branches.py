"""A step runs on an accelerator what it runs on the CPU: operation by operation, and in the source."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest
import torch

import energy
from energy import foreach, reading
from energy.train.clock import Clock
from energy.train.finite_check import FiniteCheck
from energy.train.fit import train_step
from energy.train.metrics import EpochMetrics
from energy.train.run import Run
from energy.train.session import Session
from energy.train.stepper import Stepper
from tests.device import cases
from tests.device.spy import META, Spy
from tests.device.test_steps import BATCH, batch, session

DECLARED = {  # the functions that look at the kind of a device, and the reason
    "reading.py:is_free": "the one place that says where reads are free",
    "reading.py:DeviceRead.__init__": "pinned memory and an event",
    "reading.py:sent": "pinned memory",
    "foreach.py:all_finite": "the faster of two kernels with one result",
    "couplings/convolution.py:*": "the faster of two kernels with one result",
    "couplings/forms/choice.py:Choice.form": "the fastest of several forms with one result",
    "couplings/winograd.py:_fits": "the faster of two forms with one result",
    "program/compiler.py:executable": "a CUDA graph around a program",
    "program/record.py:_no_chance": "the generators of each device",
    "train/stepper.py:Stepper._excluded": "programs are measured on CPUs alone, once",
    "train/stepper.py:_now": "the clock of a comparison waits for the device",
    "train/clock.py:Clock.__init__": "events in the place of a clock",
    "train/optimizer.py:Optimizer.create": "the fused optimizers, once",
    "train/optimizer.py:SGD.algorithm": "the fused optimizers, once",
    "train/run.py:Setting.place": "the device of a run, once",
    "readout/linear.py:*": "the fused optimizer, once",
    "modes.py:undisturbed": "generators to hold, once per coupling",
    "modes.py:examine": "a network without numbers",
    "network.py:Network.validate_batch": "torch.autocast knows no meta device",
    "feedback/feedback.py:Feedback.slot": "a network without numbers",
    "feedback/feedback.py:FeedbackWeights.__init__": "a network without numbers",
    "relax/adaptive_flow.py:AdaptiveFlow.step": "a network without numbers: an adaptive step reads them by nature",
    "relax/contraction.py:_start": "a network without numbers",
    "ranks.py:*": "the device of a rank, and the library that sums on it, once",
    "train/draft.py:bounded_by*": "a network without numbers",
    "dropin/trace.py:require_equal": "a network without numbers; torch.autocast asks for the kind",
    "dropin/wrapped.py:WrappedModule.forward": "torch.autocast asks for the kind",
    "dropin/wrapped.py:BegunStep.finish": "torch.autocast asks for the kind",
    "train/live_view.py:LateNumber.read": "a pinned copy and an event",
    "io/provenance.py:*": "the record of a run",
}
OF_A_DEVICE = {"is_cuda", "is_cpu", "is_meta", "is_mps", "is_xpu"}


STILL = {"view", "_unsafe_view", "permute", "t", "transpose", "expand", "reshape", "unsqueeze", "squeeze", "slice"}
STILL |= {"clone", "contiguous", "detach", "_to_copy", "copy_", "empty_like", "select", "unbind", "alias", "as_strided"}


def looking() -> set[str]:
    """The functions of the library that look at the kind of a device, `file:qualified name`."""
    root, found = Path(energy.__file__).parent, set[str]()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("command/", "study/", "testing/", "plots/")):
            _look(ast.parse(path.read_text("utf-8")), name + ":", found)
    return found


def _look(node: ast.AST, at: str, found: set[str]) -> None:
    for inside in ast.iter_child_nodes(node):
        named = isinstance(inside, ast.FunctionDef | ast.ClassDef)
        if isinstance(inside, ast.Attribute):
            kind = inside.attr == "type" and ast.unparse(inside.value).rpartition(".")[2] == "device"
            if kind or inside.attr in OF_A_DEVICE:
                found.add(at.rstrip("."))
        _look(inside, f"{at}{inside.name}." if named else at, found)


def test_what_depends_on_the_kind_of_device_is_declared() -> None:
    found = looking()
    declared = {where.removesuffix("*") for where in DECLARED}
    assert [one for one in sorted(found) if not one.startswith(tuple(declared))] == []
    assert [one for one in sorted(declared) if not any(where.startswith(one) for where in found)] == []


RUNS = {n: run for n, run in cases.every().items() if n.endswith("fixed") and n.count("-") == 2 and "of" not in n}


@pytest.mark.parametrize("name", RUNS)
def test_the_operations_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With the reads left out that are free on the CPU alone."""
    monkeypatch.setattr(foreach, "all_finite", lambda some: torch.stack([one.isfinite().all() for one in some]))
    run = RUNS[name]
    there, here = session(run), on_the_cpu(run)
    x, labels = batch(run)
    with Spy(strict=False):
        train_step(there, x, labels)
    with Spy() as spy:
        train_step(there, x, labels)
    monkeypatch.setattr(reading, "is_free", lambda device: False)
    x, labels = torch.rand(BATCH, *run.data.shape), torch.arange(BATCH)
    train_step(here, x, labels)
    with Spy(strict=False) as host:
        train_step(here, x, labels)
    assert [pair for pair in itertools.zip_longest(_plain(spy.names), _plain(host.names)) if pair[0] != pair[1]][
        :3
    ] == []


def _plain(names: list[str]) -> list[str]:
    """The operations, without those that change no number."""
    return [name for name in names if name not in STILL]


def on_the_cpu(run: Run) -> Session:
    one = session(run)
    one.network = run.draft()  # not channels last, of which the fused SGD of the CPU makes copies and is left
    one.device = torch.device("cpu")
    one.optimizer = run.optimizer.create(one.network)
    one.finite_check = FiniteCheck(one.network, one.optimizer)
    one.metrics, one.clock = EpochMetrics(one.device), Clock(one.device)
    one.stepper = Stepper(one)
    one.enter()
    return one


def test_the_spy_tells_a_branch_by_the_device() -> None:
    def step(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.device.type == "cpu" else x * 1

    with Spy(strict=False) as there:
        step(torch.zeros(2, device=META))
    with Spy(strict=False) as here:
        step(torch.zeros(2))
    assert _plain(there.names) != _plain(here.names)
