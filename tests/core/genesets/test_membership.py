"""Gene sets over the genes of a matrix."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from pathwayae.core.genesets import gmt, membership
from pathwayae.core.genesets.membership import build, feature_classes, guess_identifiers, mismatch_message

NAN = float("nan")


def random_sets(seed=0, n_genes=40, n_sets=9):
    rng = np.random.default_rng(seed)
    genes = [f"G{i}" for i in range(n_genes + 10)]  # the last ten are not in the data
    sets = {f"S{j}": list(rng.choice(genes, size=rng.integers(1, 12))) for j in range(n_sets)}
    return sets, list(rng.permutation(genes[:n_genes]))


def naive_matrix(sets, var_names):
    return np.array([[gene in set(genes) for genes in sets.values()] for gene in var_names])


def naive_classes(matrix, overlap, unannotated):
    sizes = matrix.sum(axis=0)
    result = []
    for row in matrix:
        pathways = [j for j in range(matrix.shape[1]) if row[j]]
        if not pathways:
            result.append(unannotated)
        elif len(pathways) == 1 or overlap == "first":
            result.append(pathways[0])
        elif overlap == "smallest":
            result.append(min(pathways, key=lambda j: (sizes[j], j)))
        else:
            result.append(-1 if overlap == "unassigned" else NAN)
    return np.array(result, dtype=float)


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Index, pd.Series, pd.CategoricalIndex])
def test_build_agrees_with_a_double_loop(kind):
    sets, var_names = random_sets(len(kind.__name__))
    given, before = kind(var_names), {name: list(genes) for name, genes in sets.items()}
    result = build(sets, given)
    assert sets == before
    assert list(given) == var_names
    expected = naive_matrix(sets, var_names)
    assert result.matrix.format == "csr"
    assert result.matrix.dtype == bool
    assert result.matrix.has_sorted_indices
    np.testing.assert_array_equal(result.matrix.toarray(), expected)
    assert result.names == tuple(sets)
    for (name, genes), row in zip(sets.items(), result.report.itertuples(index=False), strict=True):
        lost = [gene for gene in dict.fromkeys(genes) if gene not in var_names]
        assert tuple(row) == (name, len(set(genes)), len(set(genes)) - len(lost), len(lost), ";".join(lost))


def test_no_sets_and_no_matches():
    assert build({}, ["G1", "G2"]).matrix.shape == (2, 0)
    nothing = build({"A": ["X"], "B": ["Y"]}, ["G1", "G2"])
    assert nothing.matrix.shape == (2, 2)
    assert nothing.matrix.nnz == 0
    assert nothing.report["n_lost"].tolist() == [1, 1]


def test_duplicates_far_apart_are_refused():
    with pytest.raises(ValueError, match=r"var_names must be unique: 1 name.*'G1'.*var_names_make_unique"):
        build({"A": ["G1"]}, ["G1", "G2", "G3", "G1"])


@pytest.mark.parametrize(
    ("genes", "error", "message"),
    [
        ("CD3D", TypeError, r"gene set 'A': expected a list of genes, found 'CD3D'"),
        (7, TypeError, "expected a list of genes, found 7"),
        (["CD3D", NAN], TypeError, r"genes must be strings, found nan \(float\)"),
        ([915], TypeError, r"found 915 \(int\).*numbers into strings"),
        (["CD3D", ""], ValueError, "empty gene name"),
    ],
)
def test_bad_genes(genes, error, message):
    with pytest.raises(error, match=message):
        build({"A": genes}, ["CD3D"])


def test_unique_genes_sorts_python_sets():
    assert membership.unique_genes("A", {"C", "A", "B"}) == ("A", "B", "C")
    assert membership.unique_genes("A", iter(["C", "A", "C"])) == ("C", "A")


@pytest.mark.parametrize("overlap", ["first", "smallest", "unassigned", "ignore"])
def test_feature_classes_agree_with_a_loop(overlap):
    for seed, unannotated in itertools.product(range(2), (-1, NAN)):
        sets, var_names = random_sets(seed)
        matrix = naive_matrix(sets, var_names)
        expected = naive_classes(matrix, overlap, unannotated)
        for given in (matrix, matrix.astype(float), sparse.csc_matrix(matrix), sparse.csr_array(matrix)):
            before = given.copy()
            result = feature_classes(given, overlap=overlap, unannotated=unannotated)
            assert result.dtype == float
            np.testing.assert_array_equal(result, expected)
            assert (given != before).sum() == 0


def test_empty_rows_stored_zeros_and_double_entries_do_not_count():
    matrix = np.zeros((6, 2))
    matrix[[1, 4], [1, 0]] = 1
    np.testing.assert_array_equal(feature_classes(matrix), [-1, 1, -1, -1, 0, -1])
    np.testing.assert_array_equal(feature_classes(np.zeros((3, 2))), [-1, -1, -1])
    np.testing.assert_array_equal(feature_classes(sparse.csr_matrix((3, 0))), [-1, -1, -1])
    stored = sparse.csr_matrix((np.array([True, False, True]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_array_equal(feature_classes(stored), [0, 1])
    double = sparse.csr_matrix((np.array([True, True]), np.array([1, 1]), np.array([0, 2])), shape=(1, 2))
    np.testing.assert_array_equal(feature_classes(double), [1])


def test_bad_options():
    with pytest.raises(ValueError, match=r"2 of 3 genes.*overlap='first', 'smallest', 'unassigned' or 'ignore'"):
        feature_classes([[1, 1], [1, 1], [0, 1]])
    with pytest.raises(ValueError, match="overlap='none' is unknown. Choose one of 'error'"):
        feature_classes([[1, 0]], overlap="none")
    with pytest.raises(ValueError, match=r"unannotated=0 is not allowed. Use -1 .* or float\('nan'\)"):
        feature_classes([[1, 0]], unannotated=0)


HUMAN = ["CD3D", "TP53", "C1orf112", "MT-CO1", "HLA-DRA"]
MOUSE = ["Cd3d", "Trp53", "mt-Co1", "H2-Ab1", "1700001A02Rik"]
ENSEMBL = ["ENSG00000167286", "ENSG00000141510.18"]
ENSEMBL_MOUSE = ["ENSMUSG00000032094", "ENSMUSG00000059552.5"]
ENTREZ = ["915", "7157", "1000"]


KINDS = [
    (HUMAN, "human symbols"),
    (MOUSE, "mouse symbols"),
    (ENSEMBL, "Ensembl gene ids (human)"),
    (ENSEMBL_MOUSE, "Ensembl gene ids (mouse)"),
    (["ENSDARG00000041348"], "Ensembl gene ids (other species)"),
    (ENTREZ, "Entrez ids"),
    (["0", "1", "2"], "row numbers"),
    (["cd3d", "tp53"], "unknown"),
    (["some gene", "another gene"], "unknown"),
    ([], "unknown"),
    ([*HUMAN, *ENTREZ], "human symbols"),
    ([*HUMAN[:3], *ENTREZ], "unknown"),
]


def test_guess_identifiers():
    assert [guess_identifiers(names) for names, _ in KINDS] == [kind for _, kind in KINDS]


@pytest.mark.parametrize(
    ("set_genes", "var_names", "advice"),
    [
        (HUMAN, ENSEMBL, "Name the column of adata.var that holds symbols with gene_symbols="),
        (ENTREZ, HUMAN, "Use the symbols version of the GMT."),
        (ENTREZ, ENSEMBL, "Use the symbols version of the GMT, and name the column .* gene_symbols="),
        (ENSEMBL, HUMAN, "Use the symbols version of the gene sets"),
        (ENSEMBL, ENSEMBL_MOUSE, "species differ"),
        (ENSEMBL, ["ENSG00000167286.3"], r"another spelling \(versions 1;.*pae\.gs\.match_genes"),
        (HUMAN, ["0", "1", "2"], "The data have no gene names"),
        (HUMAN, MOUSE, r"\(2 names agree if case is ignored.*other species' collection.*orthologue table"),
        (["CD3D", "TP53"], ["cd3d", "tp53", "actb"], r"another spelling \(letter case 2;.*pae\.gs\.match_genes"),
        (["CD3D", "TP53"], ["ACTB", "GAPDH"], "same species and naming"),
    ],
)
def test_mismatch_message(set_genes, var_names, advice):
    message = mismatch_message(set_genes, var_names)
    assert re.search(advice, message)
    assert f"0 of {len(set_genes)} genes" in message
    assert f"var_names ({len(var_names)} genes)" in message
    assert repr(var_names[0]) in message
    assert repr(set_genes[0]) in message


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ReactomePathways.gmt", "human symbols"),
        ("PanglaoDB_markers_27_Mar_2020.gmt", "human symbols"),
        ("mh.all.v2024.1.Mm.symbols.gmt", "mouse symbols"),
        ("wikipathways-20230410-gmt-Homo_sapiens.gmt", "Entrez ids"),
    ],
)
def test_real_identifiers(real_data, name, kind):
    genes = {gene for record in gmt.read(real_data / "genesets" / name) for gene in record.genes}
    assert guess_identifiers(genes) == kind
