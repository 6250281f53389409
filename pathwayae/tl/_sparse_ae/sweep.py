"""Settings of a sparse autoencoder side by side: what is gained and lost with sparsity and number of latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathwayae import _checks, _progress
from pathwayae._cells import matrix
from pathwayae._cells.minibatches import training_cells
from pathwayae._slots import keys, store
from pathwayae.core.gates import gated
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae import measures, trade_off
from pathwayae.core.sparse_ae.network import Code, Network, encode
from pathwayae.core.sparse_ae.settings import Config, resolve
from pathwayae.core.sparse_ae.sparsity import Sparsity
from pathwayae.core.sparse_ae.training import Fit, train
from pathwayae.tl._sparse_ae.settings import HELD_OUT, SparseAESettings, check, config_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from pathwayae.core.sparse_ae.minibatches import Cells

BY_K = ("batchtopk", "topk", "jumprelu")
STRENGTHS: dict[Sparsity, tuple[float, ...]] = {
    "batchtopk": (2, 4, 8, 16, 32),
    "topk": (2, 4, 8, 16, 32),
    "jumprelu": (2, 4, 8, 16, 32),
    "l1": (0.01, 0.03, 0.1, 0.3, 1.0),
    "kl": (0.003, 0.01, 0.03, 0.1, 0.3),
}
CLASSIC_STRENGTHS: dict[Sparsity, tuple[float, ...]] = {
    "l1": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
    "kl": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
}
TOGETHER_BYTES = 2 * 2**30  # of parameters, gradients and Adam's moments of the networks trained at once
SETTING = ["sparsity", "n_latents", "strength"]
VALUES = ["unexplained", "l0", "population", "hoyer", "never"]


@gated()
def sparse_ae_sweep(
    adata: AnnData,
    *,
    sparsity: str | Sequence[str] = "batchtopk",
    strengths: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    n_latents: int | Sequence[int] | None = None,
    n_seeds: int = 1,
    n_epochs: int | None = None,
    settings: SparseAESettings | None = None,
    threshold: float = measures.THRESHOLD,
    relative: bool = False,
    by: Literal["l0", "population", "hoyer"] = "hoyer",
    layer: str | None = None,
    obsm: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key_added: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Train a sparse autoencoder with many settings at once: reconstruction against sparsity, on held-out cells.

    Every kind of sparsity is tried with each of its strengths (k, or the weight of its penalty), each number of latents
    and each seed. Networks of one kind and shape run as one batched problem on the same minibatches. Measured on
    cells that none of them is trained on: variance left unexplained, about the mean of these cells; how sparse their
    codes are, as :func:`pathwayae.tl.latent_sparsity` says; and latents that none of them activates.

    Kinds of sparsity differ in what a strength means, so they are compared *at equal sparsity*: each is a curve through
    its settings (but those that another of its kind beats in both), linear between them (in the logarithm of ``l0`` or
    ``population``), read off where two kinds or more have settings on both sides; nothing is extrapolated. Hoyer's
    measure is fair to all kinds. The number of latents above a threshold is not: ``"l1"`` and ``"kl"`` put some of what
    they say into activations below it, and those of ``"kl"`` are never exactly 0.

    Nothing of a fit is needed or changed: the sweep comes before :func:`pathwayae.tl.sparse_ae` and outlives it.

    Parameters
    ----------
    adata
        Cells.
    sparsity
        One or several of ``"batchtopk"``, ``"topk"``, ``"jumprelu"``, ``"l1"``, ``"kl"``.
    strengths
        k of ``"batchtopk"``, ``"topk"``, ``"jumprelu"``; weight of ``"l1"``, ``"kl"``. A mapping from kinds to numbers,
        or the numbers themselves where there is one kind. ``None`` for 2, 4, 8, 16, 32 (as far as they are at most half
        the latents); 0.01 to 1; 0.003 to 0.3; of the classic networks 0.0003 to 0.1.
    n_latents
        One or several numbers of latents. ``None`` for the default of the fit, with the default of its k.
    n_seeds
        Fits of each setting, which start from seeds of their own.
    n_epochs
        Passes over the cells of every fit. ``None`` for the default of the fit.
    settings
        Other settings of every fit, see :class:`pathwayae.tl.SparseAESettings`; ``weight`` is a strength here. With
        ``classic="l1"`` or ``"kl"`` (the same here) the networks d → 256 → m → 256 → d with sigmoid output and mean
        squared error, 15 epochs, by default 128 latents, for values between 0 and 1: of ``sparsity="l1"`` with a ReLU
        code, of ``"kl"`` with a sigmoid code. ``held_out`` (a tenth by default) is above 0 and at most 0.5.
    threshold, relative
        What counts as active, see :func:`pathwayae.tl.latent_sparsity`.
    by
        Measure at which kinds are compared.
    layer, obsm
        A layer, or an embedding in ``obsm``. ``None`` for ``X``.
    mask_var
        Genes to use: a boolean column of ``var``, a boolean array, or ``None`` for all.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        First of the seeds, and seed of the choice of held-out cells.
    progress
        Show a progress bar on a terminal or in a notebook.
    key_added
        The sweep is written under this key.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With ``uns["{key_added}_sweep"]``, read by :func:`pathwayae.get.sparse_ae_sweep`:

        - ``"fits"``, a row per fit: ``sparsity``, ``n_latents``, ``strength``, ``seed``; on held-out cells
          ``unexplained`` (share of the variance), means ``l0``, ``population``, ``hoyer``, and ``never`` (share of
          latents that none of them activates); ``n_epochs``
        - ``"settings"``, a row per setting: ``n_fits``, the mean of each of these values and its standard deviation
          over seeds, ``{value}_sd``
        - ``"equal_sparsity"``: `by`, ``sparsity``, ``unexplained``, ``n_latents``; no rows where nothing compares
        - ``"params"``

    Raises
    ------
    KeyError
        If a layer, column or embedding does not exist.
    TypeError, ValueError
        If a kind of sparsity or a setting is unknown, a number is out of range, or no cell can be held out.

    Warns
    -----
    pathwayae.DataWarning
        If several kinds were tried but have no sparsity in common.

    See Also
    --------
    pathwayae.get.sparse_ae_sweep, pathwayae.pl.sparse_ae_sweep

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae_sweep(adata, strengths=(2, 4, 8), n_latents=32, n_epochs=5, progress=False)
    >>> pae.get.sparse_ae_sweep(adata)["strength"].tolist()
    [2.0, 4.0, 8.0]
    """
    kinds = _kinds(sparsity)
    own = _own(settings, n_epochs, random_state)
    _checks.number("threshold", threshold, 0, 1 if relative else float("inf"))
    _checks.choice("by", by, trade_off.MEASURES)
    _checks.number("n_seeds", n_seeds, 1, integer=True)
    device = _checks.device(device)
    read = matrix.chosen(adata, layer=layer, obsm=obsm, mask_var=mask_var)
    held_out = float(own.held_out or 0.0)
    cells = training_cells(read, held_out=held_out, seed=random_state, device=device, progress=progress)
    if sum(len(batch) for batch in cells.held_out()) < 2:
        msg = f"Fewer than 2 of {cells.n} cells can be held out (held_out={held_out}); a sweep needs more cells."
        raise ValueError(msg)
    base = _base(kinds, own, n_epochs, device)
    grid = {} if strengths is None else _given(strengths, kinds)
    defaults = STRENGTHS if own.classic is None else CLASSIC_STRENGTHS
    sizes = _sizes(n_latents, base, cells)
    seeds = range(random_state, random_state + n_seeds)
    configs = _configs(cells, base, {kind: grid.get(kind) or defaults[kind] for kind in kinds}, sizes, seeds)
    fits = _fits(cells, configs, threshold, relative=relative, order=random_state, progress=progress)
    table = trade_off.over_seeds(fits, SETTING, VALUES)
    params: dict[str, Any] = {"threshold": float(threshold), "relative": bool(relative), "by": by, "n_seeds": n_seeds}
    params |= {"layer": layer or "", "obsm": obsm or "", "random_state": random_state, "n_epochs": n_epochs or ""}
    params |= {name: "" if value is None else value for name, value in asdict(own).items() if name != "hidden"}
    params["hidden"] = np.array(own.hidden, dtype=np.int64)
    found = {"fits": fits, "settings": table, "equal_sparsity": _compared(table, by, kinds), "params": params}
    target = adata.copy() if copy else adata
    store.put_before_a_fit(target, keys.sweep(key_added), found)
    return target if copy else None


