"""Enrichment of gene sets against hypergeometric and Fisher tests, a running sum by hand, and planted sets."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from pathwayae.core.enrichment.ora import ora
from pathwayae.core.enrichment.prerank import prerank
from pathwayae.core.enrichment.tables import COLUMNS, by_majority
from pathwayae.core.enrichment.walks import walk

G = 300


@pytest.fixture
def problem():
    """Component "up" loads its first 30 genes; "signed" has both ends; names are awkward for gseapy on purpose."""
    rng = np.random.default_rng(0)
    genes = [f"gene{i}" for i in range(200)] + [str(1000 + i) for i in range(100)]  # lower case, and integers
    loadings = np.zeros((G, 2))
    loadings[:120, 0] = rng.gamma(0.3, 0.05, size=120)
    loadings[:30, 0] += rng.gamma(4.0, 0.2, size=30)
    loadings[:, 1] = rng.normal(size=G)
    loadings[60:80, 1] -= 3
    sets = {
        "up/30 genes": [*genes[:25], "not measured"],
        "down": genes[60:80],
        "nothing": genes[250:270],
        **{f"random {i}": [genes[j] for j in rng.choice(G, 15, replace=False)] for i in range(6)},
    }
    return loadings, genes, ["up", "signed"], sets


def test_ora_agrees_with_the_hypergeometric_and_fisher_tests(problem):
    loadings, genes, components, sets = problem
    table = ora(loadings, genes, components, sets, n_genes=40)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(sets) * 2
    for j, component in enumerate(components):
        top = sorted(range(G), key=lambda i: (-abs(loadings[i, j]), genes[i]))[:40]
        top = {genes[i] for i in top}
        for term, members in sets.items():
            row = table[(table["component"] == component) & (table["term"] == term)].iloc[0]
            known = set(members) & set(genes)
            a = len(known & top)
            cells = np.array([[a, len(known) - a], [40 - a, G - len(known) - 40 + a]])
            assert (row["n_overlap"], row["n_genes"]) == (a, len(known))
            assert row["pval"] == pytest.approx(stats.hypergeom.sf(a - 1, G, len(known), 40), abs=0, rel=1e-10)
            assert row["pval"] == pytest.approx(stats.fisher_exact(cells, "greater").pvalue, abs=0, rel=1e-10)
            odds = cells + 0.5
            assert row["score"] == pytest.approx(odds[0, 0] * odds[1, 1] / odds[0, 1] / odds[1, 0], rel=1e-10)
            assert set(row["genes"].split(";")) - {""} == known & top


@pytest.mark.parametrize("test", [ora, prerank])
def test_sparse_loadings_are_tested_as_dense_ones(problem, test):
    loadings, *others = problem
    loadings = np.where(np.abs(loadings) < np.quantile(np.abs(loadings), 0.8), 0.0, loadings)
    expected = test(loadings, *others)
    for change in (sparse.csr_matrix, sparse.csc_array):
        pd.testing.assert_frame_equal(test(change(loadings), *others), expected)
    turned = sparse.csc_matrix(loadings.astype(np.float32))
    ends = turned.indptr
    turn = np.concatenate([np.arange(ends[j], ends[j + 1])[::-1] for j in range(2)])
    turned = sparse.csc_matrix((turned.data[turn], turned.indices[turn], ends), turned.shape)
    before = turned.toarray()
    pd.testing.assert_frame_equal(test(turned, *others), test(before, *others))
    np.testing.assert_array_equal(turned.toarray(), before)
    wrong = sparse.csr_matrix(loadings)
    wrong.data[0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        test(wrong, *others)
    with pytest.raises(ValueError, match="All loadings are zero"):
        test(sparse.csr_matrix(loadings.shape), *others)


@pytest.mark.parametrize("test", [ora, prerank])
def test_padj_is_over_all_tests_of_the_call(problem, test):
    calls = []
    table = test(*problem, advance=lambda: calls.append(1))
    assert len(calls) == 2  # once per component
    m = len(table)
    p = table["pval"].to_numpy()
    order = np.argsort(p)
    by_hand = np.minimum.accumulate((p[order] * m / np.arange(1, m + 1))[::-1])[::-1]
    np.testing.assert_allclose(table["padj"].to_numpy()[order], by_hand, rtol=1e-12)
    assert table["component"].drop_duplicates().tolist() == ["up", "signed"]
    assert table.groupby("component", sort=False)["pval"].apply(lambda x: x.is_monotonic_increasing).all()


@pytest.mark.parametrize("test", [ora, prerank])
def test_order_of_genes_and_sets_does_not_matter(problem, test):
    loadings, genes, components, sets = problem
    loadings = np.round(loadings, 1)  # many ties
    order = np.random.default_rng(3).permutation(G)
    shuffled = {term: members[::-1] for term, members in reversed(sets.items())}
    pd.testing.assert_frame_equal(
        test(loadings, genes, components, sets), test(loadings[order], [genes[i] for i in order], components, shuffled)
    )


def test_ties_of_the_top_go_by_name(problem):
    _, genes, _, sets = problem
    table = ora(np.ones((G, 1)), genes, ["flat"], sets, n_genes=10).set_index("term")
    assert set(table.loc["random 0", "genes"].split(";")) - {""} <= set(sorted(genes)[:10])


def test_prerank_finds_both_ends(problem):
    table = prerank(*problem, n_permutations=400).set_index(["component", "term"])
    up, down = table.loc[("up", "up/30 genes")], table.loc[("signed", "down")]
    assert up["score"] > 0
    assert down["score"] < -1
    assert up["pval"] < 0.01
    assert 1e-10 <= down["pval"] < 1e-4  # far below what 400 random sets can say
    assert up["n_genes"] == 25
    assert up["n_overlap"] == len(up["genes"].split(";"))
    assert set(up["genes"].split(";")) <= set(problem[3]["up/30 genes"])
    values = pd.Series(problem[0][:, 1], index=problem[1])[down["genes"].split(";")]
    assert values.is_monotonic_increasing  # the most extreme first


def test_prerank_agrees_with_an_enrichment_score_by_hand(problem):
    """The null depends on the size of a set alone, so NES and enrichment score are proportional at one size."""
    loadings, genes, _, sets = problem
    values = np.sort(loadings[:, 1])[::-1]
    names = [genes[i] for i in np.argsort(-loadings[:, 1])]

    def score(members):
        hit = np.isin(names, members)
        walk = np.cumsum(np.where(hit, np.abs(values) / np.abs(values)[hit].sum(), -1 / (~hit).sum()))
        return walk[np.argmax(np.abs(walk))]

    table = prerank(loadings[:, [1]], genes, ["a"], sets, random_state=7).set_index("term")
    by_hand = pd.Series({f"random {i}": score(sets[f"random {i}"]) for i in range(6)})
    ratio = table.loc[by_hand.index, "score"] / by_hand
    for side in (ratio[by_hand > 0], ratio[by_hand < 0]):
        assert side.max() / side.min() < 1.2


def test_prerank_is_seeded_and_indifferent_to_threads(problem):
    first = prerank(*problem, random_state=1)
    pd.testing.assert_frame_equal(first, prerank(*problem, random_state=1, n_jobs=2))
    assert not first["score"].equals(prerank(*problem, random_state=2)["score"])


def test_terms_that_do_not_load_are_no_evidence(problem):
    table = prerank(*problem).set_index(["component", "term"])
    row = table.loc[("up", "nothing")]
    assert (row["score"], row["pval"], row["n_overlap"], row["genes"]) == (0.0, 1.0, 0, "")
    assert not table.isna().any().any()


def test_without_negative_loadings_only_the_upper_end_counts(problem):
    _, genes, _, _ = problem
    values = np.linspace(1, 0.01, G)[:, None]
    table = prerank(values, genes, ["a"], {"low": genes[-20:], "high": genes[:20]}).set_index("term")
    assert table.loc["low", "pval"] == 1
    assert table.loc["high", "pval"] < 0.01


@pytest.mark.parametrize("test", [ora, prerank])
def test_null_pvalues_are_not_too_small(test):
    rng = np.random.default_rng(5)
    genes = [f"G{i}" for i in range(G)]
    loadings = rng.gamma(0.5, 1.0, size=(G, 4)) * (rng.random((G, 4)) < 0.3)
    sets = {f"s{i}": [genes[j] for j in rng.choice(G, 15, replace=False)] for i in range(60)}
    p = test(loadings, genes, list("abcd"), sets)["pval"].to_numpy()
    assert (p <= 0.05).mean() < 0.1


@pytest.mark.parametrize("test", [ora, prerank])
def test_a_component_of_zeros_is_left_out(problem, test, caplog):
    loadings, genes, components, sets = problem
    loadings[:, 0] = 0
    with caplog.at_level(logging.WARNING, "pathwayae"):
        table = test(loadings, genes, components, sets)
    assert set(table["component"]) == {"signed"}
    assert "no loadings and are left out: 'up'" in caplog.text
    with pytest.raises(ValueError, match="All loadings are zero"):
        test(np.zeros_like(loadings), genes, components, sets)


@pytest.mark.parametrize("test", [ora, prerank])
def test_small_and_large_terms_are_left_out_and_logged(problem, test, caplog):
    loadings, genes, components, sets = problem
    sets = {**sets, "tiny": genes[:2], "huge": genes[:150], "all": genes, "twice": genes[:4] * 3}
    with caplog.at_level(logging.INFO, "pathwayae"):
        table = test(loadings, genes, components, sets, max_genes=100)
    assert not {"tiny", "huge", "all", "twice"} & set(table["term"])
    assert "9 of 13 terms tested; 2 have fewer than 5" in caplog.text


@pytest.mark.parametrize("test", [ora, prerank])
def test_identifiers_that_do_not_match(problem, test):
    loadings, genes, components, _ = problem
    with pytest.raises(ValueError, match=r"1 of the 21 genes in the gene sets.*ENSG0.*different identifiers"):
        test(loadings, genes, components, {"a": [f"ENSG{i}" for i in range(20)] + ["gene0"]})
    with pytest.raises(ValueError, match="is a string"):
        test(loadings, genes, components, {"a": "TP53"})


@pytest.mark.parametrize("test", [ora, prerank])
def test_inputs_are_checked(problem, test):
    loadings, genes, components, sets = problem
    with pytest.raises(ValueError, match="300 × 1, got shape"):
        test(loadings, genes, ["one"], sets)
    with pytest.raises(ValueError, match="genes must be unique; 1 occur"):
        test(loadings, [genes[1], *genes[1:]], components, sets)
    with pytest.raises(ValueError, match="components must be unique"):
        test(loadings, genes, ["a", "a"], sets)
    with pytest.raises(ValueError, match="min_genes"):
        test(loadings, genes, components, sets, min_genes=10, max_genes=5)
    loadings[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        test(loadings, genes, components, sets)


def test_numbers_are_checked(problem):
    with pytest.raises(ValueError, match="n_genes must be between 1 and 299"):
        ora(*problem, n_genes=300)
    with pytest.raises(ValueError, match="n_permutations"):
        prerank(*problem, n_permutations=0)


@pytest.mark.parametrize("test", [ora, prerank])
def test_quiet_and_without_files(problem, test, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loadings, genes, components, sets = problem
    test(np.round(loadings, 1), genes, components, sets)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")
    assert not list(tmp_path.iterdir())


def test_prerank_agrees_with_gseapy(problem):
    """Scores and edges to the digit, normalised ones and p-values as far as random sets allow."""
    import gseapy

    loadings, genes, _, sets = problem
    rng = np.random.default_rng(8)
    sets |= {f"more {i}": [genes[j] for j in rng.choice(G, 10 + i, replace=False)] for i in range(20)}
    ours = prerank(loadings[:, [1]], genes, ["a"], sets, n_permutations=4000).set_index("term")
    tokens = [f"G{i}" for i in range(G)]
    place = dict(zip(genes, tokens, strict=True))
    theirs = gseapy.prerank(
        pd.Series(loadings[:, 1], index=tokens).sort_values(ascending=False),
        {term: [place[gene] for gene in members if gene in place] for term, members in sets.items()},
        outdir=None,
        no_plot=True,
        min_size=1,
        permutation_num=4000,
    ).res2d.set_index("Term")
    p = theirs["NOM p-val"].astype(float)
    ours = ours.loc[p.index]
    np.testing.assert_allclose(ours["score"], theirs["NES"].astype(float), rtol=0.05)
    assert (ours["pval"] - p).abs().max() < 0.05
    named = dict(zip(tokens, genes, strict=True))
    for term, edge in theirs["Lead_genes"].items():
        assert {named[token] for token in edge.split(";")} == set(ours.loc[term, "genes"].split(";"))


def test_walks_agree_with_a_running_sum_over_all_genes():
    rng = np.random.default_rng(1)
    for _ in range(50):
        weights, hits = rng.gamma(0.5, size=40), np.sort(rng.choice(40, rng.integers(1, 12), replace=False))
        hit = np.isin(np.arange(40), hits)
        running = np.cumsum(np.where(hit, weights / weights[hit].sum(), -1 / (~hit).sum()))
        score, peak = walk(hits, weights)
        assert score == pytest.approx(running[np.argmax(np.abs(running))])
        at = np.argmax(np.abs(running))
        assert hits[peak] == (at if score > 0 else at + 1)
    assert np.isnan(walk(hits, np.zeros(40))[0])


def test_small_p_values_are_those_of_many_random_sets():
    """Multilevel p-values near 1e-3 against counting: of 20 000 random sets with a tenth of the means needed."""
    rng = np.random.default_rng(4)
    genes = [f"G{i}" for i in range(G)]
    values = np.sort(rng.normal(size=G))[::-1]
    sets = {f"s{i}": [genes[j] for j in np.sort(rng.choice(120 + 2 * i, 15, replace=False))] for i in range(25)}
    table = prerank(values[:, None], genes, ["a"], sets, n_permutations=200).set_index("term")
    null = np.array([walk(np.sort(rng.choice(G, 15, replace=False)), np.abs(values))[0] for _ in range(20_000)])
    for term, members in sets.items():
        score = walk(np.array([genes.index(gene) for gene in members]), np.abs(values))[0]
        p = ((null >= score).sum() + 1) / ((null > 0).sum() + 1)
        if 3e-4 < p < 0.03:
            assert abs(np.log2(table.loc[term, "pval"] / p)) < 1.5


@pytest.mark.parametrize("test", [ora, prerank])
def test_direction_says_which_end(problem, test):
    table = test(*problem).set_index(["component", "term"])
    assert table.loc[("signed", "down"), "direction"] == "down"
    assert table.loc[("up", "up/30 genes"), "direction"] == "up"
    assert table.loc[("up", "nothing"), "direction"] == "none"
    values = pd.DataFrame(problem[0], index=problem[1], columns=problem[2])
    for (component, _), row in table.iterrows():
        edge = values.loc[[gene for gene in row["genes"].split(";") if gene], component]
        assert (row["n_up"], row["n_down"]) == ((edge > 0).sum(), (edge < 0).sum())


@pytest.mark.parametrize("test", [ora, prerank])
def test_one_sign_is_asked_for(problem, test):
    up, down = (test(*problem, sign=sign).set_index(["component", "term"]) for sign in ("up", "down"))
    assert up.loc[("signed", "down"), "pval"] > 0.9
    assert down.loc[("signed", "down"), "pval"] < 1e-3
    assert up.loc[("up", "up/30 genes"), "pval"] < 1e-3
    assert down.loc[("up", "up/30 genes"), "pval"] == 1
    with pytest.raises(ValueError, match="sign='top' is not known; choose one of 'both', 'up', 'down'"):
        test(*problem, sign="top")


def test_the_majority_is_three_quarters():
    assert by_majority([3, 2, 1, 0], [1, 1, 3, 0]).tolist() == ["up", "mixed", "down", "none"]
