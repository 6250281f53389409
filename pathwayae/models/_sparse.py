"""The sparse autoencoder as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin  # no types: hence the ignore
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from pathwayae import _checks
from pathwayae.core import gates
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae import network, training
from pathwayae.core.sparse_ae.minibatches import InMemory
from pathwayae.core.sparse_ae.settings import CLASSIC, CLASSIC_COMMON, Config
from pathwayae.models._input import validated

__all__ = ["SparseAutoencoder"]

Floats = NDArray[np.floating[Any]]


class SparseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Sparse, overcomplete codes of samples: each sample is a sum of few latents out of many.

    With :math:`x' = (x - \mu)/s`, s such that the mean of :math:`\|x'\|^2` is 1,

    .. math:: h = \mathrm{act}(W_e (x' - b) + b_e), \qquad \hat x' = W_d h + b,

    and the loss is :math:`\|x' - \hat x'\|^2` per sample, plus a penalty. Whatever is ``None`` follows from the data,
    with windows counted as shares of the run, so that the defaults hold from some hundred to a million samples.

    Parameters
    ----------
    n_latents
        Number of latents m. ``None``: one per 40 samples, from 256 to 4 096, but at most four times the features and so
        few that one is active in 20 samples on average.
    hidden
        Sizes of hidden layers with ReLU between features and latents, mirrored after the latents.
    sparsity
        - ``"batchtopk"``: the largest activations of a batch, `k` per sample on average; a running threshold replaces
          the batch in :meth:`transform`, so that codes do not depend on other samples;
        - ``"topk"``: the `k` largest of every sample;
        - ``"jumprelu"``: a learned threshold per latent, `weight` times ``(L0/k − 1)²``;
        - ``"l1"``: `weight` times ``mean |h|``;
        - ``"kl"``: sigmoid codes, `weight` times ``Σ_j KL(ρ ‖ mean h_j)``.
    k
        Latents per sample. ``None``: 8, or half the square root of the number of features where that is more.
    weight
        Weight of the penalty; for ``"batchtopk"`` and ``"topk"`` of a small ``mean |h|``, which empties places that
        only noise would fill, so that `k` need not be exact. ``None``: 0.03 for those, 1 (``"jumprelu"``), 0.1
        (``"l1"``), 0.01 (``"kl"``).
    rho
        Wanted mean activity ρ of a latent with ``"kl"``.
    code
        Activation of the codes, ``"relu"`` or ``"sigmoid"``. ``None``: sigmoid for ``"kl"``, else ReLU.
    output
        Activation of the output: ``"identity"``, ``"relu"`` or ``"sigmoid"``.
    loss
        ``"share"``: squared error per sample over the mean squared norm, ``mean |h|`` summed over latents; ``"mse"``:
        mean over samples and features, and over samples and latents, in the units of the data (s = 1).
    center
        Subtract the mean of the training samples.
    unit_norm
        Start with W_e = W_dᵀ and keep the dictionary's rows at length 1; needs no hidden layers, else layers start as
        those of torch do.
    batch_size, n_epochs
        ``None``: an epoch of about 20 minibatches of 32 to 4 096 samples; about 2 000 minibatches in all.
    learning_rate
        Of Adam, at its highest.
    warmup, decay
        Shares of the run in which the learning rate rises from 0 and falls to 0.
    held_out
        Share of the samples kept aside to measure unexplained variance (at most 10 000; none of fewer than 20).
    patience
        Share of the run after which a held-out error that does not fall makes the learning rate fall at once.
    revive
        Coefficient of the auxiliary loss that wakes latents silent for two epochs; 0 for none. Needs no hidden layers.
    bfloat16
        Multiply in bfloat16 on CUDA.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or another device of torch.
    random_state
        Seed of the start, of the samples held out and of the order.
    verbose
        Report every that many epochs.

    Attributes
    ----------
    components_ : ndarray of shape (n_latents, n_features)
        What each latent adds to a sample, ``decode(e_j) − decode(0)``.
    history_ : dict of lists
        Per epoch ``total``, ``reconstruction``, ``sparsity``, ``auxiliary``, ``unexplained`` (share of variance of
        held-out samples), ``active`` (latents per sample), ``dead`` (share of latents).
    network_ : Network
        The weights, as torch modules.
    n_latents_, k_ : int, float
        The values used.
    unexplained_ : float
        Of held-out samples; of the training samples where none was held out.
    n_dead_, n_rare_ : int
        Latents active in no training sample, and in less than 1 % of them. Spare width is no fault: read them beside
        ``unexplained_``.
    n_epochs_ : int
        Epochs done.
    converged_ : bool
        Whether the held-out error stopped falling before the end.

    References
    ----------
    Bussmann et al., BatchTopK sparse autoencoders (2024); Gao et al., Scaling and evaluating sparse autoencoders
    (2024). The mathematics is in ``docs/sparse_autoencoder.md``.

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.models import SparseAutoencoder
    >>> X = np.random.default_rng(0).gamma(1.0, size=(200, 10))
    >>> codes = SparseAutoencoder(n_latents=20, k=3, n_epochs=5).fit_transform(X)
    >>> codes.shape, codes.format
    ((200, 20), 'csr')
    """

    def __init__(
        self,
        n_latents: int | None = None,
        *,
        hidden: tuple[int, ...] = (),
        sparsity: Literal["batchtopk", "topk", "jumprelu", "l1", "kl"] = "batchtopk",
        k: float | None = None,
        weight: float | None = None,
        rho: float = 0.05,
        code: Literal["relu", "sigmoid"] | None = None,
        output: Literal["identity", "relu", "sigmoid"] = "identity",
        loss: Literal["share", "mse"] = "share",
        center: bool = True,
        unit_norm: bool = True,
        batch_size: int | None = None,
        n_epochs: int | None = None,
        learning_rate: float = 1e-3,
        warmup: float = 0.05,
        decay: float = 0.2,
        held_out: float = 0.1,
        patience: float = 0.2,
        revive: float = 1 / 32,
        bfloat16: bool = False,
        device: str = "cpu",
        random_state: int = 42,
        verbose: bool | int = False,
    ) -> None:
        self.n_latents = n_latents
        self.hidden = hidden
        self.sparsity = sparsity
        self.k = k
        self.weight = weight
        self.rho = rho
        self.code = code
        self.output = output
        self.loss = loss
        self.center = center
        self.unit_norm = unit_norm
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.decay = decay
        self.held_out = held_out
        self.patience = patience
        self.revive = revive
        self.bfloat16 = bfloat16
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def classic(cls, kind: Literal["l1", "kl", "single"] = "kl", **parameters: Any) -> Self:
        """Make a classic network: sigmoid output for data in [0, 1], mean squared error, 15 epochs, nothing held out.

        Parameters
        ----------
        kind
            ``"l1"``: d → 256 → 128 → 256 → d, ReLU code, ``MSE + 0.001 · mean |h|``; ``"kl"``: the same with a sigmoid
            code and ``MSE + 0.01 · Σ_j KL(0.05 ‖ mean h_j)``; ``"single"``: one layer each way with a sigmoid on both
            and the KL loss.
        **parameters
            Other parameters of the estimator.

        Examples
        --------
        >>> SparseAutoencoder.classic("l1", n_epochs=2).hidden
        (256,)
        """
        _checks.choice("kind", kind, tuple(CLASSIC))
        return cls(**{**CLASSIC_COMMON, **CLASSIC[kind], "held_out": 0.0, **parameters})

    @gates.refit
    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002
        """Train the network.

        Parameters
        ----------
        X
            Samples × features, dense or sparse, finite.
        y
            Ignored.

        Raises
        ------
        ValueError
            If a parameter is out of range, parameters contradict each other, or the samples do not vary.
        """
        values = self._validated(X, reset=True)
        config = self._config()
        if values.shape[0] < 2:
            msg = f"X has 1 sample (n_samples = {values.shape[0]}), which holds no variation to fit; pass at least 2."
            raise ValueError(msg)
        if self.output == "sigmoid" and self.loss == "mse" and (values.min() < 0 or values.max() > 1):
            warn(
                f"output='sigmoid' reaches values from 0 to 1, but X has {values.min():.3g} to {values.max():.3g}; "
                "rescale X to [0, 1], or set output='identity'."
            )
        cells = InMemory(values, held_out=float(self.held_out), seed=int(self.random_state), device=config.device)
        report = self._report if self.verbose else None
        fit = training.train(cells, [config], order=int(self.random_state), progress=report)[0]
        self.network_ = fit.network
        self.components_ = network.features(fit.network)
        self.history_ = fit.history
        self.n_latents_, self.k_ = fit.network.n_latents, fit.config.k
        self.unexplained_, self.n_dead_, self.n_rare_ = fit.unexplained, fit.n_dead, fit.n_rare
        self.n_epochs_, self.converged_ = fit.n_epochs, fit.converged
        self._n_features_out = self.n_latents_
        return self

    def transform(self, X: ArrayLike) -> sp.csr_matrix:
        """Return the codes of samples, float32 CSR, shape (n_samples, n_latents)."""
        check_is_fitted(self)
        values = self._validated(X, reset=False)
        return network.encode(self.network_, values, device=_checks.device(self.device))

    def inverse_transform(self, Z: ArrayLike | sp.spmatrix) -> NDArray[np.float32]:
        """Make samples from codes, dense or sparse: float32 in the units of the data, shape (n_samples, n_features)."""
        check_is_fitted(self)
        given: Any = Z  # scipy has no types
        codes = given.tocsr() if sp.issparse(given) else np.asarray(given)
        return network.decode(self.network_, codes, device=_checks.device(self.device))

    def predict(self, X: ArrayLike) -> NDArray[np.float32]:
        """Reconstruct samples, float32, shape (n_samples, n_features).

        Raises
        ------
        TypeError
            If X is sparse: its reconstruction is dense and may not fit in memory.
        """
        check_is_fitted(self)
        _checks.check_reconstructable(X)
        return self.inverse_transform(self.transform(X))

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: ARG002
        """Return the share of the variance of X explained: ``1 − ‖X − X̂‖² / ‖X − mean(X)‖²``."""
        check_is_fitted(self)
        values = self._validated(X, reset=False)
        error, variance = network.residual(self.network_, values, device=_checks.device(self.device))
        return 1.0 - error / variance if variance > 0 else 0.0

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _validated(self, X: Any, *, reset: bool) -> Any:
        return validated(self, X, reset=reset, accept_sparse=("csr",), dtype=(np.float64, np.float32))

    def _config(self) -> Config:
        """Checked settings of the core."""
        for name in ("n_latents", "batch_size", "n_epochs"):
            if getattr(self, name) is not None:
                _checks.number(name, getattr(self, name), 1, integer=True)
        for size in self.hidden:
            _checks.number("hidden", size, 1, integer=True)
        for name in ("warmup", "decay", "patience"):
            _checks.number(name, getattr(self, name), 0, 1)
        for name, low, high in (("k", 1e-3, np.inf), ("weight", 0, np.inf), ("revive", 0, np.inf)):
            if getattr(self, name) is not None:
                _checks.number(name, getattr(self, name), low, high)
        _checks.number("rho", self.rho, 1e-6, 1 - 1e-6)
        _checks.number("held_out", self.held_out, 0, 0.9)
        _checks.number("learning_rate", self.learning_rate, 1e-12)
        _checks.number("random_state", self.random_state, 0, integer=True)
        for name, allowed in (
            ("sparsity", ("batchtopk", "topk", "jumprelu", "l1", "kl")),
            ("code", ("relu", "sigmoid", None)),
            ("output", ("identity", "relu", "sigmoid")),
            ("loss", ("share", "mse")),
        ):
            _checks.choice(name, getattr(self, name), allowed)
        own = ("n_latents", "sparsity", "k", "weight", "rho", "code", "output", "loss", "center", "unit_norm")
        run = ("batch_size", "n_epochs", "learning_rate", "warmup", "decay", "patience", "revive", "bfloat16")
        return Config(
            **{name: getattr(self, name) for name in own + run},
            hidden=tuple(self.hidden),
            seed=int(self.random_state),
            device=_checks.device(self.device),
        )

    def _report(self, epoch: int, terms: dict[str, float]) -> None:
        if epoch % int(self.verbose) == 0:
            tqdm.write(f"epoch {epoch}: " + ", ".join(f"{name} {value:.6f}" for name, value in terms.items()))
