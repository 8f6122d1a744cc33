"""The cost of two layers together: −⟨post, A(pre)⟩, of any differentiable map A.

A new coupling needs `forward` only, the map itself; autograd supplies the rest (`AutogradLinearization`). `Affine`
couplings supply all of it in closed form."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from energy.component import ConfigurationError
from energy.couplings.linearization import AutogradLinearization, Linearization, Shape
from energy.couplings.units import UnitInputs
from energy.potentials import per_sample
from energy.tape import plain, taped


class Coupling(nn.Module):
    """A map A between two layers. Subclasses define `forward`, or `energy` together with `shape`.

    An `energy(pre, post)` given alone must be linear in `post`; then A(pre) = −∂energy/∂post. A coupling is always in
    evaluation mode, except inside `Network.learning` and `Network.normalizing`.

    Example:
        >>> class Doubled(Coupling):
        ...     def forward(self, pre):
        ...         return 2 * pre
        >>> drive, linear = Doubled().linearize(torch.ones(1, 3))
        >>> linear.adjoint(torch.ones(1, 3))
        tensor([[2., 2., 2.]])
    """

    by_chance: bool = False  # its output is random in training mode, which it is then never put into
    batchwise: bool = False  # while it learns, a sample's drive depends on its batch; linearizations account for that
    held_fixed: ClassVar[bool] = False  # its parameters are constants, which no training changes
    takes_feedback_weights: ClassVar[bool] = False  # its linearization's adjoint takes a `weight`

    def train(self, mode: bool = True) -> Self:
        """Set evaluation mode whatever `mode` is: the cost of two layers is a function of their states."""
        return super().train(False)

    def forward(self, pre: Tensor) -> Tensor:
        """Return A(pre), differentiable: (B, *pre shape) → (B, *post shape)."""
        if type(self).energy is Coupling.energy or type(self).shape is Coupling.shape:
            raise NotImplementedError(
                f"{type(self).__name__} must define forward(pre), or energy(pre, post) and shape(pre)"
            )
        tape = torch.is_grad_enabled()
        with taped():
            post = torch.zeros((len(pre), *self.shape(tuple(pre.shape[1:]))), dtype=pre.dtype, device=pre.device)
            post = post.requires_grad_()
            return -torch.autograd.grad(self.energy(plain(pre), post).sum(), post, create_graph=tape)[0]

    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        """Return −⟨post, A(pre)⟩ per sample: (B,)."""
        return -per_sample(post * self(pre))

    def shape(self, pre: Shape) -> Shape:
        """Return the shape of A(pre) without the batch axis, of the shape of pre without it."""
        with torch.no_grad():
            return tuple(self(self._zeros(pre)).shape[1:])

    def multiply_adds(self, pre: Shape) -> int:
        """Return the multiply-adds of one application per sample, counted by running it."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self(self._zeros(pre))
        return counter.get_total_flops() // 2

    def remember(self) -> None:
        """Take the last batch into running statistics, once per learned batch; no effect by default."""

    def start_from(self, x: Tensor) -> None:
        """Take constants from inputs of the training split, before the first step; no effect by default.

        Args:
            x: (B, *input shape); only couplings that read the input are given it.
        """

    def linearize(self, pre: Tensor) -> tuple[Tensor, Linearization]:
        """Return A(pre), and the coupling linearized there.

        Args:
            pre: the presynaptic state m, (B, *pre shape).
        """
        with torch.no_grad():
            return self(pre), AutogradLinearization(self, self, pre)

    def unit_inputs(self, pre: Tensor, drive: Tensor, linear: Linearization | None) -> UnitInputs:
        """Return the layer above as a population of neurons, as rules without feedback read it.

        Args:
            pre: the presynaptic state m, (B, *pre shape).
            drive: A(pre), (B, *post shape).
            linear: the coupling linearized at `pre`, if it has been.

        Raises:
            ConfigurationError: if the coupling has no weights of neurons.
        """
        raise ConfigurationError(
            f"{type(self).__name__}: no weights of neurons; local rules and read-outs need Dense, Convolution or Block"
        )

    def _zeros(self, shape: Shape) -> Tensor:
        like = next(self.parameters(), torch.zeros(()))
        return torch.zeros((1, *shape), dtype=like.dtype, device=like.device)
