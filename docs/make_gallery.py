"""Draw every public plot on real cells, for ``docs/gallery.md``: Kang's with Hallmark, and with 300 Reactome pathways.

PATHWAYAE_DATA=… python docs/make_gallery.py
"""

import inspect
import os
import warnings
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from PIL import Image

import pathwayae as pae

DATA, HERE = Path(os.environ.get("PATHWAYAE_DATA", ".")), Path(__file__).parent
GALLERY, PAGE = HERE / "gallery", HERE / "gallery.md"
MOST = 80_000  # bytes of a picture
GENE = "ISG15"
OF_FIT = {  # what each plot is given; {first} is the pathway with most variance
    "overview": (("cell_type",), {}),
    "scores": (("cell_type",), {"dendrogram": True}),
    "scores_dotplot": ((["cell_type", "condition"],), {}),
    "variance_by_group": (("cell_type",), {}),
    "embedding": ((["cell_type", "condition", "{first}"],), {}),
    "loadings": ((), {}),
    "loadings_heatmap": ((), {}),
    "leading_genes": (("{first}", ["cell_type", "condition"]), {}),
    "gene": ((GENE,), {}),
    "network": ((), {"n_pathways": 40}),
    "variance": ((), {}),
    "relevance": ((), {}),
    "refinement": ((), {}),
    "enrichment": ((), {"n_terms": 3}),
    "history": ((), {"key": "projection"}),
    "theta_path": ((), {"key": "projection"}),
    "n_extra_path": ((), {}),
    "rank_pathways": ((), {}),
    "volcano": ((), {}),
    "violin": (("{first}",), {}),
    "paired": (("{first}",), {}),
    "group_loadings": (("{first}",), {}),
}
OF_OTHERS = {
    "archetypes": (("cell_type",), {"basis": "umap"}),
    "archetype_simplex": (("cell_type",), {}),
    "archetype_weights": (("cell_type",), {}),
    "archetype_profiles": ((), {}),
    "archetype_selection": ((), {}),
    "latent_cells": ((["latent_1", "latent_2"],), {}),
    "latent_features": ((), {}),
    "latent_selectivity": ((), {}),
    "latent_sparsity": ((), {}),
    "latent_ablation": ((), {}),
    "sparse_ae_sweep": ((), {}),
}

SETS = ["overlap", "coverage"]
CONTRASTS = ["rank_pathways", "volcano", "violin", "paired"]
HEADINGS = {
    "Pathways": [name for name in OF_FIT if name not in CONTRASTS],
    "Groups compared": CONTRASTS,
    "Archetypes": [name for name in OF_OTHERS if name.startswith("archetype")],
    "Sparse autoencoder": [name for name in OF_OTHERS if not name.startswith("archetype")],
    "Gene sets": SETS,
}


def cells():
    """2,000 cells of eight donors, in one half of which interferon is on; the 2,000 most variable genes."""
    adata = sc.read_h5ad(DATA / "cells" / "kang_ifnb_2000cells.h5ad")
    adata = adata[adata.obs["cell_type"].notna()].copy()
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.pca(adata)
    sc.pp.neighbors(adata)
    sc.tl.umap(adata)
    return adata


def fitted(adata, sets):
    """A fit with what the plots draw, as far as it is there."""
    one = adata.copy()
    pae.tl.fit(one, sets, n_extra=5, progress=False)
    if len(sets) < 100:  # paths of settings take a while
        pae.tl.fit(one, sets, n_extra=5, scores="projection", key_added="projection", progress=False)
        pae.tl.n_extra_path(one, progress=False)
        pae.tl.theta_path(one, key="projection", progress=False)
    for analysis in (
        lambda: pae.tl.relevance(one, progress=False),
        lambda: pae.tl.refine(one, progress=False),
        lambda: pae.tl.enrich(one, sets, method="ora", progress=False),
        lambda: pae.tl.rank_pathways(one, "condition", reference="ctrl", sample_key="donor", within="cell_type"),
        lambda: pae.tl.group_loadings(one, "cell_type", sample_key="donor", progress=False),
    ):
        attempt(analysis)
    return one


def others(adata):
    one = adata.copy()
    pae.tl.archetypes(one, 4, progress=False)
    pae.tl.archetype_features(one)
    pae.tl.archetype_selection(one, range(2, 6), progress=False)
    pae.tl.sparse_ae(one, n_latents=64, progress=False)
    for analysis in (
        lambda: pae.tl.latent_selectivity(one, "cell_type"),
        lambda: pae.tl.latent_sparsity(one),
        lambda: pae.tl.latent_ablation(one, progress=False),
        lambda: pae.tl.sparse_ae_sweep(one, strengths=(4, 8, 16), n_latents=(32, 64), progress=False),
    ):
        attempt(analysis)
    return one


