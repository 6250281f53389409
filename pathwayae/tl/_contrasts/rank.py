"""Which pathways differ between groups of cells, with samples as replicates."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, get
from pathwayae._slots import keys, lookup, store
from pathwayae.core import fdr
from pathwayae.core.contrasts.compare import OF_CELLS, Compared, compare, contrasts
from pathwayae.core.contrasts.linear import NotTestableError
from pathwayae.core.contrasts.units import REST, Contrast, Units, aggregate
from pathwayae.core.gates import gated
from pathwayae.core.notice import listed, warn
from pathwayae.tl._contrasts import genes, labels

logger = logging.getLogger("pathwayae")

OF_SAMPLES = ("moderated", "mixed")
LEVEL = 0.05  # of padj, in messages
COLUMNS = ["pathway", "group", "reference", "within", "effect", "effect_low", "effect_high", "statistic", "df", "p"]
COLUMNS += ["padj", "auroc", "n_samples", "n_samples_reference", "n_pairs", "n_agree", "n_cells", "n_cells_reference"]
COLUMNS += ["gene", "gene_share", "verdict"]
WORDS = ("pathway", "group", "reference", "within", "gene", "verdict")

Method = Literal["auto", "moderated", "mixed", "wilcoxon", "t-test"]


@gated()
def rank_pathways(
    adata: AnnData,
    groupby: str,
    *,
    groups: str | Sequence[str] = "all",
    reference: str = "rest",
    sample_key: str | None = None,
    within: str | None = None,
    covariates: str | Sequence[str] = (),
    method: Method = "auto",
    key: str = keys.DEFAULT,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Test which pathways differ between groups of cells, with samples (donors) as replicates.

    Cells of one donor are no replicates of a treatment or a disease: tests over cells call most pathways significant
    where over donors none is (Squair et al. 2021, 10.1038/s41467-021-25960-2). With `sample_key` the scores are
    averaged per sample and group (and level of `within`), and these means are compared.

    **Moderated t-test** (``"moderated"``, the default with `sample_key`). A linear model of the means of each pathway
    on the group and the `covariates`. Where samples are in both groups each has a constant of its own, a paired test;
    that is so where two samples or more, and at least half of all, are in both, and the others are left out then.
    Otherwise the means count as independent. A mean of n cells weighs :math:`1 / (\tau^2 + 1/n)`, with τ² the
    variance between samples in units of that between cells, from the residuals of the pathway whose samples differ
    most. Residual variances are squeezed towards a common value as limma does (Smyth 2004, 10.2202/1544-6115.1027):
    with d degrees of freedom :math:`\tilde s^2 = (d_0 s_0^2 + d s^2) / (d_0 + d)`, where :math:`d_0` and :math:`s_0^2`
    are fitted to all pathways; fewer than three are not moderated. Tens of pathways tell :math:`d_0` poorly, so it is
    taken one standard error lower than limma's, which calls up to 12 times too many at 1e-4 where there are few
    pathways and samples. Pathways share genes, so t has no more degrees of freedom than as many pathways have as would
    be independent.

    **Mixed model** (``"mixed"``). The same means with a random constant per sample, by restricted maximum likelihood
    (statsmodels); samples in one group alone are used as well, all means weigh the same, nothing is moderated.

    **Over cells** (``"wilcoxon"``, the default without `sample_key`, or Welch's ``"t-test"``). *p*-values then take
    cells as replicates and are far too small for any statement beyond these very samples, which a warning says. They
    serve as a filter, for instance for markers of cell types.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Reads ``obsm["X_{key}"]``, ``uns[key]`` and, for the genes, what the fit read.
    groupby
        Column of ``obs`` with the groups, such as the condition or the cell type.
    groups
        Levels of `groupby` to test; ``"all"`` for all but the reference.
    reference
        Level of `groupby` to compare with, or ``"rest"``: each group with all other cells.
    sample_key
        Column of ``obs`` with the samples, usually donors. A donor in both conditions has one name in both.
    within
        Column of ``obs``, such as the cell type; the groups are compared in each of its levels separately.
    covariates
        Columns of ``obs`` that describe samples. Numbers are averaged over cells and count as linear; everything else
        counts as categories. What is constant within a sample changes nothing in a paired test.
    method
        ``"auto"`` is ``"moderated"`` with `sample_key`, else ``"wilcoxon"``.
    key
        Key of the fit, of any model.
    key_added
        Name of the entry of ``uns[key]``; by default ``"rank_pathways"``.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]["rank_pathways"]``, a DataFrame that replaces the one of an earlier
    call, a row per pathway (free components among them), group and level of `within`:

    - ``pathway``, ``group``, ``reference``, ``within`` (empty where not asked)
    - ``effect``: difference of the means in standard deviations of cells, those about the mean of their group, pooled
      over group and reference, in that level of `within`; ``effect_low``, ``effect_high``: 95 % interval
    - ``statistic`` (t, or z of ``"wilcoxon"``), ``df`` (NaN of ``"wilcoxon"``), ``p``, and ``padj``: Benjamini–Hochberg
      over all rows
    - ``auroc``: how often a cell of the group scores above one of the reference
    - ``n_samples``, ``n_samples_reference``: samples compared; ``n_pairs``: of these compared with themselves, 0 in an
      unpaired test; ``n_agree``: pairs whose difference has the sign of the effect, or without pairs samples of the
      group on that side of the mean of the reference's samples. All are 0 over cells.
    - ``n_cells``, ``n_cells_reference``: cells of these samples
    - ``gene``, ``gene_share``: the gene that carries most of the effect and its share of it, see below
    - ``verdict``: of :func:`pathwayae.get.trust` at the time of the call; empty for new cells and other models

    A score that does not vary has effect 0 and no *p*. ``uns[key]["rank_pathways_genes"]`` has the ten genes that carry
    most of each effect: ``pathway, group, within, gene, share, effect, member``. A score is a sum over genes, so its
    difference is one too: the difference of the standardised gene, averaged over samples with the same weights, times
    its weight in the score. Shares of all genes sum to 1; of an effect close to zero they say nothing. It is empty
    where the scores are no sums over genes (sparse autoencoders, archetypes), or the cells or weights are not there.

    ``uns[key]["rank_pathways_params"]`` has the arguments, ``n_cells_without`` (cells without group, sample, level or
    covariate, which are left out) and ``left_out``: a table of the comparisons that could not be made, with the reason.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    TypeError
        If a column is not named by a string.
    ValueError
        If a level is unknown or its own reference, `groupby` holds numbers, arguments contradict each other, a
        covariate varies within a sample, or nothing can be tested; the message says why.

    Warns
    -----
    pathwayae.DataWarning
        Without `sample_key`; if cells without a label are left out; if comparisons cannot be made (a group with one
        cell or one sample, or told by the covariates alone); if scores do not vary.

    See Also
    --------
    pathwayae.get.rank_pathways

    Examples
    --------
    Which programs mark each cell type, over six donors:

    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(600, 400, 6, n_cell_types=3, n_donors=6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
    >>> table = pae.get.rank_pathways(adata, group="type_1")
    >>> table[["n_samples", "n_pairs", "n_agree"]].iloc[0].tolist()
    [6, 6, 6]
    """
    columns = [covariates] if isinstance(covariates, str) else list(covariates)
    test = _check(groupby, sample_key, within, columns, method, copy)
    names = np.array(lookup.component_names(adata, key), dtype=object)
    name = _entry(adata, key, key_added)
    asked = _asked(adata, groupby, groups, reference, sample_key, within, columns)
    values = lookup.by_columns(lookup.matrix(adata, "obsm", keys.scores(key), key))
    units = aggregate(values, asked.strata.codes, asked.samples.codes, asked.groups.codes)
    described = labels.of_units(asked.covariates, units, sample_key or "")
    results: list[tuple[Contrast, Compared]] = []
    failed: list[dict[str, str]] = []
    for contrast in contrasts(units, asked.chosen, asked.reference):
        try:
            results.append((contrast, compare(values, units, contrast, described, test)))
        except NotTestableError as error:
            failed.append(asked.named(contrast) | {"reason": str(error)})
    _say(results, failed, names, sample_key, within)
    table, carried = _tables(adata, key, names, asked, units, results)
    left_out = pd.DataFrame(failed, columns=["group", "reference", "within", "reason"], dtype=object)
    params: dict[str, Any] = {
        "groupby": groupby,
        "reference": reference,
        "sample_key": sample_key or "",
        "within": within or "",
    }
    params |= {"groups": np.array([asked.groups.names[i] for i in asked.chosen], dtype=object)}
    params |= {"covariates": ", ".join(columns), "method": test, "n_cells_without": asked.n_without}
    entries = {name: table, keys.rank_genes(name): carried, keys.rank_params(name): params | {"left_out": left_out}}
    target = adata.copy() if copy else adata
    store.add(target, key, entries)
    return target if copy else None


