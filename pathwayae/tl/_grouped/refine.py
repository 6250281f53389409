"""Which genes belong to the pathways of a fit, by annotation and cells together."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import keys, store
from pathwayae._slots.grouped import Fitted, fitted
from pathwayae.core.evidence import additions, association, calls
from pathwayae.core.evidence import refine as core
from pathwayae.core.fdr import adjusted
from pathwayae.core.gates import gated
from pathwayae.core.moments.gram_product import Gram
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.sketch import AnyMoments, Sketch
from pathwayae.core.notice import listed, warn
from pathwayae.core.trust import heldout
from pathwayae.tl._grouped.moments import moments_of
from pathwayae.tl._grouped.pathways import refuse_weighted

logger = logging.getLogger("pathwayae")

Floats = NDArray[np.float64]
N_RANDOM = 999  # random gene sets behind the p-values of held-out AUCs
FEWEST_CELLS = 100  # beyond one per stratum: with fewer, more than the rate of the genes decided are wrong,
WIDEST = 0.3  # and with a pathway that names more of the genes of the model than this


class _Weighed(NamedTuple):
    """Genes × pathways, NaN for pathways that cannot be weighed; the report of the pathways."""

    prior: Floats
    evidence: Floats
    posterior: Floats
    call: NDArray[np.int8]
    report: pd.DataFrame


@gated()
def refine(
    adata: AnnData,
    *,
    moments: Moments | Sketch | None = None,
    sample_key: str | None = None,
    batch_key: str | None = None,
    fdr: float = 0.05,
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Weigh every membership: what the annotation says and what the cells say, with error control.

    .. math:: \operatorname{logit} P(\text{gene } i \in \text{pathway } j)
              = \underbrace{\text{log-odds of the annotation}}_{\text{prior}}
              + \underbrace{\log f_1(x_{ij}) / f_0(x_{ij})}_{\text{evidence}}

    The association x of a gene with the *rest* of the pathway comes from the moments alone. Densities of members (f₁)
    and others (f₀), and how often annotations miss members or name false ones, are learned from the data, pathway by
    pathway and drawn to what holds for all. How visible a gene is (mean, variance, shared correlation) enters the
    prior. See ``docs/mathematics.md``, *Refinement*.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``varm["{key}_membership"]``, ``uns[key]`` and the matrix of the fit.
    moments
        What :func:`pathwayae.pp.moments` read; the matrix is then not read at all. They need every gene of the model.
    sample_key, batch_key
        Columns of ``obs`` with donors and batches; by default the batches of the fit. Genes are centred within each of
        them (each pair of values, with both), so that differences between donors are no evidence. With `moments` it
        is their strata within which genes are centred.
    fdr
        Share of wrong ones to expect among the genes confirmed, among those added and among those dropped, over all
        pathways together; and among the pathways said to be carried by the cells. From 0 to 1. A fifth of it is spent
        on pathways: genes are decided of in those alone that are carried at a fifth of the rate, with four fifths of
        it; with 100 cells (more than there are strata) or more, and where a pathway names 30 % of the genes at most.
    random_state
        Seed of the folds of the held-out AUC and of the random sets it is compared with.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    None, or the changed copy. Writes, in the place of an earlier refinement, and gone with the next fit,

    - ``varm["{key}_posterior"]``: probability of membership, float32, genes × pathways; 0 for genes outside the model.
    - ``varm["{key}_prior"]``, ``varm["{key}_evidence"]``: log-odds and log-likelihood ratio (natural logarithms) that
      add up to its logit, float32; 0 for genes outside the model.
    - ``varm["{key}_call"]``: int8: 0 undecided, 1 confirmed, 2 added, 3 dropped.
    - ``uns[key]["refinement"]``, one row per pathway: see :func:`pathwayae.get.refinement`.
    - ``uns[key]["refinement_params"]``.

    Notes
    -----
    Rates are those of the model, and means over data sets: of five pathways that are carried, one that is silent all
    the same makes a fifth of the calls wrong. Measured (``benchmarks/refine_rates.md``), wrong ones among confirmed,
    added and dropped genes are about `fdr` or fewer with up to four fifths of the sets silent, on panels of 300 genes
    and more, from 150 cells on; where most members of a set mark a cell type, and a panel of 300 genes holds nearly as
    many other markers of it, up to 11 % of the added genes are such markers. A member that the cells do not show looks
    like a gene that is none, so genes are dropped at a twentieth of the rate: what is less than clear stays undecided.
    On blood cells with mistakes put into real gene sets, 3 to 8 % of the confirmed genes were such mistakes at
    ``fdr=0.05`` (``benchmarks/refine.md``).

    Genes of a cell type follow every pathway whose members vary between types. So an addition is earned: being well
    seen is no reason to add a gene, and of the genes that the cells speak for, as many as half of the pathway or more,
    half at least have to be annotated, or the odds of all others are lowered until no more of these are expected. TNFα
    signalling, whose members are mostly genes of monocytes in blood, then gains no other genes of monocytes; a set that
    lacks more than half of its program gains few. Centred within cell types, with ``batch_key="cell_type"``, only what
    follows the pathway beyond them counts: interferon-α gained IFI6, IFIT1, TNFSF10 and MT2A on cells of Kang et al.,
    TNFα signalling CCL3.

    *p*-values of held-out AUCs come from 999 random sets, and beyond these from the shape of their tail, down to
    1e-6: one carried pathway among 10 000 can be told from chance.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column of ``obs`` does not exist.
    ValueError
        If `fdr` is out of range, moments lack a gene of the model or are of one stratum where several are needed, or
        no gene varies.

    Warns
    -----
    pathwayae.DataWarning
        If there is one donor or batch only, so that nothing tells donors apart, too few cells to decide of genes, or
        pathways that name too many of the genes.

    See Also
    --------
    pathwayae.get.refinement : the table of genes.
    pathwayae.get.refined : gene sets after refinement, to write as GMT or to fit again.
    pathwayae.pl.refinement : pictures of it.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(500, 300, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.tl.refine(adata, progress=False)
    >>> pae.get.refinement(adata).columns.tolist()
    ['pathway', 'gene', 'prior', 'evidence', 'posterior', 'local_fdr', 'call', 'annotated']
    """
    _checks.number("fdr", fdr, 0, 1)
    _checks.number("random_state", random_state, 0, integer=True)
    model = fitted(adata, key)
    refuse_weighted(model.params, "refine")
    batch_key = batch_key or model.params.get("batch_key") or None
    within = sample_key is not None or batch_key is not None
    data = moments_of(adata, model, moments, sample_key=sample_key, batch_key=batch_key, progress=progress)
    if within:
        _check_strata(data, given=moments is not None, keys=[name for name in (batch_key, sample_key) if name])
    weighed = _weigh(model, data, within=within, fdr=fdr, random_state=random_state, progress=progress)
    target = adata.copy() if copy else adata
    params = {"sample_key": sample_key or "", "batch_key": batch_key or "", "n_strata": len(data.strata)}
    _write(target, key, model, weighed, params | {"within": within, "fdr": fdr, "random_state": random_state})
    counts = weighed.report[["n_confirmed", "n_added", "n_dropped", "n_undecided"]].sum()
    logger.info("Refined %d pathways: %d confirmed, %d added, %d dropped, %d undecided.", len(weighed.report), *counts)
    return target if copy else None


