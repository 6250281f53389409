"""Posterior, local FDR and calls, against planted truth, exact Bayes and naive loops."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from pathwayae import datasets
from pathwayae.core import association as assoc
from pathwayae.core import heldout
from pathwayae.core import refine as refining
from pathwayae.core.moments import accumulate

SHIFT = 4.0


def planted(g=1500, p=12, seed=0, missing=0.3, false=0.25, shift=SHIFT):
    """One view, N(shift, 1) for 60 true members and N(0, 1) for others; annotations with mistakes."""
    rng = np.random.default_rng(seed)
    true, given = np.zeros((g, p), dtype=bool), np.zeros((g, p), dtype=bool)
    for j in range(p):
        genes = rng.permutation(g)
        members, others = genes[:60], genes[60:]
        true[members, j] = True
        kept = round(60 * (1 - missing))
        given[members[:kept], j] = True
        given[others[: round(kept * false / (1 - false))], j] = True
    x = np.where(true, shift, 0.0) + rng.normal(size=(g, p))
    return x[:, :, None], true, given


def exact(x, true, given, shift=SHIFT):
    """Bayes' posterior with the densities and shares that the data were drawn from, and the density ratio."""
    share = true.mean()
    ratio = norm.pdf(x[:, :, 0], shift) / norm.pdf(x[:, :, 0])
    yes = (given & true).sum() / true.sum(), (given & ~true).sum() / (~true).sum()
    odds = share / (1 - share) * ratio * np.where(given, yes[0] / yes[1], (1 - yes[0]) / (1 - yes[1]))
    return odds / (1 + odds), ratio


@pytest.fixture(scope="module")
def weighed():
    x, true, given = planted()
    return x, true, given, refining.refine(x, given)


