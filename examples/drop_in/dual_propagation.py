"""CIFAR-10 by dual propagation, two lines from `autograd.py`: the import of energy, and the call of wrap.

python examples/drop_in/dual_propagation.py --seed 0 --epochs 5
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import energy
from energy.data import Cifar10


class Residual(nn.Module):
    def __init__(self, below: int, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(below, channels, 3, 2, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.short, self.relu = nn.Conv2d(below, channels, 1, 2), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + self.short(x))


def network() -> nn.Module:
    stem = (nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    return nn.Sequential(*stem, Residual(32, 64), Residual(64, 128), *head)


def main(seed: int, epochs: int) -> None:
    torch.manual_seed(seed)
    train, test = (TensorDataset(part.pixels.float() / 127.5 - 1, part.labels) for part in Cifar10().read())
    loader = DataLoader(train, 128, shuffle=True, drop_last=True)
    model = network()
    model = energy.wrap(model, energy.DualPropagation(freeze_mean=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        total = 0.0
        for x, labels in loader:
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
            with torch.autocast("cpu", torch.bfloat16):
                output = model(x)
            loss = criterion(output.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(loader):.4f}", flush=True)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        right = sum((model(x).argmax(1) == labels).sum().item() for x, labels in DataLoader(test, 500))
    print(f"test accuracy {100 * right / len(test):.2f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    main(**vars(parser.parse_args()))
