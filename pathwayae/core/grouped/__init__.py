"""The grouped autoencoder: a component per pathway."""
