"""What a training step takes, settler by settler: `make bench` prints it; nothing is asserted about time."""

import json
import statistics
import time
from collections.abc import Iterator

import pytest
import torch

from energy.component import build, choices
from energy.model import Model
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.rules.contrast import Contrast
from energy.settle.settler import Settler
from energy.stream import stream
from energy.train.known import know
from energy.train.provenance import provenance

know()
pytestmark = pytest.mark.slow

MODELS = {
    "mlp 3072-512x3-10": {"name": "mlp", "sizes": [512, 512, 512], "hidden": "hard_sigmoid", "gain": 0.5},
    "vgg 32-64-128-128": {"name": "vgg", "hidden": "hard_sigmoid", "gain": 0.5},
}
BATCH, ROUNDS = 64, 5


@pytest.fixture(scope="module", params=MODELS)
def network(request: pytest.FixtureRequest) -> Iterator[tuple[str, Network]]:
    model = build(Model, MODELS[request.param])
    yield request.param, model.build((3, 32, 32), 10, seed=0)


@pytest.mark.parametrize("name", choices(Settler))
def test_a_step(network: tuple[str, Network], name: str) -> None:
    title, net = network
    settler, rule = build(Settler, name), Contrast()
    objective = CrossEntropy()
    x = torch.randn(BATCH, 3, 32, 32, generator=stream(0, "probe"))
    target = one_hot(torch.arange(BATCH) % 10, 10, x.dtype)
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        rule.apply(net, settler.settle(net, x, target, objective))
        seconds.append(time.perf_counter() - start)
    found = {"model": title, "settler": name, "batch": BATCH, "seconds": round(statistics.median(seconds[1:]), 5)}
    print(json.dumps(found | provenance(torch.device("cpu")), default=str))
    assert all(p.grad is not None for p in net.parameters())
