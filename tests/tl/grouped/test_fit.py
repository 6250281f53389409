"""The main job: slots, alignment by name, invariances, bad input."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.metrics import average_precision_score

import pathwayae as pae
from pathwayae.core.grouped.encoder import balanced, expression_bins, multiplicity

CLASSIC = {"scores": "projection", "balance": False, "init": "membership", "dropout": 0.0}
SQUARES = {"scores": "least_squares", "balance": False, "init": "membership"}
KINDS = {"members": {}, "projection": CLASSIC}  # the default, and the descent with everything new left out
EVERY = [{}, {"balance": False}, {"scores": "projection"}, {"scores": "least_squares"}, CLASSIC, SQUARES]
OUTSIDE = r"ignore:.*\(flag 'outside'\)"  # of program_4, which a descent gives to genes outside


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(400, 300, 6, random_state=3)


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request) -> dict:
    """Options of a fit, for what holds with and without a descent."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def fitted(cells: ad.AnnData, kind: dict) -> ad.AnnData:
    return fit(cells, **kind)


def fit(adata: ad.AnnData, pathways="pathways", **kwargs) -> ad.AnnData:
    return flat.fit(adata, pathways, progress=False, copy=True, **{"n_extra": 3, **kwargs})


def encoder_of(fitted: ad.AnnData) -> np.ndarray:
    """What turns standardised cells into scores, float64."""
    return fitted.varm["pae_encoder" if "pae_encoder" in fitted.varm else "pae_loadings"].astype(float)


def standardised(fitted: ad.AnnData) -> np.ndarray:
    x = fitted.X.toarray().astype(float)
    return (x - x.mean(axis=0)) / np.sqrt(x.std(axis=0))


def as_dict(cells: ad.AnnData) -> dict[str, list[str]]:
    member = cells.varm["pathways"]
    return {name: member.index[member[name]].tolist() for name in member}


def assert_same_fit(a: ad.AnnData, b: ad.AnnData, atol: float) -> None:
    """Equal scores, loadings and standardisation, cells and genes aligned by name."""
    b = b[a.obs_names, a.var_names]
    np.testing.assert_allclose(a.varm["pae_loadings"], b.varm["pae_loadings"], atol=atol)
    np.testing.assert_allclose(encoder_of(a), encoder_of(b), atol=atol)
    np.testing.assert_allclose(a.obsm["X_pae"], b.obsm["X_pae"], atol=atol * 100)
    np.testing.assert_allclose(a.var["pae_scale"], b.var["pae_scale"], rtol=1e-9)
    assert (a.varm["pae_membership"] != b.varm["pae_membership"]).nnz == 0


def test_slots_are_written_with_their_shapes_and_types(fitted: ad.AnnData) -> None:
    assert fitted.obsm["X_pae"].shape == (400, 9)
    assert fitted.obsm["X_pae"].dtype == np.float32
    assert fitted.varm["pae_loadings"].shape == (300, 9)
    assert fitted.varm["pae_loadings"].dtype == np.float32
    assert sp.issparse(fitted.varm["pae_membership"])
    assert fitted.varm["pae_membership"].dtype == bool
    entries = fitted.uns["pae"]
    assert list(entries["component_names"]) == [f"program_{j}" for j in range(1, 7)] + ["free_1", "free_2", "free_3"]
    assert entries["n_pathways"] == 6
    assert entries["variance_ratio"].shape == (9,)
    assert (entries["pathways"]["n_matched"] == entries["pathways"]["n_genes"]).all()
    added = ["n_effective", "top_gene_share", "agreement", "outside", "flag"]
    assert list(entries["pathways"])[-5:] == added
    if entries["params"]["scores"] == "members":
        assert entries["history"] == {}
        assert fitted.varm["pae_encoder"].shape == (300, 9)
        assert fitted.varm["pae_encoder"].dtype == np.float32
    else:
        assert set(entries["history"]) == {"loss", "reconstruction", "zero", "entropy"}
        assert {len(values) for values in entries["history"].values()} == {100}
        assert "pae_encoder" not in fitted.varm


