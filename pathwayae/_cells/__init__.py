"""Cells as models read them, wherever they lie."""
