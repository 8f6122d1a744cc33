"""Runs of eight kinds, killed at moments drawn beforehand and started again: they end as if nothing had happened."""

import os
import shutil
import sys
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from energy.component import from_dict
from energy.data import DataError, DataSet, Published, data_root
from tests.ordeal.alike import contents, difference
from tests.ordeal.figures import record
from tests.ordeal.lives import Life, Moment, energy, live, moments
from tests.ordeal.promises import Watch, left_over

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")]

ROOT: Final = Path(__file__).parents[2]
KILLS: Final = int(os.environ.get("ENERGY_ORDEAL_KILLS", "100"))
DEATHS: Final = 4  # of one run at most, so that it ends
HASTE: Final = 0.7  # factor on a share whose moment came too late
OUT: Final = "out"  # the folder of a run, in a folder of the test
FINAL: Final = "final/step-*"

COMMON: Final = "device=cpu train.program=off train.progress=false train.probe_batch=16 out=out"
SMALL: Final = "data=digits model.sizes=[16] train.batch_size=50 train.checkpoint_every=5"
PAIR: Final = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        words: of its command line, beside those that all have.
        concludes: pattern of what appears in its folder when its conclusion begins.
        start: the program and what comes before the words.
        needs: a published data set that must be there.
    """

    words: str
    concludes: str = FINAL
    start: tuple[str, ...] = (*energy("train"),)
    needs: str = ""

    @property
    def command(self) -> list[str]:
        """The whole command line."""
        return [*self.start, *self.words.split(), *COMMON.split()]


KINDS: Final = {
    "dense dual propagation": Kind(f"{SMALL} train.epochs=6 data.crop=1"),
    "equilibrium propagation at γ = 1": Kind(
        "data=digits data.limit=400 model.sizes=[16] settler=equilibrium_propagation settler.gamma=1 "
        "objective=squared_error train.epochs=3 train.batch_size=20 train.checkpoint_every=3"
    ),
    "spiking microcircuit": Kind(
        "experiment=spiking/digits data.limit=400 model.dense=[24] train.epochs=3 train.batch_size=20 "
        "train.checkpoint_every=3"
    ),
    "SoftHebb with a fitted read-out": Kind(
        "experiment=softhebb/mnist_mlp data=digits data.limit=600 model.dense=[64] readout.epochs=20 "
        "train.epochs=3 train.batch_size=20 train.checkpoint_every=3"
    ),
    "VGG on CIFAR-10": Kind(
        "experiment=cifar10_small settler=dual_propagation data.limit=600 model.plan=[8,0,16,0] fused=false "
        "train.epochs=2 train.batch_size=30 train.checkpoint_every=4",
        needs="cifar10",
    ),
    "two processes": Kind(f"{SMALL} train.epochs=4", start=(*PAIR, "-m", "energy", "train")),
    "sweep": Kind(f"-m seed=0,1,2 {SMALL} train.epochs=3", concludes=f"seed=2/{FINAL}"),
    "study": Kind(
        "data=digits data.limit=400 model=mlp model.sizes=[12] model.hidden=hard_sigmoid objective=squared_error "
        "settlers=[dual_propagation,EP:equilibrium_propagation] seeds=[0,1] batch=4 train.epochs=2 "
        "train.batch_size=20 train.checkpoint_every=4 blocks=[{title:anytime,vary:['budget=1+1,4+2'],ages:[0,2]}]",
        concludes="study.json",
        start=(*energy("study"),),
    ),
}


@dataclass
class Trial:
    """One kind of run, in a folder for each time that it is carried out."""

    kind: Kind
    folder: Path

    def environment(self, name: str) -> dict[str, str]:
        """Variables of a process: one thread, a cache of its own for data, and one for all for what was measured."""
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"ENERGY_CACHE": str(self.folder / name / "cache"), "XDG_CACHE_HOME": str(self.folder / "xdg")}
        return {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}

    def watch(self, name: str) -> Watch:
        """A watch of the folder in which the run `name` writes."""
        (self.folder / name).mkdir()
        return Watch(self.folder / name / OUT)

    def life(
        self, name: str, watch: Watch, moment: Moment | None = None, whole: dict[str, float] | None = None
    ) -> Life:
        """One life of the run `name`; one that was not ended must end well."""
        given = (self.kind.command, self.folder / name, self.environment(name), watch, self.kind.concludes)
        life = live(*given, moment, whole)
        assert life.status == 0 or (moment and life.status is None), life.said
        assert not watch.broken, watch.broken
        return life


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_run_ends_as_an_unbroken_one(name: str, tmp_path: Path) -> None:
    number, trial = list(KINDS).index(name), Trial(KINDS[name], tmp_path)
    require_data(trial.kind)
    unbroken = trial.watch("whole")
    lasted = trial.life("whole", unbroken).lasted
    assert list(lasted) == ["startup", "training", "conclusion"]
    wanted = contents(unbroken.folder)
    left = deque(moments(len(range(number, KILLS, len(KINDS))), seed=number))
    counts: Counter[str] = Counter()
    while left:
        runs = counts["runs"]
        watch = broken(trial, str(runs), left, lasted, counts)
        assert not left_over(watch.folder), f"run {runs}: {left_over(watch.folder)}"
        assert not (found := difference(wanted, contents(watch.folder))), f"run {runs}: {found}"
        shutil.rmtree(tmp_path / str(runs))
        counts += Counter(runs=1, looks=watch.looks, files_read=watch.read, last_lines_seen_half=watch.cut)
    tell(name, counts)


def broken(trial: Trial, name: str, left: deque[Moment], lasted: dict[str, float], counts: Counter[str]) -> Watch:
    """Carry out a run that is killed at the moments that are left, a few at most, until it ends; take those away.

    A moment that came too late is brought forward, for the next run.
    """
    watch = trial.watch(name)
    for death in range(DEATHS + 1):
        moment = left[0] if left and death < DEATHS else None
        life = trial.life(name, watch, moment, lasted)
        if life.status is not None:
            if moment:
                left[0] = Moment(moment.phase, HASTE * moment.share)
            break
        assert moment
        left.popleft()
        counts += Counter({"kills": 1, f"in the {moment.phase}": 1})
    return watch


def tell(name: str, counts: Counter[str]) -> None:
    """Keep what was counted."""
    phases = {key: value for key, value in counts.items() if key.startswith("in the ")}
    rest = {key: counts[key] for key in ("kills", "runs", "looks", "files_read", "last_lines_seen_half")}
    figures: dict[str, Any] = {"kills": rest.pop("kills"), **dict(sorted(phases.items())), **rest}
    record(f"Killed and started again: {name}", **figures)


def require_data(kind: Kind) -> None:
    """Skip where a published data set is not there."""
    if kind.needs:
        dataset = from_dict(DataSet, kind.needs)
        assert isinstance(dataset, Published)
        try:
            dataset.locate(data_root())
        except DataError as error:
            pytest.skip(str(error))
