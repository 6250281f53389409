"""Cells and pathways as a fit takes them: genes in the order of their names, standardised, with their membership."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, pp
from pathwayae._cells.matrix import opened
from pathwayae._cells.sources import Source
from pathwayae.core.grouped.fit import Config, Problem
from pathwayae.core.grouped.model import Model
from pathwayae.core.moments.batches import Batches
from pathwayae.core.moments.folds import N_FOLDS
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.sketch import AnyMoments
from pathwayae.tl._grouped import batches as of_batches
from pathwayae.tl._grouped import classes as of_classes
from pathwayae.tl._grouped import pathways as of_pathways
from pathwayae.tl._grouped import standardize
from pathwayae.tl._grouped.settings import Asked
from pathwayae.tl._project import Projection


class Prepared(NamedTuple):
    """Genes of the model, their standardised cells, and the pathways that fit them.

    ``source`` are the cells to score, None where there are none; ``genes`` are places in the AnnData, shape (g,), and
    ``names`` their names; ``membership`` is (g, p), ``kept`` and ``dropped`` are reports of pathways; ``labels`` and
    ``batches`` are of centring within batches, else None; ``moments`` per stratum are there where they were given, or
    are needed to choose something; ``penalised``, (g,), are the genes that take part in regularisation.
    """

    source: Source | None
    genes: NDArray[np.intp]
    names: NDArray[np.str_]
    data: Data
    membership: sp.csr_matrix
    kept: pd.DataFrame
    dropped: pd.DataFrame
    labels: of_batches.Labels | None
    batches: Batches | None
    moments: AnyMoments | None
    penalised: NDArray[np.bool_]

    @property
    def levels(self) -> Sequence[str]:
        """Names of the batches that cells are centred within."""
        return () if self.batches is None else self.batches.names

    @property
    def effects(self) -> NDArray[np.float64] | None:
        """What is taken off the cells of each batch, (b, g), where it was estimated beside covariates."""
        if self.batches is None or self.batches.kept is None:
            return None
        effects: NDArray[np.float64] = self.batches.centres - self.data.mean
        return effects

    def problem(self, config: Config, n_free: int) -> Problem:
        """What the core fits, with free components that are fitted together with the pathways."""
        member = sp.csc_array(self.membership) if config.scores == "members" else self.membership.toarray()
        return Problem(self.data, member, self.penalised, self.membership.shape[1] + n_free, config)

    def projection(self, model: Model) -> Projection:
        """From cells to scores."""
        shifts = of_batches.shifts(self.labels, self.batches, self.data, model.encoder)
        means = None if self.batches is None else self.batches.centres
        return Projection(self.genes, self.data.mean, self.data.scale, model.encoder, *shifts, means)


def prepare(adata: AnnData, pathways: Any, asked: Asked, device: str) -> Prepared:
    """Read the cells once, and match the pathways to their genes.

    Raises
    ------
    KeyError
        If a layer or column does not exist.
    ValueError
        If no gene matches, gene names repeat, values are not finite, or nothing varies.
    """
    source = opened(adata, asked.layer, asked.gene_symbols, asked.normalize, needed=asked.moments is None)
    names = _checks.gene_names(adata, asked.gene_symbols)
    mask = _checks.gene_mask(adata, asked.mask_var)
    classes = of_classes.read(adata, pathways, names)
    collection = of_pathways.collect(adata, pathways, names) if classes is None else classes.collection
    labels = of_batches.read(adata, source, asked.batch_key, asked.settings.condition_key, asked.covariate_keys)
    of_pathways.check_matched(collection, names[mask])
    moments = asked.moments
    if moments is None and asked.auto:
        moments = _folds(adata, asked, names[mask], device)
    genes, data, batches = standardize.standardized(
        source,
        names,
        mask,
        moments=moments,
        solver=asked.settings.solver,
        center=asked.settings.center,
        scale=asked.scale,
        device=device,
        progress=asked.progress,
        labels=labels,
        given=asked.moments is not None,
    )
    constant = _constant(names[mask], names[genes], moments)
    matched = of_pathways.choose(collection, names[genes], asked.min_genes, asked.max_genes, constant=constant)
    penalised = np.ones(len(genes), dtype=bool) if classes is None else classes.penalised[genes]
    if classes is not None:
        of_classes.warn_of_dropped(matched[2], asked.min_genes)
    return Prepared(source, genes, names[genes], data, *matched, labels, batches, moments, penalised)


def _folds(adata: AnnData, asked: Asked, genes: NDArray[np.str_], device: str) -> AnyMoments:
    """Moments of batches, or of random folds, from one pass."""
    return pp.moments(
        adata,
        layer=asked.layer,
        genes=np.sort(genes),
        gene_symbols=asked.gene_symbols,
        batch_key=asked.batch_key,
        n_folds=min(N_FOLDS, adata.n_obs) if asked.batch_key is None else None,
        device=device,
        random_state=asked.random_state,
        progress=asked.progress,
    )


def _constant(names: NDArray[np.str_], used: NDArray[np.str_], moments: AnyMoments | None) -> NDArray[np.str_]:
    """Genes that were to be in the model but do not vary."""
    lost = np.setdiff1d(names, used)
    return lost if moments is None else lost[np.isin(lost, np.array(moments.genes))]
