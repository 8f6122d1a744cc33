"""What the verbs of the command line do; `energy.cli` is the way in."""