def attempt(call):
    """What cannot be drawn or found here is said and left out."""
    try:
        return call()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        print(f"left out: {type(error).__name__}: {error}")
        return None


def write(drawn, file):
    """The figure of these axes as a picture of at most 80 kB."""
    figure = np.ravel(np.asarray(drawn, dtype=object))[0].figure
    figure.savefig(file, dpi=80)
    plt.close("all")
    for colors in (256, 64, 24):
        if file.stat().st_size > MOST:
            Image.open(file).convert("RGB").quantize(colors).save(file, optimize=True)
    if file.stat().st_size > MOST:
        small = Image.open(file).convert("RGB").reduce(2)
        small.quantize(64).save(file, optimize=True)
    print(f"{file.name}: {figure.get_size_inches().round(1)} inches, {file.stat().st_size / 1000:.0f} kB")


def draw(name, adata, args, options, file):
    """One picture, small enough for a page; True if it was drawn."""
    plot = getattr(pae.pl, name, None)
    if plot is None:
        return False
    first = pae.get.variance(adata).query("kind == 'pathway'").nlargest(1, "variance_ratio")["component"].iloc[0]
    interferon = "HALLMARK_INTERFERON_ALPHA_RESPONSE"
    names = pae.get.component_names(adata)
    first = next((one for one in (interferon, "REACTOME_INTERFERON_ALPHA_BETA_SIGNALING") if one in names), first)
    args = [_named(one, first) for one in args]
    drawn = attempt(lambda: plot(adata, *args, **options, show=False))
    if drawn is None:
        return False
    write(drawn, file)
    return True


def _named(one, first):
    return (
        first
        if one == "{first}"
        else [first if part == "{first}" else part for part in one]
        if isinstance(one, list)
        else one
    )


def pictures():
    """Draw all; what cannot be drawn is left out."""
    warnings.filterwarnings("ignore")
    GALLERY.mkdir(exist_ok=True)
    for old in GALLERY.glob("*.png"):
        old.unlink()
    adata = cells()
    hallmark = pae.gs.read_gmt(DATA / "genesets" / "h.all.v7.5.1.symbols.gmt")
    reactome = pae.gs.read_gmt(DATA / "genesets" / "c2.cp.reactome.v7.5.1.symbols.gmt")
    genes = set(adata.var_names)
    size = {name: len(genes & set(members)) for name, members in reactome.items()}
    largest = sorted(size, key=lambda name: (-size[name], name))[:300]
    fits = {"kang": fitted(adata, hallmark), "many": fitted(adata, {name: reactome[name] for name in largest})}
    for name, (args, options) in OF_FIT.items():
        for which, fit in fits.items():
            draw(name, fit, args, options, GALLERY / f"{name}_{which}.png")
    one = others(fits["kang"])
    for name, (args, options) in OF_OTHERS.items():
        draw(name, one, args, options, GALLERY / f"{name}.png")
    for name, call in {
        "overlap": lambda sets: pae.pl.overlap(sets, show=False),
        "coverage": lambda sets: pae.pl.coverage(sets, adata, show=False),
    }.items():
        for which, sets in (("kang", hallmark), ("many", {one: reactome[one] for one in largest})):
            drawn = attempt(lambda call=call, sets=sets: call(sets))
            if drawn is not None:
                write(drawn, GALLERY / f"{name}_{which}.png")


def page():
    """A heading per plot, what it draws, and its pictures."""
    lines = [
        "# Gallery",
        "",
        "Every plot on 2,000 cells of Kang et al. (2018): with the 50 Hallmark sets, and with 300 Reactome pathways,",
        "which is more than fits: plots then choose, and say so. Made by `python docs/make_gallery.py` from public "
        "data.",
    ]
    for title, names in HEADINGS.items():
        lines += ["", f"## {title}"]
        for name in names:
            first = " ".join(inspect.getdoc(getattr(pae.pl, name)).partition("\n\n")[0].split()).replace("``", "`")
            lines += ["", f"### `pl.{name}`", "", f"{first} {{func}}`pathwayae.pl.{name}`"]
            for which, words in {"": "", "_kang": " of Hallmark", "_many": " of 300 pathways"}.items():
                file = GALLERY / f"{name}{which}.png"
                lines += ["", f"![{name}{words}](gallery/{file.name})"] if file.is_file() else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    pictures()
    PAGE.write_text(page(), encoding="utf-8")
