"""Plots of which pathways differ between groups of cells."""
