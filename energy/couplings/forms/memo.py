"""Intermediate tensors that several maps of one linearization share, such as the patches of an image."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


class Memo:
    """The last intermediate of each name, with the tensor that it was made of.

    Example:
        >>> memo, x = Memo(), torch.ones(2)
        >>> memo.once("double", x, lambda: 2 * x, 2) is memo.once("double", x, lambda: 2 * x, 2)
        True
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[Tensor, Tensor]] = {}

    def once(self, name: str, source: Tensor, make: Callable[[], Tensor], most: int) -> Tensor:
        """Return make(), or what it returned before for this very `source`.

        Args:
            name: of what is made.
            source: the tensor that it is made of.
            make: makes it.
            most: elements up to which it is kept.
        """
        held = self._held.get(name)
        if held is not None and held[0] is source:
            return held[1]
        made = make()
        if made.numel() <= most:
            self._held[name] = (source, made)
        return made
