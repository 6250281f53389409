"""Leave-one-out association from moments, against loops over cells and refits without the gene."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import leave_one_out, leave_one_out_ridge
from scipy import stats

import pathwayae as pae
from pathwayae.core import threads
from pathwayae.core.evidence import association as assoc
from pathwayae.core.moments.gram_product import CellsGram, standardize
from pathwayae.core.moments.low_rank import LowRank

FLOAT32 = 2e-6  # of a correlation: to what the directions of many genes are found


def cells(n=80, g=24, seed=0):
    """Centred cells with three shared factors."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) @ rng.normal(size=(3, g)) + rng.normal(size=(n, g)) * rng.uniform(0.5, 2.0, size=g)
    return x - x.mean(axis=0)


def sets(g, p, seed=1, share=0.3):
    return np.random.default_rng(seed).random((g, p)) < share


@pytest.mark.parametrize("weights", [sets(24, 5).astype(float), np.random.default_rng(2).normal(size=(24, 5))])
def test_leave_one_out_is_the_correlation_with_the_score_of_the_other_genes(weights):
    x = cells()
    expected = np.empty(weights.shape)
    for i in range(x.shape[1]):
        for j in range(weights.shape[1]):
            others = np.arange(x.shape[1]) != i
            expected[i, j] = np.corrcoef(x[:, i], x[:, others] @ weights[others, j])[0, 1]
    np.testing.assert_allclose(leave_one_out(x.T @ x, weights), expected, rtol=0, atol=1e-12)


def test_a_gene_without_variance_and_a_pathway_without_other_genes_have_no_association():
    x = cells()
    x[:, 3] = 0.0
    weights = np.zeros((24, 3))
    weights[5, 0] = 1.0  # gene 5 alone
    weights[3, 1] = 1.0  # the constant gene alone
    result = leave_one_out(x.T @ x, weights)
    assert result[5, 0] == 0.0
    assert np.abs(np.delete(result[:, 0], [3, 5])).min() > 0.0
    np.testing.assert_array_equal(result[3], 0.0)
    np.testing.assert_array_equal(result[:, 1:], 0.0)


def test_ridge_predictions_are_those_of_a_fit_without_the_gene():
    x, labels = cells(), sets(24, 4).astype(float)
    correlations = np.corrcoef(x.T)
    inverse = np.linalg.inv(correlations + 2.0 * np.eye(24))
    expected = np.empty(labels.shape)
    for i in range(24):
        others = np.arange(24) != i
        kernel = correlations[np.ix_(others, others)] + 2.0 * np.eye(23)
        expected[i] = correlations[i, others] @ np.linalg.solve(kernel, labels[others])
    np.testing.assert_allclose(leave_one_out_ridge(inverse, labels), expected, rtol=0, atol=1e-12)


def best(correlations, rank):
    """The best approximation of that rank, from all eigenvectors."""
    values, vectors = np.linalg.eigh(correlations)
    return (vectors[:, -rank:] * np.maximum(values[-rank:], 0.0)) @ vectors[:, -rank:].T


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_operator_does_what_its_matrix_does(sign):
    rng = np.random.default_rng(3)
    own, factors, other = rng.random(9), rng.normal(size=(9, 4)), rng.normal(size=(9, 5))
    matrix = np.diag(own) + sign * factors @ factors.T
    operator = LowRank(own, factors, sign)
    np.testing.assert_allclose(operator @ other, matrix @ other, rtol=0, atol=1e-13)
    np.testing.assert_allclose(operator.diagonal(), np.diagonal(matrix), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("g", "rank"), [(40, 1), (40, 100), (assoc.EXACT, 10)])
def test_the_leading_directions_of_few_genes_are_exact(g, rank):
    x = cells(n=700, g=g)
    factors = assoc.leading_factors(x.T @ x, rank)
    expected = best(np.corrcoef(x.T), min(rank, g))
    np.testing.assert_allclose(factors @ factors.T, expected, rtol=0, atol=1e-10)


def test_a_gene_without_variance_has_no_profile():
    x = cells()
    x[:, 3] = 0.0
    prepared = assoc.prepare(x.T @ x, rank=10)
    np.testing.assert_allclose(prepared.factors[3], 0.0, atol=1e-12)
    np.testing.assert_array_equal(prepared.similarity.factors[3], 0.0)
    np.testing.assert_allclose((prepared.inverse @ np.eye(24))[3], np.eye(24)[3] / assoc.RIDGE, atol=1e-12)


