"""An interrupt that comes by itself."""

from energy.train.interrupt import Interrupt


class Impatient(Interrupt):
    """Asks to leave after a given number of looks."""

    patience = 0

    def __init__(self, time_limit: float = 0.0) -> None:
        super().__init__(time_limit)
        self.left = type(self).patience

    @property
    def asked(self) -> bool:
        """True from the ``patience``-th look on."""
        self.left -= 1
        return self.left < 0