def _check_strata(data: AnyMoments, *, given: bool, keys: list[str]) -> None:
    """One stratum given as moments cannot be divided; one read from the cells is only worth a notice."""
    if len(data.strata) > 1:
        return
    named = " and ".join(map(repr, keys))
    if given:
        msg = (
            f"moments hold one stratum, {data.strata[0]!r}, so genes cannot be centred within {named}. Read them with "
            "pae.pp.moments(adata, sample_key=…), or leave the keys out."
        )
        raise ValueError(msg)
    warn(f"There is one stratum only, {data.strata[0]!r}: {named} makes no difference here.")


def _weigh(model: Fitted, data: AnyMoments, *, within: bool, fdr: float, random_state: int, progress: bool) -> _Weighed:
    """Everything about the pathways that have some genes of the model, and not all."""
    member = model.membership.toarray().astype(bool)
    size = member.sum(axis=0)
    possible = (size > 0) & (size < len(member))
    gram: Gram = data.standardize(scale="unit", within=within).gram
    if not (np.asarray(gram.diagonal()) > 0).any():
        msg = f"No gene varies among the {data.n} cells{' within strata' if within else ''}; nothing can be weighed."
        raise ValueError(msg)
    if not possible.any():
        msg = f"None of the {len(size)} pathways has some of the {len(member)} genes of the model and not all of them."
        raise ValueError(msg)
    sets = member[:, possible]
    with _progress.bar("refine", "steps", 4, progress=progress) as bar:
        prepared = association.prepare(gram)
        seen = association.visibility(prepared, data.mean, data.variance)
        bar.update()
        strata = heldout.expression_strata(data.mean)
        auc = heldout.held_out_auc(prepared, sets, strata=strata, random_state=random_state)
        bar.update()
        chance = heldout.against_chance(prepared, sets, auc, strata=strata, n_sets=N_RANDOM, random_state=random_state)
        bar.update()
        carried = calls.carried(chance.pvalue, fdr)
        carried[_wide(model, sets, possible, carried)] = False
        views = association.association(prepared, sets, even=True)
        result = additions.earned(core.refine(views, sets, covariates=seen, apart=carried), sets)
        bar.update()
    call = np.zeros(member.shape, dtype=np.int8)
    if _enough(data, within=within):
        rate, drops = calls.GENES * fdr, calls.DROPS
        call[:, possible] = calls.calls(
            sets, result.posterior, evidence=result.evidence, fdr=rate, among=carried, drops=drops
        )
    columns = {
        "annotated_share": result.annotated_share,
        "false_share": result.false_share,
        "heldout_auc": auc,
        "heldout_se": chance.standard_error,
        "pval": chance.pvalue,
    }
    report = pd.DataFrame({"pathway": model.components[: len(size)], "n_genes": size})
    for name, values in columns.items():
        report[name] = _spread(values, possible)
    report["padj"] = adjusted(report["pval"].to_numpy())
    report["verdict"] = np.select(
        [~possible, report["padj"].isna(), report["padj"] <= fdr],
        ["not weighed", "too small", "carried"],
        "not carried",
    ).astype(object)
    for code, name in enumerate(calls.CALLS):
        decided = (call == code) & member if code == calls.UNDECIDED else call == code
        report[f"n_{name}"] = decided.sum(axis=0)
    return _Weighed(
        _spread(result.prior, possible),
        _spread(result.evidence, possible),
        _spread(result.posterior, possible),
        call,
        report,
    )


