"""The report of a study: one page that stands alone, with its figures, tables and citations beside it."""