def _kinds(sparsity: str | Sequence[str]) -> list[Sparsity]:
    kinds = [sparsity] if isinstance(sparsity, str) else list(sparsity)
    if not kinds or len(set(kinds)) < len(kinds):
        msg = f"sparsity={kinds} must name at least one kind, and none twice."
        raise ValueError(msg)
    for kind in kinds:
        _checks.choice("sparsity", kind, list(STRENGTHS))
    known: dict[str, Sparsity] = {kind: kind for kind in STRENGTHS}
    return [known[kind] for kind in kinds]


def _own(settings: SparseAESettings | None, n_epochs: Any, random_state: Any) -> SparseAESettings:
    """The settings, checked; cells are held out of classic networks too."""
    given = SparseAESettings() if settings is None else settings
    if isinstance(given, SparseAESettings) and given.held_out is None:
        given = replace(given, held_out=HELD_OUT)
    own = check(given, None, None, n_epochs, random_state)
    _checks.number("held_out", own.held_out, 1e-6, 0.5)
    if own.weight is not None:
        msg = f"weight={own.weight!r} is a strength, of which a sweep tries several; pass strengths, and leave it out."
        raise ValueError(msg)
    return own


def _base(kinds: Sequence[str], own: SparseAESettings, n_epochs: int | None, device: str) -> Config:
    """What all fits share."""
    if own.classic is not None:
        _checks.choice("classic", own.classic, tuple(CLASSIC_STRENGTHS))
        for kind in kinds:
            if kind not in CLASSIC_STRENGTHS:
                msg = (
                    f"classic={own.classic!r} has networks for sparsity 'l1' and 'kl', not for {kind!r}; leave one of "
                    "them out."
                )
                raise ValueError(msg)
    return config_of(
        own, n_latents=None, k=None, sparsity="batchtopk", n_epochs=n_epochs, device=device, random_state=0
    )


