"""The three maps of a convolution, each in its forms."""

from __future__ import annotations

from math import prod
from typing import Final

from torch import Tensor

from energy.couplings.forms import library, matrix, patches, taps
from energy.couplings.forms.choice import Choice, Form
from energy.couplings.forms.geometry import Geometry


def _work(images: int, places: int, weight: Tensor) -> int:
    return images * places * weight.numel()


def _forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> int:
    return _work(len(pre), prod(geometry.places(side) for side in pre.shape[2:]), weight)


def _adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry) -> int:
    return _work(len(post), prod(post.shape[2:]), weight)


def _weight_gradient(pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry) -> int:
    return _work(len(post), prod(post.shape[2:]), weight)


_GRADIENTS: Final = {
    "library": Form(library.weight_gradient),
    "patches": Form(patches.weight_gradient, patches.admits_weight_gradient),
    "taps": Form(taps.weight_gradient, taps.admits_weight_gradient),
}

# (pre, weight, bias, geometry) → weight ∗ pre + bias, (B, channels, H, W)
FORWARD: Final = Choice(
    "convolution",
    {
        "library": Form(library.forward),
        "patches": Form(patches.forward, patches.admits_forward),
        "matrix": Form(matrix.forward, matrix.admits_forward),
    },
    _forward,
)

# (post, weight, shape of pre, geometry) → the transposed map, of the shape of pre
ADJOINT: Final = Choice(
    "convolution adjoint",
    {
        "library": Form(library.adjoint),
        "patches": Form(patches.adjoint, patches.admits_adjoint),
        "matrix": Form(matrix.adjoint, matrix.admits_adjoint),
    },
    _adjoint,
)

# (pre, post, weight, biased, geometry) → the gradients of ⟨post, weight ∗ pre + bias⟩ by weight and bias
WEIGHT_GRADIENT: Final = Choice("convolution weight gradient", _GRADIENTS, _weight_gradient)

# the same, for rules without a bias: on a CPU the library is the slower one as a rule
PRODUCT: Final = Choice("convolution product", _GRADIENTS, _weight_gradient, fixed="patches")
