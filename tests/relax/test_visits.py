"""Warm starts: a sample goes on from its last visit, and one that is not known starts as if nobody remembered."""

from __future__ import annotations

import copy

import pytest
import torch

from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid
from energy.relax import Sweep
from energy.relax.visits import Visits, attach_visits, visits
from energy.rules.contrast import Contrast
from energy.settle.dyadic import EquilibriumPropagation
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase
from energy.stream import sample_fingerprints
from tests.settle import nets

TIGHT = Sweep(max_steps=300, tolerance=2e-2, check_every=1)
WARM = EquilibriumPropagation(warm_starts=32, relax=TIGHT)
COLD = EquilibriumPropagation(relax=TIGHT)


def remembering(settler: Settler = WARM, norm: float = 0.9) -> tuple[Network, torch.Tensor, torch.Tensor]:
    network = nets.mlp(HardSigmoid(), norm=norm)
    settler.attach_feedback(network)
    return network, *nets.batch(network, 8)


def held(network: Network) -> Visits:
    found = visits(network)
    assert found is not None
    return found


def steps(network: Network, settler: Settler, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return settler.settle(network, x, target, nets.FROZEN).solutions["free"].steps


@pytest.mark.parametrize("settler", [WARM, TwoPhase(warm_starts=32, relax=TIGHT)], ids=["dyad", "phases"])
def test_a_second_visit_starts_where_the_first_ended(settler: Settler) -> None:
    network, x, target = remembering(settler)
    cold = steps(network, settler, x, target)
    assert int(cold.min()) > 2
    assert steps(network, settler, x, target).tolist() == [1] * 8
    shuffled = torch.randperm(8)
    assert steps(network, settler, x[shuffled], target[shuffled]).tolist() == [1] * 8
    assert int(held(network).used) == 8


def test_a_first_visit_is_a_cold_start_bit_for_bit() -> None:
    network, x, target = remembering()
    gradients = []
    for settler in (WARM, COLD):
        settled = settler.settle(network, x, target, nets.FROZEN)
        gradients.append(Contrast().gradients(network, settled))
    assert all(map(torch.equal, *gradients))


def test_known_and_new_samples_in_one_batch() -> None:
    network, x, target = remembering()
    alone = steps(network, COLD, x, target)
    steps(network, WARM, x[:4], target[:4])
    mixed = steps(network, WARM, x, target)
    assert mixed[:4].tolist() == [1] * 4 and torch.equal(mixed[4:], alone[4:])


def test_the_equilibrium_is_that_of_a_cold_start_where_there_is_one_alone() -> None:
    network, x, target = remembering(norm=0.6)
    cold = copy.deepcopy(network)
    for _ in range(3):
        WARM.settle(network, x, target, nets.FROZEN)
        with torch.no_grad():
            for one, other in zip(network.parameters(), cold.parameters(), strict=True):
                change = 1e-3 * torch.randn_like(one)
                one.add_(change)
                other.add_(change)
    warm, fresh = (s.free(n, x, Ledger(), warm=s is WARM)[1] for s, n in ((WARM, network), (COLD, cold)))
    for one, other in zip(warm, fresh, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)
    assert int(steps(network, WARM, x, target).sum()) < int(steps(cold, COLD, x, target).sum())


def test_evaluation_starts_cold_and_remembers_nothing() -> None:
    network, x, target = remembering()
    WARM.predict(network, x)
    assert int(held(network).used) == 0
    WARM.settle(network, x, target, nets.FROZEN)
    before = [buffer.clone() for buffer in network.buffers()]
    assert torch.equal(WARM.predict(network, x).output, COLD.predict(network, x).output)
    assert all(map(torch.equal, before, network.buffers()))


def test_more_samples_than_there_is_room_for() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.9)
    attach_visits(network, 5)
    x, target = nets.batch(network, 8)
    cold = steps(network, WARM, x, target)
    again = steps(network, WARM, x, target)
    assert int(held(network).used) == 5
    assert again[:5].tolist() == [1] * 5 and torch.equal(again[5:], cold[5:])


def test_the_bytes_are_counted() -> None:
    """Two bytes a number of each message from above, eight for a key; one row more, and the count of those in use."""
    network, *_ = remembering()
    messages = sum(network.shape(k)[0] for k in range(1, len(network.layers)))
    assert held(network).bytes == 33 * (2 * messages + 8) + 8


def test_visits_are_saved_with_the_weights() -> None:
    network, x, target = remembering()
    steps(network, WARM, x, target)
    other, *_ = remembering()
    other.load_state_dict(network.state_dict())
    assert steps(other, WARM, x, target).tolist() == [1] * 8


def test_fingerprints_know_the_place_of_a_number() -> None:
    x = torch.randn(64, 3, 4, 4)
    found = sample_fingerprints(torch.cat((x, x.flip(3), -x, x.roll(1, 2), x.transpose(2, 3))))
    assert len(found.unique()) == len(found) == 5 * 64
    assert torch.equal(sample_fingerprints(x[[3, 1]]), sample_fingerprints(x)[[3, 1]])
    single = torch.zeros(32, 40)
    single[torch.arange(32), torch.arange(32)] = 1.0
    assert len(sample_fingerprints(single).unique()) == 32
