"""Plots of the sparse autoencoder."""
