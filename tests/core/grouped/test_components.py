"""What follows a fit in closed form, against numpy, scipy and scikit-learn on the cells themselves."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import balanced
from pairwise import pairwise
from sklearn.decomposition import PCA

from pathwayae.core.grouped import components, variances
from pathwayae.core.grouped.encoder import Encoder, score_weights
from pathwayae.core.grouped.project import project
from pathwayae.core.moments import accumulate as moments


def cells(n, g, seed=0, noise=0.3):
    """Centred cells whose variances fall off, so that eigenvectors are well apart."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(g, g)))[0]
    x = rng.normal(size=(n, g)) * (noise + 5 * 0.8 ** np.arange(g)) @ basis.T
    return x - x.mean(axis=0)


def loadings(g, p, seed=1):
    return np.random.default_rng(seed).gamma(1.0, 1.0, size=(g, p))


def residual_of(gram, w):
    """``(I − QQᵀ) G (I − QQᵀ)`` with the projector from the pseudo-inverse."""
    project = np.eye(len(gram)) - w @ np.linalg.pinv(w)
    return project @ gram @ project


def assert_orthonormal(vectors, w, atol=1e-8):
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), rtol=0, atol=atol)
    if w.shape[1]:
        unit = w / np.maximum(np.linalg.norm(w, axis=0), 1e-300)
        assert np.abs(unit.T @ vectors).max() < atol


@pytest.mark.parametrize(
    ("g", "p", "n_extra"), [(40, 5, 8), (40, 0, 4), (256, 3, 6), (257, 3, 1), (300, 10, 12)], ids=str
)
def test_residual_components_are_the_leading_eigenvectors_of_the_explicit_residual(g, p, n_extra):
    x, w = cells(500, g), loadings(g, p)
    gram = x.T @ x
    result = components.residual_components(gram, w, n_extra)
    values, vectors = np.linalg.eigh(residual_of(gram, w))
    expected = vectors[:, ::-1][:, :n_extra]
    assert result.shape == (g, n_extra)
    assert_orthonormal(result, w)
    # An eigenvector is known to rounding over the gap to its neighbours, here about 1e-13.
    np.testing.assert_allclose(np.abs(np.sum(result * expected, axis=0)), 1.0, rtol=0, atol=1e-10)
    power = np.einsum("ij,ij->j", result, gram @ result)
    np.testing.assert_allclose(power, values[::-1][:n_extra], rtol=1e-10)


