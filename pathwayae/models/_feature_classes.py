"""The classes of features as an estimator takes them → a membership."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from pathwayae.core.notice import warn


def membership_of(
    feature_classes: ArrayLike | sp.spmatrix | float | None, n_features: int, n_components: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Membership (g × p) and which features are regularised (g,) from whatever `feature_classes` is.

    Raises
    ------
    ValueError
        If classes have another shape than the features, are no whole numbers, or more than the components.
    """
    given: Any = np.nan if feature_classes is None else feature_classes
    values = given.toarray() if sp.issparse(given) else np.asarray(given)
    if values.ndim == 2:
        return _matrix(values, n_features, n_components)
    classes = np.broadcast_to(values.astype(float), (n_features,)) if values.ndim == 0 else values.astype(float)
    if classes.shape != (n_features,):
        msg = f"feature_classes has shape {classes.shape}; one class per feature ({n_features}) is needed."
        raise ValueError(msg)
    penalised = ~np.isnan(classes)
    known = classes[penalised]
    if (known != np.floor(known)).any() or (known < -1).any():
        strange = known[(known != np.floor(known)) | (known < -1)]
        msg = f"feature_classes must be whole numbers from −1 on, or NaN; found {strange[0]}."
        raise ValueError(msg)
    if (known >= n_components).any():
        msg = (
            f"feature_classes holds class {int(known.max())}, but n_components={n_components} allows classes "
            f"0 to {n_components - 1}; raise n_components."
        )
        raise ValueError(msg)
    n_classes = int(known.max(initial=-1)) + 1
    return classes[:, None] == np.arange(n_classes), penalised


def held_out(y: Any, X_val: Any, shape: tuple[int, int]) -> Any:
    """Held-out samples as ``fit(X, X_val=…)`` or, by position, ``fit(X, X_val)`` gave them; None where there are none.

    Raises
    ------
    ValueError
        If `y` is neither targets of the samples nor samples with their features, or both are given.
    """
    own = y.shape if hasattr(y, "shape") else np.asarray(y, dtype=object).shape if y is not None else ()
    if len(own) == 2 and own[1] == shape[1] and shape[1] > 1:
        if X_val is not None:
            msg = "y holds samples with the features of X, and so does X_val; pass one of them, by name: X_val=…."
            raise ValueError(msg)
        return y
    if own and own[0] != shape[0]:
        msg = (
            f"y has shape {own} and X {shape}: it is neither one target per sample, which would be ignored, nor "
            "held-out samples with the same features. Pass these by name: X_val=…."
        )
        raise ValueError(msg)
    return X_val


def _matrix(values: NDArray[Any], n_features: int, n_components: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if values.shape[0] != n_features or values.shape[1] > n_components:
        msg = (
            f"feature_classes has shape {values.shape}; a membership of {n_features} features and at most "
            f"n_components={n_components} classes is needed."
        )
        raise ValueError(msg)
    if not np.isin(values, (0, 1)).all():
        msg = "feature_classes as a matrix must be a membership of True/False or 1/0."
        raise ValueError(msg)
    membership = values.astype(bool)
    empty = np.flatnonzero(~membership.any(axis=0))
    if len(empty):
        msg = f"{len(empty)} classes have no feature, the first is {empty[0]}; their components are free."
        warn(msg)
    return membership, np.ones(n_features, dtype=bool)
