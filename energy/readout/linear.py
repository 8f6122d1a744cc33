"""Readouts trained by gradient descent on features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import ConfigurationError, require
from energy.kernels import Kernel
from energy.readout.decoder import Decoder, accuracies, numbered, widened
from energy.readout.features import Features
from energy.readout.readout import Readout, Report
from energy.stream import stream


class LinearReadout(Readout, name="linear"):
    """A linear layer under softmax cross-entropy, by Adam.

    The learning rate is halved at 20, 35, 50, 60, 70, 80 and 90 % of 50 epochs or more, at 50 and 75 % of 20 to 49, and
    never for fewer.

    Attributes:
        epochs, batch_size, lr, weight_decay: of the training.
        dropout: share of the features that a step leaves out, rounded to 1/256.
        steady: keep the learning rate constant.
        patience: stop after this number of epochs without a rise of the validation accuracy, and keep the best weights;
            0 for no early stopping and the weights of the last epoch.
        least: the least rise of the validation accuracy that counts, in percentage points.
        rise: scale of the initial weights, U(±rise/√D).
        positive: draw the initial weights from U(0, rise/√D) instead.
        scaled: learn from features divided by their root mean square, which is then absorbed into the weights.
    """

    epochs: int = 50
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.5
    steady: bool = False
    patience: int = 0
    least: float = 0.01
    rise: float = 1.0
    positive: bool = False
    scaled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        require(0 < self.lr < math.inf, self, "lr", "above 0")
        require(0 <= self.weight_decay < math.inf, self, "weight_decay", "at least 0")
        require(0 <= self.dropout < 1, self, "dropout", "at least 0 and below 1")
        require(self.patience >= 0, self, "patience", "at least 0")
        stops = self.patience > 0 or self.least == LinearReadout.least
        require(stops, self, "least", f"left at {LinearReadout.least:g} while patience is 0, which never stops early")
        require(0 <= self.rise < math.inf, self, "rise", "at least 0")

    def error(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss summed over the batch, and its gradient with respect to the scores (B, classes)."""
        logs = scores.log_softmax(1)
        gradient = logs.exp()
        rows = torch.arange(len(labels), device=labels.device)
        gradient[rows, labels] -= 1
        return -logs[rows, labels].sum(), gradient

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        percents: tuple[int, ...] = ()
        if self.epochs >= 50:
            percents = (20, 35, 50, 60, 70, 80, 90)
        elif self.epochs >= 20:
            percents = (50, 75)
        passed = sum(epoch >= percent * self.epochs // 100 for percent in percents)
        return self.lr if self.steady else self.lr / 2**passed

    @torch.no_grad()
    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Decoder:
        """Train on `train`.

        Args:
            train, validation: features of both splits; validation may be None.
            classes: number of classes.
            seed: of initial weights, order and dropout.
            report: is given one line of facts per epoch.

        Raises:
            ConfigurationError: if early stopping has no validation split.
            ValueError: for labels that are not class numbers.
        """
        train, validation = numbered(train, classes), validation and numbered(validation, classes)
        if self.patience and not validation:
            raise ConfigurationError(f"{self.name}.patience={self.patience}: needs data.validation above 0")
        course = ReadoutTraining(self, train, classes, seed)
        best, waited = (-math.inf, course.decoder), 0
        for epoch in range(self.epochs):
            line = course.epoch(epoch)
            if validation:
                found = accuracies(course.decoder, validation)
                line |= {f"validation_{name}": value for name, value in found.items()}
            if not self.patience:
                report(line)
                continue
            better = line["kept"] = line["validation_accuracy"] > best[0] + self.least
            report(line)
            waited = 0 if better else waited + 1
            best = (line["validation_accuracy"], course.decoder) if better else best
            if waited >= self.patience:
                break
        return best[1] if self.patience else course.decoder


class Power(LinearReadout, name="power"):
    """A linear layer under Σ|tanh(β o) − t|^m with targets t = ±1, by Adam.

    Attributes:
        exponent: m.
        beta: β.

    Reference:
        Krotov & Hopfield, "Unsupervised learning by competing hidden units", PNAS 116 (2019) 7723, which tunes m.
    """

    exponent: float = 6.0
    beta: float = 1.0
    dropout: float = 0.0
    scaled: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 < self.exponent < math.inf, self, "exponent", "above 1")
        require(0 < self.beta < math.inf, self, "beta", "above 0")

    def error(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        wanted = 2 * F.one_hot(labels, scores.shape[1]).to(scores.dtype) - 1
        bent = (self.beta * scores).tanh()
        miss = bent - wanted
        size = miss.abs().pow(self.exponent - 1)
        slope = self.exponent * self.beta * size * miss.sign() * (1 - bent.square())
        return (size * miss.abs()).sum(), slope


class ReadoutTraining:
    """One training of a linear readout."""

    def __init__(self, readout: LinearReadout, train: Features, classes: int, seed: int) -> None:
        self.readout = readout
        self.train, self.seed = train, seed
        wide, size = torch.promote_types(train.values.dtype, torch.float32), train.values.shape[1]
        device = train.values.device
        bound = readout.rise / size**0.5
        weight, bias = (torch.empty(*shape, dtype=wide, device="cpu") for shape in ((classes, size), (classes,)))
        weight.uniform_(0 if readout.positive else -bound, bound, generator=stream(seed, "init/readout"))
        bias.uniform_(-bound, bound, generator=stream(seed, "init/readout.bias"))
        self.weight, self.bias = torch.nn.Parameter(weight.to(device)), torch.nn.Parameter(bias.to(device))
        self.unit = (
            root_mean_square(train.values).to(wide) if readout.scaled else torch.ones((), dtype=wide, device=device)
        )
        self.unit = self.unit.to(device)
        fused = device.type in {"cpu", "cuda"}
        parameters = [self.weight, self.bias]
        self.optimizer = torch.optim.Adam(parameters, lr=readout.lr, weight_decay=readout.weight_decay, fused=fused)

    @property
    def decoder(self) -> Decoder:
        """A copy of the present weights, for features that are not scaled."""
        return Decoder(self.weight.detach() / self.unit, self.bias.detach().clone())

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Pass once over the features, in the order of (seed, epoch), and return its line of facts."""
        readout, device = self.readout, self.train.values.device
        size = readout.batch_size
        for group in self.optimizer.param_groups:
            group["lr"] = readout.rate(epoch)
        order = torch.randperm(len(self.train), generator=stream(self.seed, "order/readout", epoch), device="cpu").to(
            device
        )
        total, right = torch.zeros(2, device=device, dtype=torch.float64).unbind()
        masks = stream(self.seed, "dropout", epoch, device=device)
        for start in range(0, len(order), size):
            loss, correct = self._step(order[start : start + size], masks)
            total += loss
            right += correct
        count = len(order)
        found = {"train_objective": float(total) / count, "train_accuracy": 100 * float(right) / count}
        return {"epoch": epoch, "learning_rate": readout.rate(epoch), **found}

    def _step(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        weight, labels = self.weight.detach(), self.train.labels[rows]
        values, kept = dropped(self.train.values, rows, self.readout.dropout, generator)
        unit = kept * self.unit
        scores = values @ weight.T / unit + self.bias.detach()
        loss, error = self.readout.error(scores, labels)
        error = error / len(rows)
        self.weight.grad = (error / unit).T @ values
        self.bias.grad = error.sum(0)
        self.optimizer.step()
        return loss, (scores.argmax(1) == labels).sum()


def dropped(values: Tensor, rows: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """Take rows of the features with about `share` of their entries set to zero.

    Args:
        values: (N, D).
        rows: indices of samples, (B,).
        share: of entries to drop, rounded to 256ths.
        generator: of the mask.

    Returns:
        (B, D), float32 or wider, and the share that is kept, in 256ths.
    """
    threshold = round(share * 256)
    if not threshold:
        return widened(values[rows]), 1.0
    count = len(rows) * values.shape[1]
    words = torch.empty(-(-count // 8), dtype=torch.int64, device=values.device)
    words.random_(-(2**63), None, generator=generator)  # eight bytes a draw
    drawn = words.view(torch.uint8)[:count].view(len(rows), -1)
    limit = torch.full((), threshold, dtype=torch.float32, device=values.device)
    return _DROP((values, rows, drawn, limit)), 1 - threshold / 256


def _drop(values: Tensor, rows: Tensor, drawn: Tensor, limit: Tensor) -> Tensor:
    return torch.where(drawn.float() < limit, 0.0, widened(values[rows]))


_DROP = Kernel(_drop)


def root_mean_square(values: Tensor) -> Tensor:
    """Return the root mean square over all features of all samples, as a tensor (); 1 if they are all zero."""
    squares = torch.stack([part.float().square().mean(dtype=torch.float64) * len(part) for part in values.split(1000)])
    root = (squares.sum() / len(values)).sqrt()
    return torch.where(root > 0, root, 1.0)
