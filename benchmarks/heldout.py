"""What ranks the genes that were taken out of real sets, and how much of it says nothing of the set.

``python benchmarks/run.py heldout``; tried for T3 of ``python benchmarks/compare``, which reports other collections.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import counts
import numpy as np
import pandas as pd
import scipy.sparse as sp
from tabulate import tabulate

import pathwayae as pae
from pathwayae.core.evidence import additions, association, refine
from pathwayae.core.grouped.members import member_weights

sys.path.insert(1, str(Path(__file__).parent / "compare"))
import problems
from results import auroc

FOLDED = ("Baron, PanglaoDB", "Kang, PanglaoDB", "PBMC3k, Hallmark", "PBMC3k, KEGG")
FOLDS = (0, 1)
REPORTED = "T3's small"
LEAST = -50.0  # of genes that do not vary
ORDERS = {
    "loadings": "loadings of the fit",
    "evidence": "refine: evidence alone",
    "visible": "refine: visibility alone",
    "free": "refine: evidence and visibility",
    "refine": "refine: what it writes, visibility speaks against a gene alone",
    "profiles": "correlation of profiles, members alike",
    "weighted": "correlation of profiles, members weighted",
    "ridge": "ridge prediction, members alike",
}
WHAT = """\
A fifth of the genes of every set (of 10 or more) is taken out, twice; all genes outside the set are ranked. In each
field: AUROC, median over sets; recall in the first 50 and in the first 200, mean over sets.

*Visibility* is a gene's mean, variance and shared variance, whose worth for a set `tl.refine` learns from its members:
what a set's genes have in common with most that are named in any set, and nothing of what they do. The evidence is made
of the two views in the last rows, *profiles* and *ridge*."""
READ = """\
By AUROC visibility alone ranks held-out genes as well as the evidence does: it orders all genes by how well they are
seen. In the first 50 it finds a quarter to little over half as many. What `tl.refine` writes lets it speak against a
gene and never for it, since no gene is a member for being seen, and that is what it loses against evidence and
visibility together. The loadings are above the evidence because their probabilities hold visibility. Weighing the
members in the evidence changes little, either way. So AUROC is read with care here, and recall in the first genes
first."""


def run() -> tuple[str, str, dict[str, Any]]:
    warnings.filterwarnings("ignore", category=pae.DataWarning)
    found: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    for key in (*FOLDED, REPORTED):
        folds = [problems.small_fold()] if key == REPORTED else [problems.fold(key, i) for i in FOLDS]
        found[key] = {}
        for made in folds:
            for order, figures in ranked(made).items():
                found[key].setdefault(order, []).append(figures)
        print(f"{key} done", flush=True)
    rows = [
        {"genes ordered by": title} | {key: text(np.mean(of[order], axis=0)) for key, of in found.items()}
        for order, title in ORDERS.items()
    ]
    return "Held-out genes", "\n\n".join([WHAT, READ, tabulate(rows, headers="keys", tablefmt="pipe")]), found


def text(figures: np.ndarray) -> str:
    return " / ".join(f"{value:.3f}" for value in figures)


def ranked(made: problems.Made) -> dict[str, tuple[float, ...]]:
    """By order the three figures."""
    (cells, sets, *_), hidden = made.problem, made.truth["hidden"]
    pae.tl.fit(cells, sets, min_genes=counts.FEWEST_GENES, progress=False)
    names = pae.get.pathways(cells)["pathway"].tolist()
    varies = np.isfinite(cells.var["pae_scale"].to_numpy())
    table = cells.varm["pae_loadings"][:, : len(names)]
    loadings = table.toarray() if sp.issparse(table) else np.asarray(table)
    values = orders(cells[:, varies], sets, names)
    whole = {"loadings": loadings}
    for order, part in values.items():
        whole[order] = np.full(loadings.shape, LEAST)
        whole[order][varies] = part
    return {order: measured(table, cells.var_names, names, sets, hidden) for order, table in whole.items()}


def orders(cells: Any, sets: dict[str, list[str]], names: list[str]) -> dict[str, np.ndarray]:
    """What there is beside the loadings, genes × sets."""
    member = np.column_stack([cells.var_names.isin(sets[name]) for name in names])
    moments = pae.pp.moments(cells, progress=False)
    prepared = association.prepare(moments.standardize(scale="unit").gram)
    views = association.association(prepared, member, even=True)
    seen = association.visibility(prepared, moments.mean, moments.variance)
    weighed = refine.refine(views, member, covariates=seen)
    bounded = additions.earned(weighed, member)
    weights = member_weights(prepared, sp.csc_array(member.astype(float)))
    return {
        "evidence": weighed.evidence,
        "visible": weighed.prior,
        "free": weighed.prior + weighed.evidence,
        "refine": bounded.prior + bounded.evidence,
        "profiles": views[:, :, 0],
        "weighted": association.correlations_left_out(prepared.similarity, weights.toarray().T.copy()).T,
        "ridge": views[:, :, 1],
    }


def measured(table: np.ndarray, genes: pd.Index, names: list[str], sets: dict, hidden: dict) -> tuple[float, ...]:
    """Median AUROC, and mean recall at 50 and at 200."""
    found = []
    for values, name in zip(table.T, names, strict=True):
        outside = ~genes.isin(sets[name])
        out = genes.isin(hidden[name])[outside]
        if out.any():
            first = np.argsort(-values[outside], kind="stable")
            found.append((auroc(values[outside], out), *(out[first[:n]].sum() / out.sum() for n in (50, 200))))
    areas, *recalls = np.array(found).T
    return float(np.median(areas)), *(float(recall.mean()) for recall in recalls)
