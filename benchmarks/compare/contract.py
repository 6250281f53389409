"""What a peer is given and what it gives back, as files; needs numpy and anndata, which every peer's environment has.

A problem is a folder: ``cells.h5ad`` (``X`` log-normalised, ``layers["counts"]`` where there are counts, in ``obs``
``batch`` where cells come in batches and nothing else), ``sets.gmt`` and, where new cells are to be scored,
``new.h5ad``. A result is one ``npz``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np


class Problem(NamedTuple):
    """Cells × genes, genes by set, cells to be scored without having been learnt from, and a seed."""

    cells: ad.AnnData
    sets: dict[str, list[str]]
    new: ad.AnnData | None = None
    seed: int = 0

    @property
    def batch(self) -> str | None:
        """Column of ``obs`` with batches, if any."""
        return "batch" if "batch" in self.cells.obs else None

    def dense(self) -> np.ndarray:
        """Log-normalised cells × genes, float64."""
        return dense(self.cells)

    def membership(self) -> np.ndarray:
        """Genes × sets, boolean."""
        return np.column_stack([self.cells.var_names.isin(genes) for genes in self.sets.values()])


class Result(NamedTuple):
    """Scores cells × components and their names (those of sets where they are sets'); what else the method gives.

    Loadings are genes × components; ``new`` are scores of the new cells; ``used`` says of every component whether the
    method's own test at 5 % finds it; ``note`` is empty unless the training did not end by its own rule.
    """

    scores: np.ndarray
    names: list[str]
    loadings: np.ndarray | None = None
    new: np.ndarray | None = None
    used: np.ndarray | None = None
    note: str = ""


def dense(cells: ad.AnnData) -> np.ndarray:
    values = cells.X
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)


def write_problem(folder: Path, problem: Problem) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    problem.cells.write_h5ad(folder / "cells.h5ad")
    if problem.new is not None:
        problem.new.write_h5ad(folder / "new.h5ad")
    lines = ["\t".join((name, "", *genes)) for name, genes in problem.sets.items()]
    (folder / "sets.gmt").write_text("\n".join(lines) + "\n")


def read_problem(folder: Path, seed: int = 0) -> Problem:
    rows = [line.split("\t") for line in (folder / "sets.gmt").read_text().splitlines()]
    new = folder / "new.h5ad"
    return Problem(
        ad.read_h5ad(folder / "cells.h5ad"),
        {row[0]: row[2:] for row in rows},
        ad.read_h5ad(new) if new.exists() else None,
        seed,
    )


def write_result(path: Path, result: Result) -> None:
    parts = {name: np.asarray(value, np.float32) for name in ("scores", "loadings", "new")
             if (value := getattr(result, name)) is not None}  # fmt: skip
    if result.used is not None:
        parts["used"] = np.asarray(result.used, bool)
    np.savez(path, names=np.array(list(result.names), dtype=str), note=np.array(result.note), **parts)


def read_result(path: Path) -> Result:
    with np.load(path) as file:
        rest = {name: file[name] for name in ("loadings", "new", "used") if name in file}
        return Result(file["scores"], file["names"].tolist(), note=str(file["note"]), **rest)
