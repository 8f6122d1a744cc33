"""Training: the run, its loop (`fit`), its records, its checkpoints, and the evaluation of finished runs."""
