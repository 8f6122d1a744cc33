"""What the verbs of the command line do; :mod:`energy.cli` is the way in."""
