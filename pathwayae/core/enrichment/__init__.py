"""Enrichment: the gene sets that the loadings of a component point to."""
