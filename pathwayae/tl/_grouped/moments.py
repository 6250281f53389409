"""Moments of the cells for the genes of a fit."""

from __future__ import annotations

from anndata import AnnData

from pathwayae import pp
from pathwayae._slots.grouped import Fitted
from pathwayae.core.moments.moments import Moments


def moments_of(
    adata: AnnData,
    model: Fitted,
    moments: Moments | None,
    *,
    sample_key: str | None = None,
    batch_key: str | None = None,
    n_folds: int | None = None,
    random_state: int = 0,
    progress: bool = True,
) -> Moments:
    """Moments of the genes of the model in their order, per stratum: those given, or from one pass over the cells.

    Raises
    ------
    ValueError
        If the moments given lack a gene of the model or were normalised otherwise than those of the fit.
    """
    normalize = str(model.params.get("normalize", ""))
    if moments is None:
        return pp.moments(
            adata,
            layer=model.params["layer"] or None,
            genes=model.names.tolist(),
            gene_symbols=model.params["gene_symbols"] or None,
            sample_key=sample_key,
            batch_key=batch_key,
            n_folds=n_folds,
            normalize="log1p" if normalize else None,
            target_sum=float(normalize.split()[1]) if normalize else 1e4,
            random_state=random_state,
            progress=progress,
        )
    if moments.normalize != normalize:
        msg = f"moments were normalised by {moments.normalize!r}, those of the fit by {normalize!r}; read them alike."
        raise ValueError(msg)
    return moments.subset(model.names)
