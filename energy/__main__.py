"""The entry point of `python -m energy`, which is `energy`."""

import sys

from energy.cli import main

if __name__ == "__main__":
    sys.exit(main())
