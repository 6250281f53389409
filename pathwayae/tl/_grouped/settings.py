"""Settings of ``pae.tl.fit``: checked at its door, handed to the core, and stored with the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae.core import gates
from pathwayae.core.grouped.fit import Config
from pathwayae.core.moments.accumulate import MAX_GRAM_BYTES
from pathwayae.core.moments.sketch import AnyMoments, Sketch
from pathwayae.core.notice import warn

DROPOUT = 0.9  # of projection
THETA = 0.3  # of fits that choose the number of free components, and a placeholder
LARGE = 2**23  # loadings, from which on they are kept on a support
OF_OBJECTIVE = ("non_negative", "activation", "entropy_on_classes", "entropy_scaling", "relative", "free")
STOPPING = ("min_delta", "early_stopping_patience", "scheduler_patience", "scheduler_factor")
USUAL = ("epsilon", "l1_ratio", "zero_norm", "init", "dropout", "learning_rate", "max_iter")
OF_DESCENT = (*USUAL, *OF_OBJECTIVE, *STOPPING)
# What pathwayae.models.GroupedAutoencoder does unless it is told otherwise.
CLASSIC: dict[str, Any] = {"balance": False, "center": False, "epsilon": 0.5, "zero_norm": "feature", "dropout": 0.0}
CLASSIC |= {"init": "membership", "entropy_scaling": "exp", "relative": False, "free": "together"}
CLASSIC |= {"learning_rate": 0.1, "max_iter": 100_000}


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of :func:`pathwayae.tl.fit` that rarely need a change.

    The defaults were chosen by measurement, see ``benchmarks/defaults.md``.

    Attributes
    ----------
    balance
        Take from the weights of a score their mean over genes of similar mean expression (25 bins; fewer below 1 500
        genes). Without it, cells in which everything is higher score higher on every pathway.
    joint
        Of ``scores="members"``: regress every cell on the encoders of all pathways at once (ridge, in closed form), so
        that what it has of one pathway is not counted again for another that shares some of its genes. Tells look-alike
        populations apart and finds planted activities better where the sets are right; a score then depends on the
        other pathways, and of a set that others repeat it keeps what the others do not say: do not use it on redundant
        collections, see ``benchmarks/judge.md``.
    center
        Subtract the mean of each gene.
    solver
        Fit from the ``"gram"`` matrix of the genes (8 g² bytes, at most 4 GiB), through the ``"cells"``, which are then
        held in memory (36 bytes per stored value where sparse, at most 16 per value where dense), or from a
        ``"sketch"`` of the Gram matrix (1 600 g bytes), see :func:`pathwayae.pp.moments`. ``"auto"``: the cells where
        they are fewer than half the genes, and than 11 585; else the Gram matrix up to 1 GiB (11 585 genes); else the
        sketch. The first two give equal results, a sketch nearly so. With moments it is what they hold; with batches
        never the cells.
    epsilon, l1_ratio
        Of a descent, from 0 to 1: share of entropy in the structure, and mix of the two terms of
        ``zero_norm="feature"``.
    zero_norm
        Of a descent: outside loadings relative to the gene's (``"feature"``) or to the component's size
        (``"component"``).
    init
        A descent starts from the probability that a gene belongs to a pathway (``"evidence"``) or from the
        ``"membership"`` as given.
    dropout
        Of ``scores="projection"``: probability with which every entry of the input is hidden while it is encoded, from
        0 to below 1, in expectation over the masks. Where nothing is hidden, a component explains most by copying one
        gene. By default 0.9.
    support
        Keep loadings of the genes of a pathway and of as many others, at least 30, those that go with it most; all
        others are exactly 0, and loadings and encoder are stored as sparse matrices. ``"auto"`` from 2²³ loadings on
        (8 000 genes × 1 050 components); with ``scores="least_squares"`` or `joint` never.
    learning_rate, max_iter
        Of Adam, in a descent. More iterations follow the data further from the pathways.
    non_negative, activation
        Of a descent: loadings of pathways are not negative, by ``"softplus"`` or ``"sigmoid"`` (at most 1); otherwise
        they have both signs, of each pathway the one that most of its genes have positive.
    entropy_on_classes, entropy_scaling
        Of a descent: average the entropy within each pathway first and then over pathways; and divide it by ln k
        (``"log"``), exp k (``"exp"``) or 1 (``None``).
    relative
        Of a descent: divide the error by the size of the data, so that θ means the same on every data set.
    free
        Of a descent: free components come from what the pathways leave over (``"residual"``), or are fitted together
        with them (``"together"``), as components beyond the classes are in the classic model.
    min_delta, early_stopping_patience, scheduler_patience, scheduler_factor
        Of a descent: least improvement that counts, iterations without one after which it ends, and after which the
        learning rate is multiplied by the factor.
    condition_key
        Column of ``obs`` with groups that will be compared: batches that hold one of them alone are warned of. To
        estimate batch effects beside the groups, pass them as covariates of the fit instead.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> settings = pae.tl.FitSettings(max_iter=50, dropout=0.5)
    >>> pae.tl.fit(adata, "pathways", scores="projection", settings=settings, progress=False)
    >>> len(pae.get.history(adata))
    50
    """

    balance: bool = True
    joint: bool = False
    center: bool = True
    solver: Literal["auto", "gram", "cells", "sketch"] = "auto"
    epsilon: float = 0.0
    l1_ratio: float = 0.5
    zero_norm: Literal["component", "feature"] = "component"
    init: Literal["evidence", "membership"] = "evidence"
    dropout: float | None = None
    support: bool | Literal["auto"] = "auto"
    learning_rate: float = 0.03
    max_iter: int = 100
    non_negative: bool = True
    activation: Literal["softplus", "sigmoid"] = "softplus"
    entropy_on_classes: bool = False
    entropy_scaling: Literal["log", "exp"] | None = "log"
    relative: bool = True
    free: Literal["residual", "together"] = "residual"
    min_delta: float = 1e-5
    early_stopping_patience: int = 100
    scheduler_patience: int = 10
    scheduler_factor: float = 0.5
    condition_key: str | None = None

    def __post_init__(self) -> None:
        gates.hold_fields(self)

    @classmethod
    def classic(cls, **changes: Any) -> Self:
        """Make the settings of :class:`pathwayae.models.GroupedAutoencoder` as it is by default.

        With ``scores="projection"``, ``scale=None`` and the same ``theta`` and seed, :func:`pathwayae.tl.fit` then
        fits what the estimator fits, columns scaled to unit length.

        Parameters
        ----------
        **changes
            Settings that are to be others.

        Examples
        --------
        >>> import pathwayae as pae
        >>> adata = pae.datasets.simulate(300, 200, 4)
        >>> adata.var["classes"] = [0] * 60 + [1] * 60 + [-1] * 80
        >>> own = {"scores": "projection", "scale": None, "theta": 0.8, "n_extra": 1, "progress": False}
        >>> settings = pae.tl.FitSettings.classic(entropy_on_classes=True, max_iter=200)
        >>> pae.tl.fit(adata, "classes", settings=settings, **own)
        >>> pae.get.loadings(adata).columns.tolist()
        ['class_0', 'class_1', 'free_1']
        """
        return cls(**CLASSIC | changes)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What :func:`pathwayae.tl.fit` was asked for, beside cells and pathways."""

    moments: AnyMoments | None
    layer: str | None
    mask_var: str | NDArray[np.bool_] | None
    gene_symbols: str | None
    min_genes: int
    max_genes: int | None
    n_extra: int | Literal["auto"]
    scores: Literal["members", "projection", "least_squares"]
    theta: float | Literal["auto"]
    scale: Literal["unit", "pareto"] | None
    batch_key: str | None
    covariates: str | Sequence[str] | None = None
    device: str
    random_state: int
    progress: bool
    settings: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, FitSettings):
            msg = f"settings={self.settings!r} must be pae.tl.FitSettings(…), not {type(self.settings).__name__}."
            raise TypeError(msg)

    @property
    def covariate_keys(self) -> tuple[str, ...]:
        """Columns that batch effects are estimated beside."""
        if isinstance(self.covariates, str):
            return (self.covariates,)
        return () if self.covariates is None else tuple(self.covariates)

    @property
    def normalize(self) -> str:
        """How the moments were normalised; empty where they were not, or there are none."""
        return "" if self.moments is None else self.moments.normalize

    @property
    def auto(self) -> bool:
        """Whether something is to be chosen on cells that were held out."""
        return "auto" in (self.theta, self.n_extra)


def check(asked: Asked) -> None:
    """Raise where settings are out of range or contradict each other."""
    own = asked.settings
    _checks.number("min_genes", asked.min_genes, 1, integer=True)
    if asked.max_genes is not None:
        _checks.number("max_genes", asked.max_genes, asked.min_genes, integer=True)
    if asked.n_extra != "auto":
        _checks.number("n_extra", asked.n_extra, 0, integer=True)
    _checks.choice("scale", asked.scale, ("unit", "pareto", None))
    _checks.choice("scores", asked.scores, ("members", "projection", "least_squares"))
    _checks.choice("solver", own.solver, ("auto", "gram", "cells", "sketch"))
    _checks.choice("balance", own.balance, (True, False))
    _checks.choice("support", own.support, (True, False, "auto"))
    _check_objective(asked)
    _checks.choice("joint", own.joint, (True, False))
    if own.joint:
        _check_joint(asked)
    if own.support is True and (asked.scores == "least_squares" or own.zero_norm == "feature"):
        msg = (
            f"support=True keeps loadings of some genes alone, but scores={asked.scores!r} with "
            f"zero_norm={own.zero_norm!r} weighs all of them. Leave support out, or pass scores='members' or "
            "'projection' with zero_norm='component'."
        )
        raise ValueError(msg)
    _checks.choice("init", own.init, ("evidence", "membership"))
    _checks.choice("zero_norm", own.zero_norm, ("component", "feature"))
    if asked.moments is not None:
        _check_held(own.solver, asked.moments)
    _check_numbers(asked)
    if asked.scores == "members":
        _check_members(asked)
    elif asked.scores == "least_squares" and own.dropout:
        msg = f"dropout={own.dropout!r} is of scores='projection'; least_squares scores hide nothing. Leave it out."
        raise ValueError(msg)
    if not own.center and (asked.scores == "members" or own.balance or own.init == "evidence"):
        msg = (
            f"center=False, but scores={asked.scores!r}, balance={own.balance}, init={own.init!r} compare genes by "
            "correlations and means. Leave center out, or pass scores='projection' and "
            "FitSettings(center=False, balance=False, init='membership')."
        )
        raise ValueError(msg)


def _check_objective(asked: Asked) -> None:
    """Raise where signs, entropy and free components are not as a descent can have them."""
    own = asked.settings
    _checks.choice("activation", own.activation, ("softplus", "sigmoid"))
    _checks.choice("entropy_scaling", own.entropy_scaling, ("log", "exp", None))
    _checks.choice("free", own.free, ("residual", "together"))
    if own.support is True and not own.non_negative:
        msg = "support=True keeps the largest loadings, which non_negative=False does not have; leave one out."
        raise ValueError(msg)
    if own.free == "together" and asked.auto:
        msg = (
            "free='together' with theta='auto' or n_extra='auto': both are chosen with free components from the "
            "residual. Leave free out, or give numbers."
        )
        raise ValueError(msg)


def _check_joint(asked: Asked) -> None:
    """Raise where cells cannot be regressed on all pathways at once, or are already."""
    if asked.scores != "members":
        msg = (
            f"joint=True is of scores='members'; in a descent, scores={asked.scores!r}, pathways compete as it is. "
            "Leave joint out, or scores."
        )
        raise ValueError(msg)
    if asked.settings.support is True:
        msg = "joint=True makes scores of all genes, but support=True keeps those of some alone; leave one of them out."
        raise ValueError(msg)


def _check_held(solver: str, moments: AnyMoments) -> None:
    """Raise where the moments given are not what the solver asks for."""
    held = "sketch" if isinstance(moments, Sketch) else "gram"
    if solver not in ("auto", held):
        needs = {"cells": "goes through the cells", "gram": "needs their Gram matrix", "sketch": "needs a sketch"}
        alone = {"gram": "their Gram matrix", "sketch": "a sketch of it"}[held]
        msg = (
            f"solver={solver!r} {needs[solver]}, but moments= stands in their place and holds {alone} alone. Leave "
            "moments out, or solver."
        )
        raise ValueError(msg)


def _check_numbers(asked: Asked) -> None:
    own = asked.settings
    if asked.theta != "auto":
        _checks.number("theta", asked.theta, 0, 1)
    for name in ("epsilon", "l1_ratio"):
        _checks.number(name, getattr(own, name), 0, 1)
    _checks.number("learning_rate", own.learning_rate, 1e-12)
    for name in ("max_iter", "early_stopping_patience"):
        _checks.number(name, getattr(own, name), 1, integer=True)
    _checks.number("scheduler_patience", own.scheduler_patience, 0, integer=True)
    _checks.number("scheduler_factor", own.scheduler_factor, 0, 1)
    _checks.number("min_delta", own.min_delta, 0)
    _checks.number("random_state", asked.random_state, 0, integer=True)
    if own.dropout is None:
        return
    _checks.number("dropout", own.dropout, 0)
    if own.dropout >= 1:
        msg = (
            f"dropout={own.dropout!r} hides the whole input; choose a probability from 0 to below 1, for instance 0.9."
        )
        raise ValueError(msg)


def _check_members(asked: Asked) -> None:
    """Raise where settings of a descent are given to scores that have none."""
    usual = {one.name: one.default for one in fields(FitSettings)}
    given = [(name, getattr(asked.settings, name), usual[name]) for name in OF_DESCENT]
    for name, value, default in [("theta", asked.theta, THETA), *given]:
        if value != default:
            msg = (
                f"{name}={value!r} sets the descent of scores='projection' or 'least_squares'; scores='members' are "
                f"computed in closed form and have none. Leave {name} out, or pass scores='projection'."
            )
            raise ValueError(msg)


def config_of(asked: Asked) -> Config:
    """Settings of the core; θ stands at its default where it is to be chosen."""
    own = asked.settings
    hidden = own.dropout if own.dropout is not None else DROPOUT if asked.scores == "projection" else 0.0
    return Config(
        theta=THETA if asked.theta == "auto" else asked.theta,
        epsilon=own.epsilon,
        l1_ratio=own.l1_ratio,
        learning_rate=own.learning_rate,
        max_iter=own.max_iter,
        zero_norm=own.zero_norm,
        scores=asked.scores,
        dropout=float(hidden),
        start=own.init,
        balance=own.balance,
        activation=own.activation if own.non_negative else "identity",
        entropy_on_classes=own.entropy_on_classes,
        entropy_scaling=own.entropy_scaling,
        relative=own.relative,
        **{name: getattr(own, name) for name in STOPPING},
        joint=own.joint,
        random_state=asked.random_state,
        device=_checks.device(asked.device),
    )


def on_support(asked: Asked, n_genes: int, n_components: int) -> bool:
    """Whether loadings are kept on a support."""
    own = asked.settings
    if own.support != "auto":
        return bool(own.support)
    of_projection = asked.scores == "projection" and own.zero_norm == "component"
    possible = of_projection or (asked.scores == "members" and not own.joint)
    possible = possible and own.non_negative
    return possible and n_genes * n_components > LARGE


def sized(n_cells: float, n_genes: int, n_pathways: int, asked: Asked) -> Asked:
    """What was asked, with the free components that there is room for, or a ValueError where pathways have none."""
    n_extra = 0 if asked.n_extra == "auto" else asked.n_extra
    most, members = int(min(n_cells, n_genes)), asked.scores == "members"
    if not members and n_pathways > most:
        msg = (
            f"{n_pathways} pathways are more than the {n_cells:g} cells or the {n_genes} genes allow where "
            f"scores={asked.scores!r} divide the variance among them: {most}. Pass scores='members', which scores any "
            "number of pathways, each by itself; or fit fewer (raise min_genes, merge similar ones)."
        )
        raise ValueError(msg)
    room = min(most - 1, n_genes - n_pathways, 0 if 8 * n_pathways**2 > MAX_GRAM_BYTES else n_genes)
    room = max(0, room if members else min(room, most - n_pathways))
    if n_extra <= room:
        return asked
    msg = (
        f"n_extra={n_extra} free components are more than {n_genes} genes, {n_cells:g} cells, {n_pathways} pathways "
        f"and {MAX_GRAM_BYTES / 2**30:.3g} GiB for the products of their encoders leave room for: {room} are fitted. "
        f"Pass n_extra={room} or fewer to say that this is meant."
    )
    warn(msg)
    return replace(asked, n_extra=room)


def stored(asked: Asked, config: Config, *, n_extra: int, solver: str) -> dict[str, Any]:
    """Settings as h5ad and zarr can hold them; "" stands for None."""
    mask_var = asked.mask_var if isinstance(asked.mask_var, str | None) else "array"
    of_cells = {name: getattr(asked, name) for name in ("layer", "gene_symbols", "batch_key")}
    of_cells |= {
        "condition_key": asked.settings.condition_key,
        "mask_var": mask_var,
        "normalize": asked.normalize,
        "center": asked.settings.center,
        "free": asked.settings.free,
    }
    if asked.covariate_keys:
        of_cells["covariates"] = np.array(asked.covariate_keys, dtype=object)
    of_sets = {"min_genes": asked.min_genes, "max_genes": asked.max_genes, "n_extra": n_extra}
    settings = of_cells | of_sets | {"scale": asked.scale, "solver": solver} | asdict(config)
    return {name: "" if value is None else value for name, value in settings.items()}
