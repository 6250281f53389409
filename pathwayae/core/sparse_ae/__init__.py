"""The sparse autoencoder: sparse, overcomplete codes of cells or of an embedding, and what they mean."""
