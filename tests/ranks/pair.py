"""What two ranks find in small sums and decisions: `python -m tests.ranks.pair FILE` writes `FILE.0` and `FILE.1`."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energy import exchange, ranks
from energy.couplings.statistics import batch_norm, summed
from energy.train.interrupt import Interrupt
from tests.ranks.epochs import endings, meters, scores, sessions

PATIENCE = 60.0  # seconds, in place of ten minutes
Found = dict[str, Any]
LARGE = exchange.BUCKET // 8 + 3  # numbers of eight bytes that are more than one bucket


def parts(factor: int) -> list[Tensor]:
    """Tensors of several types and sizes, of whole numbers, which any order adds up alike; the last fill no bucket."""
    whole = torch.arange(LARGE) * factor
    return [
        whole[:5].double(),
        whole.clone(),
        whole[:7] + factor + 2**60,
        whole[:6].view(2, 3).float().T,
        whole[0].double() + factor,
        whole[:0].double(),
        whole[:3].double(),
    ]


def sums(number: int) -> Found:
    """The same tensors at once, and one after the other."""
    at_once, in_turn = parts(number + 1), parts(number + 1)
    exchange.sum_of_all(at_once)
    under_way = exchange.Sums()
    for tensor in in_turn:
        under_way.send([tensor])
    under_way.wait()
    again = torch.full((2,), number + 1)
    under_way.send([again])
    under_way.wait()
    return {"at once": at_once, "in turn": in_turn, "again": again}


def decisions(number: int) -> Found:
    first, acted = torch.full((3,), float(number + 1)), list[int]()
    exchange.from_first([first])

    def act(fails: bool) -> str:
        acted.append(number)
        if fails:
            raise KeyError(fails)
        return f"of {number}"

    done = exchange.by_first(lambda: act(False))
    try:
        failed = exchange.by_first(lambda: act(True))
    except BaseException as error:
        failed = repr(error)
    with ranks.separately():
        alone = (ranks.here().count, exchange.count_of_all(number), ranks.here().speaks)
    return {
        "sum": exchange.count_of_all(2**40 + number),
        "greatest": (exchange.agreed(7 - 3 * number), exchange.agreed(3 + 4 * number)),
        "anywhere": exchange.anywhere(torch.tensor([number == 0, number == 1, False, True])).tolist(),
        "told": exchange.value_of_first({"rank": number}),
        "gathered": exchange.from_all(("rank", number)),
        "first": first,
        "by first": (done, failed, acted),
        "apart": alone,
        "here": (ranks.here().number, ranks.here().count, ranks.here().speaks, len(set(ranks.here().processes))),
    }


def stops(number: int) -> Found:
    """A signal that one rank has noted, and the end of the time of the other."""
    with Interrupt() as told, Interrupt(1e-9 if number == 0 else 0.0) as late, Interrupt() as calm:
        told.number = int(signal.SIGUSR1) if number == 1 else 0
        for interrupt in (told, late, calm):
            interrupt.agree()
        return {
            "told": (told.asked, told.number),
            "late": (late.asked, late.out_of_time, late.number),
            "calm": calm.asked,
        }


def drives() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch of five for two ranks, the slope of a sum over it, scale and shift."""
    generator = torch.Generator().manual_seed(5)
    made = [
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 3, 2), (5, 3, 2), (3,), (3,))
    ]
    return 2 * made[0] + 1, made[1], made[2], made[3]


def normalized(mine: slice, by: Callable[..., Tensor] = batch_norm) -> Found:
    """Σ slope · normalized drive, its derivatives, and those of the square of the first derivative."""
    drive, slope, scale, shift = drives()
    u, a, b = drive[mine].requires_grad_(), scale.requires_grad_(), shift.requires_grad_()
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    out = by(u, mean, var, a, b, True, 0.25, 1e-3)
    first = torch.autograd.grad((out * slope[mine]).sum(), (u, a, b), create_graph=True)
    (second,) = torch.autograd.grad(first[0].square().sum(), u)
    fixed = by(drive[mine], mean, var, scale, shift, False, 0.25, 1e-3)
    found = {"out": out, "drive": first[0], "scale": first[1], "shift": first[2], "second": second, "fixed": fixed}
    return {name: one.detach() for name, one in found.items()} | {"mean": mean, "var": var}


def statistics(number: int) -> Found:
    part = torch.tensor([1.0 + number, 2.0]).requires_grad_()
    total = summed(part)
    (slope,) = torch.autograd.grad((total * (number + 1)).sum(), part)
    return {"normalized": normalized(ranks.share(5)), "summed": total.detach(), "slope": slope}


def rank(number: int, place: Path) -> None:
    """One of the two: it finds the other as under `torchrun`, and writes what it found."""
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2")
    torch.set_num_threads(1)
    with ranks.joined(patience=PATIENCE):
        probes = (sums, decisions, stops, statistics, meters, scores)
        found = {probe.__name__: probe(number) for probe in probes}
        found["sessions"] = sessions(number, place.parent)
        found["endings"] = endings(number, place.parent)
        torch.save(found, f"{place}.{number}")
        exchange.agreed(0)


def main() -> None:
    """Fork into two, for one import of everything; 1 if either fails."""
    importlib.import_module("sklearn.datasets")
    processes = [multiprocessing.get_context("fork").Process(target=rank, args=(n, Path(sys.argv[1]))) for n in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(int(any(process.exitcode for process in processes)))


if __name__ == "__main__":
    main()
