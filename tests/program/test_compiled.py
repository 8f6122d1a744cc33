"""A compiled step is the plain one up to rounding."""

from __future__ import annotations

import pytest
import torch

from energy.couplings import Convolution, Dense
from energy.kernels import SMALL
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Identity, Tanh
from energy.rules import Contrast, SoftHebb
from energy.rules.rule import Rule
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation, Feedforward, Spiking
from energy.settle.settler import Settler
from tests.program.cases import batches, short
from tests.program.pairs import Pair
from tests.settle import nets

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}
KINDS: dict[str, tuple[Settler, Rule]] = {
    "one pass": (DualPropagation(), Contrast()),
    "loops": (short(EquilibriumPropagation()), Contrast()),
    "tape": (Backprop(), Contrast()),
    "local": (Feedforward(), SoftHebb()),
    "spikes": (Spiking(steps=4), Contrast()),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's compiler about torch itself
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_on_dense_layers(kind: str, dtype: torch.dtype) -> None:
    settler, rule = KINDS[kind]
    network = nets.mlp(Tanh(), sizes=(20, 16, 16, 3), gain=0.7)
    pair = Pair(network, settler, rule, compiled=True, rounding=ROUNDING[dtype])
    for network in pair.networks:
        batches(network, dtype)
    pair.run(*(nets.batch(network, 48, seed=k, dtype=dtype) for k in range(2)))
    assert pair.recorded == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("settler", [DualPropagation(), short(EquilibriumPropagation())])
def test_on_images_large_enough_for_whole_kernels(settler: Settler, dtype: torch.dtype) -> None:
    """The pooling of 32 × 16 × 32 × 32 activities is called, and not taken apart."""
    network = Network((2, 32, 32))
    network.add(Convolution(2, 16, 3, padding=1, pool=MaxPool(2)), HardSigmoid())
    network.add(Convolution(16, 4, 3, padding=1, pool=MaxPool(2)), HardSigmoid())
    network.add(Dense(256, 3), Identity())
    nets.draw(network, 0.3, 0).float()
    given = [nets.batch(network, 32, seed=k, dtype=dtype) for k in range(2)]
    assert SMALL <= 32 * 16 * 32 * 32
    pair = Pair(network, settler, Contrast(), compiled=True, rounding=ROUNDING[dtype])
    pair.run(*given)
    assert pair.recorded == 1
