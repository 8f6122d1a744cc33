"""The verbs of the command line; `energy.cli` is the entry point."""
