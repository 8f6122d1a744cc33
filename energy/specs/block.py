"""The block of a feedback-free network as a component."""

from __future__ import annotations

from dataclasses import field

from torch import nn

from energy.component import ConfigurationError, require
from energy.couplings import Convolution, Coupling, Dense, Shape
from energy.couplings.block import Block
from energy.pooling import Pool
from energy.specs.coupling import CouplingSpec, DenseSpec
from energy.specs.pooling import NoPoolSpec, PoolingSpec


class BlockSpec(CouplingSpec, name="block"):
    """A(m) = C[filters(prepare(m))]: the layer below pooled, normalized and padded, then filtered, then centered.

    Attributes:
        filters: a dense coupling or a convolution.
        prepool: the pooling of the layer below; a block has it instead of pooling above.
        normalized: a batch norm without scale and shift, for local rules and back-propagation.
        reflect: the number of mirrored rows and columns to add.
        centered: subtract the mean over the neurons of a position.
        rectified: center and rectify the neurons once before.
    """

    filters: CouplingSpec = field(default_factory=DenseSpec)
    prepool: PoolingSpec = field(default_factory=NoPoolSpec)
    normalized: bool = False
    reflect: int = 0
    centered: bool = False
    rectified: bool = False

    def __post_init__(self) -> None:
        require(self.reflect >= 0, self, "reflect", "at least 0")
        require(self.centered or not self.rectified, self, "rectified", "false unless centered")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        if pool is not None:
            raise ConfigurationError(f"pooling={pool!r}: must be none; a block pools the layer below: prepool")
        prepare, seen = self._prepared(shape)
        filters = self.filters.build(seen, classes=classes)
        if not isinstance(filters, Dense | Convolution):
            raise ConfigurationError(f"{self.name}.filters={self.filters.name}: must be dense or convolution")
        return Block(filters, *prepare, centered=self.centered, rectified=self.rectified)

    def _prepared(self, shape: Shape) -> tuple[list[nn.Module], Shape]:
        """The modules before the filters, and the shape of their output."""
        pool, module = self.prepool.build(), self.prepool.module()
        seen = shape if pool is None else pool.shape(shape)
        prepare = [] if module is None else [module]
        if self.normalized:
            norm = nn.BatchNorm2d if len(seen) == 3 else nn.BatchNorm1d
            prepare.append(norm(seen[0], affine=False))
        if self.reflect:
            prepare.append(nn.ReflectionPad2d(self.reflect))
            seen = (seen[0], *(side + 2 * self.reflect for side in seen[1:]))
        return prepare, seen
