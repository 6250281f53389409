"""Which genes carry a pathway in which group of cells, and whether groups differ, with donors as replicates."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress, get
from pathwayae._cells.matrix import opened
from pathwayae._cells.sources import Source
from pathwayae._slots import keys, store
from pathwayae._slots.grouped import Fitted, encoder_of, fitted
from pathwayae.core.fdr import adjusted
from pathwayae.core.gates import gated
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.grouped.project import project
from pathwayae.core.moments.accumulate import BLOCK_BYTES, MAX_GRAM_BYTES
from pathwayae.core.notice import listed, warn
from pathwayae.core.trust import group_loadings as core

logger = logging.getLogger("pathwayae")

Floats = NDArray[np.float64]
REST = "rest"
FEW_CELLS = 10  # fewer say nothing of how genes go together


@gated()
def group_loadings(
    adata: AnnData,
    groupby: str,
    *,
    pathways: str | Sequence[str] | None = None,
    groups: str | Sequence[str] | None = None,
    reference: str = REST,
    sample_key: str | None = None,
    n_genes: int = 30,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Ask which genes carry each pathway in each group of cells, and test over donors where groups differ.

    The loading of gene i on pathway j in group c is its covariance with the score of the *rest* of the pathway, in
    units of what the genes of the pathway share there:

    .. math:: b_{ij}^c = \frac{\operatorname{cov}_c(\tilde x_i, z_{-i})}
              {\sum_l e_{lj} \operatorname{cov}_c(\tilde x_l, z_{-l})}, \qquad z_{-i} = z_j - e_{ij} \tilde x_i .

    By how much the gene rises, in units of the fit, where the score rises by 1 because of what its genes have in
    common. Encoder e and units are those of the fit, the same in every group; no gene is evidence for itself, and
    neither how much the pathway varies in a group nor how noisy its score is there changes a loading. Loadings are
    relative, :math:`\sum_i e_{ij} b_{ij}^c = 1` in every group: they say *which* genes carry the pathway there, and
    ``sd`` in ``pae.get.group_loadings(adata, of="groups")`` how much it varies. Everything is centred within groups,
    donors and the batches of the fit, so no difference of means is in it. See ``docs/mathematics.md``, *Loadings by
    group*.

    Parameters
    ----------
    adata
        A fitted AnnData. Its cells are read twice, in blocks.
    groupby
        Column of ``obs``: cell types, for instance. Cells without a group are left out.
    pathways
        Names of pathways. ``None`` for all; fewer are fewer tests.
    groups
        Groups to report. ``None`` for all with 10 cells or more.
    reference
        What a group is compared with: ``"rest"``, all other groups pooled, or the name of a group.
    sample_key
        Column of ``obs`` with the donor of each cell: donors are the replicates of the test, each compared with itself
        where it has cells in both groups. Without it nothing is tested: cells of a donor resemble each other.
    n_genes
        Number of genes outside each pathway that are kept beside its members: those that go most with its score, all
        groups pooled.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]["group_loadings"]``, arrays over pairs of pathway and gene, and groups,
    and ``uns[key]["group_loadings_params"]``, in the place of those of an earlier call; see
    :func:`pathwayae.get.group_loadings`.

    Notes
    -----
    The standard error of a difference is that of two ratios over donors (linearised, every residual made as large as
    that of a donor not seen; Bell and McCaffrey 2002, Survey Methodology 28:169–181), with the effective number of
    donors less 1 as degrees of freedom: many donors of few cells and one of many are not many donors.

    A pathway has no loadings in a group where its genes do not vary together, by three standard errors of independent
    genes: there is nothing to carry. A gene is tested where it varies in three donors or more on both sides; one that a
    group does not express has a loading of 0 there and no test.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a column does not exist, or a pathway or group is unknown; the message gives
        the closest names.
    ValueError
        If `groupby` holds floating-point numbers or is the `sample_key`, no group has 10 cells, a cell has no donor, a
        name is there twice, or there are more groups × donors than fit in 4 GiB.

    Warns
    -----
    pathwayae.DataWarning
        If cells have no group, groups are too small, there is nothing to compare with, or too few donors for a test.

    See Also
    --------
    pathwayae.get.group_loadings : the tables.
    pathwayae.pl.group_loadings : genes × groups.
    pathwayae.get.top_genes : loadings of the fit, one for all cells.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(600, 200, 3, n_cell_types=2, n_donors=6)
    >>> pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    >>> pae.tl.group_loadings(adata, "cell_type", sample_key="donor", progress=False)
    >>> table = pae.get.group_loadings(adata, "program_1", "type_1")
    >>> bool((table["padj"] > 0.05).all())
    True
    """
    _checks.number("n_genes", n_genes, 0, integer=True)
    model = fitted(adata, key)
    asked = _pathways(adata, pathways, model, key)
    cells = _cells(adata, groupby, sample_key, model.params.get("batch_key") or None)
    reported = _groups(cells, groups, reference, groupby)
    source = opened(
        adata,
        model.params["layer"] or None,
        model.params["gene_symbols"] or None,
        str(model.params.get("normalize", "")),
    )
    reader = _Reader(source, model, encoder_of(adata, key, model.genes).of_components(asked), cells.codes)
    kept, within = _passes(reader, asked, cells, n_genes, progress=progress)
    result = core.compared(
        cells.strata,
        within,
        kept,
        np.array([cells.groups.index(name) for name in reported]),
        reference=None if reference == REST else cells.groups.index(reference),
        test=sample_key is not None,
    )
    _say(result, reported, reference, sample_key)
    target = adata.copy() if copy else adata
    params = {"groupby": groupby, "sample_key": sample_key or "", "reference": reference, "n_genes": n_genes}
    entry = _entry(result, model, asked, kept, cells, reported)
    store.add(target, key, {keys.GROUP_LOADINGS: entry, keys.GROUP_LOADINGS_PARAMS: params})
    return target if copy else None


