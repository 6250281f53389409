"""New cells scored by a fit, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pathwayae.cli import _files, _tables
from pathwayae.cli._options import (
    AsJson,
    GeneSymbols,
    Key,
    Overwrite,
    Quiet,
    Strict,
    TableFormat,
    Tables,
)
from pathwayae.cli._run import Run, running
from pathwayae.core.files import whole_or_nothing

WRITTEN = ("scores",)
IF_THERE = ("missing_genes", "unexplained")  # of the pathways of pae.tl.fit
SCORES_ONLY = (".zarr", ".parquet")


def transform(
    context: typer.Context,
    cells: Annotated[
        list[Path],
        typer.Argument(help="New cells, log-normalised like the fitted ones, .h5ad or .zarr.", metavar="CELLS…"),
    ],
    reference: Annotated[
        Path,
        typer.Option("--reference", "-r", help="Fitted cells, .h5ad or .zarr, or a model, .npz.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="The .h5ad or .zarr to write; scores alone are .zarr or .parquet.", show_default=False
        ),
    ],
    scores_only: Annotated[
        bool, typer.Option("--scores-only", help="Write scores × components; so are several files of cells.")
    ] = False,
    layer: Annotated[str | None, typer.Option(help="Layer with the values.", show_default="as in the fit")] = None,
    gene_symbols: GeneSymbols = None,
    batch_key: Annotated[
        str | None, typer.Option(help="Column of obs with batches.", show_default="as in the fit")
    ] = None,
    new_batches: Annotated[
        Literal["global", "center", "error"], typer.Option(help="What centres batches that the fit has not seen.")
    ] = "global",
    max_missing: Annotated[
        float, typer.Option(help="Share of the model's squared weights that missing genes may carry.")
    ] = 0.5,
    key: Key = "pae",
    key_added: Annotated[str | None, typer.Option(help="Prefix of the slots written.", show_default="as --key")] = None,
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score new cells with a fit; genes are matched by name.

    The cells are read in blocks, so that they may be larger than the memory. Tables: scores; with a fit of its kind
    missing_genes and unexplained.

    \b
    Examples:
      pathwayae transform new.h5ad --reference fitted.h5ad --out scored.h5ad
      pathwayae transform shard1.h5ad shard2.h5ad -r fitted.h5ad -o scores.parquet
    """  # noqa: D301
    with running(context) as run:
        alone = scores_only or len(cells) > 1 or out.suffix == ".parquet"
        out = _files.check_out(out, overwrite=overwrite, kinds=SCORES_ONLY if alone else _files.KINDS)
        tables = _tables.check(tables, (*WRITTEN, *IF_THERE), table_format, overwrite=overwrite)
        paths = [_files.existing(path) for path in cells]
        options: dict[str, Any] = {"layer": layer, "gene_symbols": gene_symbols, "batch_key": batch_key}
        options |= {"new_batches": new_batches, "max_missing": max_missing}
        options |= {"key": key, "key_added": key_added, "progress": run.bars}
        with _files.reference(reference) as fitted:
            if alone:
                _to_scores(run, paths, fitted, out, tables, options)
            else:
                _to_cells(run, paths[0], fitted, out, (tables, table_format), options)


def _to_cells(
    run: Run, path: Path, fitted: Any, out: Path, tables: tuple[Path | None, str], options: dict[str, Any]
) -> None:
    """Write the cells with their scores."""
    import pathwayae as pae

    with _files.opened(path) as source:
        pae.tl.transform(source.adata, fitted, **options)
        _files.write(source, out)
        key = options["key_added"] or options["key"]
        there = {"missing_genes": "missing_genes" in source.adata.uns[key]}
        there["unexplained"] = f"{key}_unexplained" in source.adata.obs
        names = [*WRITTEN, *(name for name in IF_THERE if there[name])]
        written = [out, *_tables.write(source.adata, tables[0], names, tables[1], key)]
        _report(run, written, source.adata.obsm[f"X_{key}"].shape)


def _to_scores(
    run: Run, paths: list[Path], fitted: Any, out: Path, tables: Path | None, options: dict[str, Any]
) -> None:
    """Write the scores alone, block by block."""
    import pathwayae as pae

    if tables is not None:
        msg = f"--tables {tables}: scores alone are a table themselves; leave it out, or name --out *.parquet."
        raise ValueError(msg)
    with whole_or_nothing(out) as part:
        pae.tl.transform([str(path) for path in paths], fitted, out=part, **options)
    _report(run, [out], _shape(out))


def _shape(out: Path) -> tuple[int, int]:
    """Cells × components of a file of scores."""
    if out.suffix == ".zarr":
        import zarr

        values: Any = zarr.open_group(out, mode="r")["X"]
        return values.shape
    import pyarrow.parquet as pq

    table = pq.ParquetFile(out)
    return table.metadata.num_rows, table.metadata.num_columns - 1  # one has the names of the cells


def _report(run: Run, written: list[Path], shape: tuple[int, int]) -> None:
    line = f"Scored {shape[0]:,} cells on {shape[1]} components."
    run.found(lambda: typer.echo(line), n_cells=shape[0], n_components=shape[1])
    run.finish(*written)
