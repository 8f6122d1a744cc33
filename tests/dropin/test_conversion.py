"""Networks made of modules: the same outputs, tensors and names."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.dropin import from_module
from energy.errors import UsageError, UsageTypeError
from energy.ledger import Ledger
from energy.objectives import CrossEntropy, one_hot
from energy.rules import Contrast
from energy.settle import DualPropagation
from tests.dropin.modules import MODULES, SHAPE, Residual, batch, drawn


@pytest.mark.parametrize("name", MODULES)
def test_the_network_predicts_what_the_module_predicts(name: str) -> None:
    module = drawn(name).eval()
    network = from_module(module, SHAPE)
    x, _ = batch()
    torch.testing.assert_close(network(x), module(x), rtol=1e-12, atol=1e-12)
    plain = network.to_module().eval()
    assert type(plain) is type(module) and plain is not module
    torch.testing.assert_close(plain(x), module(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", MODULES)
def test_names_and_tensors_are_those_of_the_module(name: str) -> None:
    module = drawn(name)
    network = from_module(module, SHAPE)
    assert list(network.state_dict()) == list(module.state_dict())
    assert {id(one) for one in network.parameters()} == {id(one) for one in module.parameters()}
    other = drawn(name)
    for tensor in other.state_dict().values():
        tensor.add_(1)
    network.load_state_dict(other.state_dict())
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key]), key


@pytest.mark.parametrize("name", MODULES)
def test_dual_propagation_of_the_network_is_the_gradient_of_the_module(name: str) -> None:
    """At γ = 0 the dyad is back-propagation as β → 0; batch statistics included."""
    module = drawn(name).train()
    plain = copy.deepcopy(module)
    network = from_module(module, SHAPE)
    x, labels = batch()
    Contrast().learn(network, DualPropagation(beta=1e-7), x, one_hot(labels, 3, x.dtype), CrossEntropy())
    F.cross_entropy(plain(x), labels).backward()
    for (key, found), wanted in zip(module.named_parameters(), plain.parameters(), strict=True):
        assert found.grad is not None and wanted.grad is not None, key
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-5, atol=1e-9, msg=key)
    for (key, buffer), other in zip(module.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-12, atol=1e-12, msg=key)


def test_a_vgg_has_a_layer_for_every_activation_and_costs_what_it_costs() -> None:
    network = from_module(drawn("vgg"), SHAPE)
    assert [layer.name for layer in network.layers] == ["2", "6", "10", "output"]
    ledger, (x, labels) = Ledger(), batch()
    Contrast().learn(network, DualPropagation(), x, one_hot(labels, 3, x.dtype), CrossEntropy(), ledger)
    assert ledger.backprop_steps(network, len(x)) == 1.0


def test_what_moves_moves_both() -> None:
    module = drawn("residual")
    network = from_module(module, SHAPE)
    network.float()
    assert {one.dtype for one in module.parameters()} == {torch.float32}
    x = batch()[0].float()
    torch.testing.assert_close(network(x), module.eval()(x))
    module.double()  # behind the back of the network, whose statistics are then linked again
    network.relink()
    torch.testing.assert_close(network(x.double()), module(x.double()))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.fc(x)))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.factor = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.factor


class Overwritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        y = self.second(x)
        z = x
        x += y
        return torch.relu(x + z)


class Pair(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    module[0].register_forward_hook(lambda *_: None)
    return module


def between(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), *parts, nn.Linear(4, 2))


REFUSED: list[tuple[nn.Module, tuple[int, ...], str]] = [
    (between(nn.ReLU(inplace=True)), (4,), r"1: ReLU: inplace=True: must be False"),
    (between(nn.Dropout(0.5)), (4,), r"1: Dropout is not covered: take weight decay"),
    (between(nn.GELU()), (4,), r"1: GELU is not covered: take ReLU or Softplus"),
    (between(nn.PReLU()), (4,), r"1: PReLU is not covered: take LeakyReLU"),
    (between(nn.Hardtanh()), (4,), r"1: Hardtanh: min_val=-1.0, max_val=1.0: must be"),
    (between(nn.BatchNorm1d(4, track_running_stats=False)), (4,), r"1: track_running_stats=False: must be True"),
    (between(nn.BatchNorm1d(4, momentum=None)), (4,), r"1: momentum=None: must be a number"),
    (nn.Sequential(nn.Conv2d(2, 3, (3, 1))), SHAPE, r"0: kernel_size=\(3, 1\): must be the same on both sides"),
    (nn.Sequential(nn.Conv2d(2, 3, 3, padding_mode="reflect", padding=1)), SHAPE, r"0: padding_mode='reflect'"),
    (nn.Sequential(nn.Conv1d(2, 3, 3)), (2, 8), r"0: Conv1d is not covered: build an energy\.Network"),
    (nn.Sequential(nn.Flatten(2), nn.Linear(64, 3)), SHAPE, r"0: start_dim=2, end_dim=-1: must be 1 and -1"),
    (nn.Sequential(nn.LayerNorm(8)), SHAPE, r"0: normalized_shape=\(8,\): must be all of a sample"),
    (Branching(), (4,), r"Branching\.forward: cannot be traced"),
    (Shared(), (4,), r"fc: Linear is used twice: must be once"),
    (Scaled(), (4,), r"mul \(mul\): is not covered|factor.*is read directly"),
    (Overwritten(), (4,), r"Overwritten: the network made of it computes something else"),
    (Pair(), (4,), r"Pair\.forward: has an argument y: must have one tensor only"),
    (hooked(), (4,), r"0: has a hook \(forward_hooks\), which nothing calls"),
    (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))), (4,), r"0.*parametriz|Parametrized"),
    (between(), (5,), r"cannot read a layer of shape \(5,\)"),
    (nn.Sequential(), (4,), r"its output is not the last value that it computes"),
]


@pytest.mark.parametrize(("module", "shape", "named"), REFUSED)
def test_what_is_not_covered_is_named(module: nn.Module, shape: tuple[int, ...], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        from_module(module, shape)


def test_no_module_is_no_module() -> None:
    with pytest.raises(UsageTypeError, match=r"module is a int: must be an nn\.Module"):
        from_module(3, (4,))  # type: ignore[arg-type]


def test_an_activation_without_tensors_may_be_used_again() -> None:
    block = Residual(2, 2, 1).double()
    network = from_module(nn.Sequential(block, nn.Flatten(), nn.Linear(128, 3).double()), SHAPE)
    assert len(network.layers) == 3
