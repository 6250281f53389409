"""Moments of cells: counts, sums and Gram matrices, from one pass."""
