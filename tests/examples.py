"""Pytest plugin that gives the examples of docstrings what they name: ``pae``, ``np``, ``pd``, ``plt`` and ``adata``.

Examples run in a folder of their own. ``adata`` is built once, when the first example wants it; each gets a copy.
"""

import os
import re
import sys
import warnings

if "PYTEST_XDIST_WORKER" in os.environ:  # workers side by side: threads of BLAS would only wait for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

QUIET = {"progress": False}
NAMES = {"pae", "np", "pd", "plt", "adata"}


def wanted(item: pytest.DoctestItem) -> set[str]:
    """Names that the examples of a docstring use and do not make themselves."""
    source = "".join(example.source for example in item.dtest.examples)
    return {name for name in NAMES if re.search(rf"\b{name}\b", source)} - (
        {"adata"} if re.search(r"^adata\s*=", source, flags=re.MULTILINE) else set()
    )


@pytest.fixture(scope="session")
def cells_of_examples():
    """300 cells × 400 genes of 4 types, 2 batches and 6 donors, after every tool of the package."""
    import pathwayae as pae

    adata = pae.datasets.simulate(300, 400, 6, n_silent=1, n_cell_types=4, n_batches=2, n_donors=6, random_state=3)
    rng = np.random.default_rng(0)
    centred = adata.X.toarray() - adata.X.mean(axis=0).A1
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    adata.obsm["X_pca"] = (left * singular)[:, :10]
    angle = adata.obs["cell_type"].cat.codes.to_numpy() * np.pi / 2
    adata.obsm["X_umap"] = 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(300, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few cells, genes and draws
        _grouped(pae, adata)
        _archetypes(pae, adata)
        _sparse_ae(pae, adata)
    return adata


def _grouped(pae, adata):
    pae.tl.fit(adata, "pathways", n_extra=2, **QUIET)
    pae.tl.refine(adata, **QUIET)
    pae.tl.relevance(adata, n_folds=2, n_null=200, **QUIET)
    pae.tl.stability(adata, n_bootstrap=40, sample_key="donor", **QUIET)
    pae.tl.n_extra_path(adata, n_max=8, n_folds=3, **QUIET)
    true = adata.varm["true_loadings"] > 0
    sets = {f"genes of {name}": adata.var_names[true[name]] for name in true} | {"others": adata.var_names[:50]}
    pae.tl.enrich(adata, sets, method="ora", n_genes=40, **QUIET)
    pae.tl.fit(adata, "pathways", n_extra=2, scores="projection", key_added="projection", **QUIET)
    pae.tl.theta_path(adata, thetas=(0.1, 0.2, 0.4), n_folds=2, key="projection", **QUIET)


def _archetypes(pae, adata):
    pae.tl.archetypes(adata, 3, **QUIET)
    pae.tl.archetype_selection(adata, range(2, 5), n_bootstrap=3, **QUIET)
    pae.tl.archetype_trust(adata, n_bootstrap=6, n_permutations=9, **QUIET)
    pae.tl.archetype_features(adata, groupby="cell_type")


def _sparse_ae(pae, adata):
    pae.tl.sparse_ae(adata, n_latents=16, k=3, n_epochs=20, **QUIET)
    pae.tl.latent_sparsity(adata, groupby="cell_type")
    pae.tl.latent_selectivity(adata, "cell_type")
    pae.tl.latent_genes(adata, n_genes=5)
    pae.tl.latent_batches(adata, "batch", groupby="cell_type")
    pae.tl.latent_agreement(adata, n_refits=2, **QUIET)
    pae.tl.latent_ablation(adata, **QUIET)
    pae.tl.sparse_ae_sweep(adata, strengths=(2, 4, 8), n_latents=16, n_epochs=5, **QUIET)


@pytest.fixture(autouse=True)
def _names_of_examples(request):
    """Fill the namespace of an example, and leave no figure and no file behind."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    namespace = request.getfixturevalue("doctest_namespace")
    names = wanted(request.node)
    if "pae" in names:
        import pathwayae

        namespace["pae"] = pathwayae
    if "plt" in names:
        import matplotlib.pyplot as plt

        namespace["plt"] = plt
    if "adata" in names:
        namespace["adata"] = request.getfixturevalue("cells_of_examples").copy()
    namespace |= {name: module for name, module in (("np", np), ("pd", pd)) if name in names}
    request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
    yield
    for name in names:
        namespace.pop(name, None)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
