"""A fit whose slots were changed: what makes something of it says what is wrong."""

import numpy as np
import pandas as pd
import pytest

import pathwayae as pae


@pytest.fixture(scope="module")
def fitted():
    adata = pae.datasets.simulate(200, 150, 4)
    pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    return adata


def in_var(name, value):
    def change(adata):
        values = adata.var[name].to_numpy(dtype=float).copy()
        values[3] = value
        adata.var[name] = values

    return change


def in_uns(name, value):
    def change(adata):
        adata.uns["pae"][name] = value(adata.uns["pae"][name]) if callable(value) else value

    return change


def in_varm(name, change):
    def changed(adata):
        adata.varm[name] = change(adata.varm[name].copy())

    return changed


def with_nan(values):
    values[3, 1] = np.nan
    return values


DAMAGES = {
    "var['pae_scale'] has units that are infinite, 0 or negative": [
        in_var("pae_scale", value) for value in (0.0, -1.0, np.inf)
    ],
    "var['pae_mean'] and var['pae_scale'] are of other genes": [
        in_var("pae_mean", np.nan),
        in_var("pae_mean", np.inf),
        in_var("pae_scale", np.nan),
    ],
    "components share names ('a')": [in_uns("component_names", np.array(["a"] * 2 + list("bcde"), dtype=object))],
    "varm['pae_loadings'] has 6 columns for 3 components": [in_uns("component_names", lambda names: names[:3])],
    "n_pathways is 99 of 6": [in_uns("n_pathways", 99)],
    "n_pathways is -1 of 6": [in_uns("n_pathways", -1)],
    "scores='magic' is none of": [in_uns("params", lambda params: {**params, "scores": "magic"})],
    "varm['pae_loadings'] holds NaN": [in_varm("pae_loadings", with_nan)],
    "varm['pae_encoder'] holds NaN": [in_varm("pae_encoder", with_nan)],
    "varm['pae_encoder'] has 3 columns for 6": [in_varm("pae_encoder", lambda values: values[:, :3])],
    "variance_ratio is not of 6 components": [in_uns("variance_ratio", lambda values: values[:2])],
    "varm['pae_membership'] has 1 columns for 4": [in_varm("pae_membership", lambda values: values[:, :1])],
    "the table 'pathways' is not of 4 pathways": [in_uns("pathways", lambda table: table.iloc[:2])],
    "varm['pae_loadings'] is of type <U": [in_varm("pae_loadings", lambda values: values.astype(str))],
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_fit_is_refused_and_nothing_is_written(fitted, words):
    new = fitted[:50].copy()
    for name in list(new.obsm):
        del new.obsm[name]
    del new.uns["pae"], new.obs["pae_fit"]
    for change in DAMAGES[words]:
        reference, cells = fitted.copy(), new.copy()
        change(reference)
        for call in (
            lambda reference=reference, cells=cells: pae.tl.transform(cells, reference, progress=False),
            lambda reference=reference: pae.tl.relevance(reference, progress=False),
        ):
            with pytest.raises(ValueError, match="The fit under key 'pae' is damaged") as caught:
                call()
            assert words in str(caught.value)
        assert "X_pae" not in cells.obsm
        assert "relevance" not in reference.uns["pae"]


def test_a_whole_fit_is_taken(fitted):
    cells = fitted[:50].copy()
    pae.tl.transform(cells, fitted, progress=False)
    np.testing.assert_allclose(cells.obsm["X_pae"], fitted.obsm["X_pae"][:50], atol=1e-5)


@pytest.mark.parametrize("words", ["holds NaN or infinite values", "is of type <U"])
def test_scores_that_no_fit_leaves_are_refused_by_whatever_reads_them(fitted, words):
    cells = fitted.copy()
    cells.obsm["X_pae"] = with_nan(cells.obsm["X_pae"]) if "NaN" in words else cells.obsm["X_pae"].astype(str)
    for call in (pae.get.scores, pae.get.to_anndata, lambda one: pae.get.to_obs(one, "program_1")):
        with pytest.raises(ValueError, match=rf"obsm\['X_pae'\] {words}.*run pae\.tl\.fit") as caught:
            call(cells)
        assert "damaged" in str(caught.value)


def test_loadings_in_a_table_are_taken(fitted):
    reference, new = fitted.copy(), fitted[:50].copy()
    reference.varm["pae_loadings"] = pd.DataFrame(reference.varm["pae_loadings"], index=reference.var_names)
    pae.tl.transform(new, reference, progress=False)
    np.testing.assert_allclose(new.obsm["X_pae"], fitted.obsm["X_pae"][:50], atol=1e-5)
