"""Members that the annotation lacks are earned by evidence and few in number: bounds, order, planted cell types."""

import numpy as np
import pytest
from scipy.special import expit, logit

from pathwayae.core.evidence import additions
from pathwayae.core.evidence import refine as refining


def weighed(named=45, members=60, shift=5.0, seed=0, g=400):
    """One view of a pathway that names so many of its members, one that names all of another's, and what is found."""
    rng = np.random.default_rng(seed)
    true = np.column_stack([np.arange(g) < members, (np.arange(g) >= 100) & (np.arange(g) < 150)])
    given = true.copy()
    given[named:members, 0] = False
    x = np.where(true, shift, 0.0) + rng.normal(size=true.shape)
    seen = rng.normal(size=(g, 1)) + 2.0 * true.any(axis=1)[:, None]
    return true, given, refining.refine(x[:, :, None], given, covariates=(seen - seen.mean()) / seen.std())


def naive(result, given):
    """Priors by a search over small steps, gene by gene."""
    prior = result.prior.copy()
    for j in range(given.shape[1]):
        out = ~given[:, j]
        prior[out, j] = np.minimum(prior[out, j], logit(result.posterior[out, j].mean()))
        order = sorted(range(len(given)), key=lambda i: -result.evidence[i, j])
        lowered, step = 0.0, 1e-3
        while True:
            expected, named, fits = 0.0, 0, True
            for m, i in enumerate(order, start=1):
                named += given[i, j]
                if out[i]:
                    expected += expit(prior[i, j] - lowered + result.evidence[i, j])
                if m >= max(np.ceil(given[:, j].sum() / 2), 5) and expected > max(named, 0.5):
                    fits = False
                    break
            if fits:
                break
            lowered += step
        prior[out, j] -= lowered
    return prior


@pytest.mark.parametrize("named", [25, 45])
def test_priors_are_those_of_a_search_in_small_steps(named):
    _, given, result = weighed(named, g=200)
    found = additions.earned(result, given)
    np.testing.assert_allclose(found.prior, naive(result, given), rtol=0, atol=1.1e-3)
    assert (result.prior[:, 0][~given[:, 0]] - found.prior[:, 0][~given[:, 0]]).max() > 0.1


def test_only_genes_outside_are_lowered_and_their_parts_still_add_up():
    _, given, result = weighed(25)
    before = [values.copy() for values in result[:4]]
    found = additions.earned(result, given)
    for values, same in zip(result[:4], before, strict=True):
        np.testing.assert_array_equal(values, same)
    for field in ("prior", "posterior", "local_fdr"):
        np.testing.assert_allclose(getattr(found, field)[given], getattr(result, field)[given], rtol=1e-12)
        sign = -1.0 if field == "local_fdr" else 1.0
        assert (sign * (getattr(result, field) - getattr(found, field))[~given] >= -1e-12).all()
    np.testing.assert_allclose(found.posterior, expit(found.prior + found.evidence), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.evidence, result.evidence)
    nearest = np.where(given & (found.posterior < 0.5), found.posterior, 1.0 - found.posterior)
    np.testing.assert_array_equal(found.local_fdr, nearest)


def test_a_pathway_that_names_most_of_what_the_cells_show_gains_the_rest_and_one_that_names_a_third_nothing():
    for named, gained in ((45, True), (20, False)):
        true, given, result = weighed(named)
        found = additions.earned(result, given)
        missing = true[:, 0] & ~given[:, 0]
        assert (result.posterior[missing, 0] > 0.9).mean() > 0.8
        assert ((found.posterior[missing, 0] > 0.9).mean() > 0.8) == gained
        assert found.posterior[~given[:, 0], 0].sum() <= max(given[:, 0].sum(), 0.5) + 1e-3


def test_visibility_alone_makes_no_member():
    _, given, result = weighed()
    found = additions.earned(result, given)
    for j in range(2):
        out = ~given[:, j]
        assert (found.prior[out, j] <= logit(result.posterior[out, j].mean()) + 1e-12).all()
        assert (found.posterior[out & (found.evidence[:, j] <= 0), j] <= result.posterior[out, j].mean() + 1e-12).all()


def test_order_of_genes_and_pathways_changes_nothing_and_tiny_pathways_pass():
    _, given, result = weighed(25)
    genes = np.random.default_rng(1).permutation(len(given))
    swapped = refining.Refinement(*(values[genes][:, ::-1] for values in result[:4]), *result[4:])
    whole, found = additions.earned(result, given), additions.earned(swapped, given[genes][:, ::-1])
    np.testing.assert_allclose(found.posterior, whole.posterior[genes][:, ::-1], rtol=1e-9)
    alone = np.zeros((6, 1), dtype=bool)
    alone[5] = True  # the weakest: nothing that is named stands behind the strongest
    odds = np.array([[9.0], [8.0], [7.0], [6.0], [5.0], [-9.0]])
    zero = np.zeros((6, 1))
    tiny = refining.Refinement(zero, odds, expit(odds), expit(-odds), *(np.ones(1),) * 2, np.ones((1, 1)), 1)
    assert additions.earned(tiny, alone).posterior[:5].sum() <= additions.ROOM + 1e-6
