"""The main job: cells and pathways in, loadings and scores out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import grouped as slots
from pathwayae._slots import keys, store
from pathwayae.core.gates import gated
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.model import Model, complete
from pathwayae.core.grouped.project import project as projected
from pathwayae.core.moments.batches import variance
from pathwayae.core.moments.gram_product import StandardizedCells
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.sketch import Sketch
from pathwayae.tl._grouped import batches, quality, seen, selection
from pathwayae.tl._grouped import pathways as pathways_of
from pathwayae.tl._grouped.prepare import Prepared, prepare
from pathwayae.tl._grouped.settings import Asked, FitSettings, check, config_of, on_support, sized, stored
from pathwayae.tl._grouped.standardize import solver_of
from pathwayae.tl._project import project

logger = logging.getLogger("pathwayae")

FROM_FILES = (  # what to do with the path of cells, to which nothing can be written
    "A file is fitted where it lies: anndata.read_h5ad(path, backed='r'). Where cells do not fit in memory, read "
    "moments = pae.pp.moments(paths), fit an AnnData of its genes with moments=moments, and score the files with "
    "pae.tl.transform(paths, fitted, out='scores.zarr')."
)


@gated(own=("adata",))
def fit(
    adata: AnnData,
    pathways: Any,
    *,
    moments: Moments | Sketch | None = None,
    mod: str | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    gene_symbols: str | None = None,
    min_genes: int = 5,
    max_genes: int | None = None,
    n_extra: int | Literal["auto"] = 20,
    scores: Literal["members", "projection", "least_squares"] = "members",
    theta: float | Literal["auto"] = 0.3,
    scale: Literal["unit", "pareto"] | None = "pareto",
    batch_key: str | None = None,
    covariates: str | Sequence[str] | None = None,
    settings: FitSettings | None = None,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key_added: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Fit a grouped autoencoder: a score per cell and a loading per gene for every pathway.

    The model needs one pass over the cells, scores take a second one. With :math:`\tilde X = (X - \mu)/\sigma` scores
    are :math:`Z = \tilde X E`. By default (``scores="members"``) each pathway has an encoder of its own, in closed
    form: its genes, weighted by how well each goes with the others of the pathway,

    .. math:: w_{ij} = \max(\rho_{ij}, 0) + 0.4 \quad\text{for the genes } i \text{ of pathway } j,

    with ρ the correlation of a gene with the score of the *rest* of the pathway. From these weights their mean over
    genes of similar expression is taken (*balance*), so that a score does not follow a cell's overall level. A score is
    made by the genes of its pathway alone; it depends on no seed, on no number of steps and, unless
    ``FitSettings(joint=True)`` regresses cells on all pathways at once, on no other pathway.
    Loadings are these weights, and for genes outside the pathway the like times the probability that they belong to it.
    Free components are the leading eigenvectors of gene space beside the encoders of the pathways; their scores may
    still go with those of pathways (:func:`pathwayae.get.free_components`).

    Any number of pathways can be scored, more than there are cells or genes too. How redundant they are is logged,
    with what ``merge_similar`` would leave of them; nothing is merged here. What the fit reads of the cells follows
    from their size (``settings.solver``) and is stored in ``params``.

    With ``scores="projection"`` or ``"least_squares"`` the pathways compete in a descent instead: the loadings
    :math:`W \ge 0` minimise

    .. math:: (1-\theta)\,\frac{\|\tilde X - \hat X\|_F}{\|\tilde X\|_F}
              + \theta\,[(1-\varepsilon)\,\mathrm{zero} + \varepsilon\,\mathrm{entropy}]

    where *zero* is what the components load outside their pathways and *entropy* how spread out the genes are
    (over ln k). It starts from the pathways and is ended early, after 100 steps. The defaults were chosen by
    measurement, see ``benchmarks/defaults.md``; the mathematics is in ``docs/mathematics.md``.

    Parameters
    ----------
    adata
        Cells × genes, log-normalised: dense or sparse, in memory, backed, read lazily, or on dask. Or a MuData, see
        `mod`.
    pathways
        A :class:`~pathwayae.gs.GeneSetCollection`, the path of a GMT file, a dict name → genes, a long DataFrame
        with columns ``source`` and ``target``, genes of a single set, or the key of a membership matrix in ``varm``.
        Genes are matched by name. With weights (a column ``weight``, or name → gene → weight) the sign of a member is
        that of its loading, so that a high score means less of it, and its size a factor of it.

        Or one class per gene, as ``feature_classes`` of :class:`pathwayae.models.GroupedAutoencoder`: the name of a
        column of ``var``, a Series by gene name (genes it lacks are NaN), or an array of ``n_vars``. Numbers from 0 on
        are classes, named ``class_0``, …; −1 is no class (in a descent entropy alone), and NaN no regularisation at
        all. In text and categories every word is a class of that name, "-1" none, and a missing value NaN.
    moments
        What :func:`pathwayae.pp.moments` read of these or of other cells; the matrix is then read for the scores
        alone, and where `adata` has no ``X`` there are no scores (those of an earlier fit are removed). Genes are
        matched by name; those of `adata` that the moments do not have stay outside the model. Counts are normalised
        as the moments were.
    mod
        Modality of a MuData: its AnnData is fitted and written to. Every other function takes it as it is,
        ``mdata.mod["rna"]``.
    layer
        Layer to fit; by default ``X``.
    mask_var
        Genes to use: a boolean column of ``var`` or a boolean array; by default all genes that vary.
    gene_symbols
        Column of ``var`` with the names the pathways use; by default ``var_names``.
    min_genes, max_genes
        Pathways with fewer or more genes in the model are left out and reported.
    n_extra
        Number of free components, named ``free_1``, ``free_2``, … in the order of the variance they add to the
        pathways; their loadings have both signs. ``"auto"``: chosen as in :func:`pathwayae.tl.n_extra_path`.
    scores
        ``"members"``: every pathway by itself. ``"projection"``: :math:`Z = \tilde X W`; ``"least_squares"``:
        :math:`Z = \tilde X L(L^\top L + 0.1\,I)^{-1}`, where what pathways share is divided among them.
    theta
        Of a descent: strength of the structure, from 0 to 1 (clipped to 0.999). ``"auto"``: chosen by cells and genes
        held out, as in :func:`pathwayae.tl.theta_path`; about 40 fits.
    scale
        Divide each gene by its standard deviation (``"unit"``), by the square root of it (``"pareto"``) or not.
    batch_key
        Column of ``obs`` with batches. Every gene is centred within each batch, which removes differences between the
        means of batches exactly, and σ is that of the deviations left. Iterates on the Gram matrix. Strata of `moments`
        must be the batches, or samples of them (``pae.pp.moments(batch_key=…, sample_key=…)``).
        Where batches hold cell types in unequal shares, that takes part of these with it: see `covariates`.
    covariates
        Column of ``obs``, or several, with what differs between batches for a good reason, as their cell types do where
        batches hold them in unequal shares. Effects of batches are estimated beside those of the covariates, by least
        squares of every gene on both, and the former alone are removed: the same that limma's ``removeBatchEffect``
        does with its ``design``. Categories only. Strata of `moments` must be those of batches and levels
        (``pae.pp.moments(batch_key=…, covariates=…)``).
    settings
        What rarely needs a change: balance, centring, solver and the descent, see :class:`pathwayae.tl.FitSettings`.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        Seed of the noise that breaks ties between pathways with the same genes, and of folds.
    progress
        Show progress bars on a terminal or in a notebook.
    key_added
        Replaces ``pae`` in the names of all slots.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy (of the modality). Writes, in the place of an earlier fit under the same key,

    - ``obsm["X_pae"]``: scores, float32, cells × components; a higher score means more of the genes of the pathway (of
      genes of like expression, with `balance`), and 0 is the mean of the cells (of the batch, with `batch_key`). They
      are coordinates along encoders of unit length in standardised expression, divided by the root of how many
      pathways say the same, so that distances between cells count what pathways share once.
      ``pae.get.scores(adata, standardize=True)`` gives every score the same spread.
    - ``varm["pae_loadings"]``: float32, genes × components, columns of unit length; zero for genes outside the model.
      From 2²³ loadings on a sparse matrix (CSR): those of the genes of a pathway and of as many others, at least 30,
      that go with it most; the rest is exactly 0 (:class:`pathwayae.tl.FitSettings`, ``support``).
    - ``varm["pae_encoder"]``: float32, genes × components, the matrix E from standardised cells to scores; not there
      with ``scores="projection"`` and without balance, whose loadings it is. Where loadings are sparse it is too, and
      balance is apart: row i of E is row i of it less row ``var["pae_bin"][i]`` of ``uns["pae"]["level"]``.
    - ``varm["pae_membership"]``: sparse boolean, genes × pathways.
    - ``varm["pae_batch_means"]``: with `batch_key`, genes × batches; zero for genes outside the model.
    - ``var["pae_regularised"]``: boolean, with classes of which some are NaN: False there.
    - ``var["pae_mean"]``, ``var["pae_scale"]``: standardisation; NaN for genes outside the model.
    - ``obs["pae_fit"]``: the id of the fit that the scores of a cell are of, the same in all cells: after
      ``anndata.concat`` of two fits it tells their cells apart, which every reader of the fit then refuses.
    - ``uns["pae"]``: ``params``, ``component_names``, ``n_pathways``, ``variance_ratio`` (share of the variance that
      each score explains alone), ``variance_ratio_total``, ``history``, ``pathways`` and ``dropped`` (reports). The
      table ``pathways`` says how well each score speaks for its pathway, and its column ``flag`` where it does not, see
      :func:`pathwayae.get.pathways`. Without a descent ``history`` is empty. ``reference_cells`` holds quantiles over
      up to 2 000 of the cells, against which ``pae.tl.transform`` holds new ones.
      With `batch_key` also ``batches`` (names) and ``batch_variance``, see :func:`pathwayae.get.batch_variance`; with
      ``"auto"`` also ``theta_path`` and ``n_extra_path``, and ``params`` hold the numbers that were chosen.

    Raises
    ------
    KeyError
        If a layer or column does not exist.
    TypeError
        If `adata` is neither an AnnData nor a MuData; the message says how to fit a file.
    ValueError
        If a MuData has no modality `mod`, no gene matches, gene names repeat, values are not finite, there is no room
        for so many free components (or, in a descent, for so many pathways), a cell has no batch, there is only one
        stratum to hold out, another model has the key, or a parameter is out of range.

    Warns
    -----
    pathwayae.DataWarning
        If the values look like no logarithms, few genes match, batches have fewer than 10 cells, are one condition, or
        differ by more than a shift of all cells alike and no covariates are given (unequal shares of cell types, seen
        in clusters of the scores), pathways are flagged, or θ as chosen ignores the pathways or copies them.

    See Also
    --------
    pathwayae.pp.moments : one pass over cells of any size, to fit from again and again.
    pathwayae.tl.transform : the same scores for new cells.
    pathwayae.tl.stability : how far the fit holds in cells drawn again.
    pathwayae.models.GroupedAutoencoder : the model on plain arrays.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> adata.obsm["X_pae"].shape
    (300, 8)
    """
    adata = _checks.annotated(_checks.modality(adata, mod), FROM_FILES)
    asked = Asked(
        moments=moments,
        layer=layer,
        mask_var=mask_var,
        gene_symbols=gene_symbols,
        min_genes=min_genes,
        max_genes=max_genes,
        n_extra=n_extra,
        scores=scores,
        theta=theta,
        scale=scale,
        batch_key=batch_key,
        covariates=covariates,
        settings=FitSettings() if settings is None else settings,
        device=device,
        random_state=random_state,
        progress=progress,
    )
    selection.check(asked)
    batches.check(asked)
    check(asked)
    store.claim(adata, key_added, keys.GROUPED)
    config = config_of(asked)
    cells = prepare(adata, pathways, asked, config.device)
    asked = sized(cells.data.n, len(cells.genes), len(cells.kept), asked)
    pathways_of.refuse_weights(cells.membership, scores)
    config, n_free, paths = selection.choose(cells, config, asked)
    config = replace(config, support=on_support(asked, len(cells.genes), len(cells.kept) + n_free))
    together = n_free if asked.settings.free == "together" else 0
    problem = cells.problem(config, together)
    model = complete(cells.data.gram, _descend(problem, progress=progress), n_free - together, config)
    found = quality.assess(problem, model, cells.kept["pathway"].tolist())
    values, sample = _scores(cells, model, found.variance_ratio, asked)
    names = slots.free_names(cells.kept["pathway"].tolist(), n_free)
    if values is not None and cells.labels is not None and not asked.covariate_keys:
        batches.check_composition(values, cells.labels, names, n_pathways=len(cells.kept), seed=random_state)
    entries = paths | {
        keys.VARIANCE_RATIO: found.variance_ratio,
        keys.VARIANCE_RATIO_TOTAL: found.together,
        keys.PARAMS: stored(asked, config, n_extra=n_free, solver=solver_of(cells.data)),
        keys.PATHWAYS: pd.concat([cells.kept, found.pathways], axis=1),
        keys.DROPPED: cells.dropped,
    }
    if cells.membership.dtype != bool:
        entries[keys.PARAMS][keys.WEIGHTED] = True
    if cells.batches is not None:
        entries[keys.BATCH_VARIANCE] = variance(cells.batches, cells.data, model.encoder, found.power, names)
    target = adata.copy() if copy else adata
    of_genes = (cells.genes, cells.data, cells.membership)
    slots.write(target, key_added, *of_genes, model, values, entries, cells.batches, cells.penalised)
    seen.keep(target, key_added, sample)
    logger.info("Fitted %d pathways and %d free components on %d genes.", len(cells.kept), n_free, len(cells.genes))
    return target if copy else None


