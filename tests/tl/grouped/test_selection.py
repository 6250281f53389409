"""θ and the number of free components chosen by what a fit has not seen."""

import warnings

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest

import pathwayae as pae
from pathwayae.core.trust.selection import THETAS
from pathwayae.tl._grouped import selection

QUIET = {"progress": False}
DESCENT = {"scores": "projection", "progress": False}  # θ is of a descent
# With little data a weak prior lets genes outside take a pathway over; what the fit says of it has tests of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*of whose variance genes outside:pathwayae.DataWarning"),
    pytest.mark.filterwarnings("ignore:.*on one gene:pathwayae.DataWarning"),
]
# Three pathways in 400 cells say little about θ; what is said then has tests of its own.
weak = pytest.mark.filterwarnings("ignore:The prior is ignored:pathwayae.DataWarning")


@pytest.fixture(scope="module")
def cells():
    return pae.datasets.simulate(400, 150, 3, n_donors=4)


@pytest.fixture(scope="module")
def auto(cells):
    return flat.fit(cells, "pathways", theta="auto", n_extra="auto", copy=True, **DESCENT)


@pytest.fixture
def fitted(cells):
    return flat.fit(cells, "pathways", n_extra=2, copy=True, **DESCENT)


def test_the_fit_is_that_of_the_numbers_chosen(cells, auto):
    path, extra = pae.get.theta_path(auto), pae.get.n_extra_path(auto)
    theta, n_extra = auto.uns["pae"]["params"]["theta"], auto.uns["pae"]["params"]["n_extra"]
    assert path.loc[path["chosen"], "theta"].tolist() == [theta]
    assert extra.loc[extra["chosen"], "n_extra"].tolist() == [n_extra]
    assert path["theta"].tolist() == list(THETAS)
    given = flat.fit(cells, "pathways", theta=theta, n_extra=n_extra, copy=True, **DESCENT)
    np.testing.assert_allclose(auto.varm["pae_loadings"], given.varm["pae_loadings"], atol=2e-5)
    assert "theta_path" not in given.uns["pae"]


@weak
def test_the_order_of_genes_does_not_matter(cells, auto):
    order = np.random.default_rng(0).permutation(cells.n_vars)
    turned = flat.fit(cells[:, order].copy(), "pathways", theta="auto", n_extra="auto", copy=True, **DESCENT)
    pd.testing.assert_frame_equal(pae.get.theta_path(turned), pae.get.theta_path(auto), rtol=1e-4)
    pd.testing.assert_frame_equal(pae.get.n_extra_path(turned), pae.get.n_extra_path(auto), rtol=1e-3, atol=1e-5)


@weak
def test_donors_from_the_cells_and_from_moments_are_the_same(cells):
    moments = pae.pp.moments(cells, sample_key="donor", **QUIET)
    once = flat.fit(cells, "pathways", theta="auto", moments=moments, copy=True, **DESCENT)
    again = flat.fit(
        cells, "pathways", theta="auto", moments=moments.select(*moments.strata[::-1]), copy=True, **DESCENT
    )
    pd.testing.assert_frame_equal(pae.get.theta_path(once), pae.get.theta_path(again), rtol=1e-6)
    apart = flat.fit(cells, "pathways", theta="auto", copy=True, **DESCENT)
    assert not np.allclose(pae.get.theta_path(apart)["heldout_error"], pae.get.theta_path(once)["heldout_error"])


@weak
def test_paths_after_a_fit_are_those_of_the_fit(cells):
    moments = pae.pp.moments(cells, sample_key="donor", **QUIET)
    auto = flat.fit(cells, "pathways", theta="auto", n_extra=2, moments=moments, copy=True, **DESCENT)
    within = pae.get.theta_path(auto)
    loadings = auto.varm["pae_loadings"].copy()
    pae.tl.theta_path(auto, sample_key="donor", **QUIET)
    pd.testing.assert_frame_equal(pae.get.theta_path(auto), within, rtol=1e-6)
    np.testing.assert_array_equal(auto.varm["pae_loadings"], loadings)
    pae.tl.n_extra_path(auto, n_max=4, sample_key="donor", **QUIET)
    assert pae.get.n_extra_path(auto)["n_extra"].tolist() == [0, 1, 2, 3, 4]


@weak
def test_more_folds_than_donors_are_as_many_as_donors(fitted):
    many = pae.tl.theta_path(fitted, thetas=(0.1, 0.3), sample_key="donor", n_folds=9, copy=True, **QUIET)
    pae.tl.theta_path(fitted, thetas=(0.3, 0.1), sample_key="donor", n_folds=4, **QUIET)
    pd.testing.assert_frame_equal(pae.get.theta_path(many), pae.get.theta_path(fitted))


def test_everything_written_comes_back_from_a_file(auto, tmp_path):
    auto.write_h5ad(tmp_path / "a.h5ad")
    read = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(pae.get.theta_path(read), pae.get.theta_path(auto))
    pd.testing.assert_frame_equal(pae.get.n_extra_path(read), pae.get.n_extra_path(auto))
    assert read.uns["pae"]["params"]["theta"] == auto.uns["pae"]["params"]["theta"]


@weak
def test_copies_leave_the_data_alone(fitted):
    for path in (pae.tl.theta_path, pae.tl.n_extra_path):
        options = {"thetas": (0.1, 0.2)} if path is pae.tl.theta_path else {"n_max": 2}
        copied = path(fitted, n_folds=2, copy=True, **options, **QUIET)
        new = set(copied.uns["pae"]) - set(fitted.uns["pae"])
        assert new == {path.__name__, f"{path.__name__}_params"}


