"""A fit in the hands of scanpy and decoupler."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from fitted import NAMES, PATHWAYS, fitted_adata, member_sets

import pathwayae as pae
from pathwayae import get

pytestmark = pytest.mark.filterwarnings(
    "ignore::PendingDeprecationWarning",
    "ignore:Writing zarr v2:UserWarning",
    "ignore:invalid value encountered in log2",
)


@pytest.fixture
def adata():
    return fitted_adata()


def test_scores_as_columns_of_obs(adata):
    expected = get.scores(adata)
    names = get.to_obs(adata, ["b cells", "Interferon / antiviral response", "free_2"])
    assert names == ["B cells", "Interferon - antiviral response", "free_2"]
    meant = ["B cells", "Interferon / antiviral response", "free_2"]
    for name, own in zip(names, meant, strict=True):
        np.testing.assert_array_equal(adata.obs[name], expected[own])
    assert list(adata.obs) == ["cell_type", *names]
    assert get.to_obs(adata, "TNFA", standardize=True) == ["HALLMARK_TNFA_SIGNALING_VIA_NFKB"]
    column = adata.obs["HALLMARK_TNFA_SIGNALING_VIA_NFKB"]
    assert [round(column.mean(), 6), round(column.std(ddof=0), 6)] == [0, 1]
    assert adata.uns["pae"]["obs_columns"].tolist() == [*names, "HALLMARK_TNFA_SIGNALING_VIA_NFKB"]
    pd.testing.assert_frame_equal(get.scores(adata), expected)


def test_columns_are_ours_to_write_again_and_no_others(adata):
    adata.obs["B cells"] = "annotated by hand"
    with pytest.raises(
        ValueError, match=r"adata.obs\['B cells'\] is there already and is not of this fit; pass prefix="
    ):
        get.to_obs(adata, ["free_1", "B cells"])
    assert list(adata.obs) == ["cell_type", "B cells"]
    assert (adata.obs["B cells"] == "annotated by hand").all()
    assert get.to_obs(adata, ["free_1", "B cells"], prefix="pae: ") == ["pae: free_1", "pae: B cells"]
    adata.obsm["X_pae"] = adata.obsm["X_pae"] + 1
    get.to_obs(adata, "free_1", prefix="pae: ")
    np.testing.assert_array_equal(adata.obs["pae: free_1"], get.scores(adata)["free_1"])
    assert list(adata.obs) == ["cell_type", "B cells", "pae: B cells", "pae: free_1"]


def test_a_gene_of_the_same_name_is_not_hidden(adata):
    adata.var_names = ["B cells", *adata.var_names[1:]]
    with pytest.raises(ValueError, match="'B cells' is the name of a gene too"):
        get.to_obs(adata, "B cells")
    adata.raw = adata
    adata.var_names = ["another", *adata.var_names[1:]]
    with pytest.raises(ValueError, match="the name of a gene too"):
        get.to_obs(adata, "B cells")
    assert get.to_obs(adata, "B cells", prefix="score: ") == ["score: B cells"]
    assert sc.get.obs_df(adata, ["score: B cells"]).shape == (240, 1)


def test_names_that_a_slash_tells_apart(adata):
    adata.uns["pae"]["component_names"] = np.array(["a/b", "a-b", *NAMES[2:]])
    with pytest.raises(ValueError, match="would be one column"):
        get.to_obs(adata, ["a/b", "a-b"])
    assert list(adata.obs) == ["cell_type"]


def test_many_columns_at_once():
    """Over 100 columns one by one would be a warning of pandas."""
    adata = fitted_adata()
    names = [f"set {j}" for j in range(300)]
    adata.uns["pae"]["component_names"] = np.array(names)
    adata.obsm["X_pae"] = np.random.default_rng(0).normal(size=(adata.n_obs, 300)).astype(np.float32)
    assert get.to_obs(adata, names) == names
    assert adata.obs.shape == (240, 301)


def test_the_next_fit_takes_its_columns_away():
    adata = pae.datasets.simulate(200, 120, 4)
    pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    adata.obs["mine"] = 1.0
    get.to_obs(adata, ["program_1", "free_1"])
    pae.tl.enrich(adata, {"few": adata.var_names[:30]}, method="ora", progress=False)
    assert {"program_1", "free_1"} <= set(adata.obs)
    pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    assert not {"program_1", "free_1"} & set(adata.obs)
    assert "mine" in adata.obs
    assert get.to_obs(adata, "program_1") == ["program_1"]


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_columns_survive_files_subsets_and_concat(adata, form, tmp_path):
    names = get.to_obs(adata, PATHWAYS)
    getattr(adata, f"write_{form}")(tmp_path / f"a.{form}")
    back = getattr(ad, f"read_{form}")(tmp_path / f"a.{form}")
    np.testing.assert_array_equal(back.obs[names], get.scores(adata, PATHWAYS))
    assert get.to_obs(back, PATHWAYS) == names  # still ours
    part = back[50:90].copy()
    assert get.to_obs(part, "free_1") == ["free_1"]
    joined = ad.concat([back[:50], part, back[90:]], merge="same", uns_merge="same")
    np.testing.assert_array_equal(joined.obs[names], get.scores(adata, PATHWAYS))
    assert get.to_obs(joined, PATHWAYS) == names


def test_scanpy_draws_the_columns(adata):
    names = get.to_obs(adata, ["b cells", "Interferon", "free_1"])
    panels = sc.pl.umap(adata, color=[*names, "cell_type"], show=False)
    assert [ax.get_title() for ax in panels] == [*names, "cell_type"]
    sc.pl.violin(adata, names, groupby="cell_type", show=False)
    sc.pl.matrixplot(adata, names, groupby="cell_type", show=False)
    shown = sc.pl.dotplot(
        adata, {"immune": names[:2], "free": names[2:]}, groupby="cell_type", show=False, return_fig=True
    )
    means = get.scores(adata, ["B cells"]).groupby(adata.obs["cell_type"], observed=True).mean()
    np.testing.assert_allclose(shown.dot_color_df["B cells"], means["B cells"], rtol=1e-5)
    sc.pl.dotplot(adata, [*names, "GENE1"], groupby="cell_type", show=False)  # genes and pathways together
    plt.close("all")


def test_codes_and_weights_become_columns_too():
    adata = pae.datasets.simulate(150, 120, 3)
    pae.tl.sparse_ae(adata, n_latents=6, k=2, n_epochs=2, progress=False)
    assert get.to_obs(adata, ["latent 3"], key="sparse_ae") == ["latent_3"]
    np.testing.assert_array_equal(adata.obs["latent_3"], adata.obsm["X_sparse_ae"].toarray()[:, 3])
    net = get.to_net(adata, "latent_3", key="sparse_ae")
    assert len(net) == np.count_nonzero(adata.varm["sparse_ae_features"][:, 3])


def test_loadings_as_a_net(adata):
    wide = get.loadings(adata)
    net = get.to_net(adata)
    assert list(net) == ["source", "target", "weight"]
    assert not net.duplicated(["source", "target"]).any()
    again = net.pivot_table("weight", "target", "source").reindex(wide.index).fillna(0)[NAMES]
    np.testing.assert_allclose(again, wide, rtol=1e-6)
    assert net["source"].drop_duplicates().tolist() == NAMES
    few = get.to_net(adata, ["free_1", "b cells"], n_genes=7)
    assert few["source"].tolist() == ["free_1"] * 7 + ["B cells"] * 7
    largest = wide["free_1"].abs().nlargest(7)
    np.testing.assert_allclose(few["weight"][:7].abs(), largest, rtol=1e-6)
    assert few["target"][:7].tolist() == largest.index.tolist()
    assert few["target"][7:].tolist() == get.top_genes(adata, "B cells", n_genes=7)["gene"].tolist()
    shuffled = adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    pd.testing.assert_frame_equal(get.to_net(shuffled), net)


def test_targets_are_the_symbols_of_the_fit():
    net = get.to_net(fitted_adata(symbols=True), n_genes=5)
    pd.testing.assert_frame_equal(net, get.to_net(fitted_adata(), n_genes=5))


def test_members_as_a_net_and_as_gmt(adata, tmp_path):
    net = get.to_net(adata, of="membership")
    assert set(net["weight"]) == {1.0}
    sets = pae.gs.as_collection(net)
    expected = {name: sorted(genes) for name, genes in member_sets(adata).items()}
    assert {name: sorted(genes) for name, genes in sets.items()} == expected
    assert list(sets) == PATHWAYS
    sets.to_gmt(tmp_path / "sets.gmt")
    assert pae.gs.read_gmt(tmp_path / "sets.gmt") == sets
    assert get.to_net(adata, "tnfa", of="membership")["source"].unique().tolist() == [PATHWAYS[4]]
    with pytest.raises(KeyError, match="'free_1' is a free component, which names no genes"):
        get.to_net(adata, "free_1", of="membership")
    for options, told in (({"of": "genes"}, "of='genes' is not known"), ({"n_genes": 0}, "n_genes must be at least 1")):
        with pytest.raises(ValueError, match=told):
            get.to_net(adata, **options)
    with pytest.raises(KeyError, match=r"run pae\.tl\.refine"):
        get.to_net(adata, of="refined")


def test_refined_sets_as_a_net():
    adata = pae.datasets.simulate(400, 200, 4)
    pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    pae.tl.refine(adata, progress=False)
    net = get.to_net(adata, of="refined")
    sets = get.refined(adata)
    assert {name: set(part["target"]) for name, part in net.groupby("source")} == {k: set(v) for k, v in sets.items()}
    table = get.refinement(adata, everything=True).set_index(["pathway", "gene"])["posterior"]
    np.testing.assert_allclose(net["weight"], table.loc[list(zip(net["source"], net["target"], strict=True))])
    one = get.to_net(adata, "program 2", of="refined", n_genes=3)
    assert one["weight"].is_monotonic_decreasing
    assert one["target"].tolist() == net[net["source"] == "program_2"]["target"].tolist()[:3]


def test_scores_of_a_net_in_the_manner_of_decoupler_find_the_same_cells(adata):
    """A weighted mean over members (decoupler's ``waggr``) of planted expression goes with the column that has it."""
    cells = pae.datasets.simulate(300, 200, 4)
    pae.tl.fit(cells, "pathways", n_extra=0, progress=False)
    net = get.to_net(cells, n_genes=25)
    weights = net.pivot_table("weight", "target", "source").reindex(cells.var_names).fillna(0)
    values = cells.X.toarray() @ weights.to_numpy()
    scores = get.scores(cells)[weights.columns]
    for j, name in enumerate(weights.columns):
        assert np.corrcoef(values[:, j], scores[name])[0, 1] > 0.7


def test_an_anndata_of_scores_says_what_is_known_of_the_components(adata):
    get.to_obs(adata, ["B cells", "free_1"])
    adata.obs["mine"] = 1.0
    programs = get.to_anndata(adata)
    assert list(programs.obs) == ["cell_type", "mine"]  # or scanpy would find a name twice
    assert programs.var["verdict"].tolist() == get.trust(adata)["verdict"].tolist()
    assert programs.var.loc["B cells", "n_matched"] == 20
    sc.pl.dotplot(programs, ["B cells", "free_1"], groupby="cell_type", show=False)
    sc.pl.violin(programs, ["B cells"], groupby="cell_type", show=False)
    sc.tl.rank_genes_groups(programs, "cell_type", method="t-test")
    plt.close("all")
    assert sc.get.rank_genes_groups_df(programs, "NK")["names"].isin(NAMES).all()
    del adata.varm["pae_loadings"]  # as after a concat that keeps uns alone
    assert "verdict" not in get.to_anndata(adata).var
