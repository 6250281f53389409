"""The structural terms of the objective against loops that follow DESIGN 2.2 and 2.5 to the letter."""

import itertools
import math

import numpy as np
import pytest
import torch

from pathwayae.core.grouped import penalties

# Each case: membership (g, p), penalised (g,), number of components k ≥ p.
G = 8
ALL = np.ones(G, dtype=bool)
ONE_EACH = np.zeros((G, 3), dtype=bool)
ONE_EACH[np.arange(G), [0, 0, 0, 1, 1, 1, 2, 2]] = True
WITH_CLASSLESS = ONE_EACH.copy()
WITH_CLASSLESS[[2, 7]] = False  # feature_classes of −1
OVERLAPPING = WITH_CLASSLESS.copy()
OVERLAPPING[[0, 3, 4], [1, 2, 2]] = True
SOME = ALL.copy()
SOME[[1, 7]] = False  # feature_classes of NaN; gene 1 has a pathway, gene 7 has none
EMPTY_SET = np.column_stack([OVERLAPPING, np.zeros(G, dtype=bool)])
CASES = {
    "one pathway per gene": (ONE_EACH, ALL, 3),
    "one pathway per gene and free components": (ONE_EACH, ALL, 5),
    "genes without a pathway": (WITH_CLASSLESS, ALL, 4),
    "overlapping pathways": (OVERLAPPING, ALL, 3),
    "overlapping pathways and free components": (OVERLAPPING, ALL, 5),
    "a pathway without genes": (EMPTY_SET, ALL, 5),
    "no pathway at all": (np.zeros((G, 0), dtype=bool), ALL, 3),
    "a pathway of every gene": (np.column_stack([OVERLAPPING[:, 0], ALL, OVERLAPPING[:, 2]]), ALL, 4),
    "a pathway of every gene that has one": (
        np.column_stack([OVERLAPPING[:, 0], OVERLAPPING.any(axis=1), OVERLAPPING[:, 2]]),
        ALL,
        4,
    ),  # the feature norm skips components without a gene outside
}
NOT_ALL_PENALISED = {
    "NaN genes": (WITH_CLASSLESS, SOME, 4),
    "NaN genes and overlapping pathways": (OVERLAPPING, SOME, 5),
    "only NaN genes": (OVERLAPPING, ~ALL, 4),
}
every_case = pytest.mark.parametrize(
    "case", [*CASES.values(), *NOT_ALL_PENALISED.values()], ids=[*CASES, *NOT_ALL_PENALISED]
)
some_penalised = pytest.mark.parametrize("case", NOT_ALL_PENALISED.values(), ids=NOT_ALL_PENALISED)


def is_member(membership, i, j):
    return j < membership.shape[1] and bool(membership[i, j])


def naive_zero_feature(w, membership, penalised, l1_ratio):
    g, k = w.shape
    p = [[w[i, j].abs() / sum(w[i, m].abs() for m in range(k)) for j in range(k)] for i in range(g)]
    q = [[w[i, j] ** 2 / sum(w[i, m] ** 2 for m in range(k)) for j in range(k)] for i in range(g)]
    m1, m2 = [], []
    for j in range(k):
        outside = [i for i in range(g) if penalised[i] and membership[i].any() and not is_member(membership, i, j)]
        if outside:
            m1.append(sum(p[i][j] for i in outside) / len(outside))
            m2.append(sum(q[i][j] for i in outside) / len(outside))
    if not m1:
        return 0.0 * w.sum()
    return l1_ratio * sum(m1) / len(m1) + (1 - l1_ratio) * torch.sqrt(sum(m2) / len(m2))


def naive_zero_component(w, membership):
    g, k = w.shape
    total = 0.0 * w.sum()
    for j in range(k):
        length = torch.sqrt(sum(w[i, j] ** 2 for i in range(g)))
        for i in range(g):
            if not is_member(membership, i, j):
                total = total + w[i, j].abs() / (length * math.sqrt(g))
    return total / k


def naive_entropy(w, membership, penalised, *, on_classes):
    g, k = w.shape
    per_gene = []
    for i in range(g):
        row = sum(w[i, j].abs() for j in range(k))
        per_gene.append(-sum(w[i, j].abs() / row * torch.log(w[i, j].abs() / row) for j in range(k)))
    if on_classes:
        groups = [[i for i in range(g) if penalised[i] and membership[i, j]] for j in range(membership.shape[1])]
        groups.append([i for i in range(g) if penalised[i] and not membership[i].any()])
    else:
        groups = [[i for i in range(g) if penalised[i]]]
    means = [sum(per_gene[i] for i in genes) / len(genes) for genes in groups if genes]
    return sum(means) / len(means) if means else 0.0 * w.sum()


