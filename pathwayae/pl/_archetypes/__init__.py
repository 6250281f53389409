"""Plots of archetypal analysis."""
