"""Groups of cells compared with samples as replicates, on arrays."""