def _enough(data: AnyMoments, *, within: bool) -> bool:
    """Whether there are cells enough to decide of genes; says so where not."""
    free = data.n - (len(data.strata) if within else 1)
    if free < FEWEST_CELLS:
        warn(
            f"{data.n} cells{f' in {len(data.strata)} strata' if within else ''} are too few to decide of genes, "
            f"so all are undecided; {FEWEST_CELLS} cells more than there are strata are needed."
        )
    return free >= FEWEST_CELLS


def _wide(
    model: Fitted, sets: NDArray[np.bool_], possible: NDArray[np.bool_], carried: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Pathways that leave too few genes to tell members from; says which would have been decided of."""
    wide = np.flatnonzero(carried & (sets.mean(axis=0) > WIDEST))
    if len(wide):
        named = listed((model.components[j] for j in np.flatnonzero(possible)[wide]), quoted=False)
        warn(
            f"{len(wide)} of {sets.shape[1]} pathways name over {100 * WIDEST:.0f} % of the {len(sets)} genes of the "
            f"model ({named}); too few others are left to tell members from, so theirs are undecided. Fit more genes."
        )
    return wide


def _spread(values: Floats, possible: NDArray[np.bool_]) -> Floats:
    """Values of some pathways, the last axis, among all of them; NaN for the others."""
    whole = np.full((*values.shape[:-1], len(possible)), np.nan)
    whole[..., possible] = values
    return whole


def _write(adata: AnnData, key: str, model: Fitted, weighed: _Weighed, params: dict[str, Any]) -> None:
    """All slots, after everything has been computed."""
    tables: dict[str, NDArray[Any]] = {
        keys.prior(key): weighed.prior,
        keys.evidence(key): weighed.evidence,
        keys.posterior(key): weighed.posterior,
        keys.call(key): weighed.call,
    }
    varm = {}
    for slot, values in tables.items():
        whole = np.zeros((adata.n_vars, values.shape[1]), dtype=np.int8 if values.dtype == np.int8 else np.float32)
        whole[model.genes] = values
        varm[slot] = whole
    store.add(adata, key, {keys.REFINEMENT: weighed.report, keys.REFINEMENT_PARAMS: params}, varm=varm)