def _scores(
    cells: Prepared, model: Model, ratio: NDArray[np.float64], asked: Asked
) -> tuple[NDArray[np.float32] | None, seen.Sample | None]:
    """Scores of the cells, which are not read again where the fit holds them, and what was seen of some of them."""
    if cells.source is None:
        return None, None
    data, projection = cells.data, cells.projection(model)
    found = seen.residual_of(projection, ratio, asked.scale or "")
    sample = seen.Sample(cells.source.shape[0], found, projection, asked.random_state)
    if isinstance(data, StandardizedCells) and not cells.source.finite:
        scores = projected(data.gram.cells, data.mean, data.scale, model.encoder, genes=data.gram.genes)
        sample.genes = data.gram.genes
        sample(0, len(scores), data.gram.cells, scores)
        return scores.astype(np.float32), sample
    return project(cells.source, projection, look=sample, progress=asked.progress), sample


def _descend(problem: grouped.Problem, *, progress: bool) -> grouped.Fit:
    """Pathway loadings by one descent, step by step on a bar."""
    config = problem.config
    shown = progress and config.scores != "members"  # which take no steps
    with _progress.bar("fit", "steps", config.max_iter, progress=shown) as bar:

        def step(_: int, terms: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{terms['loss']:.4f}", refresh=False)
            bar.update()

        cells = (problem.data, problem.membership, problem.penalised, problem.n_components)
        found = grouped.fit(*cells, config, progress=step)
    return found if config.scores == "members" else grouped.oriented(found, problem.membership)
