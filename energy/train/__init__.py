"""Training: the run, its page (`fit`), its records, its checkpoints, and the evaluation of what it left behind."""