class _Asked(NamedTuple):
    """What is compared: factors of the cells, groups to test, their reference, and cells that were left out."""

    groups: labels.Factor
    samples: labels.Factor
    strata: labels.Factor
    covariates: labels.Covariates
    chosen: list[int]
    reference: int
    n_without: int

    def named(self, contrast: Contrast) -> dict[str, str]:
        """Names of a contrast."""
        against = labels.REST_NAME if contrast.reference == REST else self.groups.names[contrast.reference]
        within = self.strata.names[contrast.stratum]
        return {"group": self.groups.names[contrast.group], "reference": against, "within": within}


def _check(groupby: Any, sample_key: Any, within: Any, covariates: list[Any], method: Any, copy: Any) -> str:
    """The method; raises where arguments contradict each other."""
    _checks.choice("method", method, ("auto", *OF_SAMPLES, *OF_CELLS))
    _checks.choice("copy", copy, (True, False))
    given = {"groupby": groupby, "sample_key": sample_key, "within": within}
    given |= {f"covariates[{i}]": one for i, one in enumerate(covariates)}
    seen: dict[Any, str] = {}
    for name, column in given.items():
        if not isinstance(column, str | None):
            msg = f"{name}={column!r} must be the name of one column of obs, not {type(column).__name__}."
            raise TypeError(msg)
        if column is not None and column in seen:
            msg = f"{name}={column!r} is {seen[column]} already; each column can have one part only. Leave one out."
            raise ValueError(msg)
        seen[column] = name
    if sample_key is None and (method in OF_SAMPLES or covariates):
        what = "covariates describe samples" if covariates else f"method={method!r} compares samples"
        msg = f"{what}: pass sample_key, the column of obs with the donors, or leave it out."
        raise ValueError(msg)
    if sample_key is not None and method in OF_CELLS:
        msg = f"method={method!r} compares cells, sample_key={sample_key!r} samples; leave one of them out."
        raise ValueError(msg)
    return str(method) if method != "auto" else (OF_CELLS[0] if sample_key is None else OF_SAMPLES[0])


