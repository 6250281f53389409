"""Groups of cells compared by their scores."""
