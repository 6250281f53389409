"""Cells and pathways in files: a fit in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pathwayae.cli import _files, _summary, _tables
from pathwayae.cli._options import (
    AsJson,
    Cells,
    GeneSymbols,
    KeyAdded,
    Layer,
    Out,
    Overwrite,
    Quiet,
    Seed,
    Strict,
    TableFormat,
    Tables,
    number_or_auto,
    whole_or_auto,
)
from pathwayae.cli._run import Run, running

if TYPE_CHECKING:
    from anndata import AnnData

    from pathwayae.gs import GeneSetCollection
    from pathwayae.pp import Moments, Sketch

OF_DESCENT = "Of a descent"
WRITTEN = ("scores", "loadings", "pathways", "variance", "top_genes", "left_out")
IF_ASKED = ("batch_variance", "theta_path", "n_extra_path")  # tables of options
SUPPORT: dict[str, bool | Literal["auto"]] = {"auto": "auto", "yes": True, "no": False}


def fit(
    context: typer.Context,
    cells: Cells,
    pathways: Annotated[
        str,
        typer.Option(
            "--pathways",
            "-p",
            help="GMT file, key of a membership in varm, or column of var with classes.",
            show_default=False,
        ),
    ],
    out: Out,
    layer: Layer = None,
    normalize: Annotated[
        Literal["log1p", "none"], typer.Option(help="log1p: the values are counts, to be scaled and logged.")
    ] = "none",
    target_sum: Annotated[float, typer.Option(help="Total of every cell under --normalize log1p.")] = 1e4,
    mask_var: Annotated[
        str | None, typer.Option(help="Boolean column of var with the genes to use.", show_default="all")
    ] = None,
    gene_symbols: GeneSymbols = None,
    min_genes: Annotated[int, typer.Option(help="Leave out pathways with fewer genes in the data.")] = 5,
    max_genes: Annotated[
        int | None, typer.Option(help="Leave out pathways with more genes in the data.", show_default="no limit")
    ] = None,
    n_extra: Annotated[
        Any, typer.Option(help="Number of free components, or auto.", parser=whole_or_auto, metavar="N|auto")
    ] = 20,
    scores: Annotated[
        Literal["members", "projection", "least_squares"],
        typer.Option(help="Every pathway by its members, or one of two descents."),
    ] = "members",
    theta: Annotated[
        Any,
        typer.Option(
            help=f"{OF_DESCENT}: strength of the pathways, 0 to 1, or auto.", parser=number_or_auto, metavar="X|auto"
        ),
    ] = 0.3,
    scale: Annotated[
        Literal["unit", "pareto", "none"], typer.Option(help="Divide genes by their s.d., the root of it, or not.")
    ] = "pareto",
    batch_key: Annotated[str | None, typer.Option(help="Column of obs with batches, to centre genes within.")] = None,
    covariates: Annotated[
        list[str] | None,
        typer.Option(help="Column of obs, such as cell types, beside which batch effects are estimated; may repeat."),
    ] = None,
    condition_key: Annotated[
        str | None, typer.Option(help="Column of obs with the groups to compare; batches of one alone are warned of.")
    ] = None,
    sample_key: Annotated[
        str | None, typer.Option(help="Column of obs with donors: with auto, whole donors are held out.")
    ] = None,
    balance: Annotated[bool, typer.Option(help="Weigh against genes of like expression.")] = True,
    joint: Annotated[
        bool, typer.Option(help="Of scores members: regress cells on all pathways at once.", show_default="no-joint")
    ] = False,
    center: Annotated[bool, typer.Option(help="Subtract the mean of each gene.")] = True,
    solver: Annotated[
        Literal["auto", "gram", "cells", "sketch"], typer.Option(help="What the fit reads of the cells.")
    ] = "auto",
    epsilon: Annotated[float, typer.Option(help=f"{OF_DESCENT}: share of entropy, 0 to 1.")] = 0.0,
    l1_ratio: Annotated[float, typer.Option(help=f"{OF_DESCENT}: mix of the terms of zero-norm feature.")] = 0.5,
    zero_norm: Annotated[
        Literal["component", "feature"], typer.Option(help=f"{OF_DESCENT}: what outside loadings are relative to.")
    ] = "component",
    init: Annotated[Literal["evidence", "membership"], typer.Option(help=f"{OF_DESCENT}: its start.")] = "evidence",
    dropout: Annotated[
        float | None, typer.Option(help="Of scores projection: share of the input hidden.", show_default="0.9")
    ] = None,
    support: Annotated[
        Literal["auto", "yes", "no"], typer.Option(help="Keep loadings of the genes that go with a pathway alone.")
    ] = "auto",
    learning_rate: Annotated[float, typer.Option(help=f"{OF_DESCENT}: of Adam.")] = 0.03,
    max_iter: Annotated[int, typer.Option(help=f"{OF_DESCENT}: number of steps.")] = 100,
    non_negative: Annotated[bool, typer.Option(help=f"{OF_DESCENT}: loadings of pathways have one sign.")] = True,
    activation: Annotated[
        Literal["softplus", "sigmoid"], typer.Option(help=f"{OF_DESCENT}: what keeps loadings from being negative.")
    ] = "softplus",
    entropy_on_classes: Annotated[
        bool, typer.Option(help=f"{OF_DESCENT}: average the entropy within pathways first.")
    ] = False,
    entropy_scaling: Annotated[
        Literal["log", "exp", "none"], typer.Option(help=f"{OF_DESCENT}: what the entropy is divided by.")
    ] = "log",
    relative: Annotated[bool, typer.Option(help=f"{OF_DESCENT}: divide the error by the size of the data.")] = True,
    free: Annotated[
        Literal["residual", "together"], typer.Option(help=f"{OF_DESCENT}: where free components come from.")
    ] = "residual",
    min_delta: Annotated[float, typer.Option(help=f"{OF_DESCENT}: least improvement that counts.")] = 1e-5,
    early_stopping_patience: Annotated[
        int, typer.Option(help=f"{OF_DESCENT}: it ends after so many steps without an improvement.")
    ] = 100,
    scheduler_patience: Annotated[
        int, typer.Option(help=f"{OF_DESCENT}: the learning rate falls after so many steps without one.")
    ] = 10,
    scheduler_factor: Annotated[float, typer.Option(help=f"{OF_DESCENT}: to this share of itself.")] = 0.5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    random_state: Seed = 0,
    key_added: KeyAdded = "pae",
    model: Annotated[
        Path | None, typer.Option(help="The .npz to write the model to, without the cells.", show_default=False)
    ] = None,
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score cells by pathways: loadings, scores and free components.

    Gene sets are read and matched before the cells are. The cells are read in blocks, so that they may be larger than
    the memory. Tables: scores, loadings, pathways, variance, top_genes, left_out.

    \b
    Examples:
      pathwayae fit cells.h5ad --pathways hallmark.gmt --out fitted.h5ad
      pathwayae fit counts.h5ad -p sets.gmt -o fitted.h5ad --normalize log1p --batch-key batch --tables fit
    """  # noqa: D301
    with running(context) as run:
        out = _files.check_out(out, overwrite=overwrite)
        model = (
            None if model is None else _files.check_out(model, overwrite=overwrite, kinds=(".npz",), option="--model")
        )
        tables = _tables.check(tables, WRITTEN, table_format, overwrite=overwrite)
        sets = _sets(pathways)
        import pathwayae as pae

        with _files.opened(cells) as source:
            adata = source.adata
            if sets is not None and pathways not in adata.varm:
                _check_matched(sets, adata, gene_symbols, min_genes, max_genes)
            settings = pae.tl.FitSettings(
                balance=balance,
                joint=joint,
                center=center,
                solver=solver,
                epsilon=epsilon,
                l1_ratio=l1_ratio,
                zero_norm=zero_norm,
                init=init,
                dropout=dropout,
                support=SUPPORT[support],
                learning_rate=learning_rate,
                max_iter=max_iter,
                non_negative=non_negative,
                activation=activation,
                entropy_on_classes=entropy_on_classes,
                entropy_scaling=None if entropy_scaling == "none" else entropy_scaling,
                relative=relative,
                free=free,
                min_delta=min_delta,
                early_stopping_patience=early_stopping_patience,
                scheduler_patience=scheduler_patience,
                scheduler_factor=scheduler_factor,
                condition_key=condition_key,
            )
            pae.tl.fit(
                adata,
                pathways if sets is None or pathways in adata.varm else sets,
                moments=_moments(context, adata, run) if normalize != "none" or sample_key else None,
                layer=layer,
                mask_var=mask_var,
                gene_symbols=gene_symbols,
                min_genes=min_genes,
                max_genes=max_genes,
                n_extra=n_extra,
                scores=scores,
                theta=theta,
                scale=None if scale == "none" else scale,
                batch_key=batch_key,
                covariates=covariates or None,
                settings=settings,
                device=device,
                random_state=random_state,
                progress=run.bars,
                key_added=key_added,
            )
            _finish(run, source, out, model, (tables, table_format, key_added))


