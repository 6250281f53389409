"""Moments of the cells for the genes of a fit."""

from __future__ import annotations

from typing import Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import pp
from pathwayae._slots.grouped import Fitted
from pathwayae.core.moments import batches
from pathwayae.core.moments.accumulate import MAX_GRAM_BYTES
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.moments import Standardized
from pathwayae.core.moments.sketch import AnyMoments, Sketch, StandardizedSketch
from pathwayae.core.notice import listed


def moments_of(
    adata: AnnData,
    model: Fitted,
    moments: AnyMoments | None,
    *,
    sample_key: str | None = None,
    batch_key: str | None = None,
    n_folds: int | None = None,
    random_state: int = 0,
    progress: bool = True,
) -> AnyMoments:
    """Moments of the genes of the model in their order, per stratum: those given, or from one pass over the cells.

    What is read is what the fit was made from, so that the two can be compared: Gram matrices, while they take at most
    4 GiB, where it was no sketch.

    Raises
    ------
    ValueError
        If the moments given lack a gene of the model, hold values that are not finite, or were normalised otherwise
        than those of the fit.
    """
    normalize = str(model.params.get("normalize", ""))
    if moments is None:
        keys = [name for name in (batch_key, sample_key) if name is not None]
        n_bytes = 8 * len(model.names) ** 2 * _n_strata(adata, keys, n_folds)
        as_it_fits: bool | Literal["auto"] = False if n_bytes <= MAX_GRAM_BYTES else "auto"
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
            sketch=True if model.params.get("solver") == "sketch" else as_it_fits,
            random_state=random_state,
            progress=progress,
        )
    if moments.normalize != normalize:
        msg = f"moments were normalised by {moments.normalize!r}, those of the fit by {normalize!r}; read them alike."
        raise ValueError(msg)
    chosen = moments.subset(model.names)
    check_finite(chosen, np.arange(chosen.sums.shape[1]))
    return chosen


def _n_strata(adata: AnnData, keys: list[str], n_folds: int | None) -> int:
    """Strata that will be read: folds, else values of a column of ``obs`` or pairs of values of two, else one."""
    if n_folds is not None or not keys or any(key not in adata.obs for key in keys):
        return n_folds or 1
    return len(set(zip(*(np.asarray(adata.obs[key], dtype=object).astype(str) for key in keys), strict=True)))


def standardize(model: Fitted, moments: AnyMoments) -> Standardized | StandardizedSketch:
    """Moments of some or all strata, centred and scaled by themselves as the fit did, within its batches.

    Raises
    ------
    ValueError
        If a stratum is of no batch of the fit.
    """
    scale = model.params["scale"] or None
    if not model.batches:
        return moments.standardize(center=bool(model.params["center"]), scale=scale)
    own = batches.of_strata(moments, model.batches, effects=model.effects)
    batches.check_known(own.names, model.batches, moments.strata)
    return batches.centred(moments, own, scale=scale)


def left_out(model: Fitted, moments: AnyMoments, train: Data) -> Standardized | StandardizedSketch:
    """Moments of strata that took no part in ``train``, in its units, centred as new cells would be.

    With batches these are centred at their own means: cells of a batch are left out of all others with it. Effects
    that were estimated beside covariates are those of the fit.
    """
    if not model.batches:
        return moments.standardize_with(train.mean, train.scale)
    own = batches.of_strata(moments, model.batches, effects=model.effects)
    return batches.centred(moments, own, unit=train.scale)


def check_finite(moments: AnyMoments, places: NDArray[np.intp]) -> None:
    """Raise where moments of the genes at some places are not finite: a value that was not finite spoils its gene."""
    squares = moments.squares if isinstance(moments, Sketch) else np.einsum("sii->si", moments.grams)
    spoilt = ~(np.isfinite(moments.sums) & np.isfinite(squares))
    if isinstance(moments, Sketch):
        spoilt |= ~np.isfinite(moments.products).all(axis=2)
    spoilt &= np.isin(np.arange(spoilt.shape[1]), places)
    if not spoilt.any() and np.isfinite(moments.counts).all():
        return
    strata = [moments.strata[i] for i in np.flatnonzero(spoilt.any(axis=1))]
    genes = np.flatnonzero(spoilt.any(axis=0))
    named = [moments.genes[i] for i in genes] if moments.genes else genes.tolist()
    msg = (
        f"The moments hold NaN or infinite values: for {len(genes)} genes ({listed(named)}) in {len(strata)} strata "
        f"({listed(strata)}). Leave these out (subset, without), or read the cells again with pae.pp.moments."
    )
    raise ValueError(msg)