def _sizes(n_latents: int | Sequence[int] | None, base: Config, cells: Cells) -> list[int]:
    if n_latents is None:
        plain = resolve(replace(base, sparsity="batchtopk", code="relu"), cells.n, cells.n_features)
        return [int(plain.n_latents or 1)]
    given: Any = n_latents  # one, or what holds some: a list, an array
    sizes = [given] if np.ndim(given) == 0 else list(given)
    for size in sizes:
        _checks.number("n_latents", size, 1, integer=True)
    if not sizes or len(set(sizes)) < len(sizes):
        msg = f"n_latents={sizes} must hold at least one number, and none twice."
        raise ValueError(msg)
    return [int(size) for size in sizes]


def _given(strengths: Sequence[float] | Mapping[str, Sequence[float]], kinds: Sequence[str]) -> dict[str, list[float]]:
    """Strengths of every kind, as the user has them."""
    if not isinstance(strengths, Mapping):
        if len(kinds) > 1:
            msg = f"strengths={strengths!r} are of one kind of sparsity, but {len(kinds)} are tried; pass a mapping."
            raise ValueError(msg)
        strengths = {kinds[0]: strengths}
    found = {}
    for kind, given in strengths.items():
        _checks.choice("strengths", kind, kinds)
        values: list[Any] = [given] if np.ndim(given) == 0 else list(given)
        if not values or len(set(values)) < len(values):
            msg = f"strengths of {kind!r} must hold at least one number, and none twice; got {values}."
            raise ValueError(msg)
        for value in values:
            _checks.number("strengths", value, 0)
        found[kind] = [float(value) for value in values]
    return found


