"""Samples as an estimator takes them: numbers in plain matrices, finite and of a size whose squares can be added."""

from __future__ import annotations

import os
from typing import Any

from sklearn.utils.validation import validate_data

from pathwayae import _checks
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
