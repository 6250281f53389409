"""What was found, for a reader of the terminal, and in figures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

ROWS = 15  # pathways in the table
TOP_GENES = 6
LONGEST = 200  # characters of a name


def figures(adata: AnnData, key: str) -> dict[str, Any]:
    """What a fit found, in numbers and names."""
    import pathwayae as pae

    fitted, variance, pathways = adata.uns[key], pae.get.variance(adata, key=key), pae.get.pathways(adata, key=key)
    dropped, n_pathways = fitted["dropped"], int((variance["kind"] == "pathway").sum())
    return {
        "n_cells": adata.n_obs,
        "n_genes": int(adata.var[f"{key}_scale"].notna().sum()),
        "n_pathways": n_pathways,
        "n_free": len(variance) - n_pathways,
        "variance_ratio_total": float(fitted["variance_ratio_total"]),
        "left_out": dropped["pathway"].tolist() if len(dropped) else [],
        "flagged": pathways.loc[pathways["flag"] != "", "pathway"].tolist(),
        "params": dict(fitted["params"]),
    }


def show(adata: AnnData, key: str = "pae") -> None:
    """Print what was fitted, what was left out and the pathways that explain most."""
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
        names = (f"{shown(name)} ({n})" for name, n in zip(dropped["pathway"], dropped["n_matched"], strict=True))
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
    best = pathways.loc[leading(adata, key, ROWS).names]
    genes = pae.get.top_genes(adata, best.index.tolist(), n_genes=TOP_GENES, key=key)
    labels = genes["gene"].where(genes["member"], genes["gene"] + "+").groupby(genes["component"]).agg(" ".join)
    for row in best.itertuples():
        name, matched = str(row.Index), f"{row.n_matched}/{row.n_genes}"
        table.add_row(Text(shown(name)), f"{row.variance_ratio:.1%}", matched, Text(shown(labels.get(name, ""))))
    _print(table)
    if len(pathways) > ROWS:
        typer.echo(f"… and {len(pathways) - ROWS:,} pathways that explain less, or whose scores do not speak for them.")


def show_frame(frame: pd.DataFrame, *, rows: int = ROWS) -> None:
    """Print the first rows of a table, numbers short; a row is a line unless the terminal is too narrow."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="")
    for name in frame.columns:
        side: Literal["left", "right"] = "right" if frame[name].dtype.kind in "fiu" else "left"
        table.add_column(Text(shown(name)), justify=side, overflow="fold")
    for row in frame.head(rows).itertuples(index=False):
        table.add_row(*(Text(f"{one:.3g}" if isinstance(one, float) else shown(one)) for one in row))
    _print(table, width=1000)
    if len(frame) > rows:
        typer.echo(f"… and {len(frame) - rows:,} rows more (--tables writes all).")


def show_counts(values: pd.Series) -> None:
    """Print how many there are of each."""
    typer.echo(", ".join(f"{n:,} {shown(name)}" for name, n in values.value_counts().items()))


def shown(name: object) -> str:
    """A name as a terminal can print it, its middle left out where it is very long."""
    from pathwayae.core.notice import printable

    text = printable(str(name))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"


def _print(table: Any, width: int = 120) -> None:
    """Print as wide as the terminal; where there is none, at most so wide."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else width, highlight=False)
    console.print()
    console.print(table)
