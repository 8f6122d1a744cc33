"""A state is a vector made of tensors."""

import torch

from energy.state import State


def pair() -> tuple[State, State]:
    a = State((torch.arange(6.0).view(2, 3), torch.tensor([[1.0], [2.0]])))
    return a, State((torch.ones(2, 3), torch.tensor([[10.0], [20.0]])))


def test_arithmetic_acts_tensor_by_tensor() -> None:
    a, b = pair()
    for found, expected in (
        (a + b, (a[0] + 1, torch.tensor([[11.0], [22.0]]))),
        (a - b, (a[0] - 1, torch.tensor([[-9.0], [-18.0]]))),
        (a * 2, (2 * a[0], torch.tensor([[2.0], [4.0]]))),
        (2 * a, (2 * a[0], torch.tensor([[2.0], [4.0]]))),
        (a * 0.5 + b * 0.5, ((a[0] + 1) / 2, torch.tensor([[5.5], [11.0]]))),
    ):
        assert isinstance(found, State)
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine, theirs)


def test_nothing_is_written_to() -> None:
    a, b = pair()
    held = [t.clone() for t in (*a, *b)]
    _ = (a + b, a - b, a * 3, a.map(torch.relu), a.replace({0: b[0]}), a.norms())
    assert all(torch.equal(now, then) for now, then in zip((*a, *b), held, strict=True))


def test_replace_and_map() -> None:
    a, b = pair()
    changed = a.replace({1: b[1]})
    assert changed[0] is a[0]
    assert changed[1] is b[1]
    assert len(changed) == 2
    assert torch.equal(a.map(torch.neg)[1], -a[1])


def test_norms_are_root_mean_squares_per_tensor_and_sample() -> None:
    state = State((torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[[2.0]], [[-5.0]]])))
    expected = torch.tensor([[12.5**0.5, 0.0], [2.0, 5.0]])
    torch.testing.assert_close(state.norms(), expected)
    low = state.map(lambda t: t.bfloat16()).norms()
    assert low.dtype == torch.float32  # wide enough to compare with a tolerance
    torch.testing.assert_close(low, expected, rtol=1e-2, atol=0)
    assert state.map(lambda t: t.double()).norms().dtype == torch.float64
