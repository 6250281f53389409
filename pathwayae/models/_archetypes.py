"""Archetypal analysis as a scikit-learn estimator."""

from __future__ import annotations

import logging
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin  # no types: hence the ignore
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from torch import Tensor

from pathwayae import _checks
from pathwayae.core import gates
from pathwayae.core.archetypes import cells, classic, problem, profiles, simplex, solver
from pathwayae.core.moments import gram_product
from pathwayae.models import _verbosity
from pathwayae.models._archetype_checks import check, overridden
from pathwayae.models._input import validated

__all__ = ["ArchetypalAnalysis"]

Floats = NDArray[np.floating[Any]]
logger = logging.getLogger("pathwayae")

DTYPES = (np.float64, np.float32)


class ArchetypalAnalysis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Extremes of a cloud of samples, as mixtures of samples; samples as mixtures of the extremes.

    .. math:: \min_{A, B} \|X - A Z\|_F^2, \qquad Z = B X,

    rows of A (n × k, the weights) and of B (k × n) non-negative with sum 1: the k archetypes Z lie on the convex hull
    of the samples.

    Parameters
    ----------
    n_archetypes
        Number of archetypes k, at most the number of distinct samples.
    max_iter
        Most iterations.
    tol
        ``solver="exact"``: relative fall of the loss, and relative gap, below which the fit has converged.
        ``solver="adam"``: a fall of the loss by less than this share of the total variance is none.
    random_seed
        Seed of the start; no other random state is used or changed.
    learning_rate
        Of ``solver="adam"``, in units of the root mean squared distance of samples from their mean.
    normalize
        Divide each feature by its standard deviation for the fit. Archetypes and reconstructions are in the units of X
        all the same. Also an argument of :meth:`fit`; either is enough.
    solver
        ``"exact"``: optimal weights and mixtures in turn, with a certificate; ``"adam"``: gradient descent, as in the
        classic class.
    start
        ``"aa++"``, ``"furthest_sum"``, ``"kmeans++"``, positions of k samples, or coordinates (k × d). ``None``:
        ``"aa++"`` for the exact solver, ``"kmeans++"`` for the descent.
    delta
        Archetypes may leave the hull by a factor from 1 − δ to 1 + δ about the mean. Exact solver only.
    entropy_reg
        Times the mean entropy :math:`-\sum_j a_{ij} \ln a_{ij}` of the weights, added to the mean squared residual in
        units of the total variance: negative spreads the weights, as the classic class did with −0.01 (in units of X);
        positive sharpens them.
    weights_projection
        How weights stay on the simplex: ``"euclidean"`` (the only one of the exact solver, and its default), or with
        ``solver="adam"`` also ``"renormalise"`` (clip and divide by the sum; its default) and ``"softmax"``.
    archetype_projection
        ``"hull"``: the exact solver's, archetypes on the hull; with ``solver="adam"``, ``"knn"`` (default): mixtures of
        the 10 nearest samples, weighted by inverse distance; or ``"free"``.
    robust
        ``"huber"`` or ``"bisquare"`` weights against outlying samples. Exact solver only.
    coreset
        Size of a sample to start from before exact passes over all, or ``"auto"``. Exact solver only.
    n_restarts
        Number of starts, of which the best is kept. Exact solver only.
    early_stopping_patience
        Iterations without a fall of the loss after which ``solver="adam"`` ends.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``, for the exact solver.
    logger_level
        What is logged to the logger ``"pathwayae"``: a name, or 0 to 4 for ``"DEBUG"`` to ``"CRITICAL"``. ``"INFO"``:
        a line per fit; ``"DEBUG"``: the loss of every iteration. ``None``: nothing below an error.
    verbose_level
        The same in reverse: 4 to 0 for ``"DEBUG"`` to ``"CRITICAL"``.

    Attributes
    ----------
    archetypes : ndarray of shape (n_archetypes, n_features)
        In the units of X. None before :meth:`fit`, as all of the following.
    weights : ndarray of shape (n_samples, n_archetypes), float32
        Rows on the simplex.
    loss_history : list of float
        Mean squared residual of a sample (plus the entropy term) at every iteration of the last fit; empty before.
    X_mean, X_std : ndarray of shape (n_features,)
        X_std is 1 where a feature does not vary.
    mixing_ : scipy.sparse.csr_matrix of shape (n_archetypes, n_samples)
        B: the few samples that each archetype is made of. Empty rows with ``archetype_projection="free"``.
    cells_ : pandas.DataFrame
        The same as a table: ``archetype``, ``cell`` (its name where X is a DataFrame, else its position), ``weight``;
        the largest weights first.
    gap_ : float
        The most that the squared residual could still fall by moving archetypes within the hull, relative to the total
        variance (Frank–Wolfe gap over all samples); NaN with ``solver="adam"``.
    alpha_ : ndarray of shape (n_archetypes,)
        Factors by which archetypes left the hull, 1 where they did not.
    explained_variance_ : float
        ``1 − ‖X − AZ‖² / ‖X − mean‖²``: centred, so that adding a constant to a feature does not change it.
    n_iter_ : int
    converged_ : bool
    archetypes_, weights_ : ndarray
        The same as above, under scikit-learn's names.

    Notes
    -----
    Arguments, attributes and messages are those of the classic class; ``docs/archetypes.md`` lists where it differs.
    :meth:`loss_function`, :meth:`project_weights` and :meth:`project_archetypes` may be overridden in a subclass, for
    ``solver="adam"``.

    With ``solver="adam"`` `weights` are those of the descent; :meth:`transform` gives the optimal ones. On noisy
    mixtures of 4 archetypes it explained 0.005 to 0.28 less variance than the optimum, about 0.01 at a rate of 0.01.

    References
    ----------
    Cutler & Breiman, Archetypal analysis, Technometrics 36 (1994). Mørup & Hansen, Archetypal analysis for machine
    learning and data mining, Neurocomputing 80 (2012). The mathematics is in ``docs/archetypes.md``.

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.models import ArchetypalAnalysis
    >>> corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    >>> X = np.vstack([corners, np.random.default_rng(0).dirichlet(np.ones(3), size=50) @ corners])
    >>> model = ArchetypalAnalysis(3).fit(X)
    >>> bool(np.isin(corners, model.archetypes.round(6)).all()), model.gap_ < 1e-5
    (True, True)
    >>> model.transform([[1.0, 1.0]]).sum().round(6)
    np.float64(1.0)
    """

    def __init__(
        self,
        n_archetypes: int,
        max_iter: int = 500,
        tol: float = 1e-6,
        random_seed: int = 42,
        learning_rate: float = 0.001,
        normalize: bool = False,  # noqa: FBT001
        *,
        solver: Literal["exact", "adam"] = "exact",
        start: Literal["aa++", "furthest_sum", "kmeans++"] | ArrayLike | None = None,
        delta: float = 0.0,
        entropy_reg: float = 0.0,
        weights_projection: Literal["euclidean", "renormalise", "softmax"] | None = None,
        archetype_projection: Literal["hull", "knn", "free"] | None = None,
        robust: Literal["huber", "bisquare"] | None = None,
        coreset: int | Literal["auto"] | None = None,
        n_restarts: int = 1,
        early_stopping_patience: int = 100,
        device: str = "cpu",
        logger_level: str | int | None = None,
        verbose_level: int | None = None,
    ) -> None:
        self.n_archetypes = n_archetypes
        self.max_iter = max_iter
        self.tol = tol
        self.random_seed = random_seed
        self.learning_rate = learning_rate
        self.normalize = normalize
        self.solver = solver
        self.start = start
        self.delta = delta
        self.entropy_reg = entropy_reg
        self.weights_projection = weights_projection
        self.archetype_projection = archetype_projection
        self.robust = robust
        self.coreset = coreset
        self.n_restarts = n_restarts
        self.early_stopping_patience = early_stopping_patience
        self.device = device
        self.logger_level = logger_level
        self.verbose_level = verbose_level

    @gates.refit
    def fit(self, X: ArrayLike, y: Any = None, normalize: bool = False) -> Self:  # noqa: FBT001
        """Find the archetypes.

        Parameters
        ----------
        X
            Samples × features: array, DataFrame, or sparse (dense with ``solver="adam"``), finite.
        y
            Ignored; a bool in its place is `normalize`, as in the classic class.
        normalize
            As in the constructor.

        Raises
        ------
        ValueError
            If a parameter is out of range, X is not finite, its samples are all equal, or there are fewer distinct
            ones than archetypes.
        TypeError
            If a parameter is not of its kind.
        """
        normalize = bool(self.normalize) or bool(normalize) or (isinstance(y, bool | np.bool_) and bool(y))
        names = np.asarray(X.index) if isinstance(X, pd.DataFrame) else None
        check(self, type(self), ArchetypalAnalysis)
        with _verbosity.shown(self.logger_level, self.verbose_level):
            values = validated(self, X, accept_sparse=self.solver == "exact" and "csr", dtype=DTYPES)
            self._check_size(values.shape[0])
            mean, variance = gram_product.mean_and_variance(values)
            std = np.sqrt(variance)
            std[std < np.finfo(np.float32).eps] = 1
            unit = std if normalize else np.ones(len(std))
            fit = self._exact if self.solver == "exact" else self._adam
            found = fit(_divided(values, unit))
            logger.info("%d archetypes: explained variance %.4f.", self.n_archetypes, found.explained_variance)
        self._mean, self._std, self._unit, self._scale = mean, std, unit, found.scale
        self._loss = [float(loss) for loss in found.loss]
        self.archetypes_, self.weights_ = found.archetypes * unit, found.weights
        self.mixing_, self.alpha_ = found.mixing, found.alpha
        self.cells_ = profiles.mixing_table(found.mixing, names)
        self.gap_, self.explained_variance_ = float(found.gap), float(found.explained_variance)
        self.n_iter_, self.converged_ = found.n_iter, bool(found.converged)
        self._n_features_out = self.n_archetypes
        return self

    @gates.refit
    def fit_transform(self, X: ArrayLike, y: Any = None, normalize: bool = False) -> Floats:  # noqa: FBT001
        """Fit and return the weights, shape (n_samples, n_archetypes), in the float type of X."""
        self.fit(X, y, normalize)
        return self.weights_.astype(np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64)

    def transform(self, X: ArrayLike, y: Any = None) -> Floats:  # noqa: ARG002
        """Find the optimal weights of any samples, shape (n_samples, n_archetypes), in the float type of X.

        Raises
        ------
        ValueError
            If the model is not fitted, or X has other features.
        """
        self._check_fitted("transform")
        values = self._validated(X)
        return np.asarray(self._weights(values), dtype=values.dtype)

    def reconstruct(self, X: ArrayLike | None = None) -> Floats:
        """Make samples as mixtures of the archetypes, shape (n_samples, n_features); ``None`` for those of the fit.

        Raises
        ------
        ValueError
            If the model is not fitted, or X has other features.
        """
        self._check_fitted("reconstruction")
        weights = self.weights_ if X is None else self.transform(X)
        return weights @ self.archetypes_

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: ARG002
        """Return the share of the variance of X explained, ``1 − ‖X − AZ‖² / ‖X − mean(X)‖²`` in units of the fit."""
        self._check_fitted("score")
        values = self._validated(X)
        weights, mean = self._weights(values), gram_product.mean_and_variance(values)[0]
        error = variance = 0.0
        for start, x in cells.chunks(values):
            fitted = weights[start : start + len(x)] @ self.archetypes_
            error += np.square((x - fitted) / self._unit).sum()
            variance += np.square((x - mean) / self._unit).sum()
        return float(1 - error / variance) if variance > 0 else 0.0

    def loss_function(self, archetypes: Tensor, weights: Tensor, X: Tensor) -> Tensor:
        """Loss that ``solver="adam"`` minimises; a subclass may override it.

        Tensors of torch in float64, (k, d), (n, k) and (n, d), in the units of the fit, to a number; gradients follow
        by autograd. Here the mean squared residual of a sample, plus `entropy_reg` times the mean entropy of weights.
        """
        return classic.mean_squared_residual(archetypes, weights, X, self.entropy_reg)

    def project_weights(self, weights: Floats) -> Floats:
        """Put weights (n, k) on the simplex after a step of ``solver="adam"``; a subclass may override it."""
        return classic.renormalised(np.asarray(weights, dtype=np.float64))

    def project_archetypes(self, archetypes: Floats, X: Floats) -> Floats:
        """Put archetypes (k, d) among the samples after a step of ``solver="adam"``; a subclass may override it.

        Here each is the mixture of the 10 samples nearest to it, weighted by inverse distance.
        """
        points, at = (np.asarray(one, dtype=np.float64) for one in (X, archetypes))
        near, share = classic.nearest_mixtures(points, at)
        return np.einsum("km,kmd->kd", share, X[near])

    def get_loss_history(self) -> list[float]:
        """Return the loss at every iteration of the last fit; empty before."""
        return list(self.loss_history)

    @property
    def archetypes(self) -> Floats | None:
        """Archetypes in the units of X, or None before a fit."""
        return getattr(self, "archetypes_", None)

    @property
    def weights(self) -> Floats | None:
        """Weights of the samples of the fit, or None before."""
        return getattr(self, "weights_", None)

    @property
    def loss_history(self) -> list[float]:
        """Loss at every iteration of the last fit."""
        return getattr(self, "_loss", [])

    @property
    def X_mean(self) -> Floats | None:
        """Mean of each feature, or None before a fit."""
        return getattr(self, "_mean", None)

    @property
    def X_std(self) -> Floats | None:
        """Standard deviation of each feature, 1 where it does not vary, or None before a fit."""
        return getattr(self, "_std", None)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.solver == "exact"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _validated(self, X: Any) -> Any:
        return validated(self, X, reset=False, accept_sparse="csr", dtype=DTYPES)

    def _weights(self, values: Any) -> NDArray[np.float32]:
        return simplex.weights(
            _divided(values, self._unit),
            self.archetypes_ / self._unit,
            device=_checks.device(self.device),
            entropy_reg=float(self.entropy_reg),
            scale=self._scale,
        )

    def _check_fitted(self, what: str) -> None:
        if self.archetypes is None:
            msg = f"Model must be fitted before {what}; call fit(X) first."
            raise NotFittedError(msg)

    def _exact(self, values: Any) -> problem.Fit:
        config = problem.Config(
            n_archetypes=self.n_archetypes,
            max_iter=self.max_iter,
            tol=self.tol,
            start="aa++" if self.start is None else self.start,
            delta=self.delta,
            entropy_reg=self.entropy_reg,
            robust=self.robust,
            coreset=self.coreset,
            n_restarts=self.n_restarts,
            seed=self.random_seed,
            device=_checks.device(self.device),
        )
        found = solver.fit(values, config)
        for i, loss in enumerate(found.loss, start=1):
            logger.debug("iteration %d: loss %.6g", i, loss)
        return found

    def _adam(self, values: Any) -> problem.Fit:
        config = classic.Config(
            n_archetypes=self.n_archetypes,
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            tol=self.tol,
            patience=self.early_stopping_patience,
            start="kmeans++" if self.start is None else self.start,
            weights=self.weights_projection or "renormalise",
            archetypes=self.archetype_projection or "knn",
            entropy_reg=self.entropy_reg,
            seed=self.random_seed,
        )
        own = overridden(type(self), ArchetypalAnalysis)
        hooks = classic.Hooks(**{{"loss_function": "loss"}.get(name, name): getattr(self, name) for name in own})
        shown = lambda i, loss: logger.debug("iteration %d: loss %.6g", i, loss)  # noqa: E731
        return classic.fit(values, config, hooks=hooks, progress=shown)

    def _check_size(self, n: int) -> None:
        if self.n_archetypes > n:
            msg = f"n_archetypes={self.n_archetypes}, but X has n_samples = {n}; ask for at most {n} archetypes."
            raise ValueError(msg)


def _divided(values: Any, unit: NDArray[np.float64]) -> Any:
    """The features in the units given, dense or CSR; the values themselves where the units are 1."""
    if (unit == 1).all():
        return values
    return values.multiply(1 / unit).tocsr() if sp.issparse(values) else values / unit
