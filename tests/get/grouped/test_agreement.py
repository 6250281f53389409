"""Two fits compared, against naive loops over names."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import pathwayae as pae


@pytest.fixture(scope="module")
def pair() -> tuple[ad.AnnData, ad.AnnData]:
    adata = pae.datasets.simulate(300, 200, 6, random_state=1)
    sets = {name: adata.var_names[adata.varm["pathways"][name]].tolist() for name in adata.varm["pathways"]}
    one = pae.tl.fit(adata[:, 20:].copy(), {n: sets[n] for n in list(sets)[:5]}, progress=False, copy=True)
    changed = {n: sets[n][3:] for n in list(sets)[1:]}
    two = pae.tl.fit(adata[150:, 199:0:-1].copy(), changed, progress=False, copy=True, key_added="b")
    return one, two


def test_every_number_by_name(pair) -> None:
    one, two = pair
    table = pae.get.compare(one, two, other_key="b").set_index("pathway")
    assert list(table.index) == [f"program_{i}" for i in (2, 3, 4, 5)]
    genes = [gene for gene in one.var_names if gene in set(two.var_names)]
    for name, row in table.iterrows():
        j, i = (pae.get.component_names(a, key=k).index(name) for a, k in ((one, "pae"), (two, "b")))
        mine = set(one.var_names[one.varm["pae_membership"].toarray()[:, j]])
        theirs = set(two.var_names[two.varm["b_membership"].toarray()[:, i]])
        assert (row["n_genes"], row["n_genes_other"], row["n_shared"]) == (len(mine), len(theirs), len(mine & theirs))
        assert row["membership"] == len(mine & theirs) / len(mine | theirs)
        for slot in ("loadings", "encoder"):
            a = np.array([one[:, gene].varm[f"pae_{slot}"][0, j] for gene in genes], dtype=float)
            b = np.array([two[:, gene].varm[f"b_{slot}"][0, i] for gene in genes], dtype=float)
            assert row[slot] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-9)
    assert table.attrs["pathways_missing"] == ["program_1"]
    assert table.attrs["pathways_added"] == ["program_6"]
    assert table.attrs["genes_missing"] == []
    assert set(table.attrs["genes_added"]) == set(two.var_names) - set(one.var_names)
    assert table.attrs["n_genes_shared"] == 180


def test_files_compare_as_what_they_hold(pair, tmp_path) -> None:
    one, two = pair
    pae.models.save(one, tmp_path / "one.npz")
    pae.models.save(two, tmp_path / "two.npz", key="b")
    found = pae.get.compare(tmp_path / "one.npz", pae.models.load(tmp_path / "two.npz"), other_key="b")
    expected = pae.get.compare(one, two, other_key="b")
    assert found.equals(expected)
    assert found.attrs["genes_added"] == expected.attrs["genes_added"]
    own = pae.get.compare(one, one)
    np.testing.assert_allclose(own[["membership", "loadings", "encoder"]], 1.0, atol=1e-12)


def test_nothing_shared_is_an_error(pair) -> None:
    one, _ = pair
    other = one.copy()
    other.var_names = [f"{name}_of_mice" for name in other.var_names]
    with pytest.raises(ValueError, match="share no gene"):
        pae.get.compare(one, other)
    other = one.copy()
    names = other.uns["pae"]["component_names"]
    other.uns["pae"]["component_names"] = np.array([f"other {name}" for name in names], dtype=object)
    with pytest.raises(ValueError, match="share no pathway"):
        pae.get.compare(one, other)
    with pytest.raises(KeyError, match="keys found: 'pae'"):
        pae.get.compare(one, one, other_key="c")
