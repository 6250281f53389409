"""Plots of the grouped autoencoder."""
