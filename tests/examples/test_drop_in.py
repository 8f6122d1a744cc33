"""The two scripts of `examples/drop_in`: the same but for two lines, and both train."""

from __future__ import annotations

import difflib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from energy.data.check import Examples, Raw

FOLDER = Path(__file__).parents[2] / "examples" / "drop_in"
NAMES = ("autograd", "dual_propagation")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"drop_in_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Squares:
    """Ten classes by the place of a bright square, in place of ten thousand photographs."""

    def read(self) -> Raw:
        return Raw(*(self._drawn(count) for count in (256, 100)))

    def _drawn(self, count: int) -> Examples:
        labels = torch.arange(count) % 10
        pixels = torch.randint(60, (count, 3, 32, 32), generator=torch.Generator().manual_seed(count))
        for image, label in zip(pixels, labels.tolist(), strict=True):
            image[label % 3, 3 * label : 3 * label + 4, 8:24] = 255
        return Examples(pixels.byte(), labels)


def test_they_differ_by_two_lines() -> None:
    plain, settled = (
        (FOLDER / f"{name}.py").read_text(encoding="utf-8").partition('"""\n\n')[2].splitlines() for name in NAMES
    )
    changed = [line for line in difflib.ndiff(plain, settled) if line[0] in "+-"]
    assert [line[0] for line in changed] == ["+", "+"]
    assert changed[0] == "+ import energy" and "energy.wrap(model, " in changed[1]


@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = script(name)
    monkeypatch.setattr(found, "Cifar10", Squares)
    found.main(seed=0, epochs=3)
    losses = [float(text) for text in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 3 and losses[-1] < losses[0]
