"""Thousands of pathways and all genes: seconds, memory, names and neighbours, before and after.

``python benchmarks/run.py large_collections``, within 10 minutes on two cores; it goes on where it was cut off.
``python benchmarks/large_collections.py --before CHECKOUT`` also measures the package of an older checkout, in turns
(or ``$PATHWAYAE_BEFORE``); ``--patience SECONDS`` is the limit of its slowest fit; ``--quick`` for small sizes, which
writes large_collections_quick.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scanpy as sc
from cells_on_disk import pathways, write
from counts import COLLECTIONS, DATA
from large_collections_worker import NAMES, NEIGHBOURS
from measuring import FOLDER, Journal, Row, decoupler, one

import pathwayae as pae

WORKER = FOLDER / "large_collections_worker.py"
ONTOLOGY, ANNOTATIONS = "go-basic_2024-01-17_isa.obo.gz", "goa_human_2024-02-20_gene_go.tsv.gz"
FEWEST, GO_SIZES = 5, {"min_genes": 10, "max_genes": 500}
LIMIT, LIMITS = 120, {"go": 180}  # seconds of a process
TURNS = 3
PROJECTION = {"scores": "projection"}


@dataclass
class Plan:
    """Sizes, the older checkout, limits in seconds and what the files are called."""

    cells: int = 50_000
    genes: int = 20_000
    every: int = 1  # every so many sets of a collection
    before: str = ""
    patience: float = LIMIT
    seconds: float = 10 * 60
    name: str = "large_collections"


# Cells and sets.


def prepare(folder: Path, plan: Plan) -> dict[str, str]:
    """Everything but the cells on disk, and what it is in words."""
    adata = sc.read_h5ad(DATA / "cells" / "pbmc3k_raw.h5ad")
    adata = adata[adata.obs["cell_type"].notna()].copy()
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.write_h5ad(folder / "all_genes.h5ad")
    sets = {**thinned("Reactome", plan), **thinned("PanglaoDB", plan, [name for name, _ in NAMES.values()])}
    member = adata.var_names.isin(set().union(*sets.values()))
    adata[:, member].write_h5ad(folder / "pbmc.h5ad")
    (folder / "sets.json").write_text(json.dumps(sets))
    paths = {"ontology": str(DATA / "genesets" / ONTOLOGY), "annotations": str(DATA / "genesets" / ANNOTATIONS)}
    (folder / "go.json").write_text(json.dumps(paths))
    sizes = [min(len(genes), plan.genes // 4) for name, genes in sets.items() if name.startswith("REACTOME")]
    random = pathways(n_genes=plan.genes, sizes=sizes)
    (folder / "random_sets.json").write_text(json.dumps(random))
    return {
        "pbmc": f"PBMC3k, {adata.n_obs:,} cells × {member.sum():,} genes in sets × Reactome and PanglaoDB",
        "go": f"PBMC3k, {adata.n_obs:,} cells × {adata.n_vars:,} genes × GO, sets of 10 to 500 genes",
        "disk": f"{plan.cells:,} cells × {plan.genes:,} genes on disk × {len(random):,} sets of Reactome's sizes",
    }


def thinned(collection: str, plan: Plan, kept: Iterable[str] = ()) -> dict[str, list[str]]:
    """Every so many sets of a collection, and those to be kept."""
    sets = pae.gs.read_gmt(DATA / "genesets" / COLLECTIONS[collection])
    chosen = {*list(sets)[:: plan.every], *kept}
    return {name: list(genes) for name, genes in sets.items() if name in chosen}


# Runs.


def key_of(part: str, version: str, options: Row, turn: int = 0) -> Row:
    return {"part": part, "version": version, "scores": options.get("scores", "members"), "turn": turn}


def fits(journal: Journal, folder: Path, plan: Plan) -> None:
    """PBMC3k × Reactome and PanglaoDB, members in turns, the descent once."""
    versions: dict[str, Row] = {"now": {}}
    if plan.before:
        versions["before"] = {"PYTHONPATH": str(Path(plan.before).resolve())}
    for options, turns in (({}, TURNS), (PROJECTION, 1)):
        for turn in range(turns):
            for version, environment in versions.items():
                limit = plan.patience if version == "before" and options else LIMIT
                asked = {"min_genes": FEWEST, **options}
                command = (sys.executable, WORKER, "pbmc", folder, json.dumps(asked))
                key = key_of("pbmc", version, options, turn)
                journal.ask(key, lambda s, c=command, e=environment: one(c, s, **e), limit)


def rows_of(plan: Plan) -> tuple[pd.DataFrame, dict[str, str], str]:
    """All rows, the parts in words, and a sentence on decoupler."""
    peer, note = decoupler()
    journal = Journal(plan.name, plan.seconds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = prepare(folder, plan)

        def ask(part: str, options: Row, python: str = sys.executable, version: str = "now") -> None:
            command = (python, WORKER, part, folder, json.dumps(options))
            journal.ask(key_of(part, version, options), lambda seconds: one(command, seconds), LIMITS.get(part, LIMIT))

        if peer:
            ask("ulm", {"tmin": FEWEST}, peer, "decoupler")
        ask("go", GO_SIZES)
        if not journal.has({"part": "disk"}):
            write(folder / "cells.h5ad", plan.cells, plan.genes)
        ask("disk", {"min_genes": FEWEST})
        fits(journal, folder, plan)
    journal.close()
    return pd.DataFrame(journal.rows), words, note


# Tables.


def _number(value: object, digits: str = ".3g") -> str:
    """Of a cell, nothing where there is none."""
    if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{digits}}"


def line(rows: pd.DataFrame) -> Row:
    """What all tables show of the turns of one run."""
    found = rows.median(numeric_only=True)
    seconds = _number(found.get("seconds"))
    if not seconds:
        seconds = str(rows["note"].iloc[0])
    return {
        "sets": _number(found.get("sets")),
        "seconds": seconds,
        "processor, s": _number(found.get("processor_s")),
        "peak, MiB": _number(found.get("process_mib")),
        "beyond the cells, MiB": _number(found.get("peak_mib")),
        "solver": str(rows["solver"].iloc[0]) if "solver" in rows and rows["solver"].notna().any() else "",
    }


def comparison(rows: pd.DataFrame) -> str:
    """Before, after and decoupler on the same cells."""
    lines = []
    for (scores, version), found in rows.groupby(["scores", "version"], sort=False):
        label = "decoupler ulm" if version == "decoupler" else f"tl.fit, {scores}, {version}"
        quality = {
            name: _number(found[name].median(), ".3f") if name in found else "" for name in (*NAMES, *NEIGHBOURS)
        }
        lines.append({"": label} | line(found) | quality)
    return _markdown(lines)


def _markdown(lines: list[Row]) -> str:
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)


def ratio(rows: pd.DataFrame) -> str:
    """A sentence on what a fit took before, as many times as now, within turns."""
    said = []
    for scores, found in rows.query("version != 'decoupler'").groupby("scores", sort=False):
        if {"now", "before"} <= set(found["version"]) and "seconds" in found:
            wide = found.pivot_table(index="turn", columns="version", values="seconds")
            if {"now", "before"} <= set(wide):
                said.append(f"{scores} {(wide['before'] / wide['now']).median():.3g} times")
    return f" Before, a fit took, as long as now: {', '.join(said)}." if said else ""


def text(rows: pd.DataFrame, words: dict[str, str], note: str, plan: Plan) -> str:
    """What was measured, and the tables."""
    same = rows[rows["part"].isin(("pbmc", "ulm"))].sort_values("part", kind="stable")
    lines = []
    for part in ("go", "disk"):
        found = rows[rows["part"] == part]
        values = found.iloc[0]
        more = {"sets made, s": _number(values.get("sets_s")), "saved, s": _number(values.get("write_s"))}
        more |= {"file, MiB": _number(values.get("saved_mib")), "of it cells, MiB": _number(values.get("cells_mib"))}
        lines.append({"": words[part]} | line(found) | more)
    before = f" “Before” is an older checkout, in turns with now; its descent is stopped after {plan.patience:.0f} s."
    return "\n\n".join(
        [
            f"A whole `tl.fit` with its defaults; the clock starts when the package is imported and compiled, and the "
            f"cells in memory are read. A process is stopped after {LIMIT} s in all (“> {LIMIT}”; GO "
            f"after {LIMITS['go']}). *Peak*: the most that the whole process held, interpreter, imports and cells too. "
            f"{note}",
            f"## {words['pbmc']}",
            f"Sets with {FEWEST} genes or more among these. Members: medians of {TURNS} turns; the others once."
            f"{before if plan.before else ''}{ratio(same)} *Names*: AUROC with which PanglaoDB's set tells a "
            "population from all other cells. *kNN*: balanced accuracy of the cell type of the 15 nearest neighbours "
            "by all scores (20 free components of the fits too), or by those of the sets alone; five folds.",
            comparison(same),
            "## All genes",
            "The peak of GO counts reading the ontology and its annotations, the fit and writing the file; both are "
            "meant to stay below 2 GB (1,907 MiB).",
            _markdown(lines),
        ]
    )


def run(plan: Plan | None = None) -> tuple[str, str, object]:
    """Title, text and figures."""
    plan = plan or Plan(before=os.environ.get("PATHWAYAE_BEFORE", ""))
    rows, words, note = rows_of(plan)
    return "Thousands of pathways", text(rows, words, note, plan), rows.to_dict("records")


if __name__ == "__main__":
    from run import write as write_results

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=os.environ.get("PATHWAYAE_BEFORE", ""))
    parser.add_argument("--patience", type=float, default=LIMIT)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    sizes = {"cells": 2000, "genes": 5000, "every": 10, "seconds": 240, "name": "large_collections_quick"}
    chosen = Plan(before=given.before, patience=given.patience, **(sizes if given.quick else {}))
    chosen.seconds += max(0.0, chosen.patience - LIMIT)
    write_results(chosen.name, *run(chosen))
