"""Scikit-learn estimators on plain arrays; nothing here knows AnnData."""

from pathwayae.models._archetypes import ArchetypalAnalysis
from pathwayae.models._grouped import GroupedAutoencoder
from pathwayae.models._sparse import SparseAutoencoder

__all__ = ["ArchetypalAnalysis", "GroupedAutoencoder", "SparseAutoencoder"]
