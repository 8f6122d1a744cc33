"""The three maps of a convolution, each in its forms."""

from __future__ import annotations

from math import prod
from typing import Final

from torch import Tensor

from energy.couplings.forms.choice import Choice, Form
from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.library import Builtin
from energy.couplings.forms.matrix import Matrix
from energy.couplings.forms.patches import Patches
from energy.couplings.forms.taps import Taps


def _work(images: int, places: int, weight: Tensor) -> int:
    return images * places * weight.numel()


def _forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> int:
    return _work(len(pre), prod(geometry.places(side) for side in pre.shape[2:]), weight)


def _adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry) -> int:
    return _work(len(post), prod(post.shape[2:]), weight)


def _weight_gradient(pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry) -> int:
    return _work(len(post), prod(post.shape[2:]), weight)


def _patched(pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry) -> bool:
    return Patches.admits_forward(pre, weight, None, geometry)


def _biased(pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry) -> bool:
    return biased


_GRADIENTS: Final = {
    "library": Form(Builtin.weight_gradient),
    "bias apart": Form(Builtin.weight_gradient_apart, _biased),
    "patches": Form(Patches.weight_gradient, _patched),
    "taps": Form(Taps.weight_gradient, Taps.admits_weight_gradient),
}

# (pre, weight, bias, geometry) → weight ∗ pre + bias, (B, channels, H, W)
FORWARD: Final = Choice(
    "convolution",
    {
        "library": Form(Builtin.forward),
        "patches": Form(Patches.forward, Patches.admits_forward),
        "matrix": Form(Matrix.forward, Matrix.admits_forward),
    },
    _forward,
)

# (post, weight, shape of pre, geometry) → the transposed map, of the shape of pre
ADJOINT: Final = Choice(
    "convolution adjoint",
    {
        "library": Form(Builtin.adjoint),
        "patches": Form(Patches.adjoint, Patches.admits_adjoint),
        "matrix": Form(Matrix.adjoint, Matrix.admits_adjoint),
    },
    _adjoint,
    whole=True,  # torch's compiler would write numbers into the tensor that only lends its shape
)

# (pre, post, weight, biased, geometry) → the gradients of ⟨post, weight ∗ pre + bias⟩ by weight and bias
WEIGHT_GRADIENT: Final = Choice("convolution weight gradient", _GRADIENTS, _weight_gradient, pairs=True)

# the same, for rules without a bias: on a CPU the library is the slower one as a rule
PRODUCT: Final = Choice("convolution product", _GRADIENTS, _weight_gradient, fixed="patches", pairs=True)
