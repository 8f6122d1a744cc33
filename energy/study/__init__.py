"""Studies: many runs into one answer."""
