"""A training step of every settler, in turn with back-propagation; nothing is asserted about time."""

import pytest
import torch

from energy.component import choices, from_dict
from energy.model import Model
from energy.settle.settler import Settler
from energy.train.registration import register_builtins
from tests.benchmarks.tasks import EAGER, backprop, backprop_steps, settled, task
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

register_builtins()
pytestmark = [pytest.mark.slow, QUIET]

MODELS = {
    "MLP 3072-512x3-10": {"name": "mlp", "sizes": [512, 512, 512], "hidden": "hard_sigmoid", "gain": 0.5},
    "VGG 32-64-128-128": {"name": "vgg", "hidden": "hard_sigmoid", "gain": 0.5},
}
BATCH, SECONDS = 64, 30.0


@pytest.mark.parametrize("name", choices(Settler))
@pytest.mark.parametrize("title", MODELS)
def test_a_step(record: Record, title: str, name: str) -> None:
    given, settler = task(from_dict(Model, MODELS[title]), (3, 32, 32), BATCH), from_dict(Settler, name)
    spent = backprop_steps(given, settler)
    times = interleaved({EAGER: backprop(given), name: settled(given, settler)}, seconds=SECONDS)
    found = rows(times, EAGER, group=title, batch=BATCH)[1]
    record.add({**found, "backprop_steps": spent})
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in given.network.parameters())
