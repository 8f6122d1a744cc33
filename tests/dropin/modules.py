"""Ordinary modules, written as people write them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two convolutions with batch normalization around a shortcut, as in a ResNet."""

    def __init__(self, fan_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.down = (
            nn.Sequential(nn.Conv2d(fan_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
            if stride > 1 or fan_in != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


class SmallResNet(nn.Module):
    """A stem, two residual blocks, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, momentum=0.3)
        self.blocks = nn.Sequential(Residual(4, 4, 1), Residual(4, 6, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.fc(torch.flatten(self.pool(x), 1))


class Functional(nn.Module):
    """Functions and methods in place of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.fc1, self.fc2 = nn.Linear(6 * 9, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.leaky_relu(self.conv2(x), 0.2)
        x = x.view(x.size(0), -1)
        return self.fc2(torch.tanh(self.fc1(x)))


class Means(nn.Module):
    """Means over places, by method, and a mean of activities between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.conv1(x).relu(), 2)
        return self.head(torch.sigmoid(self.conv2(x)).mean((2, 3)))


class PreActivation(nn.Module):
    """Normalization before the convolution, and a sum that is only read by a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.GroupNorm(2, 4)
        self.head = nn.Linear(4 * 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = x + self.conv2(torch.relu(self.bn1(x)))
        return self.head(torch.relu(self.bn2(x)).reshape(x.size(0), -1))


def chain(*parts: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*parts)


def dense() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            flat=nn.Flatten(),
            first=nn.Linear(128, 12),
            norm=nn.LayerNorm(12),
            act=nn.ReLU(),
            second=nn.Linear(12, 8, bias=False),
            batch=nn.BatchNorm1d(8),
            act2=nn.Softplus(),
            top=nn.Linear(8, 3),
        )
    )


def vgg() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU6(),
        nn.Identity(),
        nn.Flatten(),
        nn.Linear(24, 9),
        nn.Hardtanh(0, 1),
        nn.Linear(9, 3),
    )


def twice_linear() -> nn.Module:
    """Two linear maps without an activation, a pooling of the input, an activation of an activation."""
    return nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(2, 3, 3),
        nn.Conv2d(3, 4, 1),
        nn.LeakyReLU(0.1),
        nn.Tanh(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


MODULES: dict[str, Callable[[], nn.Module]] = {
    "dense": dense,
    "vgg": vgg,
    "residual": SmallResNet,
    "functional": Functional,
    "means": Means,
    "pre-activation": PreActivation,
    "twice linear": twice_linear,
}
SHAPE = (2, 8, 8)


def drawn(name: str) -> nn.Module:
    """A module in float64, with weights and statistics that are not the usual ones at the start."""
    torch.manual_seed(7)
    module = MODULES[name]().double()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
        for key, buffer in module.named_buffers():
            if key.endswith("running_mean"):
                buffer.add_(0.1 * torch.randn_like(buffer))
            if key.endswith("running_var"):
                buffer.mul_(1 + 0.3 * torch.rand_like(buffer))
    return module


def batch(size: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(size, *SHAPE, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (size,), generator=generator)
