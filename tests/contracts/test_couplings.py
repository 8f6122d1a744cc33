"""Every shipped coupling, in every shape it comes in, keeps the contract; so do modules by autograd."""

import pytest
import torch
from torch import nn

from energy.couplings import Convolution, Coupling, Dense, Module, Skip
from energy.couplings.block import Block
from energy.pooling import AveragePool, MaxPool
from energy.testing import check_coupling

CONVOLUTIONS = {
    "plain": Convolution(4, 6, 3),
    "one by one": Convolution(4, 6, 1),
    "without bias": Convolution(4, 6, 3, bias=False, pool=AveragePool(2)),
    "stride and padding": Convolution(4, 6, 3, stride=2, padding=1),
    "stride that leaves a rest": Convolution(4, 6, 2, stride=3),
    "groups": Convolution(4, 6, 3, padding=1, groups=2),
    "max": Convolution(4, 6, 3, padding=1, pool=MaxPool(2)),
    "max, overlapping": Convolution(4, 6, 3, padding=1, pool=MaxPool(3, 2)),
    "max, densely overlapping": Convolution(4, 6, 3, padding=1, pool=MaxPool(3, 1)),
    "max, gaps": Convolution(4, 6, 3, padding=1, pool=MaxPool(2, 3)),
    "average": Convolution(4, 6, 3, padding=1, pool=AveragePool(2)),
    "average, overlapping": Convolution(4, 6, 3, padding=1, pool=AveragePool(3, 2)),
    "everything": Convolution(4, 6, 3, stride=2, padding=2, groups=2, pool=MaxPool(2, 1)),
}
MODULES = {
    "two layers": (nn.Sequential(nn.Linear(6, 5), nn.Softplus(), nn.Linear(5, 3)), (6,)),
    "layer norm": (nn.LayerNorm(6), (6,)),
    "convolution in one dimension": (nn.Conv1d(2, 3, 3), (2, 7)),
    "no parameters": (nn.MaxPool2d(2), (2, 4, 4)),
    "curved, no parameters": (nn.Tanh(), (5,)),
    "part of it does not learn": (
        nn.Sequential(nn.Linear(6, 5).requires_grad_(False), nn.Tanh(), nn.Linear(5, 3)),
        (6,),
    ),
}


def seasoned(*modules: nn.Module) -> list[nn.Module]:
    """The modules, normalisation having seen something."""
    for module in modules:
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.copy_(torch.linspace(-0.5, 1, module.num_features))
            module.running_var.copy_(torch.linspace(0.3, 3, module.num_features))
    return list(modules)


BLOCKS: dict[str, tuple[Block, tuple[int, ...]]] = {
    "bare": (Block(Dense(6, 4)), (6,)),
    "dense, centred": (
        Block(Dense(6, 4), *seasoned(nn.Flatten(), nn.BatchNorm1d(6, affine=False)), centered=True),
        (2, 3),
    ),
    "dense behind pooling": (Block(Dense(16, 5, bias=False), nn.AvgPool2d(2), nn.Flatten()), (4, 4, 5)),
    "convolution": (
        Block(Convolution(4, 6, 3), *seasoned(nn.BatchNorm2d(4, affine=False), nn.ReflectionPad2d(1)), centered=True),
        (4, 5, 6),
    ),
    "pooling below, rectified": (
        Block(
            Convolution(4, 6, 3, groups=2, bias=False),
            *seasoned(nn.MaxPool2d(4, 2, 1), nn.BatchNorm2d(4, affine=False), nn.ReflectionPad2d(1)),
            centered=True,
            rectified=True,
        ),
        (4, 9, 8),
    ),
}


@pytest.mark.parametrize(("block", "shape"), [pytest.param(*case, id=name) for name, case in BLOCKS.items()])
def test_blocks(block: Block, shape: tuple[int, ...], device: str) -> None:
    assert check_coupling(block.eval(), shape, device=device) == []


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_dense(shape: tuple[int, ...], bias: bool, device: str) -> None:
    assert check_coupling(Dense(6, 4, bias=bias), shape, device=device) == []


def test_skip(device: str) -> None:
    assert check_coupling(Skip(), (3, 4), device=device) == []


@pytest.mark.parametrize("coupling", [pytest.param(c, id=name) for name, c in CONVOLUTIONS.items()])
def test_convolution(coupling: Coupling, device: str) -> None:
    assert check_coupling(coupling, (4, 9, 8), device=device) == []


@pytest.mark.parametrize(("module", "shape"), [pytest.param(*case, id=name) for name, case in MODULES.items()])
def test_modules(module: nn.Module, shape: tuple[int, ...], device: str) -> None:
    left_out = check_coupling(Module(module), shape, device=device)
    assert all("bfloat16" in reason or "counts" in reason for reason in left_out)


def test_the_subject_of_a_check_is_left_as_it_was() -> None:
    coupling = Dense(6, 4)
    held = torch.get_rng_state()
    check_coupling(coupling, (6,))
    assert coupling.weight.dtype == torch.float32
    assert not coupling.weight.any()
    assert torch.equal(held, torch.get_rng_state())
