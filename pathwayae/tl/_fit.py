"""The main job: cells and pathways in, loadings and scores out."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from tqdm import tqdm

from pathwayae import _inputs, _keys
from pathwayae.core import grouped_ae, selection
from pathwayae.core.gram_product import StandardizedCells
from pathwayae.core.moments import Moments
from pathwayae.tl import _batches, _cells, _pathways, _quality, _selection, _settings, _stability
from pathwayae.tl._project import Projection, opened, project
from pathwayae.tl._write import complete, component_names, write

logger = logging.getLogger("pathwayae")


def fit(
    adata: AnnData,
    pathways: Any,
    *,
    moments: Moments | None = None,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    gene_symbols: str | None = None,
    min_genes: int = 5,
    max_genes: int | None = None,
    n_extra: int | Literal["auto"] = 20,
    theta: float | Literal["auto"] = 0.3,
    epsilon: float = 0.0,
    l1_ratio: float = 0.5,
    center: bool = True,
    scale: Literal["unit", "pareto"] | None = "pareto",
    batch_key: str | None = None,
    condition_key: str | None = None,
    scores: Literal["members", "projection", "least_squares"] = "members",
    balance: bool = True,
    init: Literal["evidence", "membership"] = "evidence",
    dropout: float | None = None,
    zero_norm: Literal["component", "feature"] = "component",
    learning_rate: float = 0.03,
    max_iter: int = 100,
    solver: Literal["auto", "gram", "cells"] = "auto",
    device: str = "auto",
    n_restarts: int = 1,
    n_bootstrap: int = 0,
    sample_key: str | None = None,
    random_state: int = 0,
    progress: bool = True,
    key_added: str = _keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Fit a grouped autoencoder: a score per cell and a loading per gene for every pathway.

    The model needs one pass over the cells, scores take a second one. With :math:`\tilde X = (X - \mu)/\sigma` scores
    are :math:`Z = \tilde X E`. By default (``scores="members"``) each pathway has an encoder of its own, in closed
    form: its genes, weighted by how well each goes with the others of the pathway,

    .. math:: w_{ij} = \max(\rho_{ij}, 0) + 0.4 \quad\text{for the genes } i \text{ of pathway } j,

    with ρ the correlation of a gene with the score of the *rest* of the pathway. From these weights their mean over
    genes of similar expression is taken (`balance`), so that a score does not follow a cell's overall level. A score is
    made by the genes of its pathway alone; it depends on no seed, on no number of steps and on no other pathway.
    Loadings are these weights, and for genes outside the pathway the like times the probability that they belong to it.
    Free components are the leading eigenvectors of gene space beside the encoders of the pathways; their scores may
    still go with those of pathways (:func:`pathwayae.get.free_components`).

    With ``scores="projection"`` or ``"least_squares"`` the pathways compete in a descent instead: the loadings
    :math:`W \ge 0` minimise

    .. math:: (1-\theta)\,\frac{\|\tilde X - \hat X\|_F}{\|\tilde X\|_F}
              + \theta\,[(1-\varepsilon)\,\mathrm{zero} + \varepsilon\,\mathrm{entropy}]

    where *zero* is what the components load outside their pathways and *entropy* how spread out the genes are
    (over ln k). It starts from the pathways and is ended early, after `max_iter` steps. The defaults were chosen by
    measurement, see ``benchmarks/defaults.md``; the mathematics is in ``docs/mathematics.md``.

    Parameters
    ----------
    adata
        Cells × genes, log-normalised: dense or sparse, in memory, backed, read lazily, or on dask.
    pathways
        A :class:`~pathwayae.gs.GeneSetCollection`, the path of a GMT file, a dict name → genes, a long DataFrame
        with columns ``source`` and ``target``, or the key of a membership matrix in ``varm``. Genes are matched
        by name.
    moments
        What :func:`pathwayae.pp.moments` read of these or of other cells; the matrix is then read for the scores
        alone, and where `adata` has no ``X`` there are no scores (those of an earlier fit are removed). Genes are
        matched by name; those of `adata` that the moments do not have stay outside the model. Counts are normalised
        as the moments were.
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
    theta, epsilon, l1_ratio
        Of a descent: strength of the structure, share of entropy in it, and mix of the two terms of
        ``zero_norm="feature"``; each from 0 to 1. θ is clipped to 0.999. ``theta="auto"``: chosen by cells and genes
        held out, as in :func:`pathwayae.tl.theta_path`; about 40 fits.
    center
        Subtract the mean of each gene.
    scale
        Divide each gene by its standard deviation (``"unit"``), by the square root of it (``"pareto"``) or not.
    batch_key
        Column of ``obs`` with batches. Every gene is centred within each batch, which removes differences between the
        means of batches exactly, and σ is that of the deviations left. Iterates on the Gram matrix. Strata of `moments`
        must be the batches, or samples of them (``pae.pp.moments(batch_key=…, sample_key=…)``).
    condition_key
        Column of ``obs`` with the groups that will be compared: batches that hold one of them alone are warned of.
    scores
        ``"members"``: every pathway by itself. ``"projection"``: :math:`Z = \tilde X W`; ``"least_squares"``:
        :math:`Z = \tilde X L(L^\top L + 0.1\,I)^{-1}`, where what pathways share is divided among them.
    balance
        Take from the weights of a score their mean over genes of similar mean expression (25 bins; fewer below 1 500
        genes). Without it, cells in which everything is higher score higher on every pathway.
    init
        A descent starts from the probability that a gene belongs to a pathway (``"evidence"``) or from the
        ``"membership"`` as given.
    dropout
        Of ``scores="projection"``: probability with which every entry of the input is hidden while it is encoded, from
        0 to below 1, in expectation over the masks. Where nothing is hidden, a component explains most by copying one
        gene. By default 0.9.
    zero_norm
        Of a descent: outside loadings relative to the gene's (``"feature"``) or to the component's size
        (``"component"``).
    learning_rate, max_iter
        Of Adam, in a descent. More iterations follow the data further from the pathways.
    solver
        Iterate on the ``"gram"`` matrix of the genes (8 g² bytes), through the ``"cells"``, which are then held in
        memory (36 bytes per stored value where sparse, at most 16 per value where dense), or on what costs less
        (``"auto"``: the cells where they are fewer than half the genes or the Gram matrix would need more than 4 GiB).
        The results are equal. With `moments` always the Gram matrix.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    n_restarts
        Number of starts of a descent, with the seeds `random_state`, `random_state` + 1, …; the fit with the lowest
        loss is kept, and ``uns["pae"]["params"]["random_state"]`` is its seed. They share the moments and are fitted
        together.
    n_bootstrap
        Number of refits of cells drawn with replacement, for intervals of the loadings and a verdict per component:
        donors are drawn where `sample_key` or the strata of `moments` name them, else 20 random folds of the cells.
        Every draw reweights the moments, reads no cell, and starts from a seed of its own. Cells that are drawn twice
        make genes go together more, so intervals of ``scores="members"`` lie a little high. The ends of 95 % intervals
        need 40 draws at the least; 200 are usual. The fit itself does not change.
    sample_key
        Column of ``obs`` with the donor or sample of each cell, drawn by `n_bootstrap`; cells of a donor resemble each
        other, so intervals that ignore donors are too narrow. With `moments` their strata are drawn instead.
    random_state
        Seed of the noise that breaks ties between pathways with the same genes, of folds and of draws.
    progress
        Show progress bars.
    key_added
        Replaces ``pae`` in the names of all slots.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes, in the place of an earlier fit under the same key,

    - ``obsm["X_pae"]``: scores, float32, cells × components; a higher score means more of the genes of the pathway (of
      genes of like expression, with `balance`), and 0 is the mean of the cells (of the batch, with `batch_key`). They
      are coordinates along encoders of unit length in standardised expression, divided by the root of how many
      pathways say the same, so that distances between cells count what pathways share once.
      ``pae.get.scores(adata, standardize=True)`` gives every score the same spread.
    - ``varm["pae_loadings"]``: float32, genes × components, columns of unit length; zero for genes outside the model.
    - ``varm["pae_encoder"]``: float32, genes × components, the matrix from standardised cells to scores; not there with
      ``scores="projection", balance=False``, whose loadings it is.
    - ``varm["pae_membership"]``: sparse boolean, genes × pathways.
    - ``varm["pae_batch_means"]``: with `batch_key`, genes × batches; zero for genes outside the model.
    - ``var["pae_mean"]``, ``var["pae_scale"]``: standardisation; NaN for genes outside the model.
    - ``uns["pae"]``: ``params``, ``component_names``, ``n_pathways``, ``variance_ratio`` (share of the variance that
      each score explains alone), ``variance_ratio_total``, ``history``, ``pathways`` and ``dropped`` (reports). The
      table ``pathways`` says how well each score speaks for its pathway, and its column ``flag`` where it does not, see
      :func:`pathwayae.get.pathways`. Without a descent ``history`` is empty.
      With `batch_key` also ``batches`` (names) and ``batch_variance``, see :func:`pathwayae.get.batch_variance`; with
      `n_restarts` or `n_bootstrap` also ``stability``, see :func:`pathwayae.get.stability`; with
      ``"auto"`` also ``theta_path`` and ``n_extra_path``, and ``params`` hold the numbers that were chosen.
    - with `n_bootstrap`, ``varm["pae_loadings_low"]`` and ``varm["pae_loadings_high"]``: 2.5 and 97.5 % percentiles of
      the loadings over the draws, float32, genes × components.

    Raises
    ------
    KeyError
        If a layer or column does not exist.
    ValueError
        If no gene matches, gene names repeat, values are not finite, there are fewer cells than components, neither
        the Gram matrix nor the cells fit in memory, a cell has no batch, there is only one donor to draw or to
        hold out, or a parameter is out of range.

    Warns
    -----
    pathwayae.DataWarning
        If the values look like raw counts, genes do not vary, few genes match, batches have fewer than 10 cells or are
        one condition, pathways are flagged, there are few donors or draws, or θ as chosen ignores the pathways or
        copies them.

    See Also
    --------
    pathwayae.pp.moments : one pass over cells of any size, to fit from again and again.
    pathwayae.tl.transform : the same scores for new cells.
    pathwayae.models.GroupedAutoencoder : the model on plain arrays.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> adata.obsm["X_pae"].shape
    (300, 8)
    """
    given = dict(locals())
    _settings.check(given)
    auto = _selection.Auto(theta == "auto", n_extra == "auto")
    _selection.check(auto, scores, solver, moments)
    _batches.check(batch_key, condition_key, center=center, solver=solver)
    _stability.check(adata, n_restarts, n_bootstrap, sample_key, solver, moments)
    config = _settings.config_of(given | ({"theta": _selection.THETA} if auto.theta else {}))
    _settings.check_scores(given)
    normalize = "" if moments is None else moments.normalize
    source = opened(adata, layer, gene_symbols, normalize, needed=moments is None)
    names = _inputs.gene_names(adata, gene_symbols)
    mask = _inputs.gene_mask(adata, mask_var)
    collection = _pathways.collect(adata, pathways, names)
    labels = _batches.read(adata, source, batch_key, condition_key)
    _pathways.check_matched(collection, names[mask])
    if (n_bootstrap or any(auto)) and moments is None:
        moments = _strata(given, names[mask], config.device)
    genes, data, batches = _cells.standardized(
        source,
        names,
        mask,
        moments=moments,
        solver=solver,
        center=center,
        scale=scale,
        device=config.device,
        progress=progress,
        labels=labels,
    )
    constant = _constant(names[mask], names[genes], moments)
    membership, kept, dropped = _pathways.choose(collection, names[genes], min_genes, max_genes, constant=constant)
    _settings.check_size(data.n, len(genes), len(kept), 0 if n_extra == "auto" else n_extra)
    levels = () if batches is None else batches.names
    config, n_extra, paths = _selection.choose(
        moments,
        names[genes],
        membership,
        config,
        n_extra,
        auto,
        batches=levels,
        center=center,
        scale=scale,
        progress=progress,
    )
    problem = grouped_ae.Problem(data, membership.toarray(), np.ones(len(genes), dtype=bool), len(kept), config)
    problem, fits = _fits(problem, n_restarts, progress=progress)
    model = complete(data.gram, fits[0], n_extra, config)
    outcome = _stability.assess(
        problem,
        model,
        fits[1:],
        names=names[genes],
        labels=component_names(kept["pathway"].tolist(), n_extra),
        moments=moments,
        batches=levels,
        n_bootstrap=n_bootstrap,
        center=center,
        random_state=random_state,
        progress=progress,
    )
    kept = pd.concat([kept, _quality.assess(problem, model, kept["pathway"].tolist())], axis=1)
    shifts = _batches.shifts(labels, batches, data, model.encoder)
    scores_of = Projection(genes, data.mean, data.scale, model.encoder, *shifts)
    written = None if source is None else project(source, scores_of, progress=progress)
    target = adata.copy() if copy else adata
    solver = "cells" if isinstance(data, StandardizedCells) else "gram"
    settings = _settings.stored(given | {"n_extra": n_extra, "normalize": normalize, "solver": solver}, problem.config)
    entries = {_keys.PARAMS: settings, _keys.PATHWAYS: kept, _keys.DROPPED: dropped} | paths
    write(target, key_added, genes, data, membership, model, written, entries, batches)
    _stability.store(target, key_added, genes, outcome)
    logger.info("Fitted %d pathways and %d free components on %d genes.", len(kept), n_extra, len(genes))
    return target if copy else None