def test_hidden_members_of_shuffled_pathways_are_not_recovered(cells):
    """Random sets: a warning, and an AUC around one half."""
    rng = np.random.default_rng(3)
    sets = {f"random {j}": rng.choice(cells.var_names, 20, replace=False).tolist() for j in range(3)}
    adata = cells.copy()
    adata.X = rng.permuted(adata.X.toarray(), axis=0)  # no gene knows of another
    with pytest.warns(pae.DataWarning, match="do not bear the pathways out"):
        flat.fit(adata, sets, theta="auto", n_extra=2, **DESCENT)
    path = pae.get.theta_path(adata)
    assert abs(path.loc[path["chosen"], "auc"].iloc[0] - 0.5) < 0.1


def path_of(chosen, inside, auc=0.8, as_good=()):
    thetas = np.array([0.1, 0.3, 0.5])
    table = pd.DataFrame({"theta": thetas, "auc": auc, "auc_se": 0.01, "inside": inside, "chosen": thetas == chosen})
    return table.assign(as_good=np.isin(thetas, [chosen, *as_good]))


def test_a_prior_that_is_ignored_or_copied_is_said():
    with pytest.warns(pae.DataWarning, match=r"ignored: of the θ tried the smallest, 0\.1"):
        selection._warn_of_prior(path_of(0.1, 0.5))
    with pytest.warns(pae.DataWarning, match=r"dominates: at θ = 0\.3.*99\.9%"):
        selection._warn_of_prior(path_of(0.3, 0.999))
    with pytest.warns(pae.DataWarning, match=r"AUC 0\.51"):
        selection._warn_of_prior(path_of(0.3, 0.5, auc=0.51))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selection._warn_of_prior(path_of(0.3, 0.9))
        selection._warn_of_prior(path_of(0.5, 0.9))
        selection._warn_of_prior(path_of(0.1, 0.9, as_good=(0.3,)))  # a stronger one would do as well


def test_bad_options_of_the_path_are_named(fitted):
    for options, error, match in [
        ({"thetas": (0.1,)}, ValueError, "at least two values"),
        ({"thetas": (0.1, 0.1, 0.2)}, ValueError, "each once"),
        ({"thetas": (0.1, 1.5)}, ValueError, "out of range"),
        ({"thetas": (0.1, "b")}, TypeError, "with 'b' .str"),
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"n_folds": 2.5}, TypeError, "n_folds=2.5"),
        ({"random_state": 0.5}, TypeError, "random_state=0.5"),
        ({"sample_key": "nobody"}, KeyError, "nobody"),
        ({"sample_key": "one"}, ValueError, "one stratum"),
        ({"key": "other"}, KeyError, "other"),
    ]:
        fitted.obs["one"] = "same"
        with pytest.raises(error, match=match):
            pae.tl.theta_path(fitted, **options, **QUIET)


def test_bad_options_of_a_fit_are_named(cells):
    with pytest.raises(ValueError, match="theta='auto'.*solver='cells'"):
        flat.fit(cells, "pathways", theta="auto", settings=pae.tl.FitSettings(solver="cells"), **DESCENT)
    with pytest.raises(ValueError, match="n_extra='auto'.*solver='cells'"):
        flat.fit(cells, "pathways", n_extra="auto", settings=pae.tl.FitSettings(solver="cells"), **QUIET)
    with pytest.raises(ValueError, match="one stratum"):
        flat.fit(cells, "pathways", theta="auto", moments=pae.pp.moments(cells, **QUIET), **DESCENT)
    with pytest.raises(ValueError, match="theta='automatic'"):
        flat.fit(cells, "pathways", theta="automatic", **DESCENT)
    with pytest.raises(ValueError, match="n_extra='many'"):
        flat.fit(cells, "pathways", n_extra="many", **QUIET)
    with pytest.raises(ValueError, match="theta='auto'.*scores='members' has none"):
        flat.fit(cells, "pathways", theta="auto", **QUIET)
    assert "pae" not in cells.uns


def test_scores_of_members_have_no_theta_but_a_number_of_free_components(cells):
    members = flat.fit(cells, "pathways", n_extra="auto", copy=True, **QUIET)
    path = pae.get.n_extra_path(members)
    assert path.loc[path["chosen"], "n_extra"].tolist() == [members.uns["pae"]["params"]["n_extra"]]
    with pytest.raises(ValueError, match="scores='members' has none"):
        pae.tl.theta_path(members, **QUIET)


def test_a_number_of_free_components_that_predicts_nothing_is_said(cells):
    noise = cells.copy()
    noise.X = np.random.default_rng(0).permuted(noise.X.toarray(), axis=0)
    with pytest.warns(pae.DataWarning, match="predicts genes that were held out"):
        flat.fit(noise, "pathways", n_extra="auto", **QUIET)


def test_n_max_is_checked_and_ends_where_genes_do(fitted):
    with pytest.raises(ValueError, match="n_max=0"):
        pae.tl.n_extra_path(fitted, n_max=0, **QUIET)
    few = pae.tl.n_extra_path(fitted, n_max=10_000, n_folds=2, copy=True, **QUIET)
    assert pae.get.n_extra_path(few)["n_extra"].max() == min(fitted.n_vars, fitted.n_obs // 2) - 3