def test_the_posterior_is_that_of_bayes_with_the_densities_the_data_were_drawn_from(weighed):
    x, true, given, result = weighed
    posterior, ratio = exact(x, true, given)
    assert np.abs(result.posterior - posterior).mean() < 0.005
    assert np.corrcoef(result.evidence.ravel(), np.log(ratio).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("shift", [1.5, 2.0, 2.5])
def test_the_slope_is_that_of_the_log_likelihood_ratio_of_two_normal_groups(shift):
    # log N(x; s, 1)/N(x; 0, 1) = s x − s²/2
    x, _, given = planted(p=30, shift=shift)
    assert refining.refine(x, given).slopes.mean() == pytest.approx(shift, rel=0.1)


def test_shares_of_missing_and_false_annotations_are_found(weighed):
    _, _, _, result = weighed
    assert np.mean(result.annotated_share) == pytest.approx(0.7, abs=0.05)
    assert np.mean(result.false_share) == pytest.approx(0.25, abs=0.05)


def test_prior_and_evidence_add_up_to_the_posterior(weighed):
    _, _, given, result = weighed
    np.testing.assert_allclose(result.posterior, expit(result.prior + result.evidence), rtol=0, atol=1e-12)
    nearest = np.where(given & (result.posterior < 0.5), result.posterior, 1.0 - result.posterior)
    np.testing.assert_allclose(result.local_fdr, nearest, rtol=0, atol=1e-15)


def test_the_density_of_members_integrates_to_one(weighed):
    *_, result = weighed
    outside = 1.0 - result.posterior  # weights of f0 on the genes
    mass = (outside * np.exp(result.evidence)).sum(axis=0) / outside.sum(axis=0)
    np.testing.assert_allclose(mass, 1.0, rtol=1e-9)


def test_an_annotation_raises_the_prior_and_with_it_the_posterior(weighed):
    x, _, given, result = weighed
    for j in range(given.shape[1]):
        yes, no = result.prior[given[:, j], j], result.prior[~given[:, j], j]
        assert np.ptp(yes) < 1e-9
        assert np.ptp(no) < 1e-9
        assert yes[0] > no[0] + 1.0
    # With more association, the same annotation and the same pathway, a posterior is never lower.
    order = np.argsort(x[:, 0, 0])
    for group in (given[order, 0], ~given[order, 0]):
        assert (np.diff(result.posterior[order, 0][group]) >= 0).all()


@pytest.mark.parametrize("fdr", [0.05, 0.2])
@pytest.mark.parametrize("shift", [3.0, 4.0])
def test_calls_are_wrong_about_as_often_as_the_rate_says(fdr, shift):
    kinds = (refining.CONFIRMED, refining.ADDED, refining.DROPPED)
    wrong, total, possible = np.zeros(4), np.zeros(4), np.zeros(4)
    for seed in range(6):
        x, true, given = planted(p=8, seed=seed, shift=shift)
        codes = refining.calls(given, refining.refine(x, given).posterior, fdr=fdr)
        best = refining.calls(given, exact(x, true, given, shift)[0], fdr=fdr)
        assert not (codes[given] == refining.ADDED).any()
        assert not np.isin(codes[~given], (refining.CONFIRMED, refining.DROPPED)).any()
        for code, error in zip(kinds, (~true, ~true, true), strict=True):
            wrong[code] += error[codes == code].sum()
            total[code] += (codes == code).sum()
            possible[code] += (best == code).sum()
    # Within three standard errors of the rate, over hundreds of decisions of each kind.
    rate = wrong[1:] / total[1:]
    assert (total[1:] > 200).all()
    assert (rate <= fdr + 3 * np.sqrt(fdr * (1 - fdr) / total[1:])).all()
    # Not by being timid: most of what can be said by whoever knows the densities is said.
    assert (total[1:] >= 0.7 * possible[1:]).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_added_or_dropped_where_the_data_know_nothing(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 400))
    x -= x.mean(axis=0)
    given = rng.random((400, 10)) < 0.08
    prepared = assoc.prepare(x.T @ x)
    codes = refining.calls(given, refining.refine(assoc.association(prepared, given), given).posterior)
    assert (codes == refining.UNDECIDED).all()
    # 32 genes against 368, every pair of hidden genes counting twice: a standard deviation of 0.075 per pathway.
    assert abs(heldout.held_out_auc(prepared, given).mean() - 0.5) < 3 * 0.075 / np.sqrt(10)


def test_the_order_of_genes_and_pathways_changes_nothing(weighed):
    x, _, given, result = weighed
    rng = np.random.default_rng(5)
    genes, pathways = rng.permutation(len(x)), rng.permutation(x.shape[1])
    shuffled = refining.refine(x[genes][:, pathways], given[genes][:, pathways])
    for field in ("prior", "evidence", "posterior", "local_fdr"):
        expected = getattr(result, field)[genes][:, pathways]
        np.testing.assert_allclose(getattr(shuffled, field), expected, rtol=1e-6, atol=1e-8)


def test_a_covariate_enters_the_prior_alone():
    x, true, given = planted(shift=1.0)
    rng = np.random.default_rng(6)
    hint = 1.5 * true.any(axis=1) + rng.normal(size=len(true))
    hint = ((hint - hint.mean()) / hint.std())[:, None]
    plain, helped = refining.refine(x, given), refining.refine(x, given, covariates=hint)
    assert np.corrcoef(helped.prior[~given[:, 0], 0], hint[~given[:, 0], 0])[0, 1] > 0.999
    np.testing.assert_allclose(
        helped.evidence, refining.refine(x, given, covariates=np.repeat(hint[:, None], 12, axis=1)).evidence
    )
    assert average_precision_score(true, helped.posterior) > average_precision_score(true, plain.posterior)


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_programs_are_recovered_from_moments_alone(seed):
    adata = datasets.simulate(1500, 500, 8, random_state=seed)
    true, given = adata.varm["true_loadings"].to_numpy() > 0, adata.varm["pathways"].to_numpy()
    data = accumulate(adata.X)
    gram = data.standardize(scale="unit").gram
    prepared = assoc.prepare(gram)
    covariates = assoc.visibility(gram, data.mean, data.variance)
    result = refining.refine(assoc.association(prepared, given), given, covariates=covariates)
    precision = [average_precision_score(true[:, j], result.posterior[:, j]) for j in range(8)]
    assert np.mean(precision) >= 0.98
    codes = refining.calls(given, result.posterior)
    assert (~true[codes == refining.ADDED]).mean() <= 0.05
    assert (true & (codes == refining.ADDED)).sum() >= 0.8 * (true & ~given).sum()
    # A set in which three of ten genes are false reaches 1 · 0.7 + 0.5 · 0.3 at best.
    assert np.median(heldout.held_out_auc(prepared, given)) > 0.8


