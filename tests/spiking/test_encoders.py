"""Encoders: the train by hand, its statistics, and that noise is a function of the batch."""

from __future__ import annotations

import pytest
import torch

from energy.component import ConfigurationError, from_dict
from energy.spiking.encoders import DirectCurrent, Encoder, Latency, Rate


def test_direct_is_one_current_for_all_steps() -> None:
    x = torch.rand(3, 2, 4)
    assert torch.equal(DirectCurrent().encode(x, 5), x.unsqueeze(0))


def test_the_trace_of_a_constant_input() -> None:
    """x (1 − κ^{t+1})."""
    x, kappa = torch.rand(3, 4).double(), 0.6
    found = DirectCurrent(filtered=True).sequence(x, 5, kappa)
    wanted = torch.stack([x * (1 - kappa ** (t + 1)) for t in range(5)])
    torch.testing.assert_close(found, wanted)


def test_latency_by_hand() -> None:
    x = torch.tensor([[1.0, 0.5, 0.25, 0.0, 7.0]])
    assert Latency().encode(x, 5)[:, 0].T.tolist() == [
        [1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    assert not Latency(silent=0.6).encode(x, 5)[:, 0, 1].any()


def test_rates_are_those_of_the_input() -> None:
    """10,000 draws of each: within four standard deviations of the binomial."""
    x = torch.tensor([-1.0, 0.0, 0.2, 0.5, 0.9, 1.0, 3.0]).expand(100, 7)
    found = Rate().encode(x, 100)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    probability = x[0].clamp(0, 1)
    assert bool(((found.mean((0, 1)) - probability).abs() <= 4 * (probability * (1 - probability) / 1e4).sqrt()).all())
    assert float(Rate(gain=0.5).encode(x, 100)[..., 5].mean()) == pytest.approx(0.5, abs=0.02)


def test_noise_is_a_function_of_seed_and_batch() -> None:
    x, held = torch.rand(8, 5), torch.get_rng_state()
    first = Rate().encode(x, 6)
    assert torch.equal(first, Rate().encode(x, 6))
    assert not torch.equal(first, Rate(seed=1).encode(x, 6))
    assert not torch.equal(first[:, :4], Rate().encode(x[:4], 6))
    assert torch.equal(held, torch.get_rng_state())


def test_steps_are_independent() -> None:
    found = Rate().encode(torch.full((200, 50), 0.5), 2)
    assert abs(float(((found[0] - 0.5) * (found[1] - 0.5)).mean())) < 4 * 0.25 / 100


@pytest.mark.parametrize("plain", [{"name": "rate", "gain": 0}, {"name": "latency", "silent": 1.0}])
def test_what_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        from_dict(Encoder, plain)
