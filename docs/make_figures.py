"""Draw the pictures of the front page and of the guide: ``docs/figures/*.png``.

PATHWAYAE_DATA=… python docs/make_figures.py
"""

import os
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from PIL import Image

import pathwayae as pae

DATA, FIGURES = Path(os.environ["PATHWAYAE_DATA"]), Path(__file__).with_name("figures")
INTERFERON = "HALLMARK_INTERFERON_ALPHA_RESPONSE"
CLUSTERS = {
    "T and NK cells": ["CD4 T cells", "CD8 T cells", "NK cells"],
    "monocytes": ["CD14+ Monocytes", "FCGR3A+ Monocytes"],
    "B cells": ["B cells"],
}
BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#999999"


def keep(figure, name):
    """Write a small PNG of 256 colours."""
    path = FIGURES / f"{name}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def kang():
    """2,000 blood cells of eight donors, half of them with interferon-β (Kang et al. 2018)."""
    adata = sc.read_h5ad(DATA / "cells" / "kang_ifnb_2000cells.h5ad")
    adata = adata[adata.obs["cell_type"].notna()].copy()
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=3000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    pae.tl.fit(adata, DATA / "genesets" / "h.all.v7.5.1.symbols.gmt", progress=False)
    pae.tl.rank_pathways(adata, "condition", reference="ctrl", sample_key="donor", within="cell_type")
    sc.pp.neighbors(adata, use_rep="X_pae")
    sc.tl.umap(adata)
    return adata


def front(adata):
    """Where a pathway is high, which pathways answer a treatment, and which genes say so."""
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 4), width_ratios=(1, 1.15, 0.75), layout="constrained")
    pae.pl.embedding(adata, INTERFERON, title="score of INTERFERON_ALPHA_RESPONSE", size=6, ax=axes[0], show=False)
    axes[0].set_ylim(top=axes[0].get_ylim()[1] + 1.5)
    for text, kinds in CLUSTERS.items():
        spots = adata.obsm["X_umap"][adata.obs["cell_type"].isin(kinds)]
        axes[0].annotate(
            text, (np.median(spots[:, 0]), np.quantile(spots[:, 1], 0.995) + 0.6), ha="center", fontsize=10
        )
    shown = [name for name in pae.get.rank_pathways(adata)["pathway"].unique() if not name.startswith("free")][:8]
    title = "stimulated against control, over 8 donors"
    pae.pl.rank_pathways(adata, shown, title=title, ax=axes[1], show=False)
    axes[1].set_xlabel("")
    pae.pl.loadings(adata, INTERFERON, n_genes=12, title="genes (open: not in the set)", ax=axes[2], show=False)
    axes[2].get_legend().remove()
    keep(figure, "front")


def weights():
    """What a score makes of members that are none: weights of planted and of false members."""
    adata = pae.datasets.simulate(3000, 1000, 20, random_state=0)
    pae.tl.fit(adata, "pathways", progress=False)
    names = pae.get.component_names(adata)[:20]
    member = np.asarray(adata.varm["pathways"], dtype=bool)
    true = np.asarray(adata.varm["true_loadings"]) > 0
    loadings = np.asarray(pae.get.loadings(adata)[names])
    groups = {
        "members that belong": (loadings[member & true], BLUE),
        "members by mistake": (loadings[member & ~true], ORANGE),
        "forgotten members": (loadings[~member & true], "#009e73"),
        "all other genes": (loadings[~member & ~true], GREY),
    }
    figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
    bins = np.linspace(0, loadings.max(), 45)
    for name, (values, colour) in groups.items():
        weight = np.full(len(values), 1 / len(values))
        label = f"{name} ({len(values):,}" + (f"; {np.mean(values < bins[1]):.0%} at 0)" if colour == GREY else ")")
        axis.hist(values, bins, weights=weight, histtype="step", lw=2, color=colour, label=label)
    axis.set(xlabel="loading of the gene on the pathway", ylabel="share of genes", ylim=(0, 0.42))
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    keep(figure, "weights")


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    front(kang())
    weights()