def test_the_input_is_left_alone_with_copy_and_changed_without(cells: ad.AnnData) -> None:
    before = cells.copy()
    assert fit(cells) is not cells
    assert "X_pae" not in cells.obsm
    assert (cells.X != before.X).nnz == 0
    own = cells.copy()
    assert pae.tl.fit(own, "pathways", progress=False) is None
    assert "X_pae" in own.obsm


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_scores_are_standardised_expression_times_the_encoder(cells: ad.AnnData, options: dict) -> None:
    fitted = fit(cells, **options)
    tied = options.get("scores") == "projection" and options.get("balance", True) is False
    assert ("pae_encoder" in fitted.varm) != tied
    np.testing.assert_allclose(fitted.obsm["X_pae"], standardised(fitted) @ encoder_of(fitted), atol=1e-5)


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_components_have_unit_length_pathways_are_non_negative_and_free_ones_orthogonal(
    cells: ad.AnnData, options: dict
) -> None:
    fitted = fit(cells, **options)
    loadings, encoder = fitted.varm["pae_loadings"].astype(float), encoder_of(fitted)
    np.testing.assert_allclose(np.linalg.norm(loadings, axis=0), 1, atol=1e-6)
    assert (loadings[:, :6] >= 0).all()
    np.testing.assert_array_equal(encoder[:, 6:], loadings[:, 6:])
    unit = encoder / np.linalg.norm(encoder, axis=0)
    np.testing.assert_allclose(encoder[:, 6:].T @ unit, np.eye(9)[6:], atol=1e-5)


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_the_encoder_is_balanced_within_bins_of_like_mean(cells: ad.AnnData, options: dict) -> None:
    fitted = fit(cells, **options)
    encoder, loadings = encoder_of(fitted)[:, :6], fitted.varm["pae_loadings"].astype(float)[:, :6]
    bins = expression_bins(fitted.var["pae_mean"].to_numpy())
    level = np.array([np.abs(encoder[bins == b].mean(axis=0)) for b in range(5)])
    if not options.get("balance", True):
        assert level.max() > 1e-3
        return
    assert level.max() < 1e-8  # float32
    if options.get("scores") == "projection":
        np.testing.assert_allclose(encoder, balanced(loadings, bins), atol=1e-6)
    elif "scores" not in options:
        member = fitted.varm["pae_membership"].toarray()
        weights = np.where(member, loadings, 0.0)
        expected = balanced(weights, bins)
        expected /= np.linalg.norm(expected, axis=0)
        expected /= np.sqrt(multiplicity(expected))
        np.testing.assert_allclose(encoder, expected, atol=1e-6)


@pytest.mark.parametrize("balance", [True, False])
def test_a_level_that_all_genes_of_a_cell_share_does_not_move_balanced_scores(cells: ad.AnnData, balance: bool) -> None:
    level = 1 + np.random.default_rng(0).uniform(0, 1, size=(400, 1))
    fitted = fit(cells, balance=balance)
    other = fitted.copy()
    other.X = cells.X.toarray() + level * fitted.var["pae_scale"].to_numpy()  # as much in every gene's own unit
    pae.tl.transform(other, fitted)
    moved = np.abs(other.obsm["X_pae"] - fitted.obsm["X_pae"])[:, :6].max(axis=0)
    assert (moved < 1e-4).all() if balance else (moved > 1).all()


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_variance_ratio_is_that_of_a_regression_on_each_score(cells: ad.AnnData, options: dict) -> None:
    fitted = fit(cells, **options)
    standard, entries = standardised(fitted), fitted.uns["pae"]

    def explained(z: np.ndarray) -> float:
        return ((z @ np.linalg.lstsq(z, standard, rcond=None)[0]) ** 2).sum() / (standard**2).sum()

    for j, ratio in enumerate(entries["variance_ratio"]):
        assert explained(standard @ encoder_of(fitted)[:, [j]]) == pytest.approx(ratio, rel=1e-6)
    assert explained(standard @ encoder_of(fitted)) == pytest.approx(entries["variance_ratio_total"], rel=1e-6)


def test_a_fit_without_an_encoder_of_its_own_removes_that_of_an_earlier_one(cells: ad.AnnData) -> None:
    again = fit(fit(cells), **CLASSIC)
    assert "pae_encoder" not in again.varm
    assert "pae_encoder" in fit(again).varm
    assert fit(again).uns["pae"]["history"] == {}


