"""A fit as it lies in the slots of an AnnData."""
