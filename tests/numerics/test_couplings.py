"""Couplings against loops written out by hand, other layouts and other precisions."""

import itertools

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Convolution, Coupling, Dense, Module, Skip
from energy.pooling import AveragePool, MaxPool, Pool
from energy.stream import stream


def draw(*shape: int, key: str = "x") -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(0, f"test/{key}"))


def filled(coupling: Convolution) -> Convolution:
    coupling.double()
    with torch.no_grad():
        for name, parameter in coupling.named_parameters():
            parameter.copy_(draw(*parameter.shape, key=name))
    return coupling


def convolve(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    """The sum over the window, one output at a time."""
    padded = torch.zeros(len(x), x.shape[1], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding, dtype=x.dtype)
    padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
    out, inner, k, _ = w.shape
    rows, columns = ((padded.shape[d] - k) // stride + 1 for d in (2, 3))
    found = torch.zeros(len(x), out, rows, columns, dtype=x.dtype)
    for o, i, j in itertools.product(range(out), range(rows), range(columns)):
        first = o // (out // groups) * inner
        window = padded[:, first : first + inner, i * stride : i * stride + k, j * stride : j * stride + k]
        found[:, o, i, j] = (window * w[o]).flatten(1).sum(1) + b[o]
    return found


def windows(full: Tensor, size: int, stride: int) -> tuple[Tensor, list[tuple[slice, slice]]]:
    """Every pooling window: (B, C, windows, size²), and where it lies."""
    rows, columns = ((full.shape[d] - size) // stride + 1 for d in (2, 3))
    places = [
        (slice(i * stride, i * stride + size), slice(j * stride, j * stride + size))
        for i, j in itertools.product(range(rows), range(columns))
    ]
    return torch.stack([full[:, :, r, c].flatten(2) for r, c in places], 2), places


@pytest.mark.parametrize(("stride", "padding", "groups"), [(1, 0, 1), (2, 1, 1), (1, 2, 2), (3, 1, 2)])
def test_convolution_by_hand(stride: int, padding: int, groups: int) -> None:
    coupling = filled(Convolution(4, 6, 3, stride=stride, padding=padding, groups=groups))
    x = draw(2, 4, 6, 5)
    assert coupling.bias is not None
    expected = convolve(x, coupling.weight, coupling.bias, stride, padding, groups)
    torch.testing.assert_close(coupling(x), expected)
    assert coupling.shape((4, 6, 5)) == tuple(expected.shape[1:])
    assert coupling.multiply_adds((4, 6, 5)) == expected[0].numel() * (4 // groups) * 9


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("kind", [MaxPool, AveragePool])
def test_pooling_by_hand(kind: type[Pool], size: int, stride: int) -> None:
    pool, full = kind(size, stride), draw(2, 3, 7, 8)
    cells, places = windows(full, size, stride)
    best = cells.argmax(-1, keepdim=True)
    pooled = cells.gather(-1, best).squeeze(-1) if kind is MaxPool else cells.mean(-1)
    drive, switches = pool.open(full)
    torch.testing.assert_close(drive.flatten(2), pooled)
    torch.testing.assert_close(pool(full), drive)
    assert pool.shape((3, 7, 8)) == tuple(drive.shape[1:])

    direction = draw(*full.shape, key="direction")
    moved, _ = windows(direction, size, stride)
    pushed = moved.gather(-1, best).squeeze(-1) if kind is MaxPool else moved.mean(-1)
    torch.testing.assert_close(pool.tangent(direction, switches).flatten(2), pushed)

    post, back = draw(*drive.shape, key="post"), torch.zeros_like(full)
    for n, (rows, columns) in enumerate(places):
        won = torch.zeros_like(cells[:, :, n]).scatter_(-1, best[:, :, n], 1.0)
        share = won if kind is MaxPool else torch.full_like(won, 1 / size**2)
        back[:, :, rows, columns] += (post.flatten(2)[:, :, n, None] * share).view(2, 3, size, size)
    torch.testing.assert_close(pool.adjoint(post, switches, full.shape), back)


def test_switches_belong_to_the_point_not_to_the_states() -> None:
    """With the switches of m, every map is one linear map P: drive of a direction, its transpose, and the products
    agree on it."""
    coupling = filled(Convolution(2, 3, 3, padding=1, pool=MaxPool(2)))
    m, other, post = draw(2, 2, 6, 6, key="m"), draw(2, 2, 6, 6, key="other"), draw(2, 3, 3, 3, key="post")
    linear = coupling.linearize(m)[1]
    up = (post * linear.tangent(other)).sum()
    torch.testing.assert_close(up, (linear.adjoint(post) * other).sum())
    weight, bias = linear.weight_gradient(other, post)
    torch.testing.assert_close(up, (weight * coupling.weight).sum())
    torch.testing.assert_close(bias, post.sum((0, 2, 3)))
    own = coupling.linearize(other)[1].weight_gradient(other, post)[0]
    assert float((own - weight).abs().max()) > 1e-3  # the other state has switches of its own
    second, nothing = linear.second_gradient(other, post)
    torch.testing.assert_close(second, weight)
    assert not nothing.any()


@pytest.mark.parametrize("pool", [None, MaxPool(2), AveragePool(2)])
def test_channels_last_changes_nothing_but_the_layout(pool: Pool | None) -> None:
    coupling = filled(Convolution(4, 8, 3, padding=1, pool=pool))
    x = draw(2, 4, 8, 8)
    plain, linear = coupling.linearize(x)
    post = draw(*plain.shape, key="post")
    expected = (linear.adjoint(post), linear.tangent(x), *linear.weight_gradient(x, post))
    coupling.weight.data = coupling.weight.data.contiguous(memory_format=torch.channels_last)
    x, post = (t.contiguous(memory_format=torch.channels_last) for t in (x, post))
    drive, linear = coupling.linearize(x)
    assert drive.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(drive, plain)
    found = (linear.adjoint(post), linear.tangent(x), *linear.weight_gradient(x, post))
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("coupling", [Dense(18, 5), Convolution(2, 4, 2), Convolution(2, 4, 2, pool=MaxPool(2))])
def test_states_in_bfloat16_over_weights_in_float32(coupling: Dense | Convolution) -> None:
    """States stay bfloat16; products come back in the dtype of the weights, for the optimiser to add up."""
    with torch.no_grad():
        for name, parameter in coupling.named_parameters():
            parameter.copy_(draw(*parameter.shape, key=name))
    x = draw(3, 2, 3, 3).bfloat16()
    drive, linear = coupling.linearize(x)
    post = draw(*drive.shape, key="post").bfloat16()
    for state in (drive, linear.adjoint(post), linear.tangent(x)):
        assert state.dtype == torch.bfloat16
    rounded = [p.detach().bfloat16().double() for p in coupling.parameters()]
    products = linear.weight_gradient(x, post)
    assert [p.dtype for p in products] == [torch.float32] * len(rounded)
    exact = type(coupling)(18, 5) if isinstance(coupling, Dense) else Convolution(2, 4, 2, pool=coupling.pool)
    exact.double()
    with torch.no_grad():
        for parameter, value in zip(exact.parameters(), rounded, strict=True):
            parameter.copy_(value)
    precise = exact.linearize(x.double())[1].weight_gradient(x.double(), post.double())
    torch.testing.assert_close(drive.double(), exact(x.double()), rtol=2**-7, atol=2**-5)
    for mine, theirs in zip(products, precise, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=2**-6, atol=2**-4)


def test_a_bias_of_a_large_batch_is_summed_in_the_dtype_of_the_bias() -> None:
    """1000 times 1/256 in bfloat16 would stop growing at 1; float32 sums to 3.90625."""
    coupling = Dense(1, 1)
    post = torch.full((1000, 1), 2.0**-8, dtype=torch.bfloat16)
    below = torch.zeros(1000, 1, dtype=torch.bfloat16)
    assert coupling.linearize(below)[1].weight_gradient(below, post)[1].item() == 1000 / 256


def test_tangent_and_second_gradient_know_no_bias() -> None:
    coupling = Dense(3, 2).double()
    with torch.no_grad():
        coupling.weight.copy_(draw(2, 3, key="w"))
        if coupling.bias is not None:
            coupling.bias.fill_(7.0)
    direction, post = draw(4, 3, key="d"), draw(4, 2, key="p")
    linear = coupling.linearize(draw(4, 3, key="m"))[1]
    torch.testing.assert_close(linear.tangent(direction), direction @ coupling.weight.T)
    weight, bias = linear.second_gradient(direction, post)
    torch.testing.assert_close(weight, post.T @ direction)
    assert not bias.any()


def test_a_curved_coupling_by_hand() -> None:
    """A(m) = m² has A′v = 2mv and ∂m⟨p, A′v⟩ = 2pv."""

    class Square(Coupling):
        def forward(self, pre: Tensor) -> Tensor:
            return pre.square()

    coupling, m, v, p = Square(), draw(2, 3, key="m"), draw(2, 3, key="v"), draw(2, 3, key="p")
    linear = coupling.linearize(m)[1]
    torch.testing.assert_close(linear.adjoint(p), 2 * m * p)
    torch.testing.assert_close(linear.tangent(v), 2 * m * v)
    curvature = linear.curvature(v, p)
    assert curvature is not None
    torch.testing.assert_close(curvature, 2 * p * v)
    assert linear.weight_gradient(m, p) == ()


@pytest.mark.parametrize(
    ("coupling", "shape", "words"),
    [
        (Dense(6, 2), (7,), r"Dense\(6, 2\) cannot read a layer of shape \(7,\): it has 7 units"),
        (Convolution(3, 4), (4, 8, 8), r"Convolution of 3 channels cannot read a layer of shape \(4, 8, 8\)"),
        (Convolution(4, 4, groups=2), (2, 8, 8), r"Convolution of 4 channels cannot read"),
        (Convolution(3, 4), (3,), r"Convolution of 3 channels cannot read a layer of shape \(3,\)"),
        (Convolution(3, 4, 5), (3, 4, 4), r"kernel of 5 does not fit"),
        (Convolution(3, 4, 3, pool=MaxPool(2)), (3, 3, 3), r"MaxPool\(2\) does not fit a layer of shape \(4, 1, 1\)"),
    ],
)
def test_a_coupling_that_does_not_fit_says_so(coupling: Coupling, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        coupling.shape(shape)


def test_a_coupling_without_anything_says_what_to_define() -> None:
    class Empty(Coupling):
        pass

    class Shapeless(Coupling):
        def energy(self, pre: Tensor, post: Tensor) -> Tensor:
            return -(pre * post).sum(1)

    with pytest.raises(NotImplementedError, match=r"Shapeless must define forward\(pre\), or energy.*and shape"):
        Shapeless()(torch.zeros(1, 2))
    with pytest.raises(
        NotImplementedError, match=r"Empty must define forward\(pre\), or energy\(pre, post\) and shape\(pre\)"
    ):
        Empty()(torch.zeros(1, 2))


@pytest.mark.parametrize("coupling", [Module(torch.nn.Linear(3, 3).double()), Skip()], ids=["module", "skip"])
def test_a_coupling_that_has_no_use_for_feedback_weights_says_so(coupling: Coupling) -> None:
    assert not type(coupling).takes_feedback_weights
    drive, linear = coupling.linearize(draw(4, 3))
    words = f"{type(coupling).__name__}: has no weight that feedback weights could stand in for"
    with pytest.raises(ConfigurationError, match=words):
        linear.adjoint(drive, weight=draw(3, 3, key="w"))


def test_settling_leaves_no_tape_behind() -> None:
    """Under no_grad, as in a solver, nothing that a coupling says carries an autograd graph."""

    class Energy(Coupling):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(draw(2, 3, key="w"))

        def energy(self, pre: Tensor, post: Tensor) -> Tensor:
            return -((pre @ self.weight.T) * post).sum(1)

        def shape(self, pre: tuple[int, ...]) -> tuple[int, ...]:
            return (2,)

    for coupling in (Energy(), Module(torch.nn.Linear(3, 2).double()), Skip()):
        with torch.no_grad():
            drive, linear = coupling.linearize(draw(4, 3))
            said = (drive, linear.adjoint(drive), linear.tangent(draw(4, 3)))
        assert not any(tensor.requires_grad for tensor in said), type(coupling).__name__
