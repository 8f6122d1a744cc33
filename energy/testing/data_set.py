"""The contract of a data set: the images and labels that its class declares, the same on every read."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.data import DataSet, Examples, Raw
from energy.data.unit import BYTES
from energy.targets import TargetKind
from energy.testing.claim import agree, claim, promise, public_check, title

DIM = 8  # how far below `levels` the brightest pixel may lie before the unit is doubted


@public_check(DataSet, "derive it from energy.data.DataSet")
def check_data_set(data: DataSet, *, device: str = "cpu") -> list[str]:
    """Check a data set, reading it twice; it must define `read`.

    `read` gives training and test examples of the declared `image` and `classes`, finite and the same on every read;
    `levels` fits the brightest pixel; the splits of `load` are disjoint, depend on the seed alone, have the declared
    `shape`, and are (pixel/levels − mean)/std. Returned as notes: classes without a training example.
    """
    raw = _read(data)
    _levels(data, torch.cat([examples.pixels.flatten() for examples in raw]))
    _loaded(data, raw, device)
    if data.targets is not TargetKind.CLASSES:
        return []
    missing = sorted(set(range(data.classes)) - set(raw.train.labels.unique().tolist()))
    return [f"{title(data)}: no training example of the classes {missing}"] if missing else []


@promise("read() must return Raw(train=Examples(pixels, labels), test=Examples(pixels, labels))")
def _read(data: DataSet) -> Raw:
    first = data.examples()
    held = [[tensor.clone() for tensor in examples] for examples in first]
    for split, old, again in zip(Raw._fields, held, data.examples(), strict=True):
        for name, one, other in zip(Examples._fields, old, again, strict=True):
            claim(torch.equal(one, other), data, f"a second read gives other {name} of {split}")
    return first


def _levels(data: DataSet, pixels: Tensor) -> None:
    whole, levels = not pixels.is_floating_point(), _stands_for_one(data)
    claim(whole or data.levels is not None, data, "pixels are floating: declare levels, the value that stands for 1")
    top, least = float(pixels.max()), levels / DIM
    claim(top >= least, data, f"the brightest pixel is {top:g} where levels={levels:g} stands for 1: set levels")
    claim(not whole or top <= levels, data, f"the brightest pixel is {top:g}, above levels={levels:g}")


def _stands_for_one(data: DataSet) -> float:
    return data.levels or BYTES


@promise("load(device, seed) must give training, validation and test images")
def _loaded(data: DataSet, raw: Raw, device: str) -> None:
    splits, again = (data.load(device, 0, torch.float64) for _ in range(2))
    for name, split, same in zip(splits._fields, splits, again, strict=True):
        claim(torch.equal(split.pixels, same.pixels), data, f"the {name} split differs for the same seed")
        claim(split.shape == data.shape, data, f"the {name} split has shape {split.shape}, declared is {data.shape}")
    used = len(splits.train) + len(splits.validation)
    claim(used <= len(raw.train.labels), data, "training and validation split overlap")
    x, labels = splits.test.take(slice(0, 4))
    same = torch.equal(labels.cpu(), data.learned(raw.test.labels[:4]))
    claim(same, data, "labels of the test split are not those of read")
    mean, std = (torch.tensor(value, dtype=torch.float64).view(-1, 1, 1) for value in (data.mean, data.std))
    wanted = (raw.test.pixels[:4].double() / _stands_for_one(data) - mean) / std
    height, width = data.image[1:]
    inner = x.cpu()[..., data.pad : data.pad + height, data.pad : data.pad + width]
    agree(data, "x against (pixel/levels − mean)/std", inner, wanted, 1e-9)
