"""What free components are, against plain computations on the slots."""

import numpy as np
import pytest
from fitted import FREE, PATHWAYS, fitted_adata, member_sets
from sklearn.linear_model import LinearRegression

from pathwayae import get
from pathwayae.core.enrichment.ora import ora


@pytest.fixture
def adata():
    return fitted_adata()


def test_genes_and_nearest_pathways_of_free_components(adata):
    table = get.free_components(adata, n_genes=3).set_index("component")
    assert table.index.tolist() == FREE
    scores, loadings = get.scores(adata), get.loadings(adata)
    for name in FREE:
        ordered = loadings[name].sort_values()
        assert table.loc[name, "positive"].split(";") == ordered.index[::-1][:3].tolist()
        assert table.loc[name, "negative"].split(";") == ordered.index[:3].tolist()
        similar = scores[PATHWAYS].corrwith(scores[name])
        nearest = similar.abs().idxmax()
        assert table.loc[name, "nearest"] == nearest
        assert table.loc[name, "correlation"] == pytest.approx(similar[nearest], rel=1e-5)
        member = adata.varm["pae_membership"].toarray().astype(float)
        cosine = loadings[name].to_numpy() @ member
        cosine = cosine / np.linalg.norm(member, axis=0) / np.linalg.norm(loadings[name])
        assert table.loc[name, "nearest_genes"] == PATHWAYS[np.abs(cosine).argmax()]
        assert table.loc[name, "cosine"] == pytest.approx(cosine[np.abs(cosine).argmax()], rel=1e-5)


def test_share_of_variance_between_levels_is_that_of_a_regression(adata):
    adata.obs["with gaps"] = adata.obs["cell_type"].where(np.arange(adata.n_obs) > 30)
    table = get.free_components(adata, batch_key=["cell_type", "with gaps"]).set_index("component")
    for column in ("cell_type", "with gaps"):
        known = adata.obs[column].notna().to_numpy()
        levels = adata.obs[column].cat.codes.to_numpy()[known]
        dummies = np.eye(levels.max() + 1)[levels]
        for name in FREE:
            z = get.scores(adata)[name].to_numpy(float)[known]
            expected = LinearRegression().fit(dummies, z).score(dummies, z)
            assert table.loc[name, f"eta2_{column}"] == pytest.approx(expected, rel=1e-6)


def test_one_level_has_no_variance_between(adata):
    adata.obs["one"] = "same"
    assert get.free_components(adata, batch_key="one")["eta2_one"].tolist() == pytest.approx([0, 0], abs=1e-12)
    adata.obs["none"] = None
    assert get.free_components(adata, batch_key="none")["eta2_none"].isna().all()


def test_the_best_term_of_an_enrichment_is_named(adata):
    values = get.loadings(adata).iloc[:140]
    names = get.component_names(adata)
    found = ora(values.to_numpy(), values.index.tolist(), names, member_sets(adata), n_genes=20)
    adata.uns["pae"]["enrichment"] = found
    table = get.free_components(adata).set_index("component")
    for name in FREE:
        own = found[found["component"] == name]
        expected = own["padj"].min() if len(own) else np.nan
        np.testing.assert_equal(table.loc[name, "padj"], expected)
    assert "term" not in get.free_components(fitted_adata())


def test_what_is_missing_is_named(adata):
    with pytest.raises(KeyError, match="batch_key='plate'"):
        get.free_components(adata, batch_key="plate")
    with pytest.raises(ValueError, match="n_genes"):
        get.free_components(adata, n_genes=0)
    with pytest.raises(KeyError, match=r"No theta_path.*theta=\"auto\".*pae\.tl\.theta_path"):
        get.theta_path(adata)
    with pytest.raises(KeyError, match=r"No n_extra_path.*n_extra=\"auto\".*pae\.tl\.n_extra_path"):
        get.n_extra_path(adata)
    with pytest.raises(KeyError, match="keys found: 'pae'"):
        get.theta_path(adata, key="other")
