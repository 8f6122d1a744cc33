"""The state of a training run, which a checkpoint stores and restores.

No generator state is among it: every random draw is a function of (seed, purpose, epoch, step).
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from torch import Tensor

from energy import exchange, ranks
from energy.component import to_dict
from energy.couplings.forms import forget_forms, held_forms, record_forms, resume_forms
from energy.data.published import Published
from energy.data.source import data_root
from energy.errors import NonFiniteError
from energy.feedback import resample
from energy.health import guarded
from energy.io import checkpoint
from energy.io.provenance import provenance
from energy.io.record import CHECKPOINTS, EPOCHS, FAILED, KERNELS, RECORD, append_line, lines_digest, truncate_record
from energy.io.result import read_configuration
from energy.network import Network
from energy.parameters import layer_of
from energy.settle.settled import Settled
from energy.train.average import WeightAverage
from energy.train.clock import Clock
from energy.train.finite_check import FiniteCheck, NonFinite
from energy.train.logger import Log
from energy.train.machine import changed_line, continuation
from energy.train.matching_layers import load_matching_layers
from energy.train.metrics import EpochMetrics
from energy.train.optimizer_state import load_slots, slot_tensors, slot_values
from energy.train.progress import EpochTable
from energy.train.run import Run, Weights, hash_of_description, identity
from energy.train.same_data import data_facts, require_same_data
from energy.train.stages import require_learning, stages
from energy.train.state import prefixed, require_facts, require_state, under
from energy.train.stepper import Stepper
from energy.train.terminal import redraw, say
from energy.train.totals import add_epoch

FIRST: Final = 2000  # training images that couplings take constants from


class Session:
    """One training under way.

    Args:
        run: the run.
        folder: its run folder, still as it was.

    Attributes:
        epoch, batch: epochs finished, and steps done of the next one.
        step: steps done since the start of the run.
        average: the running average of the weights.
        best: `{"epoch", "accuracy"}` of the best validation so far, or its other score, with weights in `best_weights`.
        data: the data as records keep them (`energy.train.same_data`).
        totals: multiply-adds and seconds of the finished epochs, and sweeps by number of samples.
        log: the place in which the run is shown while it trains.
        key: the key of the run, as its folder has it.
        breaks: one entry for each time the run was continued: the step, the machine, and how that had changed.
        advanced: whether this process has come further, by a step or by the end of an epoch.
        doing, cure: the present activity, and the fields that would make it smaller, should memory run out.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.key = hash_of_description(identity(run))
        forget_forms()  # of other runs of this process; those on the disk serve this one too
        self.device = run.place()
        self.network: Network = run.network()
        self.stages = stages(run, self.network)
        self._learnable = {name for name, p in self.network.named_parameters() if p.requires_grad}
        self.scored = run.rule.scores_output(self.network, set().union(*self.stages))
        require_learning(run, self.network, self.stages)
        self.optimizer = run.optimizer.create(self.network)
        if isinstance(run.data, Published):
            run.data.locate(data_root())  # a missing set is reported before anything is printed about reading it
            say(run.train.progress, f"{run.title}: reading {run.data.name} …")
        self.splits = run.data.load(self.device, run.seed, run.precision.activity)
        self.data = data_facts(run.data)
        self.network.start_from(self.splits.train.first(FIRST).take(slice(None))[0].to(run.precision.weight))
        if run.train.start:
            load_matching_layers(self.network, run.train.start, run.train.layer_map)
        self.average = WeightAverage(self.network, run.train.average)
        self.steps_per_epoch = self.splits.train.steps(run.train.batch_size, train=True)
        self.finite_check = FiniteCheck(self.network, self.optimizer)
        self.stepper = Stepper(self)
        self._new_metrics = partial(EpochMetrics, self.device, run.data.targets, self.network.output.shape[0])
        self.metrics, self.clock = self._new_metrics(), Clock(self.device)
        self.epoch = self.batch = self.step = 0
        self.best: dict[str, Any] | None = None
        self.best_weights = dict[str, Tensor]()
        self.totals: dict[str, Any] = {"multiply_adds": 0, "seconds": {}, "outcomes": {}, "sweeps": Counter()}
        self.breaks: list[dict[str, Any]] = []
        self.log, self.advanced = Log(), False
        self.doing = self.cure = ""
        self.table = EpochTable(run.title)

    @property
    def unclosed(self) -> bool:
        """True once every step of the epoch is done and its line is still to be written."""
        return self.batch == self.steps_per_epoch

    @property
    def left(self) -> float:
        """Seconds that the epochs still to be done will take, if they take as long as those that are."""
        return self.totals["seconds"].get("total", 0.0) / max(self.epoch, 1) * (self.epochs - self.epoch)

    @property
    def epochs(self) -> int:
        """Epochs of the whole run: those of every stage."""
        return self.run.train.epochs * len(self.stages)

    def at(self, doing: str, *fields: str) -> None:
        """Note the next activity, and the `fields` of the run on whose size it depends."""
        sizes = [(name, getattr(self.run.train, name.removeprefix("train."), None)) for name in fields]
        self.doing, self.cure = doing, " or ".join(name if size is None else f"{name}={size}" for name, size in sizes)
        redraw()

    def enter(self) -> None:
        """Let the layers of the present stage learn, and no others."""
        learned = self.stages[min(self.epoch // self.run.train.epochs, len(self.stages) - 1)]
        owners = layer_of(self.network)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self._learnable and owners[name] in learned)
        self.scored = self.run.rule.scores_output(self.network, learned)

    def set_rate(self) -> None:
        """Set the learning rate of every parameter group for this step; each stage has the whole schedule."""
        for group, rate in zip(self.optimizer.param_groups, self.rates(self.batch), strict=True):
            group["lr"] = rate

    def rates(self, batch: int) -> list[float]:
        """Return the learning rate of every parameter group in a step of this epoch, by its place in the schedule."""
        progress = self.epoch % self.run.train.epochs + batch / self.steps_per_epoch
        schedule, epochs = self.run.schedule, self.run.train.epochs
        return [schedule.rate(group["peak"], progress, epochs) for group in self.optimizer.param_groups]

    def learn(self, x: Tensor, target: Tensor) -> Settled:
        """Settle one batch and write its gradient.

        Args:
            x: inputs (B, C, H, W).
            target: (B, outputs), of classes one-hot.

        Raises:
            NonFinite: when the settler finds a number that is not finite.
        """
        run, ledger = self.run, self.metrics.ledger
        resample(self.network, self.step)
        try:
            with guarded():
                return run.rule.learn(self.network, run.settler, x, target, run.objective, ledger)
        except NonFiniteError as error:
            if not ranks.here().several:
                self.check_finite()
            self.fail(f"step {self.step}: {error}")

    def check_finite(self) -> None:
        """Stop if anything was not finite since the last check, and save the state that caused it.

        Raises:
            NonFinite: naming step, layers, settler and folder.
        """
        report = self.finite_check.report(self.step)
        for found in filter(None, exchange.from_all(None if report is None else str(report))):
            self.fail(found)

    def fail(self, what: str) -> NoReturn:
        """Save the present state under `failed/` and end the training.

        Raises:
            NonFinite: with `what` in its message.
        """
        if not ranks.here().speaks:
            raise NonFinite(what)
        saved = checkpoint.write(self.folder / FAILED, self.step, self._tensors(), self._facts())
        settler = to_dict(self.run.settler)
        nudge = ", ".join(f"{name}={settler[name]}" for name in ("name", "beta", "gamma") if name in settler)
        layer = f"; first diverged: {self.metrics.diverged}" if self.metrics.diverged else ""
        raise NonFinite(f"{what}{layer}; {nudge}; no update was made from it; state saved in {saved}")

    def save(self) -> Path:
        """Write a checkpoint of the present state, that of all ranks together, and drop the oldest ones."""
        folder, own = self.folder / CHECKPOINTS, self.metrics
        self.metrics = own.of_all(shared=True)
        path = checkpoint.place(folder, self.step, self.unclosed)
        if ranks.here().speaks:
            record_forms(self.folder / KERNELS)
            checkpoint.write(folder, self.step, self._tensors(), self._facts(), self.unclosed)
            checkpoint.prune(folder, self.run.train.keep)
        self.metrics = own
        exchange.agreed(0)  # nobody leaves before it is written
        return path

    def keep_weights(self) -> None:
        """Write the weights after an epoch of `train.keep_epochs`, as those of the checkpoint `step-<epochs done>`."""
        if self.epoch not in self.run.train.keep_epochs or not ranks.here().speaks:
            return
        weights = {f"weights/{name}": tensor for name, tensor in self.average.weights().items()}
        facts = {"run": to_dict(self.run), "key": self.key, "weights": f"after epoch {self.epoch}", "step": self.step}
        checkpoint.write(self.folder / EPOCHS, self.epoch, weights, {**facts, "provenance": provenance(self.device)})

    def resume(self) -> bool:
        """Continue from the newest checkpoint of the run folder.

        Returns:
            true if there was one.

        Raises:
            DamagedCheckpointError: when the newest is not what was written. Removing it, to fall back to the one
                before, is left to the user.
            DamagedFileError: when the record is not the one that the checkpoint was written beside.
        """
        self.key = read_configuration(self.folder).get("key", self.key)
        found = exchange.by_first(lambda: checkpoint.steps(self.folder / CHECKPOINTS))
        sealed = None
        if found:
            sealed = self._restore(found[-1])
            exchange.agreed(0)  # all have read it
            if self.unclosed:
                exchange.by_first(lambda: checkpoint.mark_open(found[-1]))
            at = f"step {self.step}, epoch {min(self.epoch + 1, self.epochs)}"
            say(self.run.train.progress, f"{self.run.title}: continuing from {at}")
        exchange.by_first(lambda: truncate_record(self.folder / RECORD, self.epoch, sealed))
        return bool(found)

    def close_epoch(self, line: dict[str, Any], accuracy: float | None) -> None:
        """Write the line of the epoch just finished, remember the weights if they are the best, and begin the next."""
        if accuracy is not None and (self.best is None or accuracy > self.best["accuracy"]):
            self.best = {"epoch": self.epoch, "accuracy": accuracy}
            if self.run.train.weights is Weights.BEST:
                self.best_weights = {name: tensor.clone() for name, tensor in self.average.weights().items()}
        if ranks.here().speaks:
            append_line(self.folder / RECORD, line)
        add_epoch(self.totals, self.metrics, self.clock.read())
        self.epoch += 1
        self.keep_weights()
        self.batch, self.advanced = 0, True
        self.metrics, self.clock = self._new_metrics(), Clock(self.device)

    def final_weights(self) -> tuple[dict[str, Tensor], str]:
        """Return the weights the run ends with, and a description of the choice."""
        if self.best is not None and self.best_weights:
            return self.best_weights, f"best validation, epoch {self.best['epoch']}"
        return self.average.weights(), f"last, epoch {self.epoch - 1}" if self.epoch else "initial"

    def _tensors(self) -> dict[str, Tensor]:
        slots = prefixed("optimizer", slot_tensors(self.optimizer))
        return self._weights(self.best_weights) | prefixed("tally", self.metrics.tensors()) | slots

    def _weights(self, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
        present = prefixed("weights", self.average.present())
        return present | prefixed("best", best) | prefixed("average", self.average.tensors)

    def _facts(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("key", "epoch", "batch", "step", "best", "breaks")},
            "run": to_dict(self.run),
            **self.data,
            "record": lines_digest(self.folder / RECORD, self.epoch),
            "forms": held_forms(),
            "tally": self.metrics.facts(),
            "seconds": self.clock.read(),
            "totals": {**self.totals, "sweeps": sorted(self.totals["sweeps"].items())},
            "optimizer": slot_values(self.optimizer),
            "program": self.stepper.facts(),
            "provenance": provenance(self.device),
        }

    def _restore(self, path: Path) -> str | None:
        """Take over a checkpoint, and return the digest of the record beside it; None from one of before."""
        tensors, facts = checkpoint.read(path, self.device)
        require_same_data(facts, self.data, path, exactly=True)
        require_facts(facts, self.epochs, self.steps_per_epoch, path)
        keeps = facts["best"] is not None and self.run.train.weights is Weights.BEST
        wanted = self._weights(self.network.state_dict() if keeps else {}) | prefixed("tally", self.metrics.tensors())
        require_state(tensors, wanted, facts, path)
        load_slots(self.run.optimizer, self.optimizer, under(tensors, "optimizer/"), facts["optimizer"], path)
        self.network.load_state_dict(under(tensors, "weights/"))
        self.best_weights, self.best = under(tensors, "best/"), facts["best"]
        self.average.restore(under(tensors, "average/"))
        if not ranks.here().number:  # sums of all ranks
            self.metrics.restore(under(tensors, "tally/"), facts["tally"])
        self.clock.seconds.update(facts["seconds"])
        self.epoch, self.batch = facts["epoch"], facts["batch"]
        self.step = facts["step"]
        self.totals = {**facts["totals"], "sweeps": Counter(dict(facts["totals"]["sweeps"]))}
        entry = continuation(self.step, facts.get("provenance", {}), provenance(self.device))
        say("changed" in entry, f"{self.run.title}: warning: {changed_line(entry)}")
        self.breaks = [*facts["breaks"], entry]
        self.stepper.restore(facts.get("program"))
        resume_forms(facts.get("forms"), self.folder / KERNELS)
        return facts.get("record")
