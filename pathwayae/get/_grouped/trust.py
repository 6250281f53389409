"""Whether a score speaks for its pathway, and everything known about how far to trust it, one row per pathway."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names, variance
from pathwayae.get._grouped.stability import top_genes

if TYPE_CHECKING:
    from anndata import AnnData

UNFAITHFUL, UNUSED, UNSTABLE, USED, UNTESTED = "unfaithful", "not used", "unstable", "used", "untested"
REFITS = {  # verdicts of pae.get.stability that say more than how far refits agree
    "taken over": (UNFAITHFUL, "other genes carry over half of the weights of the score"),
    "no signal": (UNUSED, "the score explains no more than unrelated genes would"),
}
LEVEL, HOLDS = 0.05, 0.9  # of adjusted p-values; of the agreement with refits
YES = {"used": "its genes go together more than random ones", "carried": "hidden genes of it are found again"}
NO = {"not used": "its genes go together no more than random ones", "not carried": "hidden genes of it stay hidden"}
REASONS = {
    "constant": "the score does not vary",
    "collapsed": "the descent gave the pathway up",
    "few genes": "two genes or fewer in the model",
    "one gene": "over half of the score is one gene",
    "outside": "genes outside the pathway make over half of the score",
    "disagrees": "the score goes with the mean of the genes by less than 0.5",
}


@gated()
def pathways(adata: AnnData, *, flagged: bool = False, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return how many genes of each pathway are in the model, and how well its score speaks for them.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]["pathways"]``.
    flagged
        Only the pathways with a flag.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per pathway:

        - ``pathway``, ``n_genes`` (genes that it names), ``n_matched`` (those in the model), ``n_lost`` and ``lost``
          (those that are not);
        - ``n_effective``: effective number of genes, the inverse of the sum of squares of the shares of the squared
          loadings; of the weights of the score where that is less;
        - ``top_gene_share``: the largest of these shares;
        - ``agreement``: correlation of the score with the plain mean of the genes of the pathway, balanced as the score
          is; NaN where that mean does not vary, as for a set of all genes;
        - ``outside``: share of the variance of the score that genes outside the pathway make;
        - ``flag``: empty, or the gravest of ``"constant"`` (the score does not vary), ``"collapsed"`` (the descent gave
          the pathway up), ``"few genes"`` (two or fewer), ``"one gene"`` (over half of the squared loading, or of the
          weights of the score, on one gene), ``"outside"`` (over half), ``"disagrees"`` (agreement below 0.5),
          ``"duplicate"`` (the same genes as another pathway).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> bool((pae.get.pathways(adata)["n_effective"] > 10).all())
    True
    """
    table = pd.DataFrame(lookup.value(adata, key, keys.PATHWAYS, kind=keys.GROUPED)).copy()
    return table[table["flag"].astype(bool)].reset_index(drop=True) if flagged else table


