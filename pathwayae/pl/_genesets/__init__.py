"""Plots of gene sets."""
