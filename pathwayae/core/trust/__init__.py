"""How far to trust a fit: cells, genes and members held out."""
