"""Whether a score speaks for its whole pathway: figures per pathway, and a flag where it does not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped import components
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.encoder import Encoder, Weights, balanced_encoder, expression_bins
from pathwayae.core.grouped.model import Model
from pathwayae.core.grouped.variances import agreement, figures_together, powers, share_of_part
from pathwayae.core.moments.moments import CONSTANT
from pathwayae.core.notice import listed, warn
from pathwayae.core.threads import one_thread

COLLAPSED = 0.01  # length of a column; one that reconstructs its genes has a length near 1
HALF = 0.5
FEW = 2  # genes, which cannot speak for a pathway
MEANING = {
    "constant": "have a score that does not vary (flag 'constant')",
    "collapsed": "were given up by the descent, and their loadings say nothing (flag 'collapsed')",
    "few genes": f"have {FEW} genes or fewer in the model, which cannot speak for a pathway (flag 'few genes')",
    "one gene": "have over half of their squared loading, or of the weight of their score, on one gene: they say what "
    "that gene says (flag 'one gene')",
    "outside": "have a score of whose variance genes outside the pathway make over half (flag 'outside')",
    "disagrees": "have a score that goes with the mean of their genes by less than 0.5 (flag 'disagrees'): it means "
    "something else than its name",
    "duplicate": "have the same genes in the model as another, so that the data cannot tell them apart (flag "
    "'duplicate'; keep one of each)",
}


class Quality(NamedTuple):
    """Figures of a model on the cells of its fit.

    ``pathways`` is a table, see :func:`assess`; ``variance_ratio`` and ``power`` are of every score, shape (k,), and
    ``together`` is the share of the variance that all of them explain.
    """

    pathways: pd.DataFrame
    variance_ratio: NDArray[np.float64]
    together: float
    power: NDArray[np.float64]


def assess(problem: grouped.Problem, model: Model, names: Sequence[str]) -> Quality:
    """Figures of the model; per pathway ``n_effective``, ``top_gene_share``, ``agreement``, ``outside`` and ``flag``.

    Flagged pathways are warned of. See :func:`pathwayae.get.pathways`.
    """
    data, p, fit = problem.data, problem.membership.shape[1], model.fit
    member = sp.csc_array(problem.membership)
    own = model.encoder.of_components(slice(p))
    parts = [member.astype(np.float64)]
    if problem.config.scores != "members" or problem.config.joint:  # others are made by members alone
        # The encoder is the balanced weights up to the length of each column.
        length = np.maximum(fit.encoder.lengths()[:p], 1e-300)
        parts.append(_beyond(fit.weights[:, :p], member, own.lengths() / length))
    bins = expression_bins(data.mean) if problem.config.balance else None
    others = [Encoder(part) if bins is None else balanced_encoder(part, bins) for part in parts]
    with one_thread(2.0 * model.encoder.shape[0] * model.encoder.shape[1] ** 2):
        found, together = figures_together(data.gram, model.encoder, *others)
        plain = powers(data.gram, others[0])
    loadings, weights = model.loadings[:, :p], fit.weights[:, :p]
    table = pd.DataFrame(
        {
            "n_effective": np.minimum(components.n_effective(loadings), components.n_effective(weights)),
            "top_gene_share": np.maximum(components.largest_share(loadings), components.largest_share(weights)),
            "agreement": agreement(found, plain),
            "outside": share_of_part(found, 1)[:p] if len(others) > 1 else np.zeros(p),
        }
    )
    norm = model.norm[:p] if fit.history else np.ones(p)
    power = found.power[:p] / (data.total / len(data.mean))
    table["flag"] = flags(sp.csr_matrix(member), norm, power, table)
    report(table["flag"], names)
    return Quality(table, found.variance_ratio(data.total), together, found.power)


def _beyond(weights: Weights, member: sp.csc_array, length: NDArray[np.float64]) -> Weights:
    """Weights of the genes that are no members, columns times their lengths."""
    if sp.issparse(weights):
        return (weights - weights.multiply(member)).tocsc() @ sp.diags_array(length)
    return np.where(member.toarray(), 0.0, weights) * length


def flags(
    membership: sp.csr_matrix, norm: NDArray[np.float64], power: NDArray[np.float64], table: pd.DataFrame
) -> NDArray[np.object_]:
    """What is wrong with the score of a pathway, ``""`` for nothing, the gravest of ``MEANING`` for several.

    Parameters
    ----------
    membership
        Genes of the model × pathways, shape (g, p).
    norm
        Length of the column of each pathway at the end of the descent, shape (p,).
    power
        Variance of each score in the cells of the fit, relative to that of a gene, shape (p,).
    table
        ``top_gene_share``, ``agreement`` and ``outside`` of each pathway.
    """
    columns = membership.tocsc().sorted_indices()
    parts = [slice(a, b) for a, b in itertools.pairwise(columns.indptr)]
    keys = pd.Series([columns.indices[part].tobytes() + columns.data[part].tobytes() for part in parts])
    found = {
        "constant": ~(power > CONSTANT),
        "collapsed": norm < COLLAPSED,
        "few genes": np.diff(columns.indptr) <= FEW,
        "one gene": table["top_gene_share"].to_numpy() > HALF + 1e-6,
        "outside": table["outside"].to_numpy() > HALF,
        "disagrees": ~(table["agreement"].to_numpy() >= HALF),
        "duplicate": keys.duplicated(keep=False).to_numpy(),
    }
    result = np.full(len(norm), "", dtype=object)
    for flag in reversed(MEANING):
        result[found[flag]] = flag
    return result


def report(flag: pd.Series, names: Sequence[str]) -> None:
    """Warn of the flagged pathways, kind by kind."""
    for kind, meaning in MEANING.items():
        if found := [name for name, own in zip(names, flag, strict=True) if own == kind]:
            warn(f"{len(found)} of {len(flag)} pathways {meaning}: {listed(found, 5, quoted=False)}.")