def _sensible(kind: Sparsity, values: Sequence[float], n_latents: int) -> Sequence[float]:
    """Default numbers as far as a half of the latents allows; those given by the user as they are."""
    if kind not in BY_K or values is not STRENGTHS[kind]:
        return values
    most = max(1, n_latents // 2)
    return [value for value in values if value <= most] or [most]


def _configs(
    cells: Cells, base: Config, strengths: Mapping[Sparsity, Sequence[float]], sizes: list[int], seeds: range
) -> list[Config]:
    """Settings of all fits, every None filled in; refuses those that contradict each other."""
    configs = []
    for kind, values in strengths.items():
        code: Code | None = base.code if kind != "kl" else "sigmoid"
        for size in sizes:
            for value in _sensible(kind, values, size):
                k, weight = (float(value), base.weight) if kind in BY_K else (base.k, float(value))
                own = replace(base, sparsity=kind, k=k, weight=weight, n_latents=size, code=code)
                configs += [resolve(replace(own, seed=seed), cells.n, cells.n_features) for seed in seeds]
    return configs


def _fits(
    cells: Cells, configs: list[Config], threshold: float, *, relative: bool, order: int, progress: bool
) -> pd.DataFrame:
    """Train all settings, and measure each on the held-out cells."""
    rows = []
    with _progress.bar("sweep", "fits", len(configs), progress=progress) as bar:
        for together in _together(configs, cells.n_features):
            for fit in train(cells, together, order=order):
                rows.append(_row(fit, cells, threshold, relative=relative))
                bar.update()
    return pd.DataFrame(rows)


def _row(fit: Fit, cells: Cells, threshold: float, *, relative: bool) -> dict[str, Any]:
    config = fit.config
    return {
        "sparsity": config.sparsity,
        "n_latents": int(config.n_latents or 0),
        "strength": float((config.k if config.sparsity in BY_K else config.weight) or 0),
        "seed": config.seed,
        "unexplained": fit.unexplained,
        **trade_off.of_codes(_codes(fit.network, cells), threshold, relative=relative),
        "n_epochs": fit.n_epochs,
    }


def _codes(network: Network, cells: Cells) -> sp.csr_matrix:
    """Codes of the held-out cells."""
    blocks = (batch if isinstance(batch, np.ndarray) else batch.cpu().numpy() for batch in cells.held_out())
    return sp.vstack([encode(network, block) for block in blocks], format="csr")


def _together(configs: list[Config], d: int) -> Iterator[list[Config]]:
    """Settings in their order, so many at a time as fit in memory: four float32 per parameter and network."""
    part: list[Config] = []
    size = 0
    for config in configs:
        widths = [d, *config.hidden, config.n_latents or 0]
        own = 2 * 16 * sum(a * b for a, b in pairwise(widths))
        if part and size + own > TOGETHER_BYTES:
            yield part
            part, size = [], 0
        part.append(config)
        size += own
    yield part


def _compared(table: pd.DataFrame, by: str, kinds: Sequence[str]) -> pd.DataFrame:
    """Kinds at equal sparsity, for each number of latents."""
    groups = table.groupby("n_latents", sort=False)
    parts = [trade_off.equal_sparsity(rows, by=by).assign(n_latents=n_latents) for n_latents, rows in groups]
    compared = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    if compared.empty and len(kinds) > 1:
        reached = ", ".join(
            f"{kind} {rows[by].min():.3g} to {rows[by].max():.3g}"
            for kind, rows in table.groupby("sparsity", sort=False)
        )
        msg = (
            f"The kinds of sparsity have no {by} in common ({reached}), so they are not compared. Try other strengths, "
            "more epochs, or another measure (by)."
        )
        warn(msg)
    return compared
