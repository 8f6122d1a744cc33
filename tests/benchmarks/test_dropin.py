"""The step of an ordinary script, with autograd and with a settler in its place.

The network, the loss, and the order of calls are those of `examples/drop_in/autograd.py`: batch 128, float32 weights,
bfloat16 by autocast, SGD with momentum. Autograd is also timed with images and weights in the channels-last format,
which the script does not ask for and couplings choose by themselves.
"""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from energy.dropin import wrap
from energy.settle.dyadic import DualPropagation
from tests.benchmarks.timing import QUIET, Record, Step, interleaved, ratio, rows

pytestmark = [pytest.mark.slow, QUIET]

AUTOGRAD = "autograd"
FAST = "autograd, channels last"
SCRIPT = Path(__file__).parents[2] / "examples" / "drop_in" / "autograd.py"
BATCH = 128


def network() -> nn.Module:
    spec = importlib.util.spec_from_file_location("drop_in_autograd", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.network()


def script_step(model: nn.Module, x: Tensor, labels: Tensor, fast: bool) -> Step:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, nesterov=True, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()

    given = x.contiguous(memory_format=torch.channels_last) if fast else x

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            output = model(given)
        loss = criterion(output.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def test_the_step_of_a_script(record: Record) -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    x, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
    plain = network()
    fast = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    models = {
        AUTOGRAD: plain,
        FAST: fast,
        "wrapped, mean held": wrap(copy.deepcopy(plain), DualPropagation(freeze_mean=True)),
        "wrapped": wrap(copy.deepcopy(plain), DualPropagation()),
    }
    steps = {name: script_step(model, x, labels, name == FAST) for name, model in models.items()}
    for step in steps.values():
        step()
    wanted = torch.cat([one.grad.flatten() for one in plain.parameters() if one.grad is not None])
    for model in models.values():
        found = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])
        assert torch.cosine_similarity(found, wanted, dim=0) > 0.98
    times = interleaved(steps)
    for row in rows(times, AUTOGRAD, group="residual net with batch norm", dtype="bfloat16", batch=BATCH):
        record.add({**row, **ratio(times[row["name"]], times[FAST]).columns("over_channels_last")})
