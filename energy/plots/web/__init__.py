"""Figures for a page, drawn by plotly from their descriptions; plotly is an extra and is imported when one is made."""