def naive_calls(member, posterior, fdr):
    codes = np.zeros(member.shape, dtype=int)
    families = (
        (refining.CONFIRMED, member & (posterior >= 0.5), 1 - posterior),
        (refining.ADDED, ~member & (posterior >= 0.5), 1 - posterior),
        (refining.DROPPED, member & (posterior < 0.5), posterior),
    )
    for code, family, error in families:
        pairs = sorted(zip(*np.nonzero(family), strict=True), key=lambda pair: error[pair])
        best = 0
        for count in range(1, len(pairs) + 1):
            if np.mean([error[pair] for pair in pairs[:count]]) <= fdr:
                best = count
        for pair in pairs[:best]:
            codes[pair] = code
    return codes


@pytest.mark.parametrize("fdr", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_calls_take_as_many_as_keep_the_mean_error_at_the_rate(fdr):
    rng = np.random.default_rng(7)
    member, posterior = rng.random((60, 5)) < 0.4, rng.beta(0.3, 0.3, size=(60, 5))
    np.testing.assert_array_equal(refining.calls(member, posterior, fdr=fdr), naive_calls(member, posterior, fdr))


def test_evidence_against_the_decision_leaves_it_undecided():
    member = np.array([[True], [True], [True], [True], [False], [False]])
    posterior = np.array([[0.99], [0.99], [0.01], [0.01], [0.99], [0.99]])
    evidence = np.array([[2.0], [-0.1], [0.1], [-3.0], [9.0], [0.0]])
    codes = refining.calls(member, posterior, evidence=evidence)
    assert [refining.CALLS[code] for code in codes.ravel()] == [
        "confirmed", "undecided", "undecided", "dropped", "added", "undecided"
    ]  # fmt: skip


def test_equal_posteriors_get_equal_calls():
    member = np.ones((4, 1), dtype=bool)
    codes = refining.calls(member, np.array([[1.0], [0.8], [0.8], [0.8]]), fdr=0.12)
    # One 0.8 would do (mean error 0.1), all three do not (0.15): none is taken.
    assert codes.ravel().tolist() == [refining.CONFIRMED, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(associations=a["associations"][:, :1]), "associations have shape"),
        (lambda a: a.update(covariates=np.zeros((3, 1))), "covariates have shape"),
        (lambda a: a["associations"].__setitem__((0, 0, 0), np.nan), "not finite"),
        (lambda a: a["membership"].__setitem__((slice(None), 1), False), "Pathway 1 has 0 of 50"),
        (lambda a: a["membership"].__setitem__((slice(None), 2), True), "Pathway 2 has 50 of 50"),
    ],
)
def test_what_cannot_be_weighed_is_refused(change, message):
    rng = np.random.default_rng(10)
    arguments = {"associations": rng.normal(size=(50, 4, 2)), "membership": rng.random((50, 4)) < 0.5}
    change(arguments)
    with pytest.raises(ValueError, match=message):
        refining.refine(**arguments)


def test_rates_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"fdr=1\.5"):
        refining.calls(np.ones((2, 1), dtype=bool), np.ones((2, 1)), fdr=1.5)