def _constant(names: NDArray[np.str_], used: NDArray[np.str_], moments: Moments | None) -> NDArray[np.str_]:
    """Genes that were to be in the model but do not vary."""
    lost = np.setdiff1d(names, used)
    return lost if moments is None else lost[np.isin(lost, np.array(moments.genes))]


def _strata(given: dict[str, Any], genes: NDArray[np.str_], device: str) -> Moments:
    """Moments of donors, batches or folds, from one pass."""
    names = ("layer", "gene_symbols", "batch_key", "sample_key", "random_state", "progress")
    n_folds = _stability.N_FOLDS if given["n_bootstrap"] else selection.N_FOLDS
    options = {name: given[name] for name in names}
    moments = _stability.read(given["adata"], genes, n_folds=n_folds, device=device, **options)
    if given["n_bootstrap"]:
        _stability.check_strata(moments.strata, given=False)
    return moments


def _fits(
    problem: grouped_ae.Problem, n_restarts: int, *, progress: bool
) -> tuple[grouped_ae.Problem, list[grouped_ae.Fit]]:
    """The problem that is kept, its fit, and those of other starts."""
    if n_restarts == 1:
        return problem, [_descend(problem, progress=progress)]
    return _stability.restart(problem, n_restarts, progress=progress)


def _descend(problem: grouped_ae.Problem, *, progress: bool) -> grouped_ae.Fit:
    """Pathway loadings by one descent, step by step on a bar."""
    config = problem.config
    shown = progress and config.scores != "members"  # which take no steps
    with tqdm(total=config.max_iter, desc="fit", unit=" steps", disable=not shown, leave=False) as bar:

        def step(_: int, terms: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{terms['loss']:.4f}", refresh=False)
            bar.update()

        cells = (problem.data, problem.membership, problem.penalised, problem.n_components)
        return grouped_ae.fit(*cells, config, progress=step)