@pytest.mark.parametrize(("g", "p"), [(30, 0), (300, 0), (30, 4), (300, 4)])
def test_residual_components_are_the_principal_components_of_what_the_loadings_leave_of_the_cells(g, p):
    x, w = cells(400, g), loadings(g, p)
    left = x - x @ w @ np.linalg.pinv(w)
    result, again = (components.residual_components(x.T @ x, w, 5) for _ in range(2))
    expected = PCA(5, svd_solver="full").fit(left).components_.T
    np.testing.assert_allclose(np.abs(np.sum(result * expected, axis=0)), 1.0, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(result, again)
    assert (result[np.abs(result).argmax(axis=0), np.arange(5)] > 0).all()  # the largest entry is positive
    assert components.residual_components(x.T @ x, w, 0).shape == (g, 0)


@pytest.mark.parametrize("g", [30, 300])
def test_rank_deficient_loadings_leave_what_their_span_leaves(g):
    x, full = cells(400, g), loadings(g, 3)
    extra = [full[:, [1]], full @ np.array([[1.0], [-2.0], [0.5]]), np.zeros((g, 1))]  # twice, combined, empty
    cases = [(np.column_stack([full, one]), full) for one in extra] + [(np.zeros((g, 3)), np.zeros((g, 0)))]
    for w, span in cases:
        result, expected = (components.residual_components(x.T @ x, columns, 4) for columns in (w, span))
        assert_orthonormal(result, w)
        np.testing.assert_allclose(np.abs(np.sum(result * expected, axis=0)), 1.0, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("g", "p"), [(20, 3), (20, 0), (20, 19), (260, 3)], ids=str)
def test_as_many_components_as_there_are_directions_left_span_all_of_them(g, p):
    x, w = cells(600, g), loadings(g, p)
    result = components.residual_components(x.T @ x, w, g - p)
    assert_orthonormal(result, w)
    together = np.column_stack([np.linalg.qr(w)[0], result])
    np.testing.assert_allclose(together @ together.T, np.eye(g), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("g", "n_cells", "n_extra"), [(20, 8, 15), (20, 8, 17), (300, 12, 30)], ids=str)
def test_components_stay_orthogonal_to_the_loadings_where_the_cells_span_fewer_directions(g, n_cells, n_extra):
    x, w = cells(n_cells, g), loadings(g, 3)
    assert_orthonormal(components.residual_components(x.T @ x, w, n_extra), w)
    x = cells(400, g)
    x[:, 6:] = 0  # genes that are constant
    assert_orthonormal(components.residual_components(x.T @ x, w, 8), w)


@pytest.mark.parametrize("g", [30, 300])
def test_a_pathway_of_all_genes_with_even_loadings_is_no_obstacle(g):
    x = cells(400, g)
    x /= x.std(axis=0)  # the diagonal of the Gram matrix is now a multiple of these loadings
    w = np.ones((g, 1))
    gram = x.T @ x
    result = components.residual_components(gram, w, 3)
    expected = np.linalg.eigh(residual_of(gram, w))[1][:, ::-1][:, :3]
    np.testing.assert_allclose(np.abs(np.sum(result * expected, axis=0)), 1.0, rtol=0, atol=1e-10)


def test_the_inputs_of_residual_components_are_not_modified():
    x, w = cells(100, 30), loadings(30, 3)
    gram = x.T @ x
    gram_before, w_before = gram.copy(), w.copy()
    components.residual_components(gram, w, 3)
    np.testing.assert_array_equal(gram, gram_before)
    np.testing.assert_array_equal(w, w_before)


# Variance explained.


def agreement(gram, encoder, others):
    return variances.agreement(variances.figures(gram, encoder, Encoder(others)), variances.figures(gram, others).power)


def share_of_part(gram, encoder, part):
    return variances.share_of_part(variances.figures(gram, encoder, Encoder(part)), 0)


def explained_by_lstsq(x, scores):
    left = x - scores @ np.linalg.lstsq(scores, x, rcond=None)[0]
    return 1 - np.sum(left**2) / np.sum(x**2)


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_variance_ratio_is_the_regression_of_the_cells_on_each_score(offset):
    x, encoder = cells(200, 15) + offset, np.random.default_rng(2).normal(size=(15, 6))
    gram = x.T @ x
    result, together = variances.variance_ratio(gram, encoder), variances.variance_ratio_together(gram, encoder)
    expected = [explained_by_lstsq(x, (x @ encoder)[:, [j]]) for j in range(6)]
    np.testing.assert_allclose(result, expected, rtol=1e-10)
    assert together == pytest.approx(explained_by_lstsq(x, x @ encoder), rel=1e-10)
    assert (result > 0).all()
    assert result.max() <= together <= 1
    silent = np.column_stack([encoder, np.zeros(15)])  # a score that is always zero explains nothing
    assert variances.variance_ratio(gram, silent)[6] == 0
    assert variances.variance_ratio_together(gram, silent) == pytest.approx(together, rel=1e-10)
    full = np.random.default_rng(2).normal(size=(15, 15))
    assert variances.variance_ratio_together(gram, full) == pytest.approx(1.0, rel=1e-9)


def test_variance_ratios_of_principal_components_and_of_scores_of_cells():
    x, w = cells(200, 15), loadings(15, 4)
    pca = PCA(5, svd_solver="full").fit(x)
    found = variances.variance_ratio(x.T @ x, pca.components_.T)
    np.testing.assert_allclose(found, pca.explained_variance_ratio_, rtol=1e-10)
    together = variances.variance_ratio_together(x.T @ x, pca.components_.T)
    assert together == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-10)
    for scores in ("projection", "least_squares"):
        encoder = score_weights(w, scores, 0.1)
        z = project(x, np.zeros(15), np.ones(15), encoder)
        expected = [explained_by_lstsq(x, z[:, [j]]) for j in range(4)]
        np.testing.assert_allclose(variances.variance_ratio(x.T @ x, encoder), expected, rtol=1e-9)
        assert variances.variance_ratio_together(x.T @ x, encoder) == pytest.approx(explained_by_lstsq(x, z), rel=1e-9)
        left = np.sum((x - x @ encoder @ (0.3 * w).T) ** 2)
        assert components.residual_sum_of_squares(x.T @ x, encoder, 0.3 * w) == pytest.approx(left, rel=1e-10)