@gated()
def trust(adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Say in one word per component how far to trust it, with the reason, from all that was asked of the fit.

    ``pae.tl.fit`` says whether a score speaks for its pathway; ``pae.tl.relevance``, ``pae.tl.refine`` and refits
    (``pae.tl.stability``) add what they found.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]`` and the slots of :func:`top_genes`.
    components
        Names of components. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per component: ``component``, ``verdict``, ``reason``, then the figures behind them, NaN for what has
        not been asked: ``n_matched``, ``n_effective``, ``top_gene``, ``top_gene_share``, ``agreement``, ``outside``,
        ``variance_ratio``, ``stability`` (5 % quantile of the correlation of the scores with those of refits),
        ``relevance_padj`` and ``heldout_variance`` of ``pae.tl.relevance``, ``heldout_auc`` and ``heldout_padj`` of
        ``pae.tl.refine``. The verdict is the first of these that applies:

        - ``"unfaithful"``: the score does not speak for its pathway, see the flags of :func:`pathways`, or other genes
          carry over half of its weights (``"taken over"`` of refits);
        - ``"not used"``: nothing shows that these cells use the pathway: its genes go together no more than random ones
          (by relevance, or by refine where that is all there is), or the score explains nothing in cells left out, or
          no more than unrelated genes would (refits). It is a lack of proof, and depends on the genes of the model,
          which random sets are drawn from;
        - ``"unstable"``: in more than 5 % of the refits the scores correlate by less than 0.9 with those of the fit;
        - ``"used"``: relevance, or refine, found it used, and no refit spoke against it;
        - ``"untested"``: nothing but the fit itself is known; free components, which name no genes, are at best
          untested.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(400, 500, 6, n_silent=2)
    >>> pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    >>> pae.tl.relevance(adata, n_folds=2, progress=False)
    >>> pae.get.trust(adata)["verdict"].value_counts().to_dict()
    {'used': 6, 'not used': 2, 'untested': 1}
    """
    table = _figures(adata, key)
    answers = [_verdict(row) for row in table.to_dict("records")]
    table.insert(1, "verdict", [verdict for verdict, _ in answers])
    table.insert(2, "reason", [reason for _, reason in answers])
    names = component_names(adata, components, key=key)
    columns = [name for name in table.columns if name not in ("flag", "answers", "refits", "n_lost", "lost")]
    return table.set_index("component").loc[names].reset_index()[columns]


def _figures(adata: AnnData, key: str) -> pd.DataFrame:
    """Everything known, by component; ``answers`` are the verdicts of relevance, or of refine."""
    fit = lookup.fit_of(adata, key, keys.GROUPED)
    table = variance(adata, key=key)[["component", "variance_ratio"]]
    own = pathways(adata, key=key).rename(columns={"pathway": "component"}).drop(columns="n_genes", errors="ignore")
    first = top_genes(adata, n_genes=1, key=key).set_index("component")["gene"]
    table = table.merge(own, on="component", how="left")
    table["flag"] = _of(table, own.set_index("component")["flag"])
    table.insert(table.columns.tolist().index("top_gene_share"), "top_gene", _of(table, first))
    table["answers"] = ""
    table["refits"] = ""
    if keys.STABILITY in fit:
        refits = pd.DataFrame(fit[keys.STABILITY]).set_index("component")["verdict"]
        table["refits"] = _of(table, refits)
    for name, column, into in (
        (keys.STABILITY, "scores_low", "stability"),
        (keys.RELEVANCE, "padj", "relevance_padj"),
        (keys.RELEVANCE, "heldout_variance", "heldout_variance"),
        (keys.REFINEMENT, "heldout_auc", "heldout_auc"),
        (keys.REFINEMENT, "padj", "heldout_padj"),
    ):
        table[into] = np.nan
        if name in fit:
            found = pd.DataFrame(fit[name]).rename(columns={"pathway": "component"}).set_index("component")
            table[into] = table["component"].map(found[column].astype(float))
            if name != keys.STABILITY and not table["answers"].any():
                table["answers"] = _of(table, found["verdict"])
    ratio = table.pop("variance_ratio")
    table.insert(table.columns.tolist().index("stability"), "variance_ratio", ratio)
    return table


def _of(table: pd.DataFrame, words: pd.Series) -> list[str]:
    """The word of each component, empty for those without."""
    return [words.get(name, "") for name in table["component"]]


def _verdict(row: dict[Hashable, Any]) -> tuple[str, str]:
    """The word for a component and why, the first that applies."""
    flag, answer, agreed = row["flag"], row["answers"], row["stability"]
    if flag in REASONS:
        return UNFAITHFUL, REASONS[flag] + (f", {row['top_gene']}" if flag == "one gene" else "")
    if row["refits"] in REFITS:
        return REFITS[row["refits"]]
    if answer == "not used" and row["relevance_padj"] <= LEVEL:
        return UNUSED, "the score explains nothing in cells left out"
    if answer in NO:
        return UNUSED, NO[answer]
    if agreed < HOLDS:
        return UNSTABLE, f"refits agree by {agreed:.2f}"
    also = ", and refits agree" if agreed >= HOLDS else ""
    if answer in YES:
        return USED, YES[answer] + also
    return UNTESTED, f"no test of its genes{also}" if flag or row["n_matched"] > 0 else f"names no genes{also}"