def _entry(adata: AnnData, key: str, key_added: Any) -> str:
    """Name of the entry of the fit; refuses that of another analysis."""
    name = keys.RANK_PATHWAYS if key_added is None else key_added
    if not isinstance(name, str) or not name or "/" in name:
        msg = f"key_added={key_added!r} must be a name without '/'."
        raise ValueError(msg)
    entries = lookup.fit_of(adata, key)
    if name in entries and keys.rank_genes(name) not in entries:
        msg = f"key_added={name!r}: adata.uns[{key!r}] holds something else of that name; choose another one."
        raise ValueError(msg)
    return name


def _asked(
    adata: AnnData,
    groupby: str,
    groups: str | Sequence[str],
    reference: str,
    sample_key: str | None,
    within: str | None,
    covariates: list[str],
) -> _Asked:
    """The factors; cells that miss one of them are left out of all."""
    whole = labels.Factor(np.zeros(adata.n_obs, dtype=np.intp), [""], [])
    levels = labels.factor(adata, "groupby", groupby)
    samples = whole if sample_key is None else labels.factor(adata, "sample_key", sample_key)
    strata = whole if within is None else labels.factor(adata, "within", within)
    chosen, against = labels.chosen(levels, groups, reference, groupby)
    found = labels.covariates(adata, covariates)
    missing = (levels.codes < 0) | (samples.codes < 0) | (strata.codes < 0) | np.isnan(found.values).any(axis=1)
    if missing.any():
        columns = [column for column in (groupby, sample_key, within, *covariates) if column is not None]
        msg = f"{int(missing.sum())} of {len(missing)} cells have no value in {listed(columns, 5)} and are left out."
        warn(msg)
    if levels.unused:
        logger.info("No cell is of these levels of %r: %s.", groupby, listed(levels.unused, 10))
    levels = levels._replace(codes=np.where(missing, -1, levels.codes))
    return _Asked(levels, samples, strata, found, chosen, against, int(missing.sum()))


