"""Models fitted to an AnnData; results go into its slots."""

from pathwayae.tl._enrich import enrich
from pathwayae.tl._fit import fit
from pathwayae.tl._refine import refine
from pathwayae.tl._relevance import relevance
from pathwayae.tl._selection import n_extra_path, theta_path
from pathwayae.tl._transform import transform

__all__ = ["enrich", "fit", "n_extra_path", "refine", "relevance", "theta_path", "transform"]