def test_a_score_depends_on_no_seed_and_no_other_pathway(cells: ad.AnnData) -> None:
    fitted, seeded = fit(cells), fit(cells, random_state=7)
    np.testing.assert_array_equal(seeded.obsm["X_pae"], fitted.obsm["X_pae"])
    sets = as_dict(cells)
    alone = fit(cells, {"program_2": sets["program_2"]})
    np.testing.assert_allclose(alone.varm["pae_loadings"][:, 0], fitted.varm["pae_loadings"][:, 1], atol=1e-6)
    first, second = alone.obsm["X_pae"][:, 0], fitted.obsm["X_pae"][:, 1]
    np.testing.assert_allclose(first / first.std(), second / second.std(), atol=1e-4)


@pytest.mark.parametrize("form", ["dense", "csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_dense_and_sparse_matrices_give_the_same_fit(cells: ad.AnnData, fitted, kind: dict, form: str) -> None:
    other = cells.copy()
    other.X = cells.X.toarray() if form == "dense" else getattr(sp, form)(cells.X)
    assert_same_fit(fitted, fit(other, **kind), atol=1e-6)


def test_shuffled_cells_and_genes_give_the_same_fit(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)].copy()
    # Sums over cells in another order differ in the last digit of float64; 100 float32 steps carry it on.
    assert_same_fit(fitted, fit(shuffled, **kind), atol=2e-5)


@pytest.mark.parametrize("n_genes", [300, 600])
def test_the_order_of_the_cells_does_not_matter_where_means_and_variances_tie(n_genes: int) -> None:
    rng = np.random.default_rng(0)
    program = np.where(np.arange(n_genes) // 20 == np.arange(3)[:, None], 0.3, 0.0)
    x = np.log1p(rng.poisson(0.3 + rng.gamma(1, 1, size=(300, 3)) @ program))  # few values, many equal means
    cells = ad.AnnData(x, var=pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]))
    sets = {f"P{j}": cells.var_names[20 * j : 20 * j + 20].tolist() for j in range(3)}
    assert_same_fit(fit(cells, sets), fit(cells[rng.permutation(300)].copy(), sets), atol=1e-6)


