"""Posterior, local FDR and calls, against planted truth, exact Bayes and naive loops."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from pathwayae import datasets
from pathwayae.core.evidence import association as assoc
from pathwayae.core.evidence import calls as deciding
from pathwayae.core.evidence import refine as refining
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.trust import heldout

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
    assert np.mean(result.annotated_share) == pytest.approx(0.7, abs=0.05)  # shares of missing and of false ones
    assert np.mean(result.false_share) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("shift", [1.5, 2.5])
def test_the_slope_is_that_of_the_log_likelihood_ratio_of_two_normal_groups(shift):
    # log N(x; s, 1)/N(x; 0, 1) = s x − s²/2
    x, _, given = planted(p=30, shift=shift)
    assert refining.refine(x, given).slopes.mean() == pytest.approx(shift, rel=0.1)


def test_prior_and_evidence_add_up_to_the_posterior(weighed):
    _, _, given, result = weighed
    np.testing.assert_allclose(result.posterior, expit(result.prior + result.evidence), rtol=0, atol=1e-12)
    nearest = np.where(given & (result.posterior < 0.5), result.posterior, 1.0 - result.posterior)
    np.testing.assert_allclose(result.local_fdr, nearest, rtol=0, atol=1e-15)
    outside = 1.0 - result.posterior  # weights of f0 on the genes: the density of members integrates to one
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


@pytest.mark.parametrize(("fdr", "shift"), [(0.05, 4.0), (0.2, 3.0)])
def test_calls_are_wrong_about_as_often_as_the_rate_says(fdr, shift):
    kinds = (deciding.CONFIRMED, deciding.ADDED, deciding.DROPPED)
    wrong, total, possible = np.zeros(4), np.zeros(4), np.zeros(4)
    for seed in range(6):
        x, true, given = planted(p=8, seed=seed, shift=shift)
        codes = deciding.calls(given, refining.refine(x, given).posterior, fdr=fdr)
        best = deciding.calls(given, exact(x, true, given, shift)[0], fdr=fdr)
        assert not (codes[given] == deciding.ADDED).any()
        assert not np.isin(codes[~given], (deciding.CONFIRMED, deciding.DROPPED)).any()
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


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_added_or_dropped_where_the_data_know_nothing(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 400))
    x -= x.mean(axis=0)
    given = rng.random((400, 10)) < 0.08
    prepared = assoc.prepare(x.T @ x)
    codes = deciding.calls(given, refining.refine(assoc.association(prepared, given), given).posterior)
    assert (codes == deciding.UNDECIDED).all()
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
    assert average_precision_score(true, helped.posterior) > average_precision_score(true, plain.posterior)


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_programs_are_recovered_from_moments_alone(seed):
    adata = datasets.simulate(1500, 500, 8, random_state=seed)
    true, given = adata.varm["true_loadings"].to_numpy() > 0, adata.varm["pathways"].to_numpy()
    data = accumulate(adata.X)
    gram = data.standardize(scale="unit").gram
    prepared = assoc.prepare(gram)
    covariates = assoc.visibility(prepared, data.mean, data.variance)
    result = refining.refine(assoc.association(prepared, given), given, covariates=covariates)
    precision = [average_precision_score(true[:, j], result.posterior[:, j]) for j in range(8)]
    assert np.mean(precision) >= 0.98
    codes = deciding.calls(given, result.posterior)
    assert (~true[codes == deciding.ADDED]).mean() <= 0.05
    assert (true & (codes == deciding.ADDED)).sum() >= 0.8 * (true & ~given).sum()
    # A set in which three of ten genes are false reaches 1 · 0.7 + 0.5 · 0.3 at best.
    assert np.median(heldout.held_out_auc(prepared, given)) > 0.8


# One step of EM, written out gene by gene.


def problem(g=1300, p=4, n_covariates=2, seed=0, second=0.6):
    """Two views that share some noise, the second one higher or lower for members; annotations with mistakes."""
    x, true, given = planted(g=g, p=p, seed=seed, shift=2.0)
    rng = np.random.default_rng(seed + 1)
    noise = x[:, :, 0] - 2.0 * true
    other = 2.0 * second * true + 0.5 * noise + rng.normal(size=noise.shape)
    x = np.stack([x[:, :, 0], other], axis=2)
    return x, given, rng.normal(size=(g, n_covariates))


AGAINST = -0.5  # of the second view, which then speaks against membership


def start(given, n_views, n_covariates):
    """Coefficients, α and false share before the first step."""
    g, p = given.shape
    share = given.sum(axis=0) / g
    b = np.zeros((p, n_views + n_covariates + 1))
    b[:, :n_views], b[:, -1] = 1 / n_views, np.log(share / (1 - share)) - 1
    return b, np.full(p, 0.8), np.full(p, 0.2)


def regression(x, given, seen, b, alpha, false):
    """Posteriors, gradients and Hessians of the regression, pathway by pathway."""
    found = []
    for j in range(given.shape[1]):
        n, g = given[:, j].sum(), len(given)
        members = (1 - false[j]) * n / alpha[j]
        beta = false[j] * n / (g - members)
        rows = np.column_stack([x[:, j], seen, np.ones(g)])
        annotation = np.where(given[:, j], np.log(alpha[j] / beta), np.log((1 - alpha[j]) / (1 - beta)))
        r, fitted = expit(rows @ b[j] + annotation), expit(rows @ b[j])
        found.append((r, rows.T @ (r - fitted), (rows.T * (fitted * (1 - fitted))) @ rows))
    return found


@pytest.mark.parametrize("second", [0.6, AGAINST])
def test_a_pooled_step_solves_for_all_pathways_and_their_centre_at_once(second):
    x, given, seen = problem(second=second)
    b, alpha, false = start(given, 2, 2)
    p, k = b.shape
    ridge = np.diag([20.0] * 4 + [0.0])
    # Unknown are the coefficients after the step of all pathways, those of the views not below 0, and the centre μ,
    # which is drawn to 0: least is Σ (½ δᵀHδ − gradientᵀδ + ½ (b + δ − μ)ᵀR(b + δ − μ)) + 0.05 μᵀμ.
    matrix, right = np.zeros(((p + 1) * k, (p + 1) * k)), np.zeros((p + 1) * k)
    last = slice(p * k, (p + 1) * k)
    for j, (_, gradient, hessian) in enumerate(regression(x, given, seen, b, alpha, false)):
        own = slice(j * k, (j + 1) * k)
        hessian = hessian + np.diag([0.0] * 4 + [1e-6])
        matrix[own, own] = hessian + ridge
        matrix[own, last], matrix[last, own] = -ridge, -ridge
        right[own] = gradient + hessian @ b[j]
    matrix[last, last] = p * ridge + 0.1 * np.eye(k)
    root = np.linalg.cholesky(matrix)
    lowest = np.append(np.tile([0.0, 0.0, -np.inf, -np.inf, -np.inf], p), np.full(k, -np.inf))
    # The intercept has no curvature but its Hessian, hence the small tolerance.
    step = lsq_linear(root.T, np.linalg.solve(root, right), (lowest, np.full(len(lowest), np.inf)), tol=1e-14)
    expected = b + np.clip(step.x[: p * k].reshape(p, k) - b, -1, 1)
    found = refining.refine(x, given, covariates=seen, max_iter=1)
    np.testing.assert_allclose(found.slopes, expected[:, :2], rtol=0, atol=1e-6)
    assert found.n_iterations == 1
    assert (found.slopes[:, 1] == 0).all() == (second == AGAINST)


@pytest.mark.parametrize("second", [0.6, AGAINST])
def test_by_itself_a_pathway_ends_where_no_coefficient_and_no_share_would_move(second):
    x, given, seen = problem(second=second)
    found = refining.refine(x, given, covariates=seen, pooled=False, max_iter=3000, tolerance=1e-13)
    prior = np.array([refining.WORTH_PRECISION] * 2 + [refining.COVARIATE_PRECISION] * 2)
    centre = np.array([refining.WORTH] * 2 + [0.0] * 2)
    for j in range(given.shape[1]):
        r, yes = found.posterior[:, j], given[:, j]
        assert found.annotated_share[j] == pytest.approx((r[yes].sum() + 8) / (r.sum() + 10), abs=1e-9)
        assert found.false_share[j] == pytest.approx((yes.sum() - r[yes].sum() + 2) / (yes.sum() + 10), abs=1e-9)
        # Log-odds are linear in views, covariates and the annotation, and give back the coefficients.
        odds = found.prior[:, j] + found.evidence[:, j]
        rows = np.column_stack([x[:, j], seen, np.ones(len(r)), yes])
        b, *_ = np.linalg.lstsq(rows, odds, rcond=None)
        np.testing.assert_allclose(b[:2], found.slopes[j], rtol=0, atol=1e-9)
        n, g = yes.sum(), len(yes)
        beta = found.false_share[j] * n / (g - (1 - found.false_share[j]) * n / found.annotated_share[j])
        silent = np.log((1 - found.annotated_share[j]) / (1 - beta))
        assert b[5] == pytest.approx(np.log(found.annotated_share[j] / beta) - silent, abs=1e-8)
        # The gradient of the penalised likelihood is 0, or points below 0 for a view that is held there.
        fitted = expit(odds - silent - b[5] * yes)
        gradient = rows[:, :5].T @ (r - fitted) - np.append(prior * (b[:4] - centre), 0.0)
        held = found.slopes[j] == 0
        np.testing.assert_allclose(np.delete(gradient, np.flatnonzero(held)), 0.0, atol=1e-4)
        assert (gradient[:2][held] < -1.0).all()
        assert held.tolist() == [False, second == AGAINST]


def test_by_itself_a_pathway_is_the_same_in_any_company(monkeypatch):
    x, given, seen = problem(p=50)
    whole = refining.refine(x, given, covariates=seen, pooled=False)
    monkeypatch.setattr(refining, "VALUES", 10_000)  # neither does it matter how much is worked on at a time
    for some in ([7], [7, 3, 0, 49, 12], list(range(50))):
        part = refining.refine(x[:, some], given[:, some], covariates=seen, pooled=False)
        for field in ("prior", "evidence", "posterior", "local_fdr"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[:, some])
        for field in ("annotated_share", "false_share", "slopes"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[some])
        assert part.n_iterations <= whole.n_iterations


def test_pooled_results_do_not_depend_on_how_much_is_worked_on_at_a_time(monkeypatch):
    x, given, seen = problem(p=6)
    whole = refining.refine(x, given, covariates=seen)
    monkeypatch.setattr(refining, "VALUES", 5_000)
    for field, part in zip(whole._fields, refining.refine(x, given, covariates=seen), strict=True):
        np.testing.assert_array_equal(part, getattr(whole, field))


def test_a_view_that_repeats_another_adds_nothing():
    # Copies that differ by a little noise: their difference is no evidence, whichever of the two is held at 0.
    rng = np.random.default_rng(2)
    x, _, given = planted(shift=1.5)
    twice = np.concatenate([x, x + 0.05 * rng.normal(size=x.shape)], axis=2)
    once, both = refining.refine(x, given), refining.refine(twice, given)
    assert both.slopes.sum(axis=1).mean() == pytest.approx(once.slopes.mean(), rel=0.05)
    assert np.abs(both.posterior - once.posterior).max() < 0.05


def test_pathways_that_agree_lend_each_other_strength():
    # Forty clear pathways say what a unit of association is worth to one of five genes.
    x, true, given = planted(p=41, shift=3.0)
    few = np.flatnonzero(true[:, 40] & given[:, 40])[:5]
    given[:, 40], true[:, 40] = False, False
    given[few, 40], true[few, 40] = True, True
    x[:, 40, 0] = np.where(true[:, 40], 3.0, 0.0) + np.random.default_rng(3).normal(size=len(x))
    pooled, alone = (refining.refine(x, given, pooled=pooled) for pooled in (True, False))
    assert abs(pooled.slopes[40, 0] - 3.0) < abs(alone.slopes[40, 0] - 3.0)
    assert pooled.slopes[:40].std() < alone.slopes[:40].std()


def test_by_itself_the_posterior_is_near_that_of_bayes_too():
    for shift in (3.0, 4.0):
        x, true, given = planted(shift=shift)
        result = refining.refine(x, given, pooled=False)
        assert np.abs(result.posterior - exact(x, true, given, shift)[0]).mean() < 0.006
        assert result.slopes.mean() == pytest.approx(shift, rel=0.15)


def test_without_a_step_the_start_is_weighed():
    x, given, seen = problem()
    b, alpha, false = start(given, 2, 2)
    expected = [r for r, _, _ in regression(x, given, seen, b, alpha, false)]
    for pooled in (True, False):
        found = refining.refine(x, given, covariates=seen, pooled=pooled, max_iter=0)
        np.testing.assert_allclose(found.posterior.T, expected, rtol=0, atol=1e-12)
        assert found.n_iterations == 0


def naive_calls(member, posterior, fdr, drops=1.0):
    codes = np.zeros(member.shape, dtype=int)
    families = (
        (deciding.CONFIRMED, member & (posterior >= 0.5), 1 - posterior),
        (deciding.ADDED, ~member & (posterior >= 0.5), 1 - posterior),
        (deciding.DROPPED, member & (posterior < 0.5), posterior),
    )
    for code, family, error in families:
        pairs = sorted(zip(*np.nonzero(family), strict=True), key=lambda pair: error[pair])
        best = 0
        for count in range(1, len(pairs) + 1):
            if np.mean([error[pair] for pair in pairs[:count]]) <= fdr * (drops if code == deciding.DROPPED else 1.0):
                best = count
        for pair in pairs[:best]:
            codes[pair] = code
    return codes


def test_calls_take_as_many_as_keep_the_mean_error_at_the_rate():
    rng = np.random.default_rng(7)
    member, posterior = rng.random((60, 5)) < 0.4, rng.beta(0.3, 0.3, size=(60, 5))
    for fdr in (0.0, 0.01, 0.1, 0.5, 1.0):
        np.testing.assert_array_equal(deciding.calls(member, posterior, fdr=fdr), naive_calls(member, posterior, fdr))
        fewer = deciding.calls(member, posterior, fdr=fdr, drops=0.1)
        np.testing.assert_array_equal(fewer, naive_calls(member, posterior, fdr, drops=0.1))
    with pytest.raises(ValueError, match=r"fdr=1\.5"):
        deciding.calls(member, posterior, fdr=1.5)


def test_evidence_against_the_decision_leaves_it_undecided_and_equal_posteriors_get_equal_calls():
    # One 0.8 would do (mean error 0.1), all three do not (0.15): none is taken.
    codes = deciding.calls(np.ones((4, 1), dtype=bool), np.array([[1.0], [0.8], [0.8], [0.8]]), fdr=0.12)
    assert codes.ravel().tolist() == [deciding.CONFIRMED, 0, 0, 0]
    member = np.array([[True], [True], [True], [True], [False], [False]])
    posterior = np.array([[0.99], [0.99], [0.01], [0.01], [0.99], [0.99]])
    evidence = np.array([[2.0], [-0.1], [0.1], [-3.0], [9.0], [0.0]])
    codes = deciding.calls(member, posterior, evidence=evidence)
    assert [deciding.CALLS[code] for code in codes.ravel()] == [
        "confirmed", "undecided", "undecided", "dropped", "added", "undecided"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(associations=a["associations"][:, :1]), "associations have shape"),
        (lambda a: a.update(covariates=np.zeros((50, 4, 1))), "covariates have shape"),
        (lambda a: a.update(covariates=np.full((50, 1), np.inf)), "not finite"),
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


@pytest.mark.parametrize("n_covariates", [0, 2])
def test_the_posterior_alone_is_that_of_the_whole_refinement_without_a_pool(n_covariates):
    rng = np.random.default_rng(11)
    x, member, seen = rng.normal(size=(700, 9, 2)), rng.random((700, 9)) < 0.1, rng.normal(size=(700, n_covariates))
    views, sets = np.ascontiguousarray(x.transpose(1, 2, 0)), np.ascontiguousarray(member.T)
    before = views.copy()
    whole = refining.refine(x, member, covariates=seen, pooled=False).posterior
    np.testing.assert_allclose(refining.posterior_alone(views, sets, seen)[0], whole.T, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(views, before)
    one, _ = refining.posterior_alone(views[4:5], sets[4:5], seen)
    np.testing.assert_allclose(one[0], whole[:, 4], rtol=0, atol=1e-12)


def weighed_with_silent(n_cells, silent, seed):
    """Twenty programs (four, if most sets are silent) on a panel of 300 genes, beside sets of random genes."""
    p = 4 if silent > 0.5 else 20
    adata = datasets.simulate(n_cells, 300, p, n_silent=round(p * silent / (1 - silent)), random_state=seed)
    x = adata.X.toarray().astype(float)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    centred = (x - mean)[:, variance > 0]
    given = adata.varm["pathways"].to_numpy().astype(bool)[variance > 0]
    true = np.zeros_like(given)
    true[:, :p] = (adata.varm["true_loadings"].to_numpy() > 0)[variance > 0]
    mean, variance = mean[variance > 0], variance[variance > 0]
    prepared = assoc.prepare(centred.T @ centred)
    seen = assoc.visibility(prepared, mean, variance)
    strata = heldout.expression_strata(mean)
    auc = heldout.held_out_auc(prepared, given, strata=strata)
    carried = deciding.carried(heldout.against_chance(prepared, given, auc, strata=strata).pvalue, 0.05)
    x = assoc.association(prepared, given, even=True)
    return true, given, carried, [refining.refine(x, given, covariates=seen, apart=some) for some in (carried, None)]


@pytest.mark.parametrize(("n_cells", "silent"), [(150, 0.0), (150, 0.5), (1000, 0.8)])
def test_rates_hold_where_many_sets_are_silent(n_cells, silent):
    shares, before, found = [], np.zeros(2), np.zeros((2, 2))
    for seed in range(3):
        true, given, carried, results = weighed_with_silent(n_cells, silent, seed)
        codes, together = (
            deciding.calls(given, one.posterior, evidence=one.evidence, fdr=0.05 * deciding.GENES, among=carried)
            for one in results
        )
        assert not codes[:, ~carried].any()
        shares.append([(~true)[codes == code].mean() for code in (deciding.CONFIRMED, deciding.ADDED)])
        ungated = deciding.calls(given, results[1].posterior, evidence=results[1].evidence) == deciding.CONFIRMED
        before += (~true)[ungated].sum(), ungated.sum()
        found += [
            [(true & (one == code)).sum() for code in (deciding.CONFIRMED, deciding.ADDED)] for one in (codes, together)
        ]
    mean, error = np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(3)
    assert (mean <= 0.05 + error).all()
    if silent:
        assert before[0] / before[1] > 0.15  # what is confirmed where no pathway is asked whether it is carried
        assert found[0, 1] > 1.5 * found[1, 1]  # what silent pathways in the same pool would cost of the added ones


def test_pathways_apart_are_weighed_as_if_the_others_were_not_there():
    true, given, _, _ = weighed_with_silent(150, 0.5, 0)
    x = np.random.default_rng(0).normal(size=(*given.shape, 2)) + true[:, :, None]
    apart = np.arange(given.shape[1]) % 3 == 0
    whole = refining.refine(x, given, apart=apart)
    for some in (apart, ~apart):
        part = refining.refine(x[:, some], given[:, some])
        np.testing.assert_array_equal(whole.posterior[:, some], part.posterior)
        np.testing.assert_array_equal(whole.slopes[some], part.slopes)
    everyone = refining.refine(x, given, apart=np.ones(len(apart), dtype=bool))
    np.testing.assert_array_equal(everyone.evidence, refining.refine(x, given).evidence)


def test_pathways_take_a_fifth_of_the_rate():
    pvalue = np.array([0.001, 0.005, np.nan, 0.0051, 0.9])
    assert deciding.carried(pvalue, 0.05).tolist() == [True, True, False, True, False]  # 3 of 4: 0.0068
    assert deciding.carried(pvalue, 0.03).tolist() == [True, False, False, False, False]


def test_a_missing_member_looks_no_better_than_one_that_is_annotated():
    rng = np.random.default_rng(1)
    member = np.arange(200) < 30
    differences = []
    for _ in range(15):
        x = rng.normal(size=(100, 200))
        x[:, member] += rng.normal(size=(100, 1))
        given = (member & (rng.random(200) < 0.5))[:, None]
        prepared = assoc.prepare((x - x.mean(axis=0)).T @ (x - x.mean(axis=0)))
        views = [assoc.association(prepared, given, even=even)[:, 0, 1] for even in (False, True)]
        differences.append([view[member & ~given[:, 0]].mean() - view[member & given[:, 0]].mean() for view in views])
    uneven, even = np.mean(differences, axis=0)
    assert uneven > 0.1
    assert abs(even) < 0.4 * uneven