class _Cells(NamedTuple):
    """Names of the groups, cells of each, and stratum of every cell: −1 for those that are of no group."""

    groups: list[str]
    counts: NDArray[np.intp]
    codes: NDArray[np.intp]
    strata: core.Strata


class _Reader(NamedTuple):
    """Cells, block by block: genes of the model, scores of some pathways, strata."""

    source: Source
    model: Fitted
    encoder: Encoder
    codes: NDArray[np.intp]

    def blocks(self, words: str, *, progress: bool) -> Iterator[tuple[Any, Floats, NDArray[np.intp]]]:
        model, n = self.model, self.source.shape[0]
        width = 8 * max(1, self.encoder.shape[1])
        with _progress.bar(words, "cells", n, progress=progress) as bar:
            for block in self.source.blocks(int(BLOCK_BYTES * min(1.0, self.source.row_bytes / width))):
                codes = self.codes[block.start : block.stop]
                rows = np.flatnonzero(codes >= 0)
                values = block.values[rows][:, model.genes]
                yield values, project(values, model.mean, model.scale, self.encoder), codes[rows]
                bar.update(block.stop - block.start)


def _passes(
    reader: _Reader, asked: NDArray[np.intp], cells: _Cells, n_genes: int, *, progress: bool
) -> tuple[core.Kept, core.Spread]:
    """Pairs of gene and pathway that are kept, and what varies within strata."""
    model, encoder = reader.model, reader.encoder.toarray()
    n_strata = len(cells.strata.group)
    n_bytes = 24 * n_strata * sum(encoder.shape)
    if n_bytes > MAX_GRAM_BYTES:
        msg = (
            f"{n_strata} groups × donors × batches of {len(encoder)} genes need about {n_bytes / 2**30:.3g} GiB, and "
            f"at most {MAX_GRAM_BYTES / 2**30:.3g} GiB are used. Join groups, or leave out donors of few cells."
        )
        raise ValueError(msg)
    pooled = core.Pooled(n_strata, *encoder.shape)
    for part in reader.blocks("genes", progress=progress):
        pooled.add(*part)
    within = core.spread(pooled, model.scale, encoder)
    member = model.membership[:, asked].toarray().astype(bool)
    pairs = core.Pairs(n_strata, *core.chosen(pooled, within, model.scale, encoder, member, n_genes))
    for part in reader.blocks("groups", progress=progress):
        pairs.add(*part)
    return core.kept(pairs, pooled, within, model.scale, encoder), within


def _pathways(adata: AnnData, pathways: str | Sequence[str] | None, model: Fitted, key: str) -> NDArray[np.intp]:
    """Places of the pathways asked for; free components are none."""
    own = model.components[: model.n_pathways]
    chosen = own if pathways is None else get.component_names(adata, pathways, key=key)
    free = [name for name in chosen if name not in own]
    if free or not chosen:
        msg = f"{listed(free)} is no pathway but a free component, which has no members; name pathways, or fit some."
        raise KeyError(msg)
    return np.array([own.index(name) for name in chosen])


def _cells(adata: AnnData, groupby: str, sample_key: str | None, batch_key: str | None) -> _Cells:
    """Groups, samples and batches of the cells, each combination that occurs a stratum."""
    _checks.check_column(adata, "groupby", groupby)
    if sample_key == groupby:
        msg = f"sample_key={sample_key!r} is the groupby: its values are compared, so they cannot be the replicates."
        raise ValueError(msg)
    column = adata.obs[groupby]
    if pd.api.types.is_float_dtype(column.dtype):
        msg = f"adata.obs[{groupby!r}] holds numbers; groupby needs groups."
        raise ValueError(msg)
    values = pd.Series(np.asarray(column, dtype=object))
    known = values.notna().to_numpy()
    if not known.all():
        warn(f"{int((~known).sum())} of {len(known)} cells have no {groupby!r} and are left out.")
    names = values.astype(str).to_numpy(dtype=object)
    order = [str(one) for one in column.cat.categories] if hasattr(column, "cat") else sorted(set(names[known]))
    there = set(names[known])
    groups = [name for name in order if name in there]
    if len(unused := [name for name in order if name not in there]):
        logger.info("%d levels of %r have no cells: %s.", len(unused), groupby, listed(unused))
    place = pd.Index(groups).get_indexer(pd.Index(names))
    place[~known] = -1
    table = pd.DataFrame({"group": place[known]})
    for name, own in (("sample", sample_key), ("batch", batch_key if batch_key != groupby else None)):
        table[name] = 0 if own is None else pd.factorize(_labels(adata, f"{name}_key", own)[known], sort=True)[0]
    strata, inverse = np.unique(table.to_numpy(), axis=0, return_inverse=True)
    codes = np.full(len(known), -1, dtype=np.intp)
    codes[known] = inverse.ravel()
    counts = np.bincount(place[known], minlength=len(groups))
    return _Cells(groups, counts, codes, core.Strata(strata[:, 0].astype(np.intp), strata[:, 1].astype(np.intp)))