def test_the_same_seed_gives_the_same_fit_to_the_bit(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    again = fit(cells, **kind)
    np.testing.assert_array_equal(again.obsm["X_pae"], fitted.obsm["X_pae"])
    np.testing.assert_array_equal(again.varm["pae_loadings"], fitted.varm["pae_loadings"])


@pytest.mark.parametrize("form", ["dict", "collection", "frame", "gmt", "varm_array", "varm_sparse"])
def test_every_form_of_pathways_gives_the_same_fit(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict, form: str, tmp_path
) -> None:
    sets, adata = as_dict(cells), cells.copy()
    collection = pae.gs.GeneSetCollection(sets)
    if form == "dict":
        pathways = sets
    elif form == "collection":
        pathways = collection
    elif form == "frame":
        pathways = pd.DataFrame([(name, gene) for name, genes in sets.items() for gene in genes])
        pathways.columns = ["source", "target"]
    elif form == "gmt":
        pathways = tmp_path / "sets.gmt"
        pae.gs.as_collection(collection).to_gmt(pathways)
    else:
        values = cells.varm["pathways"].to_numpy()
        adata.varm["member"] = values if form == "varm_array" else sp.csr_matrix(values)
        pathways = "member"
    other = fit(adata, pathways, **kind)
    np.testing.assert_array_equal(other.varm["pae_loadings"], fitted.varm["pae_loadings"])


def test_the_membership_of_a_fit_can_be_fitted_again(fitted: ad.AnnData, kind: dict) -> None:
    again = fit(fitted, "pae_membership", **kind)
    np.testing.assert_array_equal(again.varm["pae_loadings"], fitted.varm["pae_loadings"])
    assert list(again.uns["pae"]["component_names"]) == list(fitted.uns["pae"]["component_names"])


def test_a_layer_a_mask_and_symbols_are_used(cells: ad.AnnData, kind: dict) -> None:
    other = cells.copy()
    other.layers["lognorm"] = other.X.copy()
    other.X = sp.csr_matrix(other.shape, dtype=np.float32)
    other.var["symbol"] = other.var_names.to_numpy()
    other.var_names = [f"ENSG{i:011d}" for i in range(other.n_vars)]
    other.var["use"] = np.arange(other.n_vars) < 250
    result = fit(other, as_dict(cells), layer="lognorm", mask_var="use", gene_symbols="symbol", **kind)
    expected = fit(cells[:, :250].copy(), **kind)
    np.testing.assert_array_equal(result.varm["pae_loadings"][:250], expected.varm["pae_loadings"])
    np.testing.assert_array_equal(encoder_of(result)[:250], encoder_of(expected))
    assert (result.varm["pae_loadings"][250:] == 0).all()
    assert (encoder_of(result)[250:] == 0).all()
    assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == list(range(250, 300))


def test_key_added_renames_all_slots(cells: ad.AnnData) -> None:
    result = fit(cells, key_added="mine")
    assert set(result.obsm) - set(cells.obsm) == {"X_mine"}
    assert set(result.varm) - set(cells.varm) == {"mine_loadings", "mine_encoder", "mine_membership"}
    assert set(result.var) - set(cells.var) == {"mine_mean", "mine_scale"}
    assert set(result.uns) - set(cells.uns) == {"mine"}


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": "unit"},
        {"scale": None},
        {"n_extra": 0},
        {"balance": False},
        {"scores": "projection"},
        {"scores": "projection", "dropout": 0.5, "epsilon": 0.2},
        {"scores": "projection", "balance": False, "init": "membership"},
        {"scores": "least_squares"},
        SQUARES,
        *(
            CLASSIC | more
            for more in (
                {"zero_norm": "feature"},
                {"scale": "unit"},
                {"scale": None},
                {"center": False},
                {"n_extra": 0},
                {"epsilon": 0.2},
            )
        ),
    ],
    ids=str,
)
def test_every_option_recovers_most_members(cells: ad.AnnData, options: dict) -> None:
    result = fit(cells, **options)
    assert np.isfinite(result.obsm["X_pae"]).all()
    true = cells.varm["true_loadings"].to_numpy() > 0
    found = [average_precision_score(true[:, j], result.varm["pae_loadings"][:, j]) for j in range(6)]
    given = [average_precision_score(true[:, j], cells.varm["pathways"].to_numpy()[:, j]) for j in range(6)]
    assert np.mean(found) > np.mean(given)


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")  # a gene that is never seen
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", [{}, CLASSIC], ids=["members", "projection"])
def test_defaults_recover_the_planted_programs(options: dict, seed: int) -> None:
    adata = pae.datasets.simulate(random_state=seed)
    flat.fit(adata, "pathways", progress=False, **options)
    true = adata.varm["true_loadings"].to_numpy() > 0
    found = [average_precision_score(true[:, j], adata.varm["pae_loadings"][:, j]) for j in range(20)]
    assert np.mean(found) >= 0.97


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_a_fit_survives_a_file(fitted: ad.AnnData, form: str, tmp_path) -> None:
    path = tmp_path / f"cells.{form}"
    getattr(fitted, f"write_{form}")(path)
    back = ad.read_h5ad(path) if form == "h5ad" else ad.read_zarr(path)
    assert_same_fit(fitted, back, atol=0)
    pd.testing.assert_frame_equal(pae.get.scores(fitted), pae.get.scores(back))
    pd.testing.assert_frame_equal(pae.get.top_genes(fitted), pae.get.top_genes(back))
    again = pae.tl.transform(fitted, back, copy=True)
    np.testing.assert_allclose(again.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-6)


def test_a_fit_survives_subsetting_and_concatenation(fitted: ad.AnnData, tmp_path) -> None:
    part = fitted[:100, :50].copy()
    assert pae.get.scores(part).shape == (100, 9)
    assert pae.get.loadings(part).shape == (50, 9)
    np.testing.assert_array_equal(part.obsm["X_pae"], fitted.obsm["X_pae"][:100])
    part.write_h5ad(tmp_path / "part.h5ad")
    both = ad.concat([fitted[:100], fitted[100:]], merge="same", uns_merge="same")
    np.testing.assert_array_equal(both.obsm["X_pae"], fitted.obsm["X_pae"])
    np.testing.assert_array_equal(both.varm["pae_loadings"], fitted.varm["pae_loadings"])


def test_scanpy_finds_neighbours_on_the_scores(fitted: ad.AnnData) -> None:
    sc.pp.neighbors(fitted, use_rep="X_pae")
    assert fitted.obsp["connectivities"].shape == (400, 400)


