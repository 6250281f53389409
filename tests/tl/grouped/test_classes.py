"""Classes of genes, a vector or a column of var, as the pathways of a fit."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pathwayae as pae
from pathwayae.core.notice import DataWarning
from pathwayae.models import GroupedAutoencoder

QUIET = {"progress": False}


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """300 cells × 80 genes: three planted groups of 20 genes, 10 genes of no group and 10 of noise alone."""
    rng = np.random.default_rng(0)
    groups = np.r_[np.repeat([0.0, 1.0, 2.0], 20), np.full(10, -1.0), np.full(10, np.nan)]
    z = rng.gamma(1.0, size=(300, 3))
    x = np.abs(rng.normal(0, 0.3, size=(300, 80)))
    for group in range(3):
        x[:, groups == group] += z[:, [group]] * rng.uniform(0.5, 1.5, size=20)
    x[:, 60:70] += z @ rng.uniform(0, 0.5, size=(3, 10))
    var = pd.DataFrame({"classes": groups}, index=[f"g{i:03}" for i in range(80)])
    words = np.array(["T cell", "B/cell", "NK"], dtype=object)
    var["words"] = [None if np.isnan(one) else "-1" if one < 0 else words[int(one)] for one in groups]
    var["levels"] = pd.Categorical(var["words"], categories=["T cell", "B/cell", "NK", "-1", "unused"])
    obs = pd.DataFrame({"donor": np.arange(300) % 6}, index=[f"c{i}" for i in range(300)]).astype(str)
    return ad.AnnData(x.astype(np.float32), obs=obs, var=var)


def fit(cells, classes, **options):
    adata = cells.copy()
    pae.tl.fit(adata, classes, **{"n_extra": 0, **QUIET, **options})
    return adata


def test_every_form_of_the_classes_is_the_same_fit(cells):
    vector = cells.var["classes"]
    expected = fit(cells, "classes")
    assert pae.get.loadings(expected).columns.tolist() == ["class_0", "class_1", "class_2"]
    assert expected.uns["pae"]["pathways"]["n_matched"].tolist() == [20, 20, 20]
    by_set = fit(cells, {f"class_{j}": cells.var_names[vector == j] for j in range(3)})
    np.testing.assert_array_equal(expected.obsm["X_pae"], by_set.obsm["X_pae"])
    shuffled = vector.sample(frac=1, random_state=1)
    partial = pd.concat([vector.dropna(), pd.Series({"elsewhere": 1.0})])
    for form in (vector, shuffled, partial, vector.to_numpy(), vector.tolist(), vector.astype("Int64").array):
        np.testing.assert_array_equal(fit(cells, form).obsm["X_pae"], expected.obsm["X_pae"])
    assert not fit(cells, partial).var["pae_regularised"].to_numpy()[70:].any()


def test_a_vector_of_gene_names_is_one_set_and_no_classes(cells):
    genes = cells.var_names[:20]
    expected = fit(cells, {"one": genes}).obsm["X_pae"]
    for form in (genes.to_series(), genes.to_numpy(), pd.Series(genes), list(genes)):
        np.testing.assert_array_equal(fit(cells, form).obsm["X_pae"], expected)


def test_words_and_categories_name_the_components(cells):
    own = fit(cells, "levels")
    assert pae.get.loadings(own).columns.tolist() == ["T cell", "B/cell", "NK"]
    assert pae.get.loadings(fit(cells, "words")).columns.tolist() == ["B/cell", "NK", "T cell"]
    np.testing.assert_array_equal(own.obsm["X_pae"], fit(cells, "classes").obsm["X_pae"])
    numbers = pd.Series(pd.Categorical([2] * 40 + [10] * 40), index=cells.var_names)
    assert pae.get.loadings(fit(cells, numbers)).columns.tolist() == ["class_2", "class_10"]


@pytest.mark.parametrize("non_negative", [True, False])
@pytest.mark.parametrize("on_classes", [True, False])
def test_the_classic_settings_are_the_estimator(cells, non_negative, on_classes):
    options = {"entropy_on_classes": on_classes, "non_negative": non_negative, "max_iter": 150}
    settings = pae.tl.FitSettings.classic(**options)
    own = fit(cells, "classes", scores="projection", scale=None, theta=0.6, n_extra=1, settings=settings)
    model = GroupedAutoencoder(4, cells.var["classes"], theta=0.6, random_state=0, **options).fit(cells.X)
    length = np.linalg.norm(model.loadings_, axis=0)
    np.testing.assert_allclose(pae.get.loadings(own).to_numpy(), model.loadings_ / length, atol=2e-5)
    np.testing.assert_allclose(own.obsm["X_pae"], model.transform(cells.X) / length, atol=2e-3)
    np.testing.assert_allclose(own.uns["pae"]["history"]["loss"], model.history_["loss"], rtol=1e-4)
    assert pae.get.loadings(own).columns.tolist() == ["class_0", "class_1", "class_2", "free_1"]


def test_no_class_is_entropy_alone_and_nan_is_no_regularisation(cells):
    settings = pae.tl.FitSettings.classic(epsilon=1.0, entropy_scaling=None)
    own = fit(cells, "classes", scores="projection", scale=None, theta=0.3, settings=settings)
    rows = np.abs(pae.get.loadings(own).to_numpy())
    most = rows.max(axis=1) / rows.sum(axis=1)
    plain = np.abs(
        pae.get.loadings(
            fit(
                cells,
                np.where(cells.var["classes"] < 0, np.nan, cells.var["classes"]),
                scores="projection",
                scale=None,
                theta=0.3,
                settings=settings,
            )
        ).to_numpy()
    )
    left = plain.max(axis=1) / plain.sum(axis=1)
    assert most[60:70].mean() > left[60:70].mean() + 0.1  # of genes with a share in all three
    np.testing.assert_array_less(most[70:].mean(), 0.95)


@pytest.mark.parametrize("free", ["residual", "together"])
def test_analyses_plots_and_files_take_a_fit_of_classes(cells, free, tmp_path):
    settings = pae.tl.FitSettings(free=free, max_iter=30)
    own = fit(cells, "levels", scores="projection", n_extra=2, settings=settings)
    pae.tl.stability(own, n_bootstrap=40, sample_key="donor", **QUIET)
    pae.tl.stability(own, n_bootstrap=0, n_restarts=1, key="pae", **QUIET)
    pae.tl.relevance(own, n_folds=2, n_null=50, **QUIET)
    pae.tl.refine(own, **QUIET)
    for draw in (pae.pl.loadings, pae.pl.scores, pae.pl.relevance, pae.pl.history, pae.pl.variance):
        assert draw(own, *(["donor"] if draw is pae.pl.scores else []), show=False) is not None
    own.write_h5ad(tmp_path / "own.h5ad")
    again = ad.read_h5ad(tmp_path / "own.h5ad")
    pae.models.save(again, tmp_path / "own.npz")
    for reference in (again, pae.models.load(tmp_path / "own.npz")):
        new = cells[:50, ::-1].copy()
        pae.tl.transform(new, reference, **QUIET)
        np.testing.assert_allclose(new.obsm["X_pae"], own.obsm["X_pae"][:50], atol=1e-5)
    if free == "together":
        with pytest.raises(ValueError, match="free='together'"):
            pae.tl.n_extra_path(own, n_folds=2, **QUIET)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of the prior, which two values of θ say little of
            pae.tl.theta_path(again, thetas=(0.1, 0.5), n_folds=2, **QUIET)


def test_a_refit_of_sets_leaves_nothing_of_the_classes(cells):
    own = fit(cells, "classes")
    assert own.var["pae_regularised"].tolist() == [True] * 70 + [False] * 10
    pae.tl.fit(own, {"one": own.var_names[:20]}, n_extra=0, **QUIET)
    assert "pae_regularised" not in own.var


@pytest.mark.parametrize(
    ("classes", "error", "said"),
    [
        (np.zeros(79), ValueError, r"shape \(79,\).*\(80,\)"),
        (np.zeros((80, 2)), ValueError, "one value per gene"),
        (pd.Series({"x": 1.0, "y": 2.0}), ValueError, "0 of 2 genes"),
        (pd.Series([0.0, 1.0], index=["g000", "g000"]), ValueError, "more than once"),
        (np.full(80, 0.5), ValueError, "holds 0.5"),
        (np.full(80, -2), ValueError, "holds -2"),
        (np.full(80, np.inf), ValueError, "holds inf"),
        (np.full(80, -1), ValueError, "has no class: the value of every gene is -1"),
        (np.full(80, np.nan), ValueError, "has no class: the value of every gene is NaN"),
        (np.ones(80, dtype=bool), TypeError, "mask_var"),
        (np.array(["a", 1] * 40, dtype=object), TypeError, "holds 'a'"),
        ("no_such_column", FileNotFoundError, "neither"),
    ],
)
def test_what_is_no_vector_of_classes_is_refused(cells, classes, error, said):
    own = cells.copy()
    with pytest.raises(error, match=said):
        pae.tl.fit(own, classes, **QUIET)
    assert list(own.uns) == list(own.obsm) == []


def test_a_class_with_few_genes_is_warned_of_and_can_be_kept(cells):
    classes = cells.var["classes"].copy()
    classes.iloc[0] = 3.0
    with pytest.warns(DataWarning, match="1 classes get no component .*class_3.*min_genes=1"):
        own = fit(cells, classes)
    assert own.obsm["X_pae"].shape[1] == 3
    with pytest.warns(DataWarning, match="few genes"):
        assert fit(cells, classes, min_genes=1).obsm["X_pae"].shape[1] == 4


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({"non_negative": False}, {}, "non_negative=False sets the descent"),
        ({"free": "together"}, {}, "free='together' sets the descent"),
        ({"free": "together"}, {"scores": "projection", "n_extra": "auto"}, "free='together' with"),
        ({"non_negative": False, "support": True}, {"scores": "projection"}, "support=True"),
        ({"scheduler_factor": 2.0}, {"scores": "projection"}, "scheduler_factor=2.0"),
    ],
)
def test_settings_that_contradict_are_refused(cells, settings, options, said):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=said):
        pae.tl.fit(cells.copy(), "classes", settings=pae.tl.FitSettings(**settings), **options, **QUIET)
