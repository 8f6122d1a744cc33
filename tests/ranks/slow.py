"""A rank that is slow, twice: `python -m tests.ranks.slow`. Once within the patience of the other, once beyond it."""

import os
import time

from energy import exchange, ranks
from energy.errors import LostRankError

PATIENCE = 3.0  # seconds, in place of ten minutes
LATE = {1: 1.0, 2: 3 * PATIENCE}  # seconds of rank 1 before each exchange


def main() -> None:
    with ranks.joined(patience=PATIENCE):
        number = ranks.here().number
        for turn, late in LATE.items():
            time.sleep(late if number == 1 else 0.0)
            before = time.monotonic()
            try:
                found = exchange.from_all(number)
            except LostRankError as error:
                print(turn, f"{time.monotonic() - before:.1f}", error, flush=True)
                os._exit(7)
            print(turn, f"{time.monotonic() - before:.1f}", found, flush=True)


if __name__ == "__main__":
    main()
