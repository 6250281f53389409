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

import pathwayae as pae
from pathwayae.core.evidence import association, refine
from pathwayae.core.grouped.members import member_weights

sys.path.insert(1, str(Path(__file__).parent / "compare"))
import problems
from contract import Problem
from tasks import heldout as task

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
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for key in (*FOLDED, REPORTED):
        folds = [problems.small_fold()] if key == REPORTED else [problems.fold(key, i) for i in FOLDS]
        found[key] = {order: [] for order in ORDERS}
        for made in folds:
            for order, values in orders(made.problem).items():
                found[key][order].append(measured(values, made))
        print(f"{key} done", flush=True)
    rows = [
        {"genes ordered by": title} | {key: text(pd.DataFrame(of[order]).mean()) for key, of in found.items()}
        for order, title in ORDERS.items()
    ]
    return "Held-out genes", "\n\n".join([WHAT, READ, pd.DataFrame(rows).to_markdown(index=False)]), found


def text(figures: pd.Series) -> str:
    return " / ".join(f"{value:.3f}" for value in figures)


def orders(problem: Problem) -> dict[str, pd.DataFrame]:
    """What genes are ordered by, genes × sets; genes that do not vary come last."""
    whole, sets = problem.cells, problem.sets
    pae.tl.fit(whole, sets, min_genes=counts.FEWEST_GENES, progress=False)
    pae.tl.refine(whole, progress=False)
    names = pae.get.pathways(whole)["pathway"].tolist()
    cells = whole[:, np.isfinite(whole.var["pae_scale"].to_numpy())]
    member = np.column_stack([cells.var_names.isin(sets[name]) for name in names])
    moments = pae.pp.moments(cells, progress=False)
    prepared = association.prepare(moments.standardize(scale="unit").gram)
    views = association.association(prepared, member, even=True)
    seen = association.visibility(prepared, moments.mean, moments.variance)
    weighed = refine.refine(views, member, covariates=seen)
    weights = member_weights(prepared, sp.csc_array(member.astype(float)))
    loadings = cells.varm["pae_loadings"][:, : len(names)]
    values = {
        "loadings": loadings.toarray() if sp.issparse(loadings) else loadings,
        "evidence": weighed.evidence,
        "visible": weighed.prior,
        "free": weighed.prior + weighed.evidence,
        "refine": cells.varm["pae_prior"].astype(float) + cells.varm["pae_evidence"],
        "profiles": views[:, :, 0],
        "weighted": association.correlations_left_out(prepared.similarity, weights.toarray().T.copy()).T,
        "ridge": views[:, :, 1],
    }
    tables = {order: pd.DataFrame(np.asarray(of), cells.var_names, names) for order, of in values.items()}
    return {order: table.reindex(whole.var_names, fill_value=LEAST) for order, table in tables.items()}


def measured(values: pd.DataFrame, made: problems.Made) -> dict[str, float]:
    """Median AUROC over sets, and mean recall at 50 and at 200."""
    sets, hidden = made.problem.sets, made.truth["hidden"]
    found = pd.DataFrame([task.recovered(values[name], sets[name], hidden[name]) for name in values if hidden[name]])
    return {"AUROC": found["AUROC"].median()} | found.drop(columns="AUROC").mean().to_dict()
