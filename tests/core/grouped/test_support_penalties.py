"""The structural terms on a support against those of dense matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pathwayae.core.grouped import penalties
from pathwayae.core.grouped.loss import shares
from pathwayae.core.grouped.problem import Config, Problem
from pathwayae.core.grouped.support import support_of
from pathwayae.core.grouped.support_penalties import entropy, pairs_of, structure, zero_component

G, P, K = 25, 4, 6


def problem(seed=0, *, everyone=True, **config):
    rng = np.random.default_rng(seed)
    membership = rng.random((G, P)) < 0.3
    membership[-5:] = False
    penalised = np.ones(G, dtype=bool) if everyone else rng.random(G) < 0.7
    settings = Config(theta=0.3, epsilon=0.2, l1_ratio=0.4, learning_rate=0.01, max_iter=1, **config)
    chosen = rng.random((G, K)) < 0.4
    chosen[:, :P] |= membership
    chosen[:, -1] = True
    support, _ = support_of(*np.nonzero(chosen), chosen.shape)
    values = rng.normal(size=len(support.genes))
    return (
        Problem(None, sp.csc_array(membership), penalised, K, settings),
        chosen,
        support,
        values,
        0.1 * rng.normal(size=K),
    )


def both(found, chosen, support, gradient):
    """The term's own gradient next to that of the dense one, summed over the rest."""
    gradient = gradient.numpy()
    np.testing.assert_allclose(
        support.matrix(found.gradient.numpy()).toarray(), np.where(chosen, gradient, 0), atol=1e-14
    )
    np.testing.assert_allclose(found.of_rest, np.where(chosen, 0, gradient).sum(axis=0), atol=1e-13)


@pytest.mark.parametrize("everyone", [True, False])
@pytest.mark.parametrize("on_classes", [True, False])
@pytest.mark.parametrize("scaling", ["log", "exp", None])
def test_terms_are_those_of_the_dense_matrix(everyone, on_classes, scaling):
    case, chosen, support, values, rest = problem(
        everyone=everyone, entropy_on_classes=on_classes, entropy_scaling=scaling
    )
    membership = case.membership.toarray()
    full = torch.from_numpy(np.where(chosen, support.matrix(values).toarray(), rest))
    own = structure(case)
    pairs = pairs_of(support, own)
    outside = penalties.outside_weights(membership, case.penalised, K, "component")
    value, gradient = penalties.zero_component(full, torch.from_numpy(outside), torch.from_numpy(case.penalised))
    found = zero_component(torch.from_numpy(values), torch.from_numpy(rest), pairs)
    assert float(found.value) == pytest.approx(float(value), rel=1e-13)
    both(found, chosen, support, gradient)
    per_gene = penalties.entropy_weights(membership, case.penalised, on_classes=on_classes)
    weights = torch.from_numpy(per_gene * penalties.entropy_factor(scaling, K))
    value, gradient = penalties.entropy(full, weights)
    found = entropy(torch.from_numpy(values), torch.from_numpy(rest), pairs)
    assert float(found.value) == pytest.approx(float(value), rel=1e-12)
    both(found, chosen, support, gradient)


def test_where_only_one_term_exists_it_gets_all_of_theta():
    case, *_ = problem()
    nobody = np.zeros(G, dtype=bool)
    assert structure(case).shares == shares(0.3, 0.2, has_zero=True, has_entropy=True)
    none = Problem(None, case.membership, nobody, K, case.config)
    assert structure(none).shares == shares(0.3, 0.2, has_zero=False, has_entropy=False)
    everything = sp.csc_array(np.ones((G, P), dtype=bool))
    whole = Problem(None, everything, case.penalised, P, case.config)
    assert structure(whole).shares == shares(0.3, 0.2, has_zero=False, has_entropy=True)


def test_a_loading_of_zero_has_a_finite_gradient():
    case, _, support, values, _ = problem()
    pairs = pairs_of(support, structure(case))
    for term in (zero_component, entropy):
        found = term(torch.from_numpy(values * 0), torch.zeros(K, dtype=torch.float64), pairs)
        assert all(torch.isfinite(part).all() for part in found)
