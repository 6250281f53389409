"""Archetypal analysis: extremes of a population as mixtures of cells, cells as mixtures of extremes."""
