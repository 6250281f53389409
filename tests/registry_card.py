"""What a card of the registry must say."""

GOOD = """
title = "T"
kind = "gene sets"
what = "W"
organism = "O"
licence = "L"
redistributable = true
processing = "P"
citation = ["C"]
"""
