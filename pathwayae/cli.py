"""The main jobs from a shell: a demo, fit and transform, with files in and files out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from anndata import AnnData

    from pathwayae.gs import GeneSetCollection

# torch, scanpy and matplotlib take seconds to import, so the commands import them, and --help does not.

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

ROWS = 15  # pathways in the table
TOP_GENES = 6
LABELS = "bulk_labels"  # cell types of the demo's cells
HIDDEN = ("B_CELLS", "B_CELL_RECEPTOR_SIGNALLING", "PLASMA_CELLS")  # left out of the demo's blind fit
SHOWN: tuple[str, ...] = ("B_CELLS", "NK_CELLS", "CLASSICAL_MONOCYTES", "MHC_CLASS_II_PRESENTATION")
SHOWN += ("T_CELL_RECEPTOR_SIGNALLING", "CD34_PROGENITORS")


class Scores(StrEnum):
    """Where the weights of a score come from."""

    members = "members"
    projection = "projection"
    least_squares = "least_squares"


Out = Annotated[Path, typer.Option("--out", "-o", help="The .h5ad file to write.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the values.", show_default="X")]
GeneSymbols = Annotated[
    str | None, typer.Option(help="Column of var with the gene names the pathways use.", show_default="var_names")
]


def main() -> None:
    """Entry point of the ``pathwayae`` command."""
    app()


def _version(*, asked: bool) -> None:
    if asked:
        from pathwayae import __version__

        typer.echo(f"pathwayae {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=lambda value: _version(asked=value)
        ),
    ] = False,
) -> None:
    """Pathway scores for single-cell data.

    \b
    Examples:
      pathwayae demo
      pathwayae fit cells.h5ad --pathways hallmark.gmt --out fitted.h5ad
      pathwayae transform new.h5ad --reference fitted.h5ad --out scored.h5ad
    """  # noqa: D301 \b keeps the lines apart


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("pathwayae_demo"),
) -> None:
    """Fit built-in gene sets to built-in blood cells.

    29 immune gene sets and 700 cells; no network is needed. Writes the fitted cells (pbmc_pae.h5ad), three tables and
    six pictures; files of these names are replaced.

    \b
    Example:
      pathwayae demo --out my_demo
    """  # noqa: D301
    with _reported():
        out.mkdir(parents=True, exist_ok=True)
        typer.echo("Loading scanpy and torch …")
        import matplotlib as mpl
        import scanpy as sc

        import pathwayae as pae

        mpl.use("Agg")
        sets = pae.gs.read_gmt(cast("Path", pae.datasets.fetch("immune_pbmc")))  # of one file
        adata = _pbmc()
        typer.echo(f"Fitting {len(sets)} gene sets to {adata.n_obs} cells × {adata.n_vars} genes …")
        pae.tl.fit(adata, sets)
        _report(adata)
        typer.echo("\nDo these cells use the gene sets? …")
        pae.tl.relevance(adata)
        counts = pae.get.trust(adata)["verdict"].value_counts()
        typer.echo("  " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
        typer.echo("\nNeighbours and UMAP on the scores …")
        sc.pp.neighbors(adata, use_rep="X_pae")
        sc.tl.umap(adata)
        blind = _free_components(adata, sets)
        written = [out / "pbmc_pae.h5ad"]
        _write(adata, written[0])
        written += _tables(adata, out) + _pictures(adata, blind, out)
        typer.echo(f"\nWritten to {out.resolve()}:")
        for path in written:
            typer.echo(f"  {path.name}")


@app.command()
def fit(
    cells: Annotated[Path, typer.Argument(help="Cells × genes, log-normalised, .h5ad.", metavar="CELLS")],
    pathways: Annotated[
        str, typer.Option("--pathways", "-p", help="GMT file, or key of a membership in varm.", show_default=False)
    ],
    out: Out,
    layer: Layer = None,
    mask_var: Annotated[
        str | None, typer.Option(help="Boolean column of var with the genes to use.", show_default="all")
    ] = None,
    gene_symbols: GeneSymbols = None,
    min_genes: Annotated[int, typer.Option(help="Leave out pathways with fewer genes in the data.")] = 5,
    max_genes: Annotated[
        int | None, typer.Option(help="Leave out pathways with more genes in the data.", show_default="no limit")
    ] = None,
    n_extra: Annotated[int, typer.Option(help="Number of free components.")] = 20,
    theta: Annotated[float, typer.Option(help="Strength of the pathways in a descent, 0 to 1.")] = 0.3,
    scores: Annotated[Scores, typer.Option(help="Every pathway by its members, or a descent.")] = Scores.members,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the start.")] = 0,
    key_added: Annotated[str, typer.Option(help="Prefix of the slots written.")] = "pae",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score cells by pathways: loadings, scores and free components.

    \b
    Examples:
      pathwayae fit cells.h5ad --pathways hallmark.gmt --out fitted.h5ad
      pathwayae fit cells.h5ad -p sets.gmt -o fitted.h5ad --gene-symbols symbol --mask-var highly_variable
    """  # noqa: D301
    with _reported():
        _check_output(out, overwrite=overwrite)
        import pathwayae as pae

        adata = _read(cells)
        pae.tl.fit(
            adata,
            pathways,
            layer=layer,
            mask_var=mask_var,
            gene_symbols=gene_symbols,
            min_genes=min_genes,
            max_genes=max_genes,
            n_extra=n_extra,
            theta=theta,
            scores=scores.value,
            device=device,
            random_state=seed,
            key_added=key_added,
            progress=_bars() and not quiet,
        )
        _write(adata, out)
        if not quiet:
            _report(adata, key_added)
            typer.echo(f"\nWritten: {out}")