def test_variance_ratios_do_not_depend_on_the_scale_of_a_score():
    x, encoder = cells(200, 15), np.random.default_rng(2).normal(size=(15, 4))
    scaled = encoder * np.array([1e-6, 1.0, -30.0, 1e3])
    gram = x.T @ x
    np.testing.assert_allclose(
        variances.variance_ratio(gram, scaled), variances.variance_ratio(gram, encoder), rtol=1e-10
    )
    together = variances.variance_ratio_together(gram, encoder)
    assert variances.variance_ratio_together(gram, scaled) == pytest.approx(together, rel=1e-6)


def test_scores_that_repeat_each_other_explain_no_more_together_than_once():
    x, encoder = cells(200, 15), np.random.default_rng(2).normal(size=(15, 3))
    repeated = np.column_stack([encoder, encoder[:, 0], encoder[:, 1] - 2 * encoder[:, 2]])
    once = variances.variance_ratio_together(x.T @ x, encoder)
    # Whether a direction is one too many is decided at 1e-10 of the largest.
    assert variances.variance_ratio_together(x.T @ x, repeated) == pytest.approx(once, rel=1e-6)


# Whether a score speaks for its pathway.


def test_the_effective_number_of_genes_and_the_largest_share_are_those_of_the_squares_in_a_loop():
    w = np.random.default_rng(3).normal(size=(15, 6))
    w[3, 2] = 40.0
    shares = [w[:, j] ** 2 / sum(value**2 for value in w[:, j]) for j in range(6)]
    np.testing.assert_allclose(components.n_effective(w), [1 / sum(q**2 for q in own) for own in shares], rtol=1e-12)
    np.testing.assert_allclose(components.largest_share(w), [max(own) for own in shares], rtol=1e-12)
    assert components.n_effective(w)[2] == pytest.approx(1, abs=0.1)
    assert components.largest_share(w)[2] > 0.98


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_m_even_genes_are_m_effective_ones_in_any_unit(dtype):
    for m in (1, 2, 7):
        w = np.zeros((9, 3), dtype=dtype)
        w[:m] = np.array([1.0, -3.0, 1e-9])
        np.testing.assert_allclose(components.n_effective(w), m, rtol=1e-6)
        np.testing.assert_allclose(components.largest_share(w), 1 / m, rtol=1e-6)
    for w in (np.zeros((4, 2)), np.zeros((0, 2))):
        assert components.n_effective(w).tolist() == components.largest_share(w).tolist() == [0.0, 0.0]


def test_agreement_is_the_correlation_of_the_scores_of_cells():
    x, rng = cells(80, 15), np.random.default_rng(4)
    encoder, others = rng.normal(size=(15, 5)), rng.normal(size=(15, 5))
    others[:, 1] = -2 * encoder[:, 1]
    others[:, 2] += 3 * encoder[:, 2]
    expected = [np.corrcoef(x @ encoder[:, j], x @ others[:, j])[0, 1] for j in range(5)]
    np.testing.assert_allclose(agreement(x.T @ x, encoder, others), expected, rtol=1e-10)
    scaled = encoder * np.array([1e-6, 3.0, 1e3, 1.0, 7.0])
    np.testing.assert_allclose(agreement(x.T @ x, scaled, others), expected, rtol=1e-10)


def test_agreement_with_a_score_that_does_not_vary_is_nothing():
    x, rng = cells(80, 15), np.random.default_rng(4)
    x[:, :3] = 0
    encoder, others = rng.normal(size=(15, 4)), rng.normal(size=(15, 4))
    encoder[:, 1], others[:, 2], encoder[3:, 3] = 0, 0, 0
    found = agreement(x.T @ x, encoder, others)
    assert np.isnan(found).tolist() == [False, True, True, True]
    assert np.isnan(agreement(np.zeros((15, 15)), encoder, others)).all()
    assert agreement(x.T @ x, encoder[:, :0], others[:, :0]).shape == (0,)


