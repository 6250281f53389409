"""What batches did to the scores, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def batch_variance(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    r"""Return the share of the variance of each score between batches, before and after their means were taken off.

    With :math:`\delta_b = ((\mu_b - \mu)/\sigma)\,e` the shift of batch b, :math:`n_b` its cells, and G the Gram
    matrix of the genes centred within batches, the share before is
    :math:`\sum_b n_b \delta_b^2 / (\sum_b n_b \delta_b^2 + e^\top G e)`: one-way analysis of variance (eta squared) of
    the score with the loadings of the fit, from moments.

    Parameters
    ----------
    adata
        An AnnData fitted with ``batch_key``. Reads ``uns[key]["batch_variance"]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per component: ``component``, ``before`` (share from 0 to 1, all cells centred alike), ``after`` (of
        the scores of the fit: 0 by construction, or with ``covariates`` what the composition of the batches accounts
        for), ``batch`` (the one whose effect contributes most to ``before``) and ``shift`` (how much is taken off it,
        in standard deviations within batches).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or the fit had no ``batch_key``.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6, n_batches=2)
    >>> pae.tl.fit(adata, "pathways", batch_key="batch", progress=False)
    >>> table = pae.get.batch_variance(adata)
    >>> bool(table["before"].max() > 0.02), float(table["after"].max())
    (True, 0.0)
    """
    missing = f"Fit {key!r} centred no batches: run pae.tl.fit(adata, pathways, batch_key=…, key_added={key!r})."
    table = lookup.value(adata, key, keys.BATCH_VARIANCE, kind=keys.GROUPED, missing=missing)
    return pd.DataFrame(table).reset_index(drop=True)