def _finish(
    run: Run, source: _files.Opened, out: Path, model: Path | None, tables: tuple[Path | None, str, str]
) -> None:
    """Write and report."""
    import pathwayae as pae

    adata, (folder, kind, key) = source.adata, tables
    _files.write(source, out)
    if model is not None:
        pae.models.save(adata, model, key=key)
        run.also(model)
    names = [*WRITTEN, *(name for name in IF_ASKED if name in adata.uns[key])]
    paths = _tables.write(adata, folder, names, kind, key)
    run.found(lambda: _summary.show(adata, key), **_summary.figures(adata, key))
    run.finish(out, *paths)


def _sets(pathways: str) -> GeneSetCollection | None:
    """The gene sets of a file, read before anything else; None where it may be a key of the cells."""
    path = Path(pathways).expanduser()
    if not path.exists():
        return None
    import pathwayae as pae

    return pae.gs.read_gmt(path)


def _check_matched(
    sets: GeneSetCollection, adata: AnnData, gene_symbols: str | None, min_genes: int, max_genes: int | None
) -> None:
    """Raise, before a cell is read, where no set has enough genes among those of the data."""
    from pathwayae import _checks
    from pathwayae.core.genesets.membership import mismatch_message

    names = _checks.gene_names(adata, gene_symbols).tolist()
    if set(sets.genes).isdisjoint(names):
        raise ValueError(mismatch_message(sets.genes, names))
    if not sets.filter(min_genes=max(min_genes, 1), max_genes=max_genes, genes=names):
        most = int(sets.membership(names).report["n_matched"].max())
        msg = (
            f"No pathway has {min_genes} genes or more{'' if max_genes is None else f' and {max_genes} or fewer'} in "
            f"the data; the most any of {len(sets)} has is {most}. Lower --min-genes or use more genes."
        )
        raise ValueError(msg)


def _moments(context: typer.Context, adata: AnnData, run: Run) -> Moments | Sketch:
    """What a fit needs of counts, or of donors: one pass over the cells."""
    import pathwayae as pae
    from pathwayae import _checks

    given = context.params
    genes = _checks.gene_names(adata, given["gene_symbols"])[_checks.gene_mask(adata, given["mask_var"])]
    held_out = "auto" in (given["theta"], given["n_extra"]) and not (given["sample_key"] or given["batch_key"])
    return pae.pp.moments(
        adata,
        layer=given["layer"],
        genes=genes,
        gene_symbols=given["gene_symbols"],
        sample_key=given["sample_key"],
        batch_key=given["batch_key"],
        covariates=given["covariates"] or None,
        n_folds=5 if held_out else None,
        normalize=None if given["normalize"] == "none" else given["normalize"],
        target_sum=given["target_sum"],
        sketch={"gram": False, "sketch": True}.get(given["solver"], "auto"),
        device=given["device"],
        random_state=given["random_state"],
        progress=run.bars,
    )
