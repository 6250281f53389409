"""Scikit-learn estimators on plain arrays; nothing here knows AnnData."""

from pathwayae.models._grouped import GroupedAutoencoder

__all__ = ["GroupedAutoencoder"]
