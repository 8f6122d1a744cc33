"""The figures of a study, described from its record."""
