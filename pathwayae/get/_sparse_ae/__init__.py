"""Tables of the sparse autoencoder."""