def test_names_with_slashes_survive_a_file(cells: ad.AnnData, tmp_path) -> None:
    sets = {f"IL6/JAK {name}": genes for name, genes in as_dict(cells).items()}
    result = fit(cells, sets)
    result.write_h5ad(tmp_path / "a.h5ad")
    assert next(iter(pae.get.scores(ad.read_h5ad(tmp_path / "a.h5ad")))) == "IL6/JAK program_1"


# Bad input: a clear error or a named warning, nothing half-written.


def assert_refused(adata: ad.AnnData, error: type[Exception], match: str, pathways="pathways", **kwargs) -> None:
    slots = (set(adata.obsm), set(adata.varm), set(adata.var), set(adata.uns))
    with pytest.raises(error, match=match):
        flat.fit(adata, pathways, progress=False, **kwargs)
    assert slots == (set(adata.obsm), set(adata.varm), set(adata.var), set(adata.uns))


def test_ensembl_names_are_recognised_and_gene_symbols_named(cells: ad.AnnData) -> None:
    other = cells.copy()
    other.var_names = [f"ENSG{i:011d}" for i in range(other.n_vars)]
    assert_refused(other, ValueError, "(?s)Ensembl.*gene_symbols", {"A": ["CD3E", "CD3D", "CD4", "IL7R", "LCK"]})


def test_mouse_sets_on_human_cells_are_recognised(cells: ad.AnnData) -> None:
    other = cells.copy()
    other.var_names = [f"GENE{i}" for i in range(other.n_vars)]
    assert_refused(other, ValueError, "mouse", {"A": ["Cd3e", "Cd3d", "Cd4", "Il7r", "Lck"]})


def test_mouse_sets_that_match_a_gene_by_chance_are_recognised(cells: ad.AnnData) -> None:
    other = cells.copy()
    other.var_names = ["Cd3e", *[f"GENE{i}" for i in range(1, other.n_vars)]]
    sets = {"A": ["Cd3e", "Cd3d", "Cd4", "Il7r", "Lck"]}
    assert_refused(other, ValueError, "(?s)No pathway has 5 genes.*mouse symbols", sets)


def test_raw_counts_are_warned_of(cells: ad.AnnData) -> None:
    with pytest.warns(pae.DataWarning, match="raw counts"):
        fit(cells, layer="counts")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("sparse", [True, False])
def test_values_that_are_not_finite_are_refused(cells: ad.AnnData, value: float, sparse: bool) -> None:
    other = cells.copy()
    dense = other.X.toarray()
    dense[7, 11] = value
    other.X = sp.csr_matrix(dense) if sparse else dense
    assert_refused(other, ValueError, "1 NaN or infinite values, the first in column 11")


def test_duplicate_gene_names_are_refused_wherever_they_stand(cells: ad.AnnData) -> None:
    other = cells.copy()
    other.var_names = ["A", "B", "A", *other.var_names[3:]]
    assert_refused(other, ValueError, "more than once, for instance 'A'", as_dict(cells))


@pytest.mark.filterwarnings(OUTSIDE)
def test_constant_genes_are_left_out_and_named(cells: ad.AnnData, kind: dict) -> None:
    other = cells.copy()
    dense = other.X.toarray()
    dense[:, 5] = 0
    dense[:, 9] = 3.3
    other.X = dense
    with pytest.warns(pae.DataWarning, match="2 of 300 genes have the same value"):
        result = fit(other, **kind)
    assert (result.varm["pae_loadings"][[5, 9]] == 0).all()
    assert (encoder_of(result)[[5, 9]] == 0).all()
    assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == [5, 9]


