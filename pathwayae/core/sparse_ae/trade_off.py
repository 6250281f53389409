"""Reconstruction against sparsity over settings: what a code leaves unexplained, and settings at equal sparsity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pathwayae.core.sparse_ae import measures

Floats = NDArray[np.float64]

MEASURES = ("l0", "population", "hoyer")


def of_codes(codes: Any, threshold: float = measures.THRESHOLD, *, relative: bool = False) -> dict[str, float]:
    """Sparsity of the codes of held-out cells in one row: means over cells, and latents that none of them activates.

    Returns
    -------
    ``l0``, ``population``, ``hoyer`` (means over cells) and ``never``, the share of latents that no cell activates.
    """
    held = measures.checked(codes)
    cells = measures.of_cells(held, threshold, relative=relative)
    row = measures.summary(cells, measures.active(held, threshold, relative=relative))
    return {name: row[name] for name in (*MEASURES, "never")}


def over_seeds(fits: pd.DataFrame, setting: list[str], values: list[str]) -> pd.DataFrame:
    """Mean of each value over the fits of a setting, its standard deviation (0 of one fit) as ``{value}_sd``.

    Parameters
    ----------
    fits
        A row per fit.
    setting
        Columns that tell settings apart; order is that of their first fit.
    values
        Columns to average.

    Returns
    -------
    pandas.DataFrame
        A row per setting: its columns, ``n_fits``, and the values.
    """
    groups = fits.groupby(setting, sort=False, dropna=False)
    mean, spread = groups[values].mean(), groups[values].std(ddof=1).fillna(0.0)
    table = mean.join(spread.add_suffix("_sd"))
    table.insert(0, "n_fits", groups.size())
    return table.reset_index()


def equal_sparsity(
    settings: pd.DataFrame, *, by: str = "l0", group: str = "sparsity", n_points: int = 9
) -> pd.DataFrame:
    """What each kind of sparsity leaves unexplained at the same sparsity, by interpolation between its settings.

    Each kind is a curve through the settings that are worth having: those for which none of the same kind is at least
    as sparse and leaves less unexplained. Between two of them it is linear, in the logarithm of ``l0`` or
    ``population``. Nothing is extrapolated: a sparsity appears where two kinds or more have settings on both sides, and
    with these kinds only.

    Parameters
    ----------
    settings
        A row per setting, with columns `group`, `by` and ``unexplained``. Settings without any active latent
        (``l0`` of 0) or with a NaN are left out.
    by
        ``"l0"``, ``"population"`` or ``"hoyer"``.
    group
        Column that names the kinds.
    n_points
        Number of sparsities, evenly spaced over the range that two kinds or more reach, in the logarithm as above.

    Returns
    -------
    pandas.DataFrame
        A row per sparsity and kind: `by`, `group`, ``unexplained``. No rows where no ranges overlap or there is one
        kind.

    Raises
    ------
    ValueError
        If `by` is unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"sparsity": ["l1", "l1", "kl", "kl"], "hoyer": [0.2, 0.6, 0.4, 0.8],
    ...                       "unexplained": [0.1, 0.5, 0.2, 0.4]})
    >>> equal_sparsity(table, by="hoyer", n_points=2).round(3).to_numpy().tolist()
    [[0.4, 'l1', 0.3], [0.4, 'kl', 0.2], [0.6, 'l1', 0.5], [0.6, 'kl', 0.3]]
    """
    if by not in MEASURES:
        msg = f"by={by!r} is not known; choose one of {', '.join(map(repr, MEASURES))}."
        raise ValueError(msg)
    logarithmic = by != "hoyer"
    used = settings[np.isfinite(settings[by]) & np.isfinite(settings["unexplained"])]
    used = used[used[by] > 0] if logarithmic else used
    curves = {}
    for kind, own in used.groupby(group, sort=False):
        x, y = own[by].to_numpy(dtype=np.float64), own["unexplained"].to_numpy(dtype=np.float64)
        curves[str(kind)] = _worth_having(np.log(x) if logarithmic else -x, y)
    rows: list[dict[str, Any]] = []
    for x in _shared(list(curves.values()), n_points):
        value = float(np.exp(x) if logarithmic else -x)
        reached = {kind: curve for kind, curve in curves.items() if curve[0][0] <= x <= curve[0][-1]}
        if len(reached) > 1:
            rows += [{by: value, group: kind, "unexplained": float(np.interp(x, *c))} for kind, c in reached.items()]
    if not rows:
        return pd.DataFrame({by: np.zeros(0), group: np.zeros(0, dtype=object), "unexplained": np.zeros(0)})
    return pd.DataFrame(rows).sort_values(by, kind="stable", ignore_index=True)


def _worth_having(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Points, x ascending, that no other one lies to the left of or at, and below or at."""
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    best = np.minimum.accumulate(np.concatenate([[np.inf], y[:-1]]))
    return x[y < best], y[y < best]


def _shared(curves: list[tuple[Floats, Floats]], n_points: int) -> Floats:
    """Places from the first to the last at which two curves or more lie."""
    ends = [float(end) for x, _ in curves for end in (x[0], x[-1])]
    covered = [end for end in ends if sum(x[0] <= end <= x[-1] for x, _ in curves) > 1]
    if not covered:
        return np.zeros(0)
    low, high = min(covered), max(covered)
    places = np.linspace(low, high, n_points if high > low else 1)
    places[-1] = high  # rounding must not lose the end
    return places
