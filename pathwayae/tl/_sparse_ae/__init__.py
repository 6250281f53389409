"""Tools of the sparse autoencoder."""