def loadings(k, *batch, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, G, k, generator=generator, dtype=torch.float64).to(dtype)


def weights_of(case, zero_norm, dtype=torch.float64):
    membership, penalised, k = case
    return torch.as_tensor(penalties.outside_weights(membership, penalised, k, zero_norm), dtype=dtype)


def entropy_weights_of(case, on_classes, dtype=torch.float64):
    membership, penalised, _ = case
    return torch.as_tensor(penalties.entropy_weights(membership, penalised, on_classes=on_classes), dtype=dtype)


def terms(case, dtype=torch.float64):
    """Every term with every option, as functions of the loadings."""
    feature, component = weights_of(case, "feature", dtype), weights_of(case, "component", dtype)
    result = {
        f"feature {ratio}": lambda w, ratio=ratio: penalties.zero_feature(w, feature, ratio) for ratio in (0, 0.3, 1)
    }
    penalised = torch.as_tensor(case[1])
    result["component"] = lambda w: penalties.zero_component(w, component, penalised)
    for on_classes in (False, True):
        per_gene = entropy_weights_of(case, on_classes, dtype)
        result[f"entropy {on_classes}"] = lambda w, per_gene=per_gene: penalties.entropy(w, per_gene)
    return result


def assert_is(result, expected, w):
    """Value and gradient of a closed form against autograd through a loop."""
    value, gradient = result
    (by_autograd,) = torch.autograd.grad(expected, w)
    assert float(value) == pytest.approx(float(expected.detach()), rel=1e-12, abs=1e-14)
    torch.testing.assert_close(gradient, by_autograd, rtol=1e-10, atol=1e-13)


@every_case
def test_terms_are_the_double_loops_and_their_autograd(case):
    membership, penalised, k = case
    w = loadings(k).requires_grad_()
    for l1_ratio in (0.0, 0.3, 1.0):
        result = penalties.zero_feature(w.detach(), weights_of(case, "feature"), l1_ratio)
        assert_is(result, naive_zero_feature(w, membership, penalised, l1_ratio), w)
    if penalised.all():
        result = penalties.zero_component(w.detach(), weights_of(case, "component"))
        assert_is(result, naive_zero_component(w, membership), w)
    for on_classes in (False, True):
        weights = entropy_weights_of(case, on_classes)
        assert float(weights.sum()) == pytest.approx(1.0 if penalised.any() else 0.0, abs=1e-14)
        result = penalties.entropy(w.detach(), weights)
        assert_is(result, naive_entropy(w, membership, penalised, on_classes=on_classes), w)
        assert torch.equal(penalties.entropy_value(w.detach(), weights), result[0])


