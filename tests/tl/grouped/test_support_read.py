"""Everything that reads a fit says of sparse slots what it says of the same numbers in dense ones."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grouped_fits import OUTSIDE, sets_of

import pathwayae as pae

pytestmark = pytest.mark.filterwarnings(OUTSIDE)


def dense_of(adata):
    """The same fit in dense slots."""
    dense = adata.copy()
    dense.varm["pae_loadings"] = adata.varm["pae_loadings"].toarray()
    encoder = adata.varm["pae_encoder"].toarray().astype(float)
    bins = adata.var["pae_bin"].to_numpy().astype(int)
    dense.varm["pae_encoder"] = encoder - dense.uns["pae"].pop("level").astype(float)[bins]
    del dense.var["pae_bin"]
    return dense


@pytest.fixture(scope="module", params=["members", "projection"])
def fits(request):
    adata = pae.datasets.simulate(250, 300, 6, n_donors=3, random_state=2)
    settings = pae.tl.FitSettings(support=True)
    pae.tl.fit(adata, "pathways", scores=request.param, n_extra=3, settings=settings, progress=False)
    return adata, dense_of(adata)


def plain(table):
    """A table with dense columns."""
    return table.sparse.to_dense() if any(isinstance(kind, pd.SparseDtype) for kind in table.dtypes) else table


GET = {
    "loadings": pae.get.loadings,
    "loadings of some": lambda adata: pae.get.loadings(adata, ["free_1", "program_2"]),
    "top genes": lambda adata: pae.get.top_genes(adata, n_genes=7),
    "scores": pae.get.scores,
    "pathways": pae.get.pathways,
    "variance": pae.get.variance,
    "free components": pae.get.free_components,
}


@pytest.mark.parametrize("get", list(GET))
def test_tables_are_the_same(fits, get):
    one, other = (plain(GET[get](adata)) for adata in fits)
    pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-7, check_dtype=False)


TOOLS = {
    "relevance": (lambda adata: pae.tl.relevance(adata, n_null=20, progress=False), pae.get.relevance),
    "refine": (lambda adata: pae.tl.refine(adata, progress=False), pae.get.refinement),
    "stability": (lambda adata: pae.tl.stability(adata, n_bootstrap=40, progress=False), pae.get.stability),
    "prerank": (
        lambda adata: pae.tl.enrich(adata, sets_of(adata), n_permutations=20, progress=False),
        pae.get.enrichment,
    ),
    "ora": (lambda adata: pae.tl.enrich(adata, sets_of(adata), method="ora", progress=False), pae.get.enrichment),
}


@pytest.mark.parametrize("tool", list(TOOLS))
def test_tools_find_the_same(fits, tool):
    run, read = TOOLS[tool]
    tables = []
    for adata in fits:
        own = adata.copy()
        run(own)
        tables.append(plain(read(own)))
        assert sp.issparse(own.varm["pae_loadings"]) == sp.issparse(adata.varm["pae_loadings"])
    pd.testing.assert_frame_equal(*tables, rtol=1e-5, atol=1e-6, check_dtype=False)


PLOTS = {
    "loadings": lambda adata: pae.pl.loadings(adata, ["program_1", "program_3"]),
    "variance": pae.pl.variance,
}


@pytest.mark.parametrize("plot", list(PLOTS))
def test_plots_are_drawn(fits, plot):
    for adata in fits:
        PLOTS[plot](adata)
        plt.close("all")


def test_archetypes_of_the_scores_have_the_same_profiles(fits):
    found = []
    for adata in fits:
        own = adata.copy()
        pae.tl.archetypes(own, 3, progress=False)
        (slot,) = set(own.varm) - set(adata.varm)
        found.append(np.asarray(own.varm[slot]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
