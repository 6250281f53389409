"""Samples as an estimator takes them: numbers in plain matrices, finite and of a size whose squares can be added."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from pathwayae import _checks
from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments import gram_product
from pathwayae.core.moments.offsets import near_zero
from pathwayae.core.sparse import canonical


def validated(estimator: Any, X: Any, **words: Any) -> Any:
    """Samples × features, dense or CSR in canonical form, as scikit-learn validates them with these words.

    Raises
    ------
    TypeError
        If X is no matrix of numbers: an AnnData, a path, text.
    ValueError
        If values are not finite, or too large, or of a masked array.
    """
    if X is None or isinstance(X, str | os.PathLike) or any(one.__name__ == "AnnData" for one in type(X).__mro__):
        msg = (
            f"X is {'None' if X is None else f'of type {type(X).__name__}'}; pass a matrix of samples × features, such "
            "as adata.X. For an AnnData there are the functions of pae.tl."
        )
        raise TypeError(msg)
    if getattr(getattr(X, "dtype", None), "kind", None) in tuple("USM") and not hasattr(X, "columns"):
        msg = f"X is of type {X.dtype}; real numbers are needed: convert it, for instance by X.astype(float)."
        raise TypeError(msg)
    values = validate_data(estimator, canonical(X), **words)
    if values.size:
        _checks.check_finite(values, "X")
    return values


def standardized(
    X: Any, *, center: bool, scale: Any, solver: Any, like: tuple[NDArray[Any], NDArray[Any]] | None
) -> gram_product.Data:
    """Moments of the standardised samples, or the samples themselves; with the means and units given."""
    near, shift = near_zero(X) if center else (X, 0.0)
    n, g = X.shape
    cells = gram_product.prefer_cells(n, g, solver)
    data: Any
    if like is None:
        own: Any = {"center": center, "scale": scale}
        data = gram_product.standardize(near, **own) if cells else moments.accumulate(near).standardize(**own)
    elif cells:
        data = gram_product.standardize_with(near, like[0] - shift, like[1])
    else:
        data = moments.accumulate(near).standardize_with(like[0] - shift, like[1])
    return replace(data, mean=data.mean + shift)
