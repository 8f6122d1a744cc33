"""Files of a run, none of which holds code: records, checkpoints, figure data, provenance."""