def test_fewer_cells_than_components_are_refused(cells: ad.AnnData) -> None:
    assert_refused(cells[:8].copy(), ValueError, "6 pathways and 20 free components are more than the 8 cells")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (CLASSIC | {"theta": 1.5}, ValueError, "theta=1.5 is out of range"),
        (CLASSIC | {"theta": "strong"}, TypeError, "theta='strong' must be a number"),
        (CLASSIC | {"epsilon": -0.1}, ValueError, "epsilon=-0.1 is out of range"),
        (CLASSIC | {"zero_norm": "both"}, ValueError, "zero_norm='both' is not known"),
        (SQUARES | {"l1_ratio": 2}, ValueError, "l1_ratio=2 is out of range"),
        (CLASSIC | {"learning_rate": 0}, ValueError, "learning_rate=0 is out of range"),
        (CLASSIC | {"max_iter": 0}, ValueError, "max_iter=0 is out of range"),
        (CLASSIC | {"max_iter": 1.5}, TypeError, "max_iter=1.5 must be an integer"),
        ({"theta": 1.5}, ValueError, "theta=1.5"),
        ({"min_genes": 0}, ValueError, "min_genes"),
        ({"min_genes": 10, "max_genes": 5}, ValueError, "max_genes=5"),
        ({"min_genes": 200}, ValueError, "No pathway has 200 genes"),
        ({"n_extra": -1}, ValueError, "n_extra"),
        ({"n_extra": 1.5}, TypeError, "n_extra=1.5 must be an integer"),
        ({"scale": "quantile"}, ValueError, "choose one of 'unit', 'pareto', None"),
        ({"scores": "mean"}, ValueError, "scores='mean' is not known; choose one of 'members', 'projection'"),
        ({"zero_norm": "both"}, ValueError, "zero_norm"),
        ({"balance": "yes"}, ValueError, "balance='yes'"),
        ({"init": "random"}, ValueError, "init='random'"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"device": "tpu9"}, ValueError, "device='tpu9'"),
        ({"layer": "missing"}, KeyError, "layer='missing' is not in adata.layers"),
        ({"mask_var": "missing"}, KeyError, "mask_var='missing'"),
        ({"mask_var": np.zeros(300, dtype=bool)}, ValueError, "selects no gene"),
        ({"mask_var": np.ones(3, dtype=bool)}, ValueError, "one value per gene"),
        ({"gene_symbols": "missing"}, KeyError, "gene_symbols='missing'"),
        ({"pathways": "nowhere.gmt"}, FileNotFoundError, "neither a key of adata.varm"),
        ({"pathways": 5}, TypeError, "int"),
        ({"pathways": {}}, ValueError, "pathways: the collection has no sets. Read it again, or filter it less"),
        ({"pathways": pae.gs.GeneSetCollection({"A": ["G"]}).filter(min_genes=500)}, ValueError, "has no sets"),
        ({"pathways": {"A": [], "B": []}}, ValueError, "none of its 2 sets has a gene"),
    ],
)
def test_bad_arguments_are_refused(cells: ad.AnnData, options: dict, error: type[Exception], match: str) -> None:
    assert_refused(cells.copy(), error, match, **options)


@pytest.mark.filterwarnings("ignore:.* of view, initializing view as actual")
@pytest.mark.parametrize("form", ["backed", "dask", "view"])
def test_cells_that_are_not_in_memory_get_the_same_fit(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict, form: str, tmp_path
) -> None:
    if form == "backed":
        cells.write_h5ad(tmp_path / "a.h5ad")
        other = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    elif form == "dask":
        other = cells.copy()
        other.X = pytest.importorskip("dask.array").from_array(cells.X.toarray(), chunks=(150, 300))
    else:
        other = ad.concat([cells, cells], index_unique="-", merge="same")[:400]
    flat.fit(other, as_dict(cells), n_extra=3, progress=False, **kind)
    np.testing.assert_allclose(other.varm["pae_loadings"], fitted.varm["pae_loadings"], atol=1e-5)
    np.testing.assert_allclose(other.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-3)
    pae.tl.transform(other, fitted, key_added="again")
    np.testing.assert_allclose(other.obsm["X_again"], fitted.obsm["X_pae"], atol=1e-5)


def test_moments_give_the_fit_of_the_cells_without_reading_them(cells: ad.AnnData, fitted, kind: dict) -> None:
    moments = pae.pp.moments(cells[:, ::-1], progress=False, n_folds=3)
    result = fit(cells, moments=moments, **kind)
    assert_same_fit(fitted, result, atol=1e-5)
    bare = ad.AnnData(obs=cells.obs, var=cells.var)
    flat.fit(bare, as_dict(cells), moments=moments, n_extra=3, progress=False, **kind)
    assert "X_pae" not in bare.obsm
    np.testing.assert_array_equal(bare.varm["pae_loadings"], result.varm["pae_loadings"])
    pae.tl.transform(cells_again := cells.copy(), bare)
    np.testing.assert_allclose(cells_again.obsm["X_pae"], result.obsm["X_pae"], atol=1e-6)


