"""Where archetypes lie on an embedding of the cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import KDTree

from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys, lookup
from pathwayae.pl import _points

N_NEIGHBORS = 15


def positions(
    adata: AnnData, basis: str, *, draws: bool = False, n_neighbors: int = N_NEIGHBORS, key: str
) -> pd.DataFrame:
    """Where archetypes lie on an embedding of the cells.

    On the embedding that they were fitted to, their coordinates. On another one the mean place of the cells nearest to
    them: in the embedding of the fit, or by weight where genes were fitted. An archetype on the hull of the cells has
    its nearest cells on one side, so its place is drawn inwards a little.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    draws
        Also the archetypes of all draws of ``pae.tl.archetype_trust``.
    n_neighbors
        Number of nearest cells.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame
        Columns ``archetype``, ``draw`` (−1 for the archetypes of the fit) and one per dimension of the basis, numbered.

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, no such embedding, or no draws.
    """
    entry, name = lookup.fit_of(adata, key, keys.ARCHETYPES), _points.name_of(adata, basis)
    weights = slots.weights(adata, key)
    names, k = list(weights.columns), weights.shape[1]
    fitted = str(entry[keys.PARAMS]["obsm"])
    if draws and keys.BOOTSTRAP not in entry:
        msg = f"No draws in adata.uns[{key!r}]: run pae.tl.archetype_trust(adata, key={key!r}); only of embeddings."
        raise KeyError(msg)
    drawn = np.asarray(entry[keys.BOOTSTRAP], dtype=float) if draws else np.empty((0, k, 0))
    target = np.asarray(adata.obsm[name], dtype=float)
    if not fitted:
        places = np.array(
            [target[np.argsort(-one, kind="stable")[:n_neighbors]].mean(axis=0) for one in weights.to_numpy().T]
        )
    else:
        points = np.asarray(entry[keys.COORDINATES], dtype=float)
        points = np.vstack([points, *drawn]) if draws else points
        places = points if name == fitted else _nearby(adata, fitted, target, points, n_neighbors)
    table = pd.DataFrame(places)
    table.insert(0, "draw", np.repeat(np.arange(-1, len(drawn)), k))
    table.insert(0, "archetype", np.tile(np.array(names, dtype=object), 1 + len(drawn)))
    return table


def _nearby(
    adata: AnnData, fitted: str, target: NDArray[np.float64], points: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    if fitted not in adata.obsm:
        msg = f"adata.obsm[{fitted!r}], which the archetypes were fitted to, is gone, so they cannot be placed."
        raise KeyError(msg)
    cells = np.asarray(adata.obsm[fitted], dtype=float)
    nearest = KDTree(cells).query(points, k=np.arange(1, min(n, len(cells)) + 1))[1]
    return target[nearest].mean(axis=1)
