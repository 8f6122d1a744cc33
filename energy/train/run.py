"""The description of one training: its components, its device, and its folder."""

import enum
import hashlib
import json
import math
import re
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar, Final

import torch

from energy.component import Component, ConfigurationError, require, to_dict
from energy.data.dataset import DataSet
from energy.errors import DamagedFileError
from energy.io.code import plugins
from energy.model import Model
from energy.network import Network
from energy.objectives import CrossEntropy, Objective
from energy.paths import expanded
from energy.potentials import Identity, Potential
from energy.ranks import own_device
from energy.readout.nearest import Nearest
from energy.readout.readout import Joint, Readout
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.dyadic import DualPropagation
from energy.settle.settler import Settler
from energy.train.logger import Logger, NoLogger
from energy.train.matching_targets import require_targets
from energy.train.optimizer import SGD, Optimizer
from energy.train.schedule import Cosine, Schedule

SILENT: Final = ("progress", "logger", "strict", "trace_every")  # they leave numbers as they are
NO_EFFECT: Final = (*SILENT, "time_limit", "checkpoint_every", "keep", "keep_epochs", "program")


class Precision(enum.Enum):
    """Number format of activities; weights are float64 under FLOAT64 and float32 otherwise."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"

    @property
    def activity(self) -> torch.dtype:
        """The format of inputs, states and differences."""
        return {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}[self.value]

    @property
    def weight(self) -> torch.dtype:
        """The format of parameters and of the optimizer's state."""
        return torch.float64 if self is Precision.FLOAT64 else torch.float32


class Weights(enum.Enum):
    """The weights a run ends with."""

    BEST = "those of the epoch with the highest validation accuracy, or score of other targets"
    LAST = "those of the last epoch"


class Order(enum.Enum):
    """The order in which layers learn under a local rule."""

    JOINT = "all of them in every epoch"
    GREEDY = "one after the other from the bottom up, each for all epochs"


class UseProgram(enum.Enum):
    """The use of programs for the steps of a training."""

    AUTO = "on a CPU, if enough steps are left and a program was measured to be faster"
    ON = "from the first step on"
    OFF = "never"


class Training(Component):
    """The length of a training, its batches, and its pauses for validation, checkpoints and measurements.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples per step; the rest that does not fill a batch is left out of the epoch.
        evaluate_batch: samples per batch when scoring.
        weights: the weights that are kept and tested.
        average: share of a running average of the weights that is kept at each step (`energy.train.average`); that
            average is then validated, tested and kept. 0 for none.
        mirrored: whether the test is also scored on the mean of the outputs for an image and for its mirror image.
        check_every: steps between two reads of the check for non-finite numbers.
        checkpoint_every: steps between two checkpoints; 0 for one at the end of each epoch.
        keep: number of checkpoints that stay on the disk while training.
        keep_epochs: numbers of epochs, from 1, after which weights stay for good (`energy.train.evaluate.load_epoch`).
        probe_every: epochs between two measurements of the gradient's angle; 0 for none.
        probe_batch: samples in that measurement.
        trace_every: epochs between two records of energy, residual and cosine after each step of settling; 0 for none.
        time_limit: seconds after which the run saves and leaves; 0 for none.
        deterministic: on a GPU, only kernels that repeat bit for bit.
        progress: whether to show a live line on a terminal, and a line per epoch.
        logger: the place beside the record in which numbers are shown while the run trains.
        program: whether a step is recorded and compiled as one program; never with `deterministic`.
        strict: whether a caution, of what would go wrong in silence, ends the run.
        order: whether the layers learn together or one after the other; only a local rule can do the latter.
        freeze: names of layers, or patterns such as `conv*`, that do not learn: no update, no drift of running
            statistics.
        start: a finished run folder whose weights this one starts from, in the layers that have the same name.
        layer_map: `there=here` for layers that are called otherwise here; with it, only these are taken over.
    """

    group: ClassVar[str] = "train"
    epochs: int = 10
    batch_size: int = 100
    evaluate_batch: int = 500
    weights: Weights = Weights.BEST
    average: float = 0.0
    mirrored: bool = False
    check_every: int = 50
    checkpoint_every: int = 0
    keep: int = 2
    keep_epochs: list[int] = field(default_factory=list)
    probe_every: int = 1
    probe_batch: int = 64
    trace_every: int = 0
    time_limit: float = 0.0
    deterministic: bool = False
    progress: bool = True
    logger: Logger = field(default_factory=NoLogger)
    program: UseProgram = UseProgram.AUTO
    strict: bool = False
    order: Order = Order.JOINT
    freeze: list[str] = field(default_factory=list)
    start: str = ""
    layer_map: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_batch", "check_every", "keep", "probe_batch"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("checkpoint_every", "probe_every", "trace_every"):
            require(getattr(self, name) >= 0, self, name, "at least 0")
        within = all(1 <= epoch <= self.epochs for epoch in self.keep_epochs)
        require(within, self, "keep_epochs", f"numbers from 1 to the {self.epochs} epochs")
        require(0 <= self.average < 1, self, "average", "at least 0 and below 1")
        require(0 <= self.time_limit < math.inf, self, "time_limit", "a number of seconds of at least 0")
        require(all(one.count("=") == 1 for one in self.layer_map), self, "layer_map", "pairs there=here")
        require(bool(self.start) or not self.layer_map, self, "layer_map", "empty without a run to start from")


