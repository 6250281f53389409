"""How genes go together, and the probability that a gene belongs to a pathway."""