@pytest.mark.parametrize("rank", [10, 100])
def test_the_leading_directions_of_many_genes_carry_what_the_best_ones_carry(rank):
    x = cells(n=700, g=600)
    correlations = np.corrcoef(x.T)
    factors = assoc.leading_factors(x.T @ x, rank)
    directions = np.linalg.qr(factors)[0]
    # Ritz values: of these directions the factors hold what the correlations have along them, to float32.
    inside = directions @ (directions.T @ correlations @ directions) @ directions.T
    np.testing.assert_allclose(factors @ factors.T, inside, rtol=0, atol=FLOAT32)
    # No directions carry more than the leading eigenvectors, and these carry nearly as much.
    most = np.linalg.eigvalsh(correlations)[-rank:].sum()
    assert 0.99 * most <= (factors**2).sum() <= most * (1 + FLOAT32)
    # With the rest of each gene, R ≈ FFᵀ + D: unit diagonal, and off it little more error than the best rank has.
    off = ~np.eye(600, dtype=bool)
    error, least = (((correlations - near)[off] ** 2).sum() for near in (factors @ factors.T, best(correlations, rank)))
    assert error <= 1.1 * least


@pytest.mark.parametrize(("g", "rank"), [(24, 5), (24, 24), (40, 100), (600, 30)])
def test_similarity_is_the_cosine_of_profiles_and_the_inverse_that_of_the_leading_directions_and_the_rest(g, rank):
    x = cells(g=g, n=100)
    prepared = assoc.prepare(x.T @ x, rank=rank, ridge=0.7)
    near = prepared.factors @ prepared.factors.T
    length = np.sqrt(np.diagonal(near))
    np.testing.assert_allclose(prepared.similarity @ np.eye(g), near / length / length[:, None], rtol=0, atol=1e-12)
    np.testing.assert_allclose(prepared.similarity.diagonal(), 1.0, rtol=1e-12)
    near[np.diag_indices(g)] = 1.0
    expected = np.linalg.inv(near + 0.7 * np.eye(g))
    np.testing.assert_allclose(prepared.inverse @ np.eye(g), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(prepared.inverse.diagonal(), np.diagonal(expected), rtol=0, atol=1e-10)
    if rank >= g:
        whole = np.corrcoef(x.T) + 0.7 * np.eye(g)
        np.testing.assert_allclose(prepared.inverse @ whole, np.eye(g), rtol=0, atol=1e-12)


@pytest.mark.parametrize("g", [40, 600])
def test_association_needs_products_with_the_gram_matrix_alone(g):
    x, member = cells(n=120, g=g) + 3.0, sets(g, 4)
    operator = standardize(x, center=True, scale=None).gram
    whole = assoc.association(assoc.prepare((x - x.mean(axis=0)).T @ (x - x.mean(axis=0)), rank=20), member)
    # An operator is followed in float64, many genes in float32; the last directions of noise turn that into more.
    exact = assoc.association(assoc.prepare(operator, rank=20), member)
    np.testing.assert_allclose(exact, whole, rtol=0, atol=1e-6 if g <= assoc.EXACT else 1e-3)


@pytest.mark.parametrize("n", [150, 2000])
def test_directions_in_float32_move_no_score(monkeypatch, n):
    """Scores, which are float32, and loadings against those of directions in float64.

    Loadings of genes outside a pathway hold a posterior, which EM leaves where a step changes it by less than 1e-3:
    rounding may end it a step sooner or later.
    """
    adata = pae.datasets.simulate(n, 900, 12, random_state=3)
    settings = pae.tl.FitSettings(solver="gram")
    words = {"n_extra": 0, "settings": settings, "progress": False}
    pae.tl.fit(adata, "pathways", **words)
    monkeypatch.setattr(assoc, "fast_product", lambda gram: gram.__matmul__)
    monkeypatch.setattr(assoc, "ROUGH", np.float64)
    pae.tl.fit(adata, "pathways", key_added="exact", **words)
    for slot, kind, near in (("obsm", "X_{}", 1e-6), ("varm", "{}_encoder", 2e-6), ("varm", "{}_loadings", 5e-4)):
        found, exact = (getattr(adata, slot)[kind.format(key)] for key in ("pae", "exact"))
        np.testing.assert_allclose(found, exact, rtol=0, atol=near * np.abs(exact).max())


@pytest.mark.parametrize("g", [40, 500])
def test_association_follows_the_genes_and_pathways_in_any_order(g):
    x, member = cells(n=120, g=g), sets(g, 6, share=0.1)
    rng = np.random.default_rng(4)
    genes, pathways = rng.permutation(g), rng.permutation(6)
    whole = assoc.association(assoc.prepare(x.T @ x, rank=20), member)
    shuffled = x[:, genes]
    result = assoc.association(assoc.prepare(shuffled.T @ shuffled, rank=20), member[genes][:, pathways])
    np.testing.assert_allclose(result, whole[genes][:, pathways], rtol=0, atol=1e-6)


def test_another_order_of_many_genes_moves_what_lies_in_noise_only():
    x = cells(n=300, g=700)
    genes = np.random.default_rng(5).permutation(700)
    whole = assoc.prepare(x.T @ x, rank=20)
    shuffled = assoc.prepare(x[:, genes].T @ x[:, genes], rank=20)
    own, other = (factors @ factors.T for factors in (whole.factors[genes], shuffled.factors))
    assert np.linalg.norm(own - other) < 0.2 * np.linalg.norm(own)


def test_rounding_moves_nothing():
    x = cells(n=300, g=700)
    scaled = x / x.std(axis=0)  # all variances are alike but for rounding
    gram = scaled.T @ scaled
    noise = np.random.default_rng(6).normal(size=gram.shape) * 1e-9 * np.abs(gram)
    one, two = assoc.prepare(gram), assoc.prepare(gram + (noise + noise.T) / 2)
    np.testing.assert_allclose(one.factors @ one.factors.T, two.factors @ two.factors.T, atol=1e-5)


def test_association_is_in_standard_units_with_zeros_where_nothing_varies():
    x = cells()
    member = sets(24, 3)
    member[:, 1] = False  # no genes: no association
    result = assoc.association(assoc.prepare(x.T @ x, rank=5), member)
    np.testing.assert_allclose(result.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(result.std(axis=0)[[0, 2]], 1.0, rtol=1e-12)
    np.testing.assert_array_equal(result[:, 1], 0.0)


@pytest.mark.parametrize("rank", [3, 100])
def test_visibility_is_the_normal_score_of_mean_variance_and_shared_correlation(rank):
    x = cells(g=9)
    prepared = assoc.prepare(x.T @ x, rank=rank)
    mean, variance = np.arange(9.0)[::-1] ** 3, x.var(axis=0)
    result = assoc.visibility(prepared, mean, variance)
    shared = (best(np.corrcoef(x.T), min(rank, 9)) ** 2).sum(axis=0)
    for column, values in zip(result.T, (mean, variance, shared), strict=True):
        np.testing.assert_array_equal(np.argsort(column), np.argsort(values))
        np.testing.assert_allclose(np.sort(column), stats.norm.ppf(np.arange(1, 10) / 10.0), rtol=1e-12)


# Few weights, and few cells.


def kernels(g=24, r=4, seed=7):
    """Operators with a gene that does not vary and one that goes with none."""
    rng = np.random.default_rng(seed)
    own, factors = rng.uniform(0.1, 1.0, size=g), rng.normal(size=(g, r))
    own[3], factors[[3, 8]] = 0.0, 0.0
    return [LowRank(own, factors), LowRank(np.zeros(g), factors), LowRank(own + 3.0 * r * g, factors, -1.0)]


@pytest.mark.parametrize("stored", [5, assoc.STORED])
def test_correlations_of_members_are_the_stored_ones_among_all(monkeypatch, stored):
    monkeypatch.setattr(assoc, "STORED", stored)
    rng = np.random.default_rng(8)
    weights = np.where(sets(24, 9), rng.uniform(-1.0, 2.0, size=(24, 9)), 0.0)
    weights[:, 2], weights[:, 4] = 0.0, 0.0
    weights[5, 4] = 1.0  # one gene alone
    matrix = sp.csc_array(weights)
    shuffled = matrix[:, ::-1][::-1].tocsr().tocsc()
    for operator in kernels():
        whole = leave_one_out(operator, weights)
        rows, columns = matrix.indices, np.repeat(np.arange(9), np.diff(matrix.indptr))
        found = assoc.of_members(operator, matrix)
        np.testing.assert_allclose(found, whole[rows, columns], rtol=0, atol=1e-12)
        turned = LowRank(operator.own[::-1], operator.factors[::-1], operator.sign)
        again = sp.csc_array((assoc.of_members(turned, shuffled), shuffled.indices, shuffled.indptr), shape=(24, 9))
        np.testing.assert_allclose(again.toarray()[::-1, ::-1], np.where(weights, whole, 0.0), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(matrix.toarray(), weights)
    assert assoc.of_members(kernels()[0], sp.csc_array((24, 3))).shape == (0,)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_correlations_pathway_by_pathway_are_those_of_genes_by_pathways(monkeypatch, n_threads):
    monkeypatch.setattr(threads, "threads", lambda: n_threads)
    monkeypatch.setattr(threads, "SMALL", 0)
    rng = np.random.default_rng(9)
    weights = rng.normal(size=(24, 9))
    weights[:, 2], weights[:, 4] = 0.0, 0.0
    weights[5, 4] = 1.0
    for operator in kernels():
        given = np.ascontiguousarray(weights.T)
        found = assoc.correlations_left_out(operator, given)
        np.testing.assert_allclose(found, leave_one_out(operator, weights).T, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(given, weights.T)


@pytest.mark.parametrize("g", [24, 600])
def test_views_are_the_correlation_and_the_ridge_prediction_in_standard_units(g):
    x, member = cells(n=100, g=g), sets(g, 5)
    member[:, 1], member[:, 2] = False, True
    prepared = assoc.prepare(x.T @ x, rank=10)
    labels = member.astype(float)
    similarity = prepared.similarity @ np.eye(g)
    expected = [leave_one_out(similarity, labels), leave_one_out_ridge(prepared.inverse, labels)]
    found = assoc.views_of(prepared, member)
    assert found.shape == (5, 2, g)
    for view, values in enumerate(expected):
        deviation = values.std(axis=0)
        naive = (values - values.mean(axis=0)) / np.where(deviation > 1e-10, deviation, np.inf)
        np.testing.assert_allclose(found[:, view].T, naive, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(assoc.association(prepared, member), found.transpose(2, 0, 1))


def few_cells(n=60, g=700, seed=10):
    """Few cells of many genes, whose leading directions are well apart; one gene is constant."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)) * 3.0 * 0.6 ** np.arange(8) @ rng.normal(size=(8, g)) + 0.1 * rng.normal(size=(n, g))
    x[:, 5] = 2.0
    return x


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("rank", [6, 59, 100])
def test_directions_from_few_cells_are_those_of_the_genes(make, rank):
    x = few_cells()
    operator = standardize(make(x), center=True, scale=None).gram
    assert isinstance(operator, CellsGram)
    assert operator.through_kernel
    centred = x - x.mean(axis=0)
    centred[:, 5] = 0.0
    factors = assoc.leading_factors(operator, rank)
    assert factors.shape == (700, min(rank, 59))  # centred cells span one direction less than they are
    dense = assoc.leading_factors(centred.T @ centred, rank)
    leads = [np.linalg.svd(found, full_matrices=False)[0][:, :6] for found in (factors, dense)]
    np.testing.assert_allclose(*(lead @ lead.T for lead in leads), rtol=0, atol=FLOAT32)
    inside = np.linalg.qr(factors)[0]
    inside = inside @ inside.T
    with np.errstate(invalid="ignore"):
        correlations = np.nan_to_num(np.corrcoef(centred.T))  # of the constant gene
    np.testing.assert_allclose(factors @ factors.T, inside @ correlations @ inside, rtol=0, atol=1e-8)
    np.testing.assert_allclose(factors[5], 0.0, atol=1e-10)
    if rank >= 59:
        np.testing.assert_allclose(factors @ factors.T, correlations, rtol=0, atol=1e-8)


def test_the_order_of_few_cells_does_not_matter():
    x = few_cells()
    order = np.random.default_rng(11).permutation(60)
    one, other = (
        assoc.leading_factors(standardize(values, center=True, scale=None).gram, 20) for values in (x, x[order])
    )
    np.testing.assert_allclose(one @ one.T, other @ other.T, rtol=0, atol=1e-8)
