"""Tables and gene sets of a refinement, from slots made by hand."""

import numpy as np
import pandas as pd
import pytest
from fitted import PATHWAYS, fitted_adata
from refined_slots import refined_adata
from scipy.special import expit

import pathwayae as pae
from pathwayae import get
from pathwayae.core.evidence.calls import CALLS


@pytest.fixture(scope="module")
def adata():
    return refined_adata()


def test_every_gene_of_the_model_is_there_once_per_pathway(adata):
    table = get.refinement(adata, everything=True)
    weighed = ["prior", "evidence", "posterior", "local_fdr"]
    assert table.columns.tolist() == ["pathway", "gene", *weighed, "call", "annotated"]
    assert len(table) == 140 * len(PATHWAYS)
    assert list(dict.fromkeys(table["pathway"])) == PATHWAYS
    member = adata.varm["pae_membership"].toarray()
    for row in table.iloc[::97].itertuples():
        i, j = adata.var_names.get_loc(row.gene), PATHWAYS.index(row.pathway)
        assert row.prior == pytest.approx(adata.varm["pae_prior"][i, j])
        assert row.evidence == pytest.approx(adata.varm["pae_evidence"][i, j])
        assert row.posterior == pytest.approx(1 / (1 + np.exp(-row.prior - row.evidence)))
        wrong = row.posterior if row.annotated and row.posterior < 0.5 else 1 - row.posterior
        assert row.local_fdr == pytest.approx(wrong, rel=1e-6, abs=1e-12)
        assert row.call == CALLS[adata.varm["pae_call"][i, j]]
        assert row.annotated == member[i, j]


def test_by_default_rows_are_annotated_decided_or_likely(adata):
    table, everything = get.refinement(adata), get.refinement(adata, everything=True)
    wanted = everything["annotated"] | (everything["posterior"] >= 0.5) | (everything["call"] != "undecided")
    pd.testing.assert_frame_equal(table, everything[wanted].reset_index(drop=True))
    assert 0 < len(table) < len(everything)


def test_the_surest_come_first_and_small_error_rates_keep_their_digits(adata):
    table = get.refinement(adata, PATHWAYS[3])
    assert set(table["pathway"]) == {PATHWAYS[3]}
    assert (np.diff(table["prior"] + table["evidence"]) <= 0).all()
    sure = refined_adata()
    sure.varm["pae_evidence"][0, 0], sure.varm["pae_prior"][0, 0] = 60.0, 1.0
    assert get.refinement(sure, PATHWAYS[0], everything=True)["local_fdr"][0] == pytest.approx(np.exp(-61), rel=1e-6)


def test_calls_asked_for(adata):
    for calls in ["added", ["dropped", "confirmed"], "undecided"]:
        table, whole = get.refinement(adata, calls=calls), get.refinement(adata)
        pd.testing.assert_frame_equal(
            table, whole[whole["call"].isin([calls] if isinstance(calls, str) else calls)].reset_index(drop=True)
        )


def test_sets_follow_the_calls(adata):
    member, call = adata.varm["pae_membership"].toarray(), adata.varm["pae_call"]
    sets = get.refined(adata)
    strict = get.refined(adata, undecided=False)
    assert isinstance(sets, pae.gs.GeneSetCollection)
    assert list(sets) == PATHWAYS
    for j, name in enumerate(PATHWAYS):
        kept = (member[:, j] & (call[:, j] != CALLS.index("dropped"))) | (call[:, j] == CALLS.index("added"))
        assert set(sets[name]) == set(adata.var_names[kept])
        assert set(strict[name]) == set(adata.var_names[np.isin(call[:, j], [1, 2])])
    row = get.refinement(adata, of="pathways").iloc[2]
    told = f"{row.n_confirmed} confirmed, {row.n_added} added, {row.n_dropped} dropped, {row.n_undecided} undecided"
    assert sets.descriptions[PATHWAYS[2]] == told


def test_sets_by_a_threshold_on_the_posterior(adata):
    odds = adata.varm["pae_prior"].astype(float) + adata.varm["pae_evidence"]
    odds[-10:] = -np.inf  # outside the model
    for threshold in (0.2, 0.9):
        sets = get.refined(adata, threshold=threshold)
        for j, name in enumerate(PATHWAYS):
            assert set(sets.get(name, ())) == set(adata.var_names[expit(odds[:, j]) >= threshold])


def test_only_carried_pathways(adata):
    table = get.refinement(adata, of="pathways")
    sets = get.refined(adata, carried_only=True)
    assert list(sets) == table.loc[table["verdict"] == "carried", "pathway"].tolist()
    assert 0 < len(sets) < len(PATHWAYS)


def test_what_was_not_weighed_stays_as_it_was():
    adata = refined_adata()
    for slot in ("prior", "evidence", "posterior"):
        adata.varm[f"pae_{slot}"][:, 1] = np.nan
    adata.varm["pae_call"][:, 1] = 0
    adata.uns["pae"]["refinement"].loc[1, "verdict"] = "not weighed"
    member = adata.varm["pae_membership"].toarray()[:, 1]
    assert set(get.refined(adata)[PATHWAYS[1]]) == set(adata.var_names[member])
    assert PATHWAYS[1] not in set(get.refinement(adata, everything=True)["pathway"])


def test_symbols_are_those_of_the_fit(tmp_path):
    plain, named = refined_adata(), refined_adata(symbols=True)
    pd.testing.assert_frame_equal(get.refinement(named), get.refinement(plain))
    get.refined(named).to_gmt(tmp_path / "refined.gmt")
    assert pae.gs.read_gmt(tmp_path / "refined.gmt") == get.refined(plain)


def test_summary_of_some_pathways_in_the_order_asked_for(adata):
    chosen = [PATHWAYS[4], PATHWAYS[1]]
    table = get.refinement(adata, chosen, of="pathways")
    assert table["pathway"].tolist() == chosen
    whole = get.refinement(adata, of="pathways").set_index("pathway")
    pd.testing.assert_frame_equal(table.set_index("pathway"), whole.loc[chosen])


def test_without_a_refinement_it_is_said_what_to_do():
    for read in [get.refinement, get.refined]:
        with pytest.raises(KeyError, match=r"run pae\.tl\.refine\(adata, key='pae'\)"):
            read(fitted_adata())
        with pytest.raises(KeyError, match="No fit under key 'other'"):
            read(fitted_adata(), key="other")


def test_bad_input_is_named(adata):
    with pytest.raises(ValueError, match="calls='maybe'"):
        get.refinement(adata, calls="maybe")
    with pytest.raises(KeyError, match="'free_1' is a free component"):
        get.refinement(adata, "free_1")
    with pytest.raises(KeyError, match="No component is called"):
        get.refinement(adata, "nothing", of="pathways")
    with pytest.raises(ValueError, match="threshold=2"):
        get.refined(adata, threshold=2)
