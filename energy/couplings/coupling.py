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

    Where only `energy(pre, post)` is given it must be linear in `post`; then A(pre) = −∂energy/∂post. A coupling is in
    evaluation mode always, but inside `Network.learning`.

    Example:
        >>> class Doubled(Coupling):
        ...     def forward(self, pre):
        ...         return 2 * pre
        >>> drive, linear = Doubled().linearize(torch.ones(1, 3))
        >>> linear.adjoint(torch.ones(1, 3))
        tensor([[2., 2., 2.]])
    """

    by_chance: bool = False  # whether its output is drawn in training mode, in which it then never is
    batchwise: bool = False  # whether, while it learns, a sample's drive depends on its batch, exactly accounted for
    takes_feedback_weights: ClassVar[bool] = False  # whether its linearization's adjoint takes a `weight`

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode, whatever is asked for: the cost of two layers is a function of their states."""
        return super().train(False)

    def forward(self, pre: Tensor) -> Tensor:
        """A(pre), differentiable: (B, *pre shape) → (B, *post shape)."""
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
        """−⟨post, A(pre)⟩ per sample: (B,)."""
        return -per_sample(post * self(pre))

    def shape(self, pre: Shape) -> Shape:
        """The shape of A(pre) without the batch axis."""
        with torch.no_grad():
            return tuple(self(self._zeros(pre)).shape[1:])

    def multiply_adds(self, pre: Shape) -> int:
        """Multiply-adds of one application to one sample, counted by running it."""
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self(self._zeros(pre))
        return counter.get_total_flops() // 2

    def remember(self) -> None:
        """Take the batch it was last applied to into what it remembers, once per learnt batch; nothing by default."""

    def linearize(self, pre: Tensor) -> tuple[Tensor, Linearization]:
        """A(pre), and the coupling linearized there.

        Args:
            pre: (B, *pre shape), the presynaptic state m.
        """
        with torch.no_grad():
            return self(pre), AutogradLinearization(self, self, pre)

    def unit_inputs(self, pre: Tensor, drive: Tensor, linear: Linearization | None) -> UnitInputs:
        """What a rule without feedback needs of a coupling that has been linearized at `pre`.

        Raises:
            ConfigurationError: where that is no population of neurons.
        """
        raise ConfigurationError(
            f"{type(self).__name__}: no weights of neurons; local rules and read-outs need Dense, Convolution or Block"
        )

    def _zeros(self, shape: Shape) -> Tensor:
        like = next(self.parameters(), torch.zeros(()))
        return torch.zeros((1, *shape), dtype=like.dtype, device=like.device)