@every_case
def test_gradients_are_central_differences(case):
    step = 1e-5
    w = loadings(case[2])
    w = torch.where(w.abs() < 0.05, 0.05, w)  # away from the kink of |w|
    for name, term in terms(case).items():
        _, gradient = term(w)
        numeric = torch.zeros_like(w)
        for i in range(w.shape[0]):
            for j in range(w.shape[1]):
                move = torch.zeros_like(w)
                move[i, j] = step
                numeric[i, j] = (term(w + move)[0] - term(w - move)[0]) / (2 * step)
        # Rounding 1e-16 / step and curvature step² × third derivative (up to 1/0.05³) limit the differences.
        torch.testing.assert_close(gradient, numeric, rtol=1e-5, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")


@every_case
def test_a_batch_gives_what_a_loop_over_it_gives_and_terms_see_magnitudes_only(case):
    w = loadings(case[2], 2, 3)
    before = w.clone()
    for name, term in terms(case).items():
        value, gradient = term(w)
        assert value.shape == (2, 3), name
        assert gradient.shape == w.shape, name
        for a, b in itertools.product(range(2), range(3)):
            one_value, one_gradient = term(w[a, b])
            torch.testing.assert_close(value[a, b], one_value, rtol=1e-13, atol=1e-15)
            torch.testing.assert_close(gradient[a, b], one_gradient, rtol=1e-12, atol=1e-15)
            flipped_value, flipped_gradient = term(-w[a, b])
            assert float(one_value) == float(flipped_value), name
            torch.testing.assert_close(one_gradient, -flipped_gradient, rtol=0, atol=0)
    assert torch.equal(w, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_feature_norm_and_entropy_do_not_depend_on_the_scale_of_a_gene(dtype):
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5  # float32
    case = CASES["overlapping pathways and free components"]
    w = loadings(5, dtype=dtype)
    factor = torch.logspace(-20, 10, G, dtype=torch.float64).to(dtype)[:, None]
    for name, term in terms(case, dtype).items():
        if name != "component":
            value, gradient = term(w)
            scaled_value, scaled_gradient = term(w * factor)
            torch.testing.assert_close(scaled_value, value, rtol=tolerance, atol=0)
            torch.testing.assert_close(scaled_gradient * factor, gradient, rtol=10 * tolerance, atol=tolerance)
            # Euler: a function free of the scale of a row has no gradient along the row.
            assert float((gradient * w).sum(-1).abs().max()) < tolerance


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_component_norm_does_not_depend_on_the_scale_of_a_component(dtype):
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5  # float32
    case = CASES["overlapping pathways and free components"]
    w = loadings(5, dtype=dtype)
    factor = torch.logspace(-10, 10, 5, dtype=torch.float64).to(dtype)
    value, gradient = penalties.zero_component(w, weights_of(case, "component", dtype))
    scaled_value, scaled_gradient = penalties.zero_component(w * factor, weights_of(case, "component", dtype))
    torch.testing.assert_close(scaled_value, value, rtol=tolerance, atol=0)
    torch.testing.assert_close(scaled_gradient * factor, gradient, rtol=10 * tolerance, atol=tolerance)
    assert float((gradient * w).sum(-2).abs().max()) < tolerance


@some_penalised
def test_nan_genes_are_neither_pushed_nor_counted(case):
    penalised = torch.as_tensor(case[1])
    w = loadings(case[2])
    other = torch.where(penalised[:, None], w, 7.0 * loadings(case[2], seed=1))
    for name, term in terms(case).items():
        value, gradient = term(w)
        other_value, other_gradient = term(other)
        assert not gradient[~penalised].any(), name
        assert float(other_value) == pytest.approx(float(value), rel=1e-12, abs=1e-15), name
        torch.testing.assert_close(other_gradient, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("k", [2, 3, 17])
def test_entropy_of_even_loadings_is_ln_k_and_of_a_single_loading_zero(k):
    per_gene = torch.full((G,), 1 / G, dtype=torch.float64)
    value, gradient = penalties.entropy(torch.full((G, k), 0.2, dtype=torch.float64), per_gene)
    assert float(value) == pytest.approx(math.log(k), rel=1e-14)
    assert float(gradient.abs().max()) < 1e-14
    single = torch.zeros(G, k, dtype=torch.float64)
    single[:, 1] = -3.0
    value, gradient = penalties.entropy(single, per_gene)
    assert float(value) == pytest.approx(0.0, abs=1e-15)
    assert not gradient.any()


def test_entropy_factors_are_those_of_the_design_and_finite_for_a_single_component():
    for k in (2, 3, 42):
        assert penalties.entropy_factor("log", k) == pytest.approx(1 / math.log(k), rel=1e-15)
        assert penalties.entropy_factor("exp", k) == pytest.approx(1 / math.exp(k), rel=1e-15)
        assert penalties.entropy_factor(None, k) == 1
    assert all(math.isfinite(penalties.entropy_factor(scaling, 1)) for scaling in ("log", "exp", None))


@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_loadings_inside_their_pathways_cost_nothing(zero_norm):
    membership, penalised, k = ONE_EACH, ALL, 4
    w = torch.zeros(G, k, dtype=torch.float64)
    w[:, :3] = torch.as_tensor(membership) * torch.rand(G, 3, generator=torch.Generator().manual_seed(0)).double()
    weights = weights_of((membership, penalised, k), zero_norm)
    value, _ = (
        penalties.zero_feature(w, weights, 0.3) if zero_norm == "feature" else penalties.zero_component(w, weights)
    )
    assert float(value) == pytest.approx(0.0, abs=1e-14)


EXTREMES = [[0.0], [1e-20], [1e10], [0.0, 1.0], [0.0, 1e-20], [0.0, 1e10], [1e-20, 1.0], [1e-20, 1e10]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@every_case
def test_extreme_loadings_give_finite_values_and_gradients(case, dtype):
    k = case[2]
    for values in [*EXTREMES, [0.0, 1e-20, 1.0, 1e10]]:
        rng = np.random.default_rng(0)
        scattered = rng.choice(values, size=(G, k)) * rng.choice([-1.0, 1.0], size=(G, k))
        by_gene = np.broadcast_to(rng.choice(values, size=(G, 1)), (G, k))
        by_component = np.broadcast_to(rng.choice(values, size=(1, k)), (G, k))
        for array in (scattered, by_gene, by_component):
            w = torch.tensor(array, dtype=dtype)
            for name, term in terms(case, dtype).items():
                value, gradient = term(w)
                assert torch.isfinite(value), (name, values)
                assert torch.isfinite(gradient).all(), (name, values)
                assert gradient.shape == w.shape
                assert value.dtype == gradient.dtype == dtype
