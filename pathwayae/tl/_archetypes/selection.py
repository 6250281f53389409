"""How many archetypes: fits of several numbers side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import keys, store
from pathwayae.core.archetypes import bootstrap, selection, solver
from pathwayae.core.gates import gated
from pathwayae.tl._archetypes import cells as of_archetypes
from pathwayae.tl._archetypes import sample
from pathwayae.tl._archetypes.settings import ArchetypesSettings, check, config_of
from pathwayae.tl._archetypes.trust import refitted

logger = logging.getLogger("pathwayae")


@gated()
def archetype_selection(
    adata: AnnData,
    n_archetypes: Sequence[int] | range = range(2, 11),
    *,
    obsm: str | None = "X_pae",
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    n_bootstrap: int = 20,
    sample_key: str | None = None,
    n_restarts: int = 3,
    start: Literal["aa++", "furthest_sum", "kmeans++"] = "aa++",
    max_cells: int = 5_000,
    settings: ArchetypesSettings | None = None,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key_added: str = keys.ARCHETYPES,
    copy: bool = False,
) -> AnnData | None:
    r"""Fit several numbers of archetypes and say which to take, and why.

    For each number k:

    - the **explained variance**, centred, and its **knee**: the k that lies furthest above the straight line from
      the smallest to the largest k tried (Satopää et al. 2011, 10.1109/ICDCSW.2011.20), neither of which it can be;
    - an **information criterion** (Schwarz 1978, 10.1214/aos/1176344136),
      :math:`nd \ln(\mathrm{RSS} / nd) + \ln(n)\,[kd + \sum_i (|\mathrm{supp}(a_i)| - 1)]`: a cell spends the dimension
      of the face that it is projected onto (Meyer and Woodroofe 2000, 10.1214/aos/1015956708). It holds for residuals
      of one variance in all dimensions, which those of real cells do not have; there it says little;
    - with draws of cells, the **number of stable archetypes**, as :func:`pathwayae.tl.archetype_trust` has them.

    The largest k of which every archetype is stable is recommended: one too many has no place of its own and wanders
    from draw to draw. Without draws, or where no k is stable, it is the knee.

    Parameters
    ----------
    adata
        Cells.
    n_archetypes
        Numbers to try, each 2 or more.
    obsm, layer, mask_var
        What to fit, as in :func:`pathwayae.tl.archetypes`.
    n_bootstrap
        Number of draws of cells for each k; 0 for none.
    sample_key
        Column of ``obs``, such as the donor, of which whole values are drawn.
    n_restarts
        Starts of every fit, so that a bad one is not mistaken for a bad k.
    start, settings
        As in :func:`pathwayae.tl.archetypes`.
    max_cells
        Of more cells than this so many are drawn at random first.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        Seed of cells, draws and starts.
    progress
        Show progress bars on a terminal or in a notebook.
    key_added
        The result goes to ``uns["{key_added}_selection"]``, where a fit does not touch it.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns["archetypes_selection"]``: ``n_archetypes``, the recommended number;
    ``reason``, one line; ``params``; and ``table``, a DataFrame with one row per k: ``n_archetypes``,
    ``explained_variance``, ``gap`` (of the certificate, relative to the total variance), ``bic``, ``n_stable`` and
    ``spread`` (mean over the archetypes; NaN without draws), and whether it is the ``knee``, the ``lowest_bic``,
    ``chosen``.

    Raises
    ------
    KeyError
        If an embedding, layer or column does not exist.
    TypeError
        If a number is not of its kind.
    ValueError
        If a number of archetypes is below 2, repeated, or above that of distinct cells, or a parameter is out of range.

    See Also
    --------
    pathwayae.get.archetype_selection, pathwayae.pl.archetype_selection

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(400, 300, 5)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetype_selection(adata, range(2, 5), n_bootstrap=0, progress=False)
    >>> pae.get.archetype_selection(adata)["n_archetypes"].tolist()
    [2, 3, 4]
    """
    numbers = _numbers(n_archetypes)
    own = check(settings, n_restarts, random_state, progress=progress, copy=copy)
    _checks.number("n_bootstrap", n_bootstrap, 0, integer=True)
    _checks.number("max_cells", max_cells, 10, integer=True)
    streams = [np.random.default_rng([random_state, i]) for i in range(2)]
    cells = sample.sample(of_archetypes.read(adata, obsm, layer, mask_var), max_cells, streams[0])
    strata = cells.strata(adata, sample_key)
    configs = [
        config_of(own, k, start=start, n_restarts=n_restarts, device=device, random_state=random_state) for k in numbers
    ]
    fits = []
    for config in _progress.bar("numbers", "fits", len(configs), progress=progress, items=configs):
        fits += solver.fit_many(cells.values, [config])
    stability = None
    if n_bootstrap:
        stability = [
            _stable(cells.values, config, fit, n_bootstrap, int(streams[1].integers(2**31)), strata, progress=progress)
            for config, fit in zip(configs, fits, strict=True)
        ]
    n, d = cells.values.shape
    criteria = [_criterion(fit, n, d) for fit in fits]
    table, reason = selection.table(
        numbers, [fit.explained_variance for fit in fits], [fit.gap for fit in fits], criteria, stability
    )
    logger.info("Number of archetypes: %s.", reason)
    target = adata.copy() if copy else adata
    params = asdict(own) | {"obsm": obsm, "layer": layer, "n_bootstrap": n_bootstrap, "sample_key": sample_key}
    params |= {"n_restarts": n_restarts, "max_cells": max_cells, "random_state": random_state, "n_cells": n}
    found = {
        keys.PARAMS: {name: "" if value is None else value for name, value in params.items()},
        keys.TABLE: table,
        keys.REASON: reason,
        keys.CHOSEN: int(table.loc[table["chosen"], "n_archetypes"].iloc[0]),
    }
    store.put_before_a_fit(target, keys.selection(key_added), found)
    return target if copy else None


def _numbers(n_archetypes: Any) -> list[int]:
    numbers = list(n_archetypes) if not isinstance(n_archetypes, int) else [n_archetypes]
    for k in numbers:
        _checks.number("n_archetypes", k, 2, integer=True)
    if not numbers or len(set(numbers)) < len(numbers):
        msg = f"n_archetypes={numbers} must name at least one number, and none twice; for instance range(2, 11)."
        raise ValueError(msg)
    return sorted(int(k) for k in numbers)


def _stable(
    values: Any,
    config: solver.Config,
    fit: solver.Fit,
    n_draws: int,
    seed: int,
    strata: NDArray[np.intp] | None,
    *,
    progress: bool,
) -> tuple[int, float]:
    """How many archetypes are stable, and their mean spread."""
    drawn = refitted(values, config, n_draws, np.random.default_rng(seed), strata=strata, progress=progress)
    names = [str(j) for j in range(config.n_archetypes)]
    table = bootstrap.spread(names, fit.archetypes, bootstrap.match(fit.archetypes, drawn))
    return int((table["verdict"] == "stable").sum()), float(table["spread"].mean())


def _criterion(fit: solver.Fit, n: int, d: int) -> float:
    total = fit.scale**2 * n
    return selection.bic((1.0 - fit.explained_variance) * total, total, fit.weights, d)
