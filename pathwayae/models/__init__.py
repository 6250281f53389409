"""Scikit-learn estimators on plain arrays, which know no AnnData; and fitted models as files."""

from pathwayae.models._archetypes import ArchetypalAnalysis
from pathwayae.models._files import load, save
from pathwayae.models._grouped import GroupedAutoencoder
from pathwayae.models._sparse import SparseAutoencoder

__all__ = ["ArchetypalAnalysis", "GroupedAutoencoder", "SparseAutoencoder", "load", "save"]
