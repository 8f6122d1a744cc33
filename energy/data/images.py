"""One split of a set, held on the device, and its batches."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.data.augment import MIRROR, Augment, draw_augmentations
from energy.errors import DataError
from energy.ranks import here, share
from energy.reading import sent
from energy.stream import stream
from energy.targets import TargetKind


@dataclass(frozen=True, eq=False)
class Images:
    """One split: `pixels` (N, C, H, W), uint8 or floating, and `labels`, both on the device of the batches.

    Labels are of the kind `targets`: int64 (N,), real numbers (N, classes), or zeros and ones (N, classes).
    A batch is `pixels * scale - shift`, computed in `dtype` (in float32 below that); `scale` and `shift` are (C, 1, 1).
    `augment` applies to training batches alone.
    """

    pixels: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor
    classes: int
    augment: Augment
    dtype: torch.dtype = torch.float32
    targets: TargetKind = TargetKind.CLASSES

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def steps(self, batch_size: int, *, train: bool) -> int:
        """Return the batches per epoch: training drops the last one unless it is full, evaluation keeps it.

        Raises:
            DataError: when there is not one full batch to train on.
        """
        if batch_size < 1 or (train and batch_size > len(self)):
            raise DataError(f"batch_size={batch_size}: must be between 1 and the {len(self)} images there are")
        return len(self) // batch_size if train else -(-len(self) // batch_size)

    def batches(
        self, batch_size: int, *, seed: int, epoch: int, train: bool, start_step: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the batches of one epoch: pairs of images (B, C, H, W) and labels (B, …).

        Training shuffles by (seed, epoch) and augments by (seed, epoch, step), so an epoch may begin anywhere and gives
        the same batches on any device. Evaluation goes through all images in their order, as they are. Of several
        ranks each gets its share of every training batch, and every so many-th batch for evaluation.

        Args:
            batch_size: samples per batch.
            seed: of the run.
            epoch: from 0.
            train: whether to shuffle, augment, and drop a last batch that is not full.
            start_step: the first batch, from 0.

        Raises:
            DataError: at once, for a batch size that does not fit.
        """
        steps = range(start_step, self.steps(batch_size, train=train))
        if not train:
            steps = steps[here().number :: here().count]
            return (self.take(slice(step * batch_size, (step + 1) * batch_size)) for step in steps)
        order = torch.randperm(len(self), generator=stream(seed, "order", epoch), device="cpu")
        order = sent(order, self.pixels.device)
        rows = (order[step * batch_size : (step + 1) * batch_size] for step in steps)
        mirror = self._mirrored(seed, epoch)
        return (
            self._augmented(row, stream(seed, "augment", epoch, step), mirror)
            for row, step in zip(rows, steps, strict=True)
        )

    def take(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return the chosen images, normalized and otherwise as they are, and their labels."""
        x = self.pixels[rows].to(self.scale.dtype, copy=True).mul_(self.scale).sub_(self.shift)
        return x.to(self.dtype), self.labels[rows]

    def first(self, count: int) -> "Images":
        """Return the first `count` images, all of them if there are fewer."""
        return dataclasses.replace(self, pixels=self.pixels[:count], labels=self.labels[:count])

    def _mirrored(self, seed: int, epoch: int) -> Tensor | None:
        """Numbers below ½ for the images that are mirrored in this epoch, (N,); None if each batch draws its own."""
        if not self.augment.alternate:
            return None
        drawn = torch.rand(len(self), generator=stream(seed, "mirror"), dtype=torch.float32, device="cpu")
        return sent(1 - drawn if epoch % 2 else drawn, self.pixels.device)

    def _augmented(self, rows: Tensor, generator: torch.Generator, mirror: Tensor | None) -> tuple[Tensor, Tensor]:
        mine = share(len(rows))
        x, y = self.take(rows[mine])
        if not self.augment.active:
            return x, y
        draws = sent(draw_augmentations(len(rows), generator)[mine], x.device)
        if mirror is not None:
            draws[:, MIRROR] = mirror[rows[mine]]
        return self.augment(x, draws), y
