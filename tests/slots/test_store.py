"""Whose a key is: no model writes over another, nothing of an older fit is left, and views leave their parent alone."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pathwayae as pae
from pathwayae._slots import keys, lookup, store

SLOTS = ("obsm", "varm", "obs", "var", "uns")


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    adata = pae.datasets.simulate(240, 130, 4, n_donors=3, n_batches=2, random_state=2)
    adata.obsm["X_pca"] = np.linalg.svd(adata.X.toarray() - adata.X.toarray().mean(axis=0))[0][:, :6]
    return adata


def grouped(adata, key, **options):
    pae.tl.fit(adata, "pathways", n_extra=1, progress=False, key_added=key, **options)


def sparse_ae(adata, key, **options):
    pae.tl.sparse_ae(adata, n_latents=5, k=2, n_epochs=2, progress=False, key_added=key, **options)


def archetypes(adata, key, **options):
    options = {"obsm": "X_pca", "n_restarts": 1, "progress": False} | options
    pae.tl.archetypes(adata, 3, key_added=key, **options)


MODELS = {"grouped": grouped, "sparse_ae": sparse_ae, "archetypes": archetypes}
ANALYSES = {  # of every tool that adds to a fit, all that they add
    "grouped": [
        ("stability", {"n_bootstrap": 40}),
        ("refine", {}),
        ("relevance", {"n_null": 20, "n_folds": 2}),
        ("n_extra_path", {"n_max": 2, "n_folds": 2}),
        ("enrich", {"gene_sets": "two", "method": "ora"}),
    ],
    "sparse_ae": [
        ("latent_sparsity", {"groupby": "cell_type"}),
        ("latent_selectivity", {"groupby": "cell_type"}),
        ("latent_batches", {"batch_key": "batch"}),
        ("latent_genes", {}),
        ("latent_agreement", {"n_refits": 1}),
        ("latent_ablation", {}),
        ("enrich", {"gene_sets": "two", "method": "ora"}),
    ],
    "archetypes": [
        ("archetype_trust", {"n_bootstrap": 3, "n_permutations": 3}),
        ("archetype_features", {"groupby": "cell_type"}),
        ("enrich", {"gene_sets": "two", "method": "ora"}),
    ],
}


def analyse(adata, model, key, tools=None):
    two = {"first": adata.var_names[:12].tolist(), "second": adata.var_names[20:40].tolist()}
    for name, options in ANALYSES[model] if tools is None else tools:
        options = {one: two if value == "two" else value for one, value in options.items()}
        quiet = {"progress": False} if name not in ("latent_sparsity", "latent_selectivity", "latent_batches") else {}
        quiet = {} if name in ("latent_genes", "archetype_features") else quiet
        getattr(pae.tl, name)(adata, **options, **quiet, key=key)


def content(adata):
    """Names and values of every slot, to compare."""
    found = {}
    for where in SLOTS:
        for name, value in dict(getattr(adata, where)).items():
            found[where, name] = value
    return found


def names(adata):
    inside = {("uns", name, inner) for name in adata.uns for inner in adata.uns[name]}
    return {(where, name) for where in SLOTS for name in getattr(adata, where)} | inside


def same(one, other):
    if isinstance(one, pd.DataFrame | pd.Series):
        return one.equals(other)
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[name], other[name]) for name in one)
    if hasattr(one, "toarray"):
        return (one != other).nnz == 0
    return np.array_equal(
        np.asarray(one), np.asarray(other), equal_nan=getattr(one, "dtype", np.dtype("O")).kind == "f"
    )


few = pytest.mark.filterwarnings("ignore::pathwayae.DataWarning", "ignore::anndata.ImplicitModificationWarning")


@few
@pytest.mark.parametrize("second", MODELS)
@pytest.mark.parametrize("first", MODELS)
def test_a_key_is_of_one_model_and_of_its_latest_fit(cells, first, second) -> None:
    adata = cells.copy()
    MODELS[first](adata, "one")
    analyse(adata, first, "one")
    before = content(adata.copy())
    if first != second:
        with pytest.raises(ValueError, match=r"adata\.uns\['one'\] holds .*; choose another key_added"):
            MODELS[second](adata, "one")
        after = content(adata)
        assert set(after) == set(before)
        assert all(same(after[name], before[name]) for name in before)
        return
    fresh = cells.copy()
    MODELS[second](adata, "one")
    MODELS[second](fresh, "one")
    assert names(adata) == names(fresh)  # nothing of the older fit and its analyses is left
    assert all(same(content(adata)[name], content(fresh)[name]) for name in content(fresh))


@pytest.mark.parametrize("model", MODELS)
def test_what_is_not_of_a_fit_is_not_written_over(cells, model) -> None:
    for where, name in (("uns", "theirs"), ("obsm", "X_mine")):
        adata = cells.copy()
        getattr(adata, where)[name] = {"variance": [1.0]} if where == "uns" else np.zeros((adata.n_obs, 2))
        with pytest.raises(ValueError, match=rf"adata\.{where}\['{name}'\] is there already and is not of"):
            MODELS[model](adata, name.removeprefix("X_"))
    adata = cells.copy()
    adata.varm["mine"] = np.zeros((adata.n_vars, 2))
    adata.obs["mine"] = "label"
    if model != "archetypes":
        MODELS[model](adata, "mine")
        return
    with pytest.raises(ValueError, match=r"adata\.varm\['mine'\] is there already"):
        archetypes(adata, "mine")
    del adata.varm["mine"]
    with pytest.raises(ValueError, match=r"adata\.obs\['mine'\] is there already"):
        archetypes(adata, "mine", labels=True)
    archetypes(adata, "mine")
    assert (adata.obs["mine"] == "label").all()


def test_scores_that_lost_their_fit_are_written_anew(cells) -> None:
    """As after ``anndata.concat``, which drops ``uns``."""
    adata = cells.copy()
    grouped(adata, "pae")
    joined = ad.concat([adata[:120], adata[120:]], merge="same")
    assert "pae" not in joined.uns
    grouped(joined, "pae")
    np.testing.assert_allclose(joined.obsm["X_pae"], adata.obsm["X_pae"], atol=1e-5)


@few
@pytest.mark.parametrize(
    ("model", "tool"), [(model, tool) for model, tools in ANALYSES.items() for tool in [None, *tools]], ids=str
)
def test_on_a_view_the_parent_stays_as_it_is(cells, model, tool) -> None:
    parent = cells.copy()
    parent.obs["keep"] = np.arange(parent.n_obs) % 8 > 0
    MODELS[model](parent, "one")
    before = content(parent.copy())
    view = parent[parent.obs["keep"]]
    if tool is None:
        MODELS[model](view, "one")
    else:
        analyse(view, model, "one", [tool])
    assert not view.is_view
    assert set(content(parent)) == set(before)
    assert all(same(content(parent)[name], before[name]) for name in before)
    assert set(view.uns["one"]) != set(parent.uns["one"]) or tool is None


@few
@pytest.mark.parametrize("tool", ["theta_path", "sparse_ae_sweep", "archetype_selection", "transform"])
def test_tools_that_write_elsewhere_leave_the_parent_of_a_view_alone(cells, tool) -> None:
    parent = cells.copy()
    grouped(parent, "pae", scores="projection")
    before = content(parent.copy())
    view = parent[::2]
    if tool == "theta_path":
        pae.tl.theta_path(view, thetas=(0.1, 0.3), n_folds=2, progress=False)
    elif tool == "sparse_ae_sweep":
        pae.tl.sparse_ae_sweep(view, strengths=(1, 2), n_latents=4, n_epochs=1, progress=False)
    elif tool == "archetype_selection":
        pae.tl.archetype_selection(view, [2, 3], n_bootstrap=0, progress=False)
    else:
        pae.tl.transform(view, parent, key_added="new", progress=False)
    assert set(content(parent)) == set(before)
    assert all(same(content(parent)[name], before[name]) for name in before)


@pytest.mark.parametrize("model", MODELS)
def test_new_cells_with_another_fit_under_the_key_are_refused_whatever_its_names(cells, model) -> None:
    reference, new = cells[:150].copy(), cells[150:].copy()
    MODELS[model](reference, "one")
    MODELS[model](new, "one")  # the same names of components, other cells
    before = content(new.copy())
    with pytest.raises(ValueError, match="already holds another fit under 'one'; choose another key_added"):
        pae.tl.transform(new, reference, key="one", progress=False)
    assert all(same(content(new)[name], before[name]) for name in before)
    pae.tl.transform(new, reference, key="one", key_added="theirs", progress=False)
    pae.tl.transform(new, reference, key="one", key_added="theirs", progress=False)  # its own scores again
    assert new.uns["theirs"][keys.FIT_ID] == reference.uns["one"][keys.FIT_ID] != new.uns["one"][keys.FIT_ID]
    part = reference[:30].copy()
    pae.tl.transform(part, reference, key="one", progress=False)  # cells of the fit carry it along


def test_the_id_of_a_fit_follows_from_its_numbers(cells) -> None:
    ids = []
    for options in ({}, {}, {"scale": "unit"}):
        adata = cells.copy()
        grouped(adata, "pae", **options)
        ids.append(adata.uns["pae"][keys.FIT_ID])
    assert ids[0] == ids[1] != ids[2]
    assert store.fingerprint([{"b": np.arange(3), "a": np.ones(2)}]) == store.fingerprint([np.ones(2), np.arange(3)])


@pytest.mark.parametrize("model", MODELS)
def test_getters_and_plots_of_other_models_say_whose_the_key_is(cells, model) -> None:
    adata = cells.copy()
    MODELS[model](adata, "one")
    assert lookup.kind_of(adata, "one") == model
    assert list(pae.get.scores(adata, key="one").columns) == pae.get.component_names(adata, key="one")
    pae.pl.scores(adata, "cell_type", key="one", show=False)
    if model != "grouped":  # by default, there is no descent to show
        pae.pl.history(adata, key="one", show=False)
        holds = r"holds (archetypes|a sparse autoencoder), not a fit of pathways: run pae\.tl\.fit"
        for read in (pae.get.variance, pae.get.pathways, pae.get.trust, pae.pl.variance):
            with pytest.raises(KeyError, match=holds):
                read(adata, key="one")
    if model != "sparse_ae":
        with pytest.raises(KeyError, match="not a sparse autoencoder: run pae.tl.sparse_ae"):
            pae.get.latent_genes(adata, key="one")
    if model != "archetypes":
        with pytest.raises(KeyError, match="not archetypes: run pae.tl.archetypes"):
            pae.get.archetypes(adata, key="one")
