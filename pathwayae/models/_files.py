"""A fitted model as a file of its own, without the cells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pathwayae._slots import keys, model_files
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def save(adata: AnnData, path: str | os.PathLike[str], *, key: str = keys.DEFAULT) -> None:
    """Write a fitted model to a file, without the cells.

    The file holds what :func:`pathwayae.tl.transform` needs and what describes the fit (parameters, pathways, shares of
    variance), for the genes of the model alone: npz with a header in JSON, without pickle, with a version and a SHA-256
    checksum. Scores, and what analyses added, are not in it. It appears when it is whole, in the place of an older one.

    Parameters
    ----------
    adata
        An AnnData that ``pae.tl.fit``, ``pae.tl.sparse_ae`` or ``pae.tl.archetypes`` was run on.
    path
        File to write, ending in ``.npz``.
    key
        Key of the fit.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the folder does not exist, or cannot be written to.
    KeyError
        If nothing was fitted under `key`, or a slot is missing, as in cells that were transformed.
    ValueError
        If the path ends otherwise, or the fit holds NaN or negative units.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> pae.models.save(adata, "model.npz")
    >>> new = adata[:50].copy()
    >>> pae.tl.transform(new, "model.npz", progress=False)
    """
    model_files.write(path, adata, key)


@gated()
def load(path: str | os.PathLike[str]) -> AnnData:
    """Read a model that ``pae.models.save`` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    anndata.AnnData
        Without cells, genes in ``var``, the fit under its key: a reference for ``pae.tl.transform``, and for all of
        ``pae.get`` and ``pae.pl`` that reads no cells.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated, damaged, of a newer version or no model, if names repeat or are too few, or if units are
        not positive.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> pae.models.save(adata, "model.npz")
    >>> model = pae.models.load("model.npz")
    >>> model.shape, pae.get.loadings(model).shape
    ((0, 400), (400, 26))
    """
    return model_files.read(path)