class Setting(Component):
    """The common part of the runs of one comparison: everything but the settler and the seed.

    Attributes:
        device: `auto` (the first GPU, or else the CPU), `cpu`, `cuda`, `cuda:1` ...
        precision: number format of activities and weights.
        fused: whether elementwise work on large tensors runs as compiled kernels, if there is a compiler for them.
        title: the name in tables and figures.
        out: the folder to write in; empty for `runs/<title>-<hash of the configuration>`.
    """

    model: Model
    data: DataSet
    objective: Objective = field(default_factory=CrossEntropy)
    rule: Rule = field(default_factory=Contrast)
    optimizer: Optimizer = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Cosine)
    readout: Readout = field(default_factory=Joint)
    train: Training = field(default_factory=Training)
    device: str = "auto"
    precision: Precision = Precision.FLOAT32
    fused: bool = True
    title: str = "run"
    out: str = ""

    def __post_init__(self) -> None:
        require(bool(re.fullmatch(r"[\w.+-]+", self.title)), self, "title", "a word of letters, digits, _ . + and -")
        require(_is_device(self.device), self, "device", "auto, cpu, cuda or cuda:<number>")
        weightless = isinstance(self.readout, Nearest)
        require(not weightless, self, "readout", "one that leaves weights; evaluate takes nearest")

    @property
    def folder(self) -> Path:
        """The only folder that this writes in."""
        return expanded(self.out) if self.out else Path("runs") / f"{self.title}-{hash_of_description(identity(self))}"

    def parts(self) -> list[Component]:
        """Return the components that its numbers come from, each with those in it."""
        return [self]

    def place(self) -> torch.device:
        """Return the device, which is touched here for the first time.

        Raises:
            ConfigurationError: when a GPU is asked for that is not there.
        """
        name = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        device = own_device(torch.device(name))
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ConfigurationError(f"device={self.device!r}: there are {torch.cuda.device_count()} CUDA devices here")
        return device


class Run(Setting):
    """One training, completely.

    Attributes:
        settler: the inference phase.
        seed: every random draw is a function of it, a purpose, the epoch and the step.
    """

    group: ClassVar[str] = "run"
    settler: Settler = field(default_factory=DualPropagation)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.seed < 2**63, self, "seed", "at least 0 and below 2^63")
        require_targets(self.data, self.objective, self.rule, self.readout, mirrored=self.train.mirrored)
        output = getattr(self.model, "output", None)
        self.settler.validate_nudge(self.objective, output if isinstance(output, Potential) else Identity())
        if self.train.order is Order.GREEDY and not self.rule.supports_greedy:
            raise ConfigurationError(f"train.order=greedy: rule={self.rule.name} needs all layers at once")

    def draft(self) -> Network:
        """Build the network at its initial weights, with its settler's feedback weights, on torch's default device.

        Raises:
            ConfigurationError: when the model does not fit the images, the objective the output, or the feedback
                weights the couplings.
        """
        network = fitting_network(self.model, self.data.shape, self.data.classes, self.seed)
        self.objective.validate_output(network.output.potential)
        self.settler.attach_feedback(network, seed=self.seed)
        self.rule.attach(network)
        return network

    def network(self) -> Network:
        """Build the network at its initial weights, with the feedback weights of its settler, on the device of the run.

        Convolution kernels are laid out channels last.

        Raises:
            ConfigurationError: when the model does not fit the images, the objective the output, or the feedback
                weights the couplings.
        """
        with torch.device("cpu"):  # whatever torch's default is
            network = self.draft()
        network.to(self.place(), self.precision.weight)
        return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's stub lacks it)


def fitting_network(model: Model, shape: tuple[int, ...], classes: int, seed: int) -> Network:
    """Build the network of `model` for images of `shape`, with any failure reported in one line.

    Args:
        model: the model.
        shape: (C, H, W) of an image.
        classes: number of outputs.
        seed: of the initial weights.

    Raises:
        ConfigurationError: when it cannot be built, or its input or output has another shape.
    """
    asked = f"model={model.name}: does not fit images of {'×'.join(map(str, shape))} in {classes} classes"
    try:
        network = model.build(shape, classes, seed=seed)
    except (ConfigurationError, DamagedFileError):
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, MemoryError, AssertionError) as error:
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigurationError(f"{asked}: {told}") from error
    output = network.output.shape if network.layers else ()
    if network.input_shape != tuple(shape) or output != (classes,):
        raise ConfigurationError(f"{asked}: it reads {network.input_shape} and returns {output}")
    return network


def identity(run: Setting) -> dict[str, Any]:
    """Describe a run by everything that its numbers depend on.

    Fields that leave the numbers as they are do not count; digests of the user's own code do, but for loggers. Two runs
    with one identity are the same run.
    """
    plain = to_dict(run)
    if own := plugins(run.parts(), aside=Logger):
        plain["plugins"] = own
    for name in ("title", "out", "device"):
        del plain[name]
    for name in NO_EFFECT:
        del plain["train"][name]
    return plain


def hash_of_description(plain: dict[str, Any]) -> str:
    """Return ten hexadecimal digits of a description."""
    text = json.dumps(plain, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _is_device(name: str) -> bool:
    kind, colon, index = name.partition(":")
    return name in {"auto", "cpu", "cuda"} or (kind == "cuda" and bool(colon) and index.isdigit())
