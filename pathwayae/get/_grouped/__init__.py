"""Tables of the grouped autoencoder."""