def test_the_share_of_a_part_is_the_covariance_of_its_score_with_the_whole():
    x, rng = cells(80, 15), np.random.default_rng(5)
    encoder = rng.normal(size=(15, 4))
    member = rng.random((15, 4)) < 0.5
    parts = [np.where(member, encoder, 0.0), np.where(member, 0.0, encoder)]
    found = [share_of_part(x.T @ x, encoder, part) for part in parts]
    for part, shares in zip(parts, found, strict=True):
        for j in range(4):
            covariance = np.cov(x @ part[:, j], x @ encoder[:, j])
            assert shares[j] == pytest.approx(covariance[0, 1] / covariance[1, 1], rel=1e-9)
    np.testing.assert_allclose(sum(found), 1.0, rtol=1e-12)
    np.testing.assert_allclose(share_of_part(x.T @ x, encoder, encoder), 1.0, rtol=1e-12)


def test_a_part_of_a_score_may_work_against_it_and_nothing_has_no_parts():
    x = np.array([[1.0, 0.9], [-1.0, -1.1], [2.0, 1.9], [-2.0, -1.7]])
    encoder = np.array([[1.0, 0.0], [-0.1, 0.0]])
    part = np.array([[0.0, 0.0], [-0.1, 0.0]])
    against, nothing = share_of_part(x.T @ x, encoder, part)
    assert against < 0
    assert share_of_part(x.T @ x, encoder, encoder - part)[0] == pytest.approx(1 - against)
    assert nothing == 0


# Scores.


def test_free_components_orthogonal_to_the_encoder_are_their_own_weights():
    x, w = cells(50, 15), loadings(15, 4)
    encoder = score_weights(w, "least_squares", 0.1)
    before = encoder.copy()
    free = components.residual_components(x.T @ x, encoder, 3)
    # The ridge shrinks pathways only: least squares on all columns, with a penalty on the first four.
    both = np.column_stack([w, free])
    normal = both.T @ both + np.diag([0.1] * 4 + [0.0] * 3)
    np.testing.assert_allclose(np.column_stack([encoder, free]), both @ np.linalg.inv(normal), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(encoder, before)


def test_free_components_are_orthogonal_to_balanced_weights_not_to_the_loadings():
    x, w = cells(200, 30), loadings(30, 4)
    encoder = balanced(w, np.arange(30) // 10)
    free = components.residual_components(x.T @ x, encoder, 3)
    assert_orthonormal(free, encoder)
    assert np.abs(w.T @ free).max() > 0.1


FORMATS = [np.asarray, np.asfortranarray, sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array]


def explicit_scores(x, mean, scale, encoder):
    return (x.astype(np.float64) - mean) / scale @ encoder


@pytest.mark.parametrize(
    ("make", "rows", "dtype", "genes"),
    pairwise(
        make=FORMATS, rows=[1, 7, 1000], dtype=[np.float64, np.float32, np.int64], genes=[None, np.array([7, 0, 3, 11])]
    ),
)
def test_project_is_the_explicit_formula_in_every_format_and_any_blocks(monkeypatch, make, rows, dtype, genes):
    rng = np.random.default_rng(0)
    x = (rng.poisson(2.0, size=(40, 12)) * (rng.random((40, 12)) < 0.5) * 1.3).astype(dtype)
    m = 12 if genes is None else len(genes)
    mean, scale, encoder = rng.normal(size=m), rng.uniform(0.5, 2, size=m), rng.normal(size=(m, 5))
    monkeypatch.setattr(moments, "BLOCK_BYTES", 8 * m * rows)
    given = make(x)
    result = project(given, mean, scale, encoder, genes=genes)
    assert project(given[:0], mean, scale, encoder, genes=genes).shape == (0, 5)
    expected = explicit_scores(x if genes is None else x[:, genes], mean, scale, encoder)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(given.toarray() if sp.issparse(given) else given, x)
