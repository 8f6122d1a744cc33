"""Reproductions of papers: their cells, what was published, what was run, and the tables of both."""
