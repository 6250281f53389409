"""Would other cells have the same archetypes, and do the cells have corners at all."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import keys, lookup, store
from pathwayae._slots.archetypes import fitted
from pathwayae.core.archetypes import bootstrap, solver, t_ratio
from pathwayae.core.gates import gated
from pathwayae.core.notice import warn
from pathwayae.tl._archetypes import sample
from pathwayae.tl._archetypes.sample import BATCH, Sample

logger = logging.getLogger("pathwayae")

LEVEL = 0.05  # of the p-value
FEW = 3  # cells per dimension, below which the permuted cells remember what they were

Floats = NDArray[np.float64]


@gated()
def archetype_trust(
    adata: AnnData,
    *,
    n_bootstrap: int = 50,
    n_permutations: int = 100,
    null: Literal["axes", "features"] = "axes",
    sample_key: str | None = None,
    max_cells: int = 5_000,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.ARCHETYPES,
    copy: bool = False,
) -> AnnData | None:
    r"""Ask of archetypes whether they are real: would other cells have them, and do the cells have corners at all.

    **Other cells.** Archetypes are fitted again to cells drawn with replacement (Efron 1979, 10.1214/aos/1176344552),
    with the settings of the fit and new starts, and matched one to one to those of the fit (smallest sum of squared
    distances). An archetype is found again where the draw is less than half of the way to the nearest other
    archetype. It is stable where 90 % of the draws find it again. One archetype too many has no place of its own and
    wanders.

    **Corners.** The t-ratio is the volume of the archetypes' simplex over that of the convex hull of the cells, in the
    k − 1 dimensions that the archetypes span (Hart et al. 2015, 10.1038/nmeth.3254; Shoval et al. 2012,
    10.1126/science.1217405, take the inverse of enclosing simplices). It is compared with archetypes fitted in the
    same way to cells without corners: turned to their principal axes, permuted on each axis, and given back their exact
    covariance. So scales and correlations are the same, and neither is evidence; what is tested is the shape.
    :math:`p = (b + 1) / (B + 1)` with b of B draws at least as large, never 0 and uniform where the cells have normal
    axes. The same is said of the explained variance, which needs no volume and so serves any k. Groups of cells far
    from each other have corners too, and skewed axes pass for a shape more often than p says.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``, with the embedding or the genes that they were fitted to.
    n_bootstrap
        Number of draws of cells.
    n_permutations
        Number B of permutations; 0 to leave out the test of corners. p is at least ``1 / (B + 1)``.
    null
        ``"axes"``: as above. ``"features"``: dimensions are permuted as they are, which breaks their correlations too:
        the classic test, right for principal components, where both are the same but for chance.
    sample_key
        Column of ``obs``, such as the donor: whole donors are drawn, as cells of one donor are alike.
    max_cells
        Of more cells than this so many are drawn at random first. The spread is then that of fewer cells, so too large
        rather than too small; the archetypes are compared with those of the fit, the volumes with a fit to these cells.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        Seed of draws, permutations and starts.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the archetypes.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes into ``uns[key]``, in the place of an earlier call,

    - ``trust``: a DataFrame, one row per archetype: ``archetype``; ``spread``: root mean squared distance between the
      archetype and its draws, ``spread_high``: their 95 % quantile, ``nearest``: distance to the nearest other
      archetype, all in units of the mean distance between two archetypes; ``found_again``: share of draws;
      ``n_draws``; ``verdict``: ``"stable"`` or ``"unstable"``.
    - ``shape``: a DataFrame with a row for ``t_ratio`` and ``explained_variance``: ``statistic``, ``observed``,
      ``null_mean``, ``null_high`` (95 % quantile), ``pval``, ``n_permutations``. The t-ratio is NaN above 6 dimensions
      and where archetypes span less than k − 1. Absent without permutations.
    - ``verdict``: one line that begins with ``"stable"`` where all archetypes are and p is at most 0.05, of the t-ratio
      where there is one.
    - ``bootstrap``: the archetypes of all draws, matched, float32, draws × archetypes × dimensions; for archetypes of
      an embedding.

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, or a slot or column does not exist.
    TypeError
        If a number is not of its kind.
    ValueError
        If a parameter is out of range, there is one archetype only, there are fewer than 3 samples, or a draw holds
        fewer distinct cells than archetypes.

    Warns
    -----
    pathwayae.DataWarning
        If there are fewer than three cells per dimension to permute.

    See Also
    --------
    pathwayae.get.archetype_trust, pathwayae.pl.archetypes, pathwayae.tl.archetype_selection

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(400, 300, 5)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 3, progress=False)
    >>> pae.tl.archetype_trust(adata, n_bootstrap=10, n_permutations=19, progress=False)
    >>> pae.get.archetype_trust(adata).shape
    (3, 7)
    """
    _check(n_bootstrap, n_permutations, max_cells, random_state)
    _checks.choice("null", null, ("axes", "features"))
    _checks.choice("progress", progress, (True, False))
    _checks.choice("copy", copy, (True, False))
    model = fitted(adata, key)
    if len(model.names) < 2:
        msg = (
            f"adata.uns[{key!r}] holds one archetype, the mean of the cells, so there is nothing to ask; fit two or "
            "more."
        )
        raise ValueError(msg)
    streams = [np.random.default_rng([random_state, i]) for i in range(3)]
    cells = sample.sample(sample.of_fit(adata, key, model), max_cells, streams[0])
    config = sample.config(model, device=device)
    strata = cells.strata(adata, sample_key)
    drawn = refitted(cells.values, config, n_bootstrap, streams[1], strata=strata, progress=progress)
    matched = bootstrap.match(model.coordinates, drawn)
    written: dict[str, Any] = {keys.TRUST: bootstrap.spread(model.names, model.coordinates, matched)}
    if model.params["obsm"]:
        written[keys.BOOTSTRAP] = matched.astype(np.float32)
    if n_permutations:
        _warn_of_few(*cells.values.shape)
        explained = float(lookup.value(adata, key, keys.EXPLAINED_VARIANCE))
        observed = _observed(cells, config, model.coordinates, explained)
        written[keys.SHAPE] = _shape(
            cells, config, observed, n_permutations, streams[2], axes=null == "axes", progress=progress
        )
    written[keys.VERDICT] = verdict(written[keys.TRUST], written.get(keys.SHAPE))
    logger.info("Archetypes: %s", written[keys.VERDICT])
    target = adata.copy() if copy else adata
    store.add(target, key, written, instead_of=(keys.TRUST, keys.SHAPE, keys.VERDICT, keys.BOOTSTRAP))
    return target if copy else None


def _check(n_bootstrap: Any, n_permutations: Any, max_cells: Any, random_state: Any) -> None:
    _checks.number("n_bootstrap", n_bootstrap, 1, integer=True)
    _checks.number("n_permutations", n_permutations, 0, integer=True)
    _checks.number("max_cells", max_cells, 10, integer=True)
    _checks.number("random_state", random_state, 0, integer=True)


def _warn_of_few(n: int, d: int) -> None:
    if n < FEW * d:
        msg = (
            f"{n} cells of {d} dimensions are too few to tell their shape by permuting them; fit archetypes to a few "
            "principal components or scores, or pass n_permutations=0."
        )
        warn(msg)


def refitted(
    values: Any,
    config: solver.Config,
    n_draws: int,
    rng: np.random.Generator,
    *,
    strata: NDArray[np.intp] | None,
    progress: bool,
) -> list[Floats]:
    """Archetypes of cells drawn with replacement, a few draws at a time so that their weights need little memory."""
    bar = _progress.bar("draws of cells", "fits", n_draws, progress=progress)
    found: list[Floats] = []
    with bar:
        for times in _batched(bootstrap.draws(values.shape[0], n_draws, rng, strata=strata), BATCH):
            configs = [sample.seeded(config, rng) for _ in times]
            fits = solver.fit_many(values, configs, row_weights=np.array(times, dtype=np.float64))
            found += [fit.archetypes for fit in fits]
            bar.update(len(fits))
    return found


def _batched(values: Iterable[Any], n: int) -> Iterator[list[Any]]:
    remaining = iter(values)
    while batch := list(islice(remaining, n)):
        yield batch


def _observed(cells: Sample, config: solver.Config, archetypes: Floats, explained: float) -> tuple[float, float]:
    """t-ratio and explained variance of the fit, or of one to some of the cells."""
    if not cells.whole:
        fit = solver.fit(cells.values, config)
        archetypes, explained = fit.archetypes, fit.explained_variance
    return t_ratio.t_ratio(cells.dense(), archetypes), explained


def _shape(
    cells: Sample,
    config: solver.Config,
    observed: tuple[float, float],
    n: int,
    rng: np.random.Generator,
    *,
    axes: bool,
    progress: bool,
) -> pd.DataFrame:
    """Both statistics against archetypes of cells without corners."""
    null = t_ratio.Null(cells.dense(), axes=axes)
    found = np.empty((n, 2))
    for i in _progress.bar("permutations", "fits", n, progress=progress, items=range(n)):
        values = null.draw(rng)
        fit = solver.fit(values, sample.seeded(config, rng))
        ratio = t_ratio.t_ratio(values, fit.archetypes) if np.isfinite(observed[0]) else np.nan
        found[i] = ratio, fit.explained_variance
    rows = [t_ratio.significance(value, column) for value, column in zip(observed, found.T, strict=True)]
    table = pd.DataFrame(rows)
    table.insert(0, "statistic", np.array(["t_ratio", "explained_variance"], dtype=object))
    return table.assign(n_permutations=n)


def verdict(trust: pd.DataFrame, shape: pd.DataFrame | None) -> str:
    """One line on all archetypes."""
    lost = trust.loc[trust["verdict"] != "stable", "archetype"].tolist()
    n, n_draws = len(trust), int(trust["n_draws"].iloc[0])
    said = f"{n - len(lost)} of {n} archetypes are found again in 90 % of {n_draws} draws"
    if lost:
        said += f" (not {', '.join(lost)})"
    corners = True
    if shape is None:
        said += "; corners not tested"
    else:
        known = shape[shape["pval"].notna()].iloc[0]
        corners = bool(known["pval"] <= LEVEL)
        name = str(known["statistic"]).replace("t_ratio", "t-ratio").replace("_", " ")
        said += f"; {name} {known['observed']:.3g} against {known['null_mean']:.3g} without corners"
        said += f", p = {known['pval']:.2g}"
    return f"{'stable' if corners and not lost else 'unstable'}: {said}"