def _labels(adata: AnnData, name: str, column: str) -> NDArray[np.object_]:
    """A column of ``obs`` as text, in which every cell needs a value."""
    _checks.check_column(adata, name, column)
    values = pd.Series(np.asarray(adata.obs[column], dtype=object))
    if values.isna().any():
        msg = f"adata: {int(values.isna().sum())} cells have no {column!r}; give them one or leave them out."
        raise ValueError(msg)
    return values.astype(str).to_numpy(dtype=object)


def _groups(cells: _Cells, groups: str | Sequence[str] | None, reference: str, groupby: str) -> list[str]:
    """Groups to report: those asked for that have cells enough."""
    asked = cells.groups if groups is None else [groups] if isinstance(groups, str) else [str(one) for one in groups]
    if len(set(asked)) < len(asked) or not asked:
        msg = f"groups must name at least one group of {groupby!r}, and none twice; got {listed(asked)}."
        raise ValueError(msg)
    for name, value in [
        *(("groups", one) for one in asked),
        *([("reference", reference)] if reference != REST else []),
    ]:
        if value not in cells.groups:
            close = difflib.get_close_matches(value, cells.groups, n=3, cutoff=0.4)
            hint = f"closest: {listed(close)}" if close else f"there are {listed(cells.groups, 10)}"
            msg = f"{name}: no cell of adata.obs[{groupby!r}] is of group {value!r} ({hint})."
            raise KeyError(msg)
    number = dict(zip(cells.groups, cells.counts.tolist(), strict=True))
    few = [name for name in asked if number[name] < FEW_CELLS]
    if len(few) == len(asked):
        msg = f"No group of {groupby!r} has {FEW_CELLS} cells, so nothing can be said of any; join groups."
        raise ValueError(msg)
    if few:
        named = listed((f"{name!r} ({number[name]})" for name in few), 5, quoted=False)
        warn(f"{len(few)} groups of {groupby!r} have fewer than {FEW_CELLS} cells and are not reported: {named}.")
    return [name for name in asked if name not in few]


def _say(result: core.Result, reported: list[str], reference: str, sample_key: str | None) -> None:
    """Warn of groups without a difference or a test, and log what was found."""
    compared = [j for j, name in enumerate(reported) if name != reference]
    if not result.carried.any():
        warn("No pathway varies enough within any group for its genes to be told apart, so there are no loadings.")
    elif np.isnan(result.reference).all():
        warn("There is one group, or none but the reference: nothing to compare with, so there are no differences.")
    elif sample_key is not None:
        alone = [reported[j] for j in compared if np.isnan(result.pvalue[:, j]).all()]
        few = [name for name in alone if result.carried[:, reported.index(name)].any()]
        if few:
            msg = (
                f"{len(few)} groups are not tested ({listed(few, 5)}): they, or what they are compared with, have "
                f"cells of fewer than {core.FEW_SAMPLES} values of {sample_key!r}."
            )
            warn(msg)
    n_pairs, n_groups = result.loading.shape
    msg = "Loadings of %d pairs of pathway and gene in %d groups; %d of %d pathways × groups vary too little for any."
    logger.info(msg, n_pairs, n_groups, int((~result.carried).sum()), result.carried.size)


def _entry(
    result: core.Result,
    model: Fitted,
    asked: NDArray[np.intp],
    kept: core.Kept,
    cells: _Cells,
    reported: list[str],
) -> dict[str, Any]:
    """What lies in ``uns``: arrays over pairs (K,) and groups (K, c), over pathways and groups (p, c)."""
    genes, pathways = kept.genes, kept.pathways
    narrow = {
        name: np.asarray(getattr(result, name), dtype=np.float32)
        for name in ("shared", "loading", "reference", "error", "sd", "reliability")
    }
    return narrow | {
        "pathways": np.array([model.components[j] for j in asked], dtype=object),
        "groups": np.array(reported, dtype=object),
        "pathway": pathways.astype(np.int32),
        "gene": model.names[genes].astype(object),
        "member": np.asarray(model.membership[genes, asked[pathways]]).ravel().astype(bool),
        "pvalue": result.pvalue,
        "padj": adjusted(result.pvalue),
        "carried": result.carried,
        "n_cells": np.array([cells.counts[cells.groups.index(name)] for name in reported]),
        "n_samples": result.n_samples,
    }
