"""Two fits side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathwayae._slots import keys, lookup, model_files
from pathwayae.core.gates import gated
from pathwayae.core.notice import listed

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from pathwayae._slots.grouped import Fitted


@gated(stores=("adata", "other"))
def compare(
    adata: AnnData | str | os.PathLike[str],
    other: AnnData | str | os.PathLike[str],
    *,
    other_key: str | None = None,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    r"""Measure how far two fits agree, pathway by pathway: in their genes, and in what these weigh.

    Genes and pathways are matched by name. The agreement of loadings is the cosine over the genes that both models
    have, :math:`\sum_i l_i l'_i / (\|l\| \|l'\|)`; of encoders, which make the scores, the same. Free components are
    not compared: their names say nothing.

    Parameters
    ----------
    adata, other
        Fitted AnnDatas, models of :func:`pathwayae.models.load`, or paths of model files (``.npz``).
    other_key
        Key of the other fit; by default `key`.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per pathway of both: ``pathway``, ``n_genes`` and ``n_genes_other`` (members in the model),
        ``n_shared``, ``membership`` (Jaccard index of the members, from 0 to 1), ``loadings`` and ``encoder`` (cosines
        over shared genes, from -1 to 1; NaN where one side has no weight there). In ``attrs``: ``pathways_missing``
        (not in the other) and ``pathways_added`` (in the other alone), ``genes_missing`` and ``genes_added`` alike, and
        ``n_genes_shared``.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    KeyError
        If there is no fit of pathways under a key.
    ValueError
        If the two share no gene, or no pathway, or a file is no whole model.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> half = adata[:150].copy()
    >>> pae.tl.fit(half, "pathways", progress=False)
    >>> table = pae.get.compare(adata, half)
    >>> bool((table["membership"] == 1).all()), bool((table["loadings"] > 0.8).all())
    (True, True)
    >>> table.attrs["pathways_missing"]
    []
    """
    one, two = _fit_of(adata, key), _fit_of(other, key if other_key is None else other_key)
    genes, mine, theirs = np.intersect1d(one.names, two.names, return_indices=True)
    if not len(genes):
        msg = (
            f"The fits share no gene: {listed(one.names)} against {listed(two.names)}. Are they of one species, with "
            "names of one kind?"
        )
        raise ValueError(msg)
    own, others = (fit.components[: fit.n_pathways] for fit in (one, two))
    place = {name: j for j, name in enumerate(others)}
    shared = [j for j, name in enumerate(own) if name in place]
    if not shared:
        msg = f"The fits share no pathway: {listed(own)} against {listed(others)}; were they fitted to one collection?"
        raise ValueError(msg)
    matched = [place[own[j]] for j in shared]
    sets = [
        [frozenset(fit.names[rows]) for rows in _rows(fit, columns)] for fit, columns in ((one, shared), (two, matched))
    ]
    columns = {
        "pathway": [own[j] for j in shared],
        "n_genes": [len(genes) for genes in sets[0]],
        "n_genes_other": [len(genes) for genes in sets[1]],
        "n_shared": [len(a & b) for a, b in zip(*sets, strict=True)],
        "membership": [len(a & b) / max(1, len(a | b)) for a, b in zip(*sets, strict=True)],
        "loadings": _cosine(one.loadings[mine][:, shared], two.loadings[theirs][:, matched]),
        "encoder": _cosine(one.encoder[mine][:, shared], two.encoder[theirs][:, matched]),
    }
    table = pd.DataFrame(columns)
    table.attrs = {
        "pathways_missing": [name for name in own if name not in place],
        "pathways_added": [name for name in others if name not in set(own)],
        "genes_missing": np.setdiff1d(one.names, genes).tolist(),
        "genes_added": np.setdiff1d(two.names, genes).tolist(),
        "n_genes_shared": len(genes),
    }
    return table


def _fit_of(item: AnnData | str | os.PathLike[str], key: str) -> Fitted:
    adata = model_files.read(item) if isinstance(item, str | os.PathLike) else item
    lookup.fit_of(adata, key, keys.GROUPED)
    from pathwayae._slots.grouped import fitted  # torch comes with it, which tables do without

    return fitted(adata, key)


def _rows(fit: Fitted, columns: list[int]) -> list[NDArray[np.intp]]:
    """Members of some pathways."""
    member = sp.csc_array(fit.membership)[:, columns]
    return np.split(member.indices, member.indptr[1:-1])


def _cosine(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the columns; NaN for a column of zeros."""
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(two, axis=0)
    return np.divide((one * two).sum(axis=0), lengths, out=np.full(len(lengths), np.nan), where=lengths > 0)
