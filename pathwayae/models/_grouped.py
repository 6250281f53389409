"""The grouped autoencoder as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin  # no types: hence the ignore
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from pathwayae import _checks
from pathwayae.core import gates
from pathwayae.core.grouped import components, loss
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.project import project
from pathwayae.core.moments import gram_product
from pathwayae.core.moments.offsets import near_zero
from pathwayae.models._feature_classes import held_out, membership_of
from pathwayae.models._input import standardized, validated

__all__ = ["GroupedAutoencoder"]

Floats = NDArray[np.floating[Any]]


class GroupedAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Linear autoencoder with tied weights whose components follow groups of features.

    With :math:`\tilde X = (X - \mu) / \sigma`, :math:`Z = \tilde X W`, :math:`\hat X = Z W^\top` and
    :math:`W = \mathrm{act}(V)` it minimises

    .. math:: (1-\theta)\,\mathrm{RMSE} + \theta\,[(1-\varepsilon)\,\mathrm{zero} + \varepsilon\,\mathrm{entropy}].

    *zero* is large where a feature loads on components that are not its own, *entropy* where a feature loads on many
    components. The data enter only through their Gram matrix, so an iteration costs the same for any number of samples.

    Parameters
    ----------
    n_components
        Number of components k; those beyond the classes are free.
    feature_classes
        Which component each feature belongs to:

        - a vector (g,): ``c ≥ 0`` belongs to component c; ``−1`` to none, entropy only; ``NaN`` no regularisation;
        - a scalar ``−1`` or ``NaN`` for all features; ``None`` is ``NaN``: no regularisation;
        - a boolean membership (g × p, array, sparse or DataFrame): features may belong to several components.
    theta
        Strength θ of the structure, from 0 to 1. It is clipped to 0.999, so that the data never vanish from the loss:
        θ = 1 means almost pure structure.
    epsilon
        Share ε of entropy in the structure, from 0 to 1. Where no feature has a class, entropy gets all of θ.
    l1_ratio
        Mix ρ of the two parts of the zero term with ``zero_norm="feature"``, from 0 to 1.
    non_negative
        ``W ≥ 0`` through `activation`; otherwise loadings may have both signs and `activation` is not used.
    activation
        ``"softplus"`` or ``"sigmoid"``.
    entropy_on_classes
        Average the entropy within each class first, then over classes.
    entropy_scaling
        Times 1/ln k (``"log"``), 1/exp k (``"exp"``) or 1 (``None``).
    learning_rate
        Of Adam.
    early_stopping_patience
        Iterations without an improvement of `min_delta` after which the descent ends.
    scheduler_patience, scheduler_factor
        The learning rate is multiplied by the factor after so many iterations without improvement.
    verbose
        N > 0 shows a line every N iterations (``True``: every iteration).
    random_state
        Seed of the start.
    device
        Where the iterations run: ``"cpu"``, ``"cuda"`` or ``"auto"``.
    max_iter
        Most iterations.
    min_delta
        Least change of the loss that counts as an improvement.
    init
        ``"membership"``: start from the classes, scaled to the data; ``"evidence"``: from the probability that a
        feature belongs to a class, given how it goes with the others of it (needs `center`); ``"random"``: weights
        near the centre of the activation; or loadings (g × k).
    center
        Subtract the mean of each feature.
    scale
        Divide each feature by its standard deviation (``"unit"``), by its square root (``"pareto"``) or not (``None``).
    scores
        ``"projection"`` as above, or ``"least_squares"``: unit-length columns L and
        :math:`Z = \tilde X L (L^\top L + \lambda I)^{-1}` with λ = 0.1, so that components may share features.
    zero_norm
        ``"feature"``: outside loadings relative to the feature's, ``"component"``: relative to the component's size.
    solver
        Iterate on the ``"gram"`` matrix, through the samples (``"cells"``) or on whichever costs less (``"auto"``: the
        samples where they are fewer than half the features or the Gram matrix is too large); the results are equal.
    dropout
        Probability p with which every entry of the input is hidden while it is encoded, from 0 to below 1 (a denoising
        autoencoder); the expectation over the masks adds
        :math:`\frac{p}{1 - p} \mathrm{tr}(W^\top W\, W^\top D W)`, D the diagonal of the Gram matrix, to the squared
        error. Only with ``scores="projection"``.
    balance
        Take from the weights of a score their mean over features of similar mean, so that a score does not follow a
        sample's overall level (needs `center`).

    Attributes
    ----------
    loadings_ : ndarray of shape (n_features, n_components)
    encoder_ : ndarray of shape (n_features, n_components)
        :math:`Z = \tilde X E`; the loadings, but for least squares and `balance`.
    mean_, scale_ : ndarray of shape (n_features,)
    history_ : dict of lists
        ``loss``, ``reconstruction``, ``zero``, ``entropy`` (and ``validation_loss``) at every iteration.
    n_iter_ : int
    converged_ : bool
        Whether early stopping ended the descent.

    References
    ----------
    The mathematics is in ``docs/mathematics.md``.

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.models import GroupedAutoencoder
    >>> X = np.random.default_rng(0).uniform(size=(100, 10))
    >>> classes = [0, 0, 1, 1, -1, 2, 2, np.nan, 0, 1]
    >>> model = GroupedAutoencoder(3, feature_classes=classes, theta=0.95, entropy_on_classes=True).fit(X)
    >>> model.transform(X).shape
    (100, 3)
    """

    def __init__(
        self,
        n_components: int = 2,
        feature_classes: ArrayLike | sp.spmatrix | float | None = None,
        theta: float = 1.0,
        epsilon: float = 0.5,
        l1_ratio: float = 0.5,
        non_negative: bool = True,  # noqa: FBT001
        activation: Literal["softplus", "sigmoid"] = "softplus",
        entropy_on_classes: bool = False,  # noqa: FBT001
        entropy_scaling: Literal["log", "exp"] | None = "exp",
        learning_rate: float = 0.1,
        early_stopping_patience: int = 100,
        scheduler_patience: int = 10,
        scheduler_factor: float = 0.5,
        verbose: bool | int = False,  # noqa: FBT001
        random_state: int = 42,
        device: str = "cpu",
        max_iter: int = 100_000,
        min_delta: float = 1e-5,
        init: Literal["membership", "evidence", "random"] | ArrayLike = "membership",
        center: bool = False,  # noqa: FBT001
        scale: Literal["unit", "pareto"] | None = None,
        scores: Literal["projection", "least_squares"] = "projection",
        zero_norm: Literal["feature", "component"] = "feature",
        solver: Literal["auto", "gram", "cells"] = "auto",
        dropout: float = 0.0,
        balance: bool = False,  # noqa: FBT001
    ) -> None:
        self.n_components = n_components
        self.feature_classes = feature_classes
        self.theta = theta
        self.epsilon = epsilon
        self.l1_ratio = l1_ratio
        self.non_negative = non_negative
        self.activation = activation
        self.entropy_on_classes = entropy_on_classes
        self.entropy_scaling = entropy_scaling
        self.learning_rate = learning_rate
        self.early_stopping_patience = early_stopping_patience
        self.scheduler_patience = scheduler_patience
        self.scheduler_factor = scheduler_factor
        self.verbose = verbose
        self.random_state = random_state
        self.device = device
        self.max_iter = max_iter
        self.min_delta = min_delta
        self.init = init
        self.center = center
        self.scale = scale
        self.scores = scores
        self.zero_norm = zero_norm
        self.solver = solver
        self.dropout = dropout
        self.balance = balance

    @gates.refit
    def fit(self, X: ArrayLike, y: Any = None, X_val: ArrayLike | None = None) -> Self:
        """Fit the loadings.

        Parameters
        ----------
        X
            Samples × features, dense or sparse, finite.
        y
            Targets, one per sample, are ignored. A matrix with the features of X is `X_val`: ``fit(X, X_val)``.
        X_val
            Held-out samples; learning rate, early stopping and the loadings kept follow their loss.

        Raises
        ------
        ValueError
            If a parameter is out of range, a class has no component, or no feature varies where it must.
        """
        values = self._validated(X, reset=True)
        X_val = held_out(y, X_val, values.shape)
        config = self._config()
        membership, penalised = membership_of(self.feature_classes, values.shape[1], self.n_components)
        data = self._standardized(values)
        if data.total <= 0:
            every = "its feature's mean" if self.center else "0"
            msg = f"X (n_samples = {data.n}) holds no variation to fit: every value is {every}."
            raise ValueError(msg)
        held = None if X_val is None else self._validated(X_val, reset=False)
        validation = None if held is None else self._standardized(held, like=(data.mean, data.scale))
        result = grouped.fit(
            data,
            membership,
            penalised,
            self.n_components,
            config,
            init=self._init(values.shape[1]),
            validation=validation,
            progress=self._report if self.verbose else None,
        )
        result = grouped.oriented(result, membership)
        loadings, encoder = result.loadings, result.encoder.toarray()
        if validation is None and result.best_iteration > 1 and config.free_in_size:
            loadings = encoder = components.resized(data.gram, loadings)
        self.loadings_, self.encoder_ = loadings.astype(np.float32), encoder
        self.mean_, self.scale_ = data.mean, data.scale
        self.history_ = result.history
        self.n_iter_ = len(result.history["loss"])
        self.converged_ = result.converged
        self._n_features_out = self.n_components
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Score samples, shape (n_samples, n_components), in the float type of X."""
        check_is_fitted(self)
        values = self._validated(X, reset=False)
        return project(values, self.mean_, self.scale_, self.encoder_).astype(values.dtype)

    def inverse_transform(self, Z: ArrayLike) -> Floats:
        """Make samples from scores: ``Z Wᵀ`` in the units of the data, shape (n_samples, n_features)."""
        check_is_fitted(self)
        scores = np.asarray(Z)
        if scores.ndim != 2 or scores.shape[1] != self.n_components:
            msg = f"Z has shape {scores.shape}; (n_samples, {self.n_components}) is needed."
            raise ValueError(msg)
        return scores @ (self.loadings_ * self.scale_[:, None]).T + self.mean_

    def predict(self, X: ArrayLike) -> Floats:
        """Reconstruct samples, shape (n_samples, n_features).

        Raises
        ------
        TypeError
            If X is sparse: its reconstruction is dense and may not fit in memory.
        """
        check_is_fitted(self)
        _checks.check_reconstructable(X)
        return self.inverse_transform(self.transform(X))

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: ARG002
        """Return the share of the variance of X explained, in standardised units: ``1 − ‖X̃ − X̂‖² / ‖X̃ − mean(X̃)‖²``."""
        check_is_fitted(self)
        values = self._validated(X, reset=False)
        data = self._standardized(values, like=(self.mean_, self.scale_))
        error = components.residual_sum_of_squares(data.gram, self.encoder_, self.loadings_.astype(np.float64))
        spread = gram_product.mean_and_variance(near_zero(values)[0])[1]
        variance = float((data.n * spread / self.scale_**2).sum())
        return 1.0 - error / variance if variance > 0 else 0.0

    def get_W(self, apply_scaling: bool | Literal["rows"] = False) -> Floats:  # noqa: FBT001
        """Return the loadings, features × components.

        Parameters
        ----------
        apply_scaling
            ``True``: the absolute values of every column sum to 1; ``"rows"``: those of every feature do;
            ``False``: as they are. A column or feature of zeros stays zero.
        """
        check_is_fitted(self)
        _checks.choice("apply_scaling", apply_scaling, (False, True, "rows"))
        if apply_scaling is False:
            return self.loadings_.copy()
        total = np.abs(self.loadings_).sum(axis=1 if apply_scaling == "rows" else 0, keepdims=True)
        return self.loadings_ / np.where(total > 0, total, 1)

    def to(self, device: str) -> Self:
        """Choose where later fits run; results are numpy arrays wherever they come from."""
        _checks.device(device)
        self.device = device
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _validated(self, X: Any, *, reset: bool) -> Any:
        return validated(self, X, reset=reset, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32))

    def _standardized(self, X: Any, like: tuple[Floats, Floats] | None = None) -> gram_product.Data:
        """Moments of the standardised samples, or the samples themselves; with the means and units given."""
        _checks.choice("solver", self.solver, ("auto", "gram", "cells"))
        return standardized(X, center=self.center, scale=self.scale, solver=self.solver, like=like)

    def _config(self) -> grouped.Config:
        """Checked settings of the core."""
        _checks.number("n_components", self.n_components, 1, integer=True)
        for name in ("theta", "epsilon", "l1_ratio", "scheduler_factor"):
            _checks.number(name, getattr(self, name), 0, 1)
        for name in ("early_stopping_patience", "max_iter"):
            _checks.number(name, getattr(self, name), 1, integer=True)
        for name in ("scheduler_patience", "random_state"):
            _checks.number(name, getattr(self, name), 0, integer=True)
        _checks.number("learning_rate", self.learning_rate, 1e-12)
        _checks.number("min_delta", self.min_delta, 0)
        for name, allowed in (
            ("activation", ("softplus", "sigmoid")),
            ("entropy_scaling", ("log", "exp", None)),
            ("scale", ("unit", "pareto", None)),
            ("scores", ("projection", "least_squares")),
            ("zero_norm", ("feature", "component")),
        ):
            _checks.choice(name, getattr(self, name), allowed)
        self._check_dropout()
        return grouped.Config(
            theta=float(self.theta),
            epsilon=float(self.epsilon),
            l1_ratio=float(self.l1_ratio),
            learning_rate=float(self.learning_rate),
            max_iter=int(self.max_iter),
            activation=self.activation if self.non_negative else "identity",
            entropy_on_classes=bool(self.entropy_on_classes),
            entropy_scaling=self.entropy_scaling,
            zero_norm=self.zero_norm,
            scores=self.scores,
            dropout=float(self.dropout),
            start="evidence" if self._starts_from("evidence") else "membership",
            balance=bool(self.balance),
            relative=False,
            min_delta=float(self.min_delta),
            early_stopping_patience=int(self.early_stopping_patience),
            scheduler_patience=int(self.scheduler_patience),
            scheduler_factor=float(self.scheduler_factor),
            random_state=int(self.random_state),
            device=_checks.device(self.device),
        )

    def _starts_from(self, name: str) -> bool:
        return isinstance(self.init, str) and self.init == name

    def _check_dropout(self) -> None:
        """What hiding and comparing features needs."""
        _checks.number("dropout", self.dropout, 0)
        _checks.choice("balance", self.balance, (True, False))
        if self.dropout >= 1:
            msg = f"dropout={self.dropout!r} hides the whole input; choose a probability from 0 to below 1."
            raise ValueError(msg)
        if self.dropout and self.scores != "projection":
            msg = f"dropout={self.dropout!r} is of scores='projection', not of {self.scores!r}; leave it out."
            raise ValueError(msg)
        if (self.balance or self._starts_from("evidence")) and not self.center:
            msg = "balance=True and init='evidence' compare features by their means and correlations: pass center=True."
            raise ValueError(msg)

    def _init(self, n_features: int) -> NDArray[np.float64] | None:
        """Loadings to start from; None for the data-driven start."""
        if isinstance(self.init, str):
            _checks.choice("init", self.init, ("membership", "evidence", "random"))
            if self.init != "random":
                return None
            point = np.random.default_rng(self.random_state).normal(0.0, 0.1, (n_features, self.n_components))
            activation = self.activation if self.non_negative else "identity"
            return loss.activate(torch.from_numpy(point), activation)[0].numpy()
        start = np.asarray(self.init, dtype=np.float64)
        if start.shape != (n_features, self.n_components):
            msg = f"init has shape {start.shape}; ({n_features}, {self.n_components}) is needed."
            raise ValueError(msg)
        return start

    def _report(self, iteration: int, terms: dict[str, float]) -> None:
        if iteration % int(self.verbose) == 0:
            tqdm.write(f"iteration {iteration}: " + ", ".join(f"{name} {value:.6f}" for name, value in terms.items()))
