"""One page of a fit, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pathwayae.cli import _files, _tables
from pathwayae.cli._options import AsJson, Fitted, Key, Overwrite, Quiet, Strict, TableFormat, Tables
from pathwayae.cli._run import running

OF_FIT = ("trust", "pathways", "top_genes", "left_out")  # tables of any fit, then of what was asked of it
IF_ASKED = ("stability", "relevance", "refinement", "enrichment", "annotation", "rank_pathways", "group_loadings")
OF_NEW_CELLS = ("missing_genes",)


def report(
    context: typer.Context,
    fitted: Fitted,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The .html to write.", show_default="FITTED with the ending .html"),
    ] = None,
    groupby: Annotated[
        list[str] | None,
        typer.Option(
            "--groupby",
            "-b",
            help="Column of obs to show scores by; repeated, they make groups together.",
            show_default="what was compared",
        ),
    ] = None,
    basis: Annotated[str | None, typer.Option(help="Embedding in obsm.", show_default="the first there is")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.", show_default="counts the cells")] = None,
    multiqc: Annotated[
        Path | None, typer.Option(help="NAME_mqc.json to write for MultiQC, and NAME_pathwayae_mqc.json beside it.")
    ] = None,
    key: Key = "pae",
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page of a fit, which needs no network and no other file.

    It shows what is in the fit; what has not been asked yet is listed with the call that asks. Tables: trust, pathways,
    top_genes, left_out, and those of every analysis that was run, in full.

    \b
    Example:
      pathwayae report ranked.h5ad --out report.html --multiqc pbmc_mqc.json --tables report
    """  # noqa: D301
    with running(context) as run:
        ending = fitted.expanduser().with_suffix(".html")
        out = _files.check_out(out or ending, overwrite=overwrite, kinds=(".html", ".htm"))
        also = _multiqc(multiqc, overwrite=overwrite)
        folder = _tables.check(tables, (*OF_FIT, *OF_NEW_CELLS, *IF_ASKED), table_format, overwrite=overwrite)
        with _files.opened(fitted) as source:
            import pathwayae as pae

            adata = source.adata
            columns = groupby[0] if groupby and len(groupby) == 1 else groupby or None
            pae.report(
                adata, out, groupby=columns, basis=basis, title=title, multiqc=also[0] if also else None, key=key
            )
            entry = adata.uns[key]
            names = [*(OF_FIT if "pathways" in entry else OF_NEW_CELLS), *(name for name in IF_ASKED if name in entry)]
            written = [out, *also, *_tables.write(adata, folder, names, table_format, key)]
            run.found(lambda: typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB"), n_bytes=out.stat().st_size)
            run.finish(*written)


def _multiqc(path: Path | None, *, overwrite: bool) -> list[Path]:
    """The two files for MultiQC, which can be written."""
    if path is None:
        return []
    name = path.name.removesuffix("_mqc.json")
    if name in ("", path.name):
        msg = f"--multiqc {path}: the name must end in _mqc.json after the name of the sample."
        raise ValueError(msg)
    both = (path, path.with_name(f"{name}_pathwayae_mqc.json"))
    return [_files.check_out(one, overwrite=overwrite, kinds=(".json",), option="--multiqc") for one in both]