@app.command()
def transform(
    cells: Annotated[Path, typer.Argument(help="New cells, log-normalised like the fitted ones, .h5ad.")],
    reference: Annotated[
        Path, typer.Option("--reference", "-r", help="Fitted cells, .h5ad or .zarr.", show_default=False)
    ],
    out: Out,
    layer: Annotated[str | None, typer.Option(help="Layer with the values.", show_default="as in the fit")] = None,
    gene_symbols: GeneSymbols = None,
    key: Annotated[str, typer.Option(help="Prefix of the slots of the fit.")] = "pae",
    key_added: Annotated[str | None, typer.Option(help="Prefix of the slots written.", show_default="as --key")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score new cells with a fit; genes are matched by name.

    \b
    Example:
      pathwayae transform new.h5ad --reference fitted.h5ad --out scored.h5ad
    """  # noqa: D301
    with _reported():
        _check_output(out, overwrite=overwrite)
        import pathwayae as pae

        adata = _read(cells)
        fitted = reference if reference.suffix == ".zarr" else _read(reference)
        progress = _bars() and not quiet
        pae.tl.transform(
            adata, fitted, layer=layer, gene_symbols=gene_symbols, key=key, key_added=key_added, progress=progress
        )
        _write(adata, out)
        if not quiet:
            n_scores = adata.obsm[f"X_{key_added or key}"].shape[1]
            typer.echo(f"Scored {adata.n_obs:,} cells on {n_scores} components.\nWritten: {out}")


@contextmanager
def _reported() -> Iterator[None]:
    """Warnings and the usual errors as one line each on stderr; errors end the command with exit code 1."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"warning: {_one_line(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except (ValueError, KeyError, TypeError, OSError) as error:
            # str(KeyError) is the repr of its message.
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"error: {_one_line(str(text))}", err=True)
            raise typer.Exit(1) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bars() -> bool:
    """Progress bars are for people."""
    return sys.stderr.isatty()


def _check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be written before any work is done."""
    if path.suffix != ".h5ad":
        msg = f"--out {path}: the output is an AnnData file; its name must end in .h5ad."
        raise ValueError(msg)
    if path.is_dir():
        msg = f"--out {path} is a folder; name a file."
        raise IsADirectoryError(msg)
    if path.exists() and not overwrite:
        msg = f"--out {path} is there already; pass --overwrite to replace it."
        raise FileExistsError(msg)
    if not path.parent.is_dir():
        msg = f"--out {path}: there is no folder {path.parent}; make it first."
        raise FileNotFoundError(msg)


def _check_input(path: Path) -> None:
    if not path.exists():
        msg = f"{path}: no such file."
        raise FileNotFoundError(msg)


def _read(path: Path) -> AnnData:
    import anndata as ad

    _check_input(path)
    try:
        return ad.read_h5ad(path)
    except (OSError, KeyError) as error:
        msg = f"{path} cannot be read as .h5ad: {error.args[0] if error.args else error}"
        raise OSError(msg) from error


def _write(adata: AnnData, path: Path) -> None:
    """Write the target whole, or leave it untouched."""
    from pathwayae.core.files import whole_or_nothing

    with whole_or_nothing(path) as part:
        adata.write_h5ad(part)


def _report(adata: AnnData, key: str = "pae") -> None:
    """Print what was fitted, what was left out and the pathways that explain most."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    import pathwayae as pae
    from pathwayae._slots.leading import leading
    from pathwayae.core.genesets.redundancy import redundancy
    from pathwayae.core.notice import listed

    variance = pae.get.variance(adata, key=key)
    pathways = variance[variance["kind"] == "pathway"].set_index("component")
    fitted = adata.uns[key]
    n_genes = int(adata.var[f"{key}_scale"].notna().sum())
    typer.echo(
        f"{len(pathways):,} pathways and {len(variance) - len(pathways)} free components on {adata.n_obs:,} cells × "
        f"{n_genes:,} genes explain {fitted['variance_ratio_total']:.0%} of the variance together."
    )
    if len(dropped := fitted["dropped"]):
        names = (f"{name} ({n})" for name, n in zip(dropped["pathway"], dropped["n_matched"], strict=True))
        typer.echo(f"Left out for the number of their genes in the data: {listed(names, 5, quoted=False)}.")
    n_alike, n_left = redundancy(adata.varm[f"{key}_membership"], pathways.index.tolist())
    if n_alike:
        alike = f"{n_alike:,} pathways share half of their genes or more with another"
        typer.echo(f"{alike}; to merge those that are nearly the same would leave {n_left:,}.")
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("\npathway", overflow="fold")
    table.add_column("variance\nalone", justify="right")
    table.add_column("genes\nmatched", justify="right")
    table.add_column("\ntop genes (+ not in the set)", overflow="fold")
    shown = pathways.loc[leading(adata, key, ROWS).names]
    genes = pae.get.top_genes(adata, shown.index.tolist(), n_genes=TOP_GENES, key=key)
    labels = genes["gene"].where(genes["member"], genes["gene"] + "+").groupby(genes["component"]).agg(" ".join)
    for row in shown.itertuples():
        name, matched = str(row.Index), f"{row.n_matched}/{row.n_genes}"
        table.add_row(Text(name), f"{row.variance_ratio:.1%}", matched, Text(labels.get(name, "")))
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print()
    console.print(table)
    if len(pathways) > ROWS:
        typer.echo(f"… and {len(pathways) - ROWS:,} pathways that explain less, or whose scores do not speak for them.")


def _pbmc() -> AnnData:
    """700 blood cells × 765 genes, log-normalised, with cell types and the published UMAP."""
    import anndata as ad
    import scanpy as sc

    source = sc.datasets.pbmc68k_reduced()  # X is scaled, raw is log-normalised
    adata = ad.AnnData(source.raw.X.copy(), obs=source.obs.copy(), var=source.raw.var.copy())
    adata.obsm["X_umap_published"] = source.obsm["X_umap"].copy()
    return adata


def _free_components(adata: AnnData, sets: GeneSetCollection) -> AnnData:
    """Test the free components, here and in a copy fitted without the B-cell sets, and say what was found."""
    import pathwayae as pae

    def best(fitted: AnnData) -> list[str]:
        free = pae.get.variance(fitted).query("kind == 'free'")["component"].tolist()
        pae.tl.enrich(fitted, sets, method="ora", components=free, n_genes=50)
        table = pae.get.enrichment(fitted, max_padj=0.05).drop_duplicates("component")
        return [f"  {row.component} → {row.term}, {row.n_overlap} of {row.n_genes} genes" for row in table.itertuples()]

    typer.echo("\nSets that the free components point to (over-representation, padj ≤ 0.05):")
    typer.echo("\n".join(best(adata) or ["  none: they hold what the sets do not name"]))
    typer.echo(f"The same for a fit without {', '.join(HIDDEN)}:")
    blind = adata.copy()
    pae.tl.fit(blind, {name: genes for name, genes in sets.items() if name not in HIDDEN}, progress=False)
    typer.echo("\n".join(best(blind) or ["  none"]))
    return blind


def _tables(adata: AnnData, folder: Path) -> list[Path]:
    """Save variance and matched genes per component, top genes, and how far to trust them; the paths written."""
    import pathwayae as pae

    tables = {"components": pae.get.variance(adata), "top_genes": pae.get.top_genes(adata, n_genes=20)}
    tables["trust"] = pae.get.trust(adata)
    paths = [folder / f"{name}.csv" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        table.to_csv(path, index=False, float_format="%.6g")
    return paths


def _pictures(adata: AnnData, blind: AnnData, folder: Path) -> list[Path]:
    """Draw and save; the paths written."""
    import matplotlib.pyplot as plt
    import numpy as np

    import pathwayae as pae

    pictures: dict[str, Callable[[], Any]] = {
        "scores_by_cell_type": lambda: pae.pl.scores(adata, LABELS, show=False),
        "umap_pathways": lambda: pae.pl.embedding(adata, SHOWN, show=False),
        "loadings": lambda: pae.pl.loadings(adata, show=False),
        "variance": lambda: pae.pl.variance(adata, show=False),
        "relevance": lambda: pae.pl.relevance(adata, show=False),
        "enrichment_without_b_cell_sets": lambda: pae.pl.enrichment(blind, show=False),
    }
    paths = []
    for name, draw in pictures.items():
        figure = np.ravel(np.asarray(draw(), dtype=object))[0].figure
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
        plt.close(figure)
    return paths
