"""TensorBoard: the numbers and the weights of a run, shown while it trains.

`tensorboard` is imported when a board is opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from energy.analysis.filters import filters, weight_of
from energy.component import ConfigurationError
from energy.io.plain import flatten
from energy.io.record import BOARD
from energy.io.scores import COLUMNS
from energy.network import Network
from energy.plots.tiles import tiled
from energy.train.logger import Log, Logger, numbers


class TensorBoard(Logger, name="tensorboard"):
    """Event files in `tensorboard/` of the run folder (extra `tensorboard`).

    They hold the numbers of the record, histograms of weights and of their norms, and the filters of the first layer.
    """

    def prepare(self) -> None:
        """Import the package."""
        require_board()

    def open(self, run: Mapping[str, Any], folder: Path, epoch: int) -> Log:
        """Open the event file."""
        return Board(run, folder, epoch)


def require_board() -> Any:
    """Import the class that writes event files.

    Raises:
        ConfigurationError: when tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise ConfigurationError(
            "train.logger=tensorboard: needs the package tensorboard, which the extra `tensorboard` installs"
        ) from None
    return SummaryWriter


class Board(Log):
    """The event file of one run, in `<run>/tensorboard`, with epochs as steps.

    Args:
        run: the configuration of the run that is shown.
        folder: its run folder.
        epoch: the first epoch that is going to be written; what an earlier part of the run wrote from there on is
            hidden.

    Raises:
        ConfigurationError: when tensorboard is not installed.
    """

    def __init__(self, run: Mapping[str, Any], folder: Path, epoch: int = 0) -> None:
        self.run = run
        self.writer = require_board()(str(folder / BOARD), purge_step=epoch or None)

    def epoch(self, network: Network, line: Mapping[str, Any]) -> None:
        """Write the numbers of an epoch's line, and histograms of weights and of their norms by neuron.

        The filters of the first layer are added in epochs that probe.
        """
        epoch, every = line["epoch"], self.run["train"]["probe_every"]
        for name, number in numbers(line):
            self.writer.add_scalar(name, number, epoch)
        for edge in network.edges:
            weight = weight_of(edge)
            if weight is not None:
                name = network.layers[edge.target - 1].name
                name += f"_from_{edge.source}" if edge.target - edge.source > 1 else ""
                self.writer.add_histogram(f"weights/{name}", weight.detach().float(), epoch)
                self.writer.add_histogram(f"norms/{name}", weight.detach().flatten(1).float().norm(dim=1), epoch)
        if every and epoch % every == 0:
            self._filters(network, epoch)
        self.writer.flush()

    def readout(self, line: Mapping[str, Any]) -> None:
        """Write the numbers of one epoch of the read-out."""
        for name, number in numbers({"readout": {key: value for key, value in line.items() if key != "epoch"}}):
            self.writer.add_scalar(name, number, line["epoch"])

    def end(self, result: Mapping[str, Any]) -> None:
        """Write the configuration beside the results that it led to."""
        from torch.utils.tensorboard.summary import hparams

        names = ("test_accuracy", "validation_accuracy", "test_objective", "backprop_steps", *COLUMNS)
        reached = {f"result/{name}": result[name] for name in names if result.get(name) is not None}
        chosen = {name: _writable(value) for name, value in flatten(self.run, "/") if name != "out"}
        for summary in hparams(chosen, reached):
            self.writer.file_writer.add_summary(summary)
        for name, value in reached.items():
            self.writer.add_scalar(name, value, result["epochs"])

    def close(self) -> None:
        """Write out everything still in memory; no more can be added."""
        self.writer.close()

    def _filters(self, network: Network, epoch: int) -> None:
        shown = filters(network)
        if shown is not None:
            grid = np.nan_to_num(0.5 + 0.5 * tiled(shown.cpu().numpy()), nan=1.0)
            size = math.ceil(320 / max(grid.shape[:2]))  # a pixel of a filter can be seen
            large = grid.repeat(size, 0).repeat(size, 1)
            colors = np.broadcast_to(large, (*large.shape[:2], 3))
            self.writer.add_image("filters", colors, epoch, dataformats="HWC")


def _writable(value: Any) -> bool | int | float | str:
    """A value as the writer takes it: lists and None as text."""
    return value if isinstance(value, bool | int | float | str) else str(value)