@pytest.mark.parametrize("copy", [False, True])
def test_a_fit_replaces_an_earlier_one_and_leaves_no_scores_of_it(cells: ad.AnnData, copy: bool) -> None:
    adata = cells.copy()
    adata.obsm["X_other"] = np.ones((400, 2))
    sets = as_dict(cells)
    pae.tl.fit(adata, sets, n_extra=3, progress=False)
    pae.tl.enrich(adata, sets, method="ora")
    moments = pae.pp.moments(cells, progress=False)
    bare = ad.AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm), varm=dict(adata.varm), uns=adata.uns)
    fewer = {name: genes for name, genes in sets.items() if name != "program_2"}
    result = pae.tl.fit(bare, fewer, moments=moments, n_extra=1, progress=False, copy=copy)
    assert (result is None) != copy
    result = bare if result is None else result
    assert "X_pae" not in result.obsm
    np.testing.assert_array_equal(result.obsm["X_other"], adata.obsm["X_other"])
    assert result.varm["pae_loadings"].shape == (300, 6)
    assert result.varm["pae_membership"].shape == (300, 5)
    fresh = ad.AnnData(obs=cells.obs, var=cells.var)
    pae.tl.fit(fresh, fewer, moments=moments, n_extra=1, progress=False)
    assert set(result.uns["pae"]) == set(fresh.uns["pae"])
    assert "enrichment" not in result.uns["pae"]
    if copy:
        assert bare.obsm["X_pae"].shape == (400, 9)
        assert "enrichment" in bare.uns["pae"]


def test_moments_of_some_genes_give_the_model_of_those_genes(cells: ad.AnnData, kind: dict) -> None:
    moments = pae.pp.moments(cells, genes=list(cells.var_names[:250]), progress=False)
    result, expected = fit(cells, moments=moments, **kind), fit(cells[:, :250].copy(), **kind)
    np.testing.assert_array_equal(result.varm["pae_loadings"][:250], expected.varm["pae_loadings"])
    assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == list(range(250, 300))


@pytest.mark.filterwarnings("ignore:.* pathways have")  # Poisson noise: a score may mean anything
def test_counts_are_normalised_as_the_moments_were(cells: ad.AnnData, kind: dict) -> None:
    counts = np.random.default_rng(0).poisson(0.4, size=(200, 300)).astype(np.float32)
    raw = ad.AnnData(sp.csr_matrix(counts), var=cells.var[[]])
    log = raw.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    result = fit(raw, as_dict(cells), moments=pae.pp.moments(raw, normalize="log1p", progress=False), **kind)
    expected = fit(log, as_dict(cells), **kind)
    np.testing.assert_allclose(result.obsm["X_pae"], expected.obsm["X_pae"], atol=1e-2)
    again = pae.tl.transform(raw, result, copy=True)
    np.testing.assert_allclose(again.obsm["X_pae"], result.obsm["X_pae"], atol=1e-5)


def test_moments_of_other_genes_are_refused(cells: ad.AnnData) -> None:
    other = cells.copy()
    other.var_names = [f"other_{name}" for name in cells.var_names]
    moments = pae.pp.moments(other, progress=False)
    with pytest.raises(ValueError, match="None of the 300 genes is in the moments"):
        fit(cells, moments=moments)


def test_pathways_that_are_too_small_are_reported(cells: ad.AnnData) -> None:
    sets = {**as_dict(cells), "tiny": list(cells.var_names[:3]), "absent": ["X1", "X2", "X3", "X4", "X5", "X6"]}
    dropped = fit(cells, sets).uns["pae"]["dropped"]
    assert dropped["pathway"].tolist() == ["tiny", "absent"]
    assert dropped["n_matched"].tolist() == [3, 0]
    assert dropped["reason"].tolist() == ["fewer than 5 genes"] * 2


@pytest.mark.gpu
def test_the_gpu_gives_the_fit_of_the_cpu(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    # float32 products in another order, carried through 100 steps
    assert_same_fit(fitted, fit(cells, device="cuda", **kind), atol=1e-3)