def _say(
    results: list[tuple[Contrast, Compared]],
    failed: list[dict[str, str]],
    names: NDArray[Any],
    sample_key: str | None,
    within: str | None,
) -> None:
    """Warn of what the numbers cannot say; raises where nothing was tested."""
    reasons = [
        " in ".join([row["group"], *([row["within"]] if within else [])]) + f" ({row['reason']})" for row in failed
    ]
    if not results:
        msg = (
            f"None of {len(failed)} comparisons can be made: {listed(reasons, 5, quoted=False)}. A group and its "
            "reference need two samples each (two cells without sample_key), and covariates that do not tell them."
        )
        raise ValueError(msg)
    if sample_key is None:
        msg = (
            "p-values take cells as replicates: they say nothing beyond these very samples, and most will be far too "
            "small. Pass sample_key, the column of obs with the donors, to compare donors."
        )
        warn(msg)
    if failed:
        total = len(failed) + len(results)
        msg = (
            f"{len(failed)} of {total} comparisons cannot be made and are left out: {listed(reasons, 5, quoted=False)}."
        )
        warn(msg)
    flat = np.all([np.isnan(found.estimate.statistic) for _, found in results], axis=0)
    if flat.any():
        warn(f"{int(flat.sum())} scores do not vary and have no p-value: {listed(names[flat], 5)}.")


def _tables(
    adata: AnnData,
    key: str,
    names: NDArray[Any],
    asked: _Asked,
    units: Units,
    results: list[tuple[Contrast, Compared]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pathways, and the genes that carry their differences."""
    k = len(names)
    of_units = np.stack([found.of_units for _, found in results])
    carried = genes.carrying(adata, key, units, of_units, of_units @ units.mean)
    trust = _verdicts(adata, key, names)
    parts, heads = [], []
    for i, (contrast, found) in enumerate(results):
        estimate, head = found.estimate, asked.named(contrast)
        heads.append(head | {"effect": estimate.effect})
        gene, share = np.full(k, "", dtype=object), np.full(k, np.nan)
        if carried is not None:
            every, shares, _ = carried.of(i)
            share = np.where(np.isfinite(estimate.statistic), shares[:, 0], np.nan)
            gene = np.where(np.isfinite(share), every[:, 0], "")
        numbers = {name: getattr(found, name) for name in COLUMNS if name.startswith("n_")}
        ends = {"effect": estimate.effect, "effect_low": estimate.low, "effect_high": estimate.high}
        tests = {"statistic": estimate.statistic, "df": estimate.df, "p": estimate.pval, "auroc": found.auroc}
        rest = {"gene": gene, "gene_share": share, "verdict": trust}
        parts.append(pd.DataFrame({"pathway": names} | head | ends | tests | numbers | rest))
    table = pd.concat(parts, ignore_index=True)
    table["padj"] = fdr.adjusted(table["p"].to_numpy())
    logger.info("%d of %d tests have padj ≤ %g.", (table["padj"] <= LEVEL).sum(), len(table), LEVEL)
    long = genes.table(carried, pd.DataFrame(heads), names)
    words = [name for name in WORDS if name in long]
    return table[COLUMNS].astype(dict.fromkeys(WORDS, "category")), long.astype(dict.fromkeys(words, "category"))


def _verdicts(adata: AnnData, key: str, names: NDArray[Any]) -> NDArray[Any]:
    """Of pae.get.trust, where what it reads is there."""
    empty = np.full(len(names), "", dtype=object)
    if lookup.kind_of(adata, key) != keys.GROUPED or keys.PATHWAYS not in lookup.fit_of(adata, key):
        return empty
    try:
        return get.trust(adata, key=key)["verdict"].to_numpy(dtype=object)
    except KeyError:
        return empty
