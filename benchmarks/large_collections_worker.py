"""One fit of a large collection in a process of its own, for benchmarks/large_collections.py, as a line of JSON.

``python large_collections_worker.py PART FOLDER OPTIONS``, OPTIONS of ``pae.tl.fit`` as JSON; the package is the one
that Python finds, which may be an older one.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from measuring import MIB, Row, measured, memory
from scale_worker import few_cells, net_of

NAMES = {  # set of PanglaoDB → cells that must have more of it than all others
    "B cells": ("panglao_B_cells", ("B",)),
    "NK cells": ("panglao_NK_cells", ("NK",)),
    "monocytes": ("panglao_Monocytes", ("CD14+ Mono", "FCGR3A+ Mono")),
    "dendritic cells": ("panglao_Dendritic_cells", ("DC",)),
    "T cells": ("panglao_T_cells", ("Naive CD4 T", "Memory CD4 T", "CD8 T")),
}
NEIGHBOURS = ("kNN", "kNN, sets alone")


def quality(scores: pd.DataFrame, n_sets: int, cell_types: np.ndarray) -> Row:
    """AUROC of the sets that name a population; accuracy of neighbours by all scores, and by the sets' alone."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    areas = {label: roc_auc_score(np.isin(cell_types, cells), scores[name]) for label, (name, cells) in NAMES.items()}
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for label, n in zip(NEIGHBOURS, (scores.shape[1], n_sets), strict=True):
        found = cross_val_predict(KNeighborsClassifier(15), scores.to_numpy()[:, :n], cell_types, cv=folds)
        areas[label] = balanced_accuracy_score(cell_types, found)
    return areas


def fit(adata: ad.AnnData, sets: Any, options: Row) -> Row:
    """A whole ``tl.fit``, after one on a few cells that compiles and imports."""
    import pathwayae as pae

    own = {"scores": options["scores"]} if "scores" in options else {}
    for more in ({}, {"solver": "cells"}, {"solver": "sketch"}, {"support": True}):
        few = few_cells()
        with suppress(TypeError, ValueError):  # of an older package
            settings = pae.tl.FitSettings(**more)
            pae.tl.fit(few, {"a": few.var_names[:20].tolist()}, n_extra=2, settings=settings, progress=False, **own)
    row = measured(lambda: pae.tl.fit(adata, sets, progress=False, **options))
    return row | {"solver": adata.uns["pae"]["params"].get("solver", ""), "sets": int(adata.uns["pae"]["n_pathways"])}


def pbmc(folder: Path, options: Row) -> Row:
    """PBMC3k × Reactome and PanglaoDB."""
    import pathwayae as pae

    adata = ad.read_h5ad(folder / "pbmc.h5ad")
    row = fit(adata, json.loads((folder / "sets.json").read_text()), options)
    return row | quality(pae.get.scores(adata), row["sets"], adata.obs["cell_type"].astype(str).to_numpy())


def ulm(folder: Path, options: Row) -> Row:
    """decoupler's univariate linear model on the same."""
    import decoupler as dc

    few = few_cells()
    dc.mt.ulm(few, net_of({"a": few.var_names[:20].tolist(), "b": few.var_names[9:29].tolist()}))
    adata = ad.read_h5ad(folder / "pbmc.h5ad")
    net = net_of(json.loads((folder / "sets.json").read_text()))
    row = measured(lambda: dc.mt.ulm(adata, net, **options))
    scores = adata.obsm["score_ulm"]
    return (
        row
        | {"sets": scores.shape[1]}
        | quality(scores, scores.shape[1], adata.obs["cell_type"].astype(str).to_numpy())
    )


def go(folder: Path, options: Row) -> Row:
    """PBMC3k with all genes × GO, from the ontology and its annotations to the saved file."""
    import pathwayae as pae

    begin = time.perf_counter()
    paths = json.loads((folder / "go.json").read_text())
    annotations = pae.gs.read_annotations(paths["annotations"], term="go_id")
    sets = pae.gs.from_ontology(pae.gs.read_obo(paths["ontology"]), annotations)
    row: Row = {"sets_s": time.perf_counter() - begin}
    peak = memory("VmHWM")
    adata = ad.read_h5ad(folder / "all_genes.h5ad")
    row |= fit(adata, sets, options)
    saved, begin = folder / "fitted.h5ad", time.perf_counter()
    before = (folder / "all_genes.h5ad").stat().st_size
    adata.write_h5ad(saved)
    row |= {"write_s": time.perf_counter() - begin, "saved_mib": saved.stat().st_size / MIB, "cells_mib": before / MIB}
    saved.unlink()
    return row | {"process_mib": max(peak, memory("VmHWM"))}


def disk(folder: Path, options: Row) -> Row:
    """Cells on disk × random sets of the sizes of Reactome's."""
    adata = ad.read_h5ad(folder / "cells.h5ad", backed="r")
    return fit(adata, json.loads((folder / "random_sets.json").read_text()), options)


PARTS = {f.__name__: f for f in (pbmc, ulm, go, disk)}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(PARTS[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3])), default=float))
