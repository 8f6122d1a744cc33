"""The networks of a study's points, fresh or from its trainings, and the images that they are measured on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from energy.data.dataset import Splits
from energy.data.images import Images
from energy.network import Network
from energy.objectives import one_hot
from energy.study.inference.point import PlannedPoint
from energy.train.evaluate import load_epoch
from energy.train.fit import fit
from energy.train.run import fitting_network


@dataclass
class Networks:
    """Networks and images, kept while the points that follow ask for the same ones.

    Args:
        device: of all tensors.
    """

    device: torch.device
    _network: tuple[str, Network] | None = None
    _splits: tuple[str, Splits] | None = None
    _fitted: set[str] = field(default_factory=set)

    def network(self, point: PlannedPoint) -> Network:
        """Return the network of a point with its weights, trained if they are not there yet.

        The settler's feedback weights and its rule's buffers are attached.
        """
        key = repr((point.weights, point.precision, point.settler.name))
        if self._network is None or self._network[0] != key:
            self._network = (key, self._loaded(point))
        return self._network[1]

    def batch(self, point: PlannedPoint) -> tuple[Tensor, Tensor]:
        """Return images and one-hot targets: the first training images in an order drawn from the point's seed."""
        images = self.splits(point).train
        x, labels = next(images.batches(point.batch, seed=point.seed, epoch=0, train=True))
        return x, one_hot(labels, images.classes, x.dtype)

    def validation(self, point: PlannedPoint, count: int) -> Images:
        """Return the first `count` validation images."""
        images = self.splits(point).validation
        return images.first(count)

    def splits(self, point: PlannedPoint) -> Splits:
        """Return the data of a point."""
        data = point.setting["data"]
        key = repr((data, point.seed, point.precision))
        if self._splits is None or self._splits[0] != key:
            self._splits = (key, data.load(self.device, point.seed, point.precision.activity))
        return self._splits[1]

    def _loaded(self, point: PlannedPoint) -> Network:
        data, run = point.setting["data"], point.training
        if run is not None:
            if str(run.folder) not in self._fitted:
                fit(run)
                self._fitted.add(str(run.folder))
            network = load_epoch(run.folder, point.age, str(self.device))[1]
        else:
            with torch.device("cpu"):
                network = fitting_network(point.setting["model"], data.shape, data.classes, point.seed)
        point.settler.attach_feedback(network, seed=point.seed)
        point.setting["rule"].attach(network)
        network.to(self.device, point.precision.weight)
        return _channels_last(network)


def _channels_last(network: Any) -> Network:
    """Return the network with its convolution kernels laid out channels last, as in a run."""
    return network.to(memory_format=torch.channels_last)
