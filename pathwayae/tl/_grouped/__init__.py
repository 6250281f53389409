"""Tools of the grouped autoencoder."""
