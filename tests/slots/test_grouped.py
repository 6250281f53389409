"""A fit read back from its slots, and moments of its genes."""

import flat
import numpy as np
import pytest

import pathwayae as pae
from pathwayae._slots.grouped import fitted
from pathwayae.core.grouped.fit import Config
from pathwayae.core.grouped.fit import fit as fit_again
from pathwayae.tl._grouped.moments import moments_of, standardize

CLASSIC = {"scores": "projection", "balance": False, "init": "membership", "dropout": 0.0}
KINDS = [{}, {"scores": "least_squares", "balance": False}, CLASSIC]
every_kind = pytest.mark.parametrize("cells", KINDS, indirect=True, ids=str)


@pytest.fixture
def cells(request):
    options = getattr(request, "param", {})
    adata = pae.datasets.simulate(400, 150, 3, n_donors=3)
    adata.var["keep"] = np.arange(adata.n_vars) != 7
    flat.fit(adata, "pathways", mask_var="keep", n_extra=2, progress=False, **options)
    return adata


@every_kind
def test_scores_follow_from_what_is_read_back(cells):
    model = fitted(cells, "pae")
    values = cells.X.toarray()[:, model.genes].astype(float)
    np.testing.assert_allclose((values - model.mean) / model.scale @ model.encoder, cells.obsm["X_pae"], atol=1e-4)
    assert list(model.names) == sorted(cells.var_names[cells.var["keep"]])
    assert (model.n_pathways, model.membership.shape, len(model.components)) == (3, (149, 3), 5)
    np.testing.assert_array_equal(
        model.membership.toarray(), cells.varm["pathways"].to_numpy()[model.genes].astype(bool)
    )


def test_the_settings_of_the_fit_come_back_some_of_them_changed(cells):
    config = fitted(cells, "pae").config(random_state=5, device="cpu")
    assert isinstance(config, Config)
    assert (config.scores, config.balance, config.random_state, config.device) == ("members", True, 5, "cpu")
    own = {"theta": 0.2, "dropout": 0.5, "max_iter": 40}
    flat.fit(cells, "pathways", n_extra=2, scores="projection", progress=False, **own)
    config = fitted(cells, "pae").config(random_state=5, device="cpu")
    assert (config.theta, config.dropout, config.max_iter) == (0.2, 0.5, 40)
    assert (config.scores, config.balance, config.start, config.random_state) == ("projection", True, "evidence", 5)
    flat.fit(cells, "pathways", n_extra=2, progress=False, **CLASSIC)
    config = fitted(cells, "pae").config()
    assert (config.dropout, config.balance, config.start, config.random_state) == (0.0, False, "membership", 0)


@pytest.mark.parametrize("options", [{"scores": "projection"}, {"scores": "least_squares", "balance": False}], ids=str)
def test_the_settings_read_back_give_the_fit_again(options):
    adata = pae.datasets.simulate(400, 150, 3)
    flat.fit(adata, "pathways", n_extra=0, progress=False, device="cpu", **options)
    model = fitted(adata, "pae")
    data = standardize(model, moments_of(adata, model, None, progress=False))
    again = fit_again(data, model.membership.toarray(), np.ones(150, bool), 3, model.config(device="cpu"))
    unit = again.loadings / np.linalg.norm(again.loadings, axis=0)
    np.testing.assert_allclose(unit, model.loadings, atol=1e-6)
    length = np.linalg.norm(again.loadings, axis=0) if model.config().scores == "projection" else 1.0
    np.testing.assert_allclose(again.encoder.toarray() / length, model.encoder, atol=1e-6)


def test_the_encoder_is_that_of_the_slot_or_the_loadings_where_they_are_tied(cells):
    np.testing.assert_array_equal(fitted(cells, "pae").encoder, cells.varm["pae_encoder"][fitted(cells, "pae").genes])
    assert not np.array_equal(fitted(cells, "pae").encoder, fitted(cells, "pae").loadings)
    flat.fit(cells, "pathways", n_extra=2, progress=False, **CLASSIC)
    assert "pae_encoder" not in cells.varm
    np.testing.assert_array_equal(fitted(cells, "pae").encoder, fitted(cells, "pae").loadings)


def test_moments_given_are_those_of_the_cells_in_any_order(cells):
    model = fitted(cells, "pae")
    read = moments_of(cells, model, None, sample_key="donor", progress=False)
    given = pae.pp.moments(cells[:, ::-1].copy(), sample_key="donor", progress=False)
    same = moments_of(cells, model, given)
    assert read.genes == same.genes == tuple(model.names)
    assert read.strata == same.strata
    np.testing.assert_allclose(read.grams, same.grams, rtol=1e-12)


def test_moments_of_other_values_are_refused(cells):
    counts = pae.pp.moments(cells, layer="counts", normalize="log1p", progress=False)
    with pytest.raises(ValueError, match="normalised by 'log1p 10000', those of the fit by ''"):
        moments_of(cells, fitted(cells, "pae"), counts)
    with pytest.raises(ValueError, match="not in these moments"):
        moments_of(cells, fitted(cells, "pae"), pae.pp.moments(cells, genes=cells.var_names[:5], progress=False))


def test_a_slot_that_is_gone_is_named(cells):
    for slot in ("pae_membership", "pae_encoder", "pae_loadings"):
        lost = cells.copy()
        del lost.varm[slot]
        with pytest.raises(KeyError, match=slot):
            fitted(lost, "pae")
    cells.uns = {}
    with pytest.raises(KeyError, match="pae"):
        fitted(cells, "pae")


def test_gene_symbols_of_the_fit_are_used():
    adata = pae.datasets.simulate(300, 150, 3)
    symbols = adata.var_names.to_numpy()
    sets = {name: list(symbols[member]) for name, member in adata.varm["pathways"].items()}
    adata.var["symbol"] = symbols
    adata.var_names = [f"id_{i}" for i in range(adata.n_vars)]
    pae.tl.fit(adata, sets, gene_symbols="symbol", n_extra=1, progress=False)
    model = fitted(adata, "pae")
    assert set(model.names) == set(symbols)
    assert moments_of(adata, model, None, progress=False).genes == tuple(model.names)


@pytest.mark.parametrize(
    "options",
    [{"scale": "unit"}, CLASSIC | {"scale": None, "center": False}, {"batch_key": "batch"}],
    ids=str,
)
def test_moments_are_standardised_as_those_of_the_fit_were(options):
    adata = pae.datasets.simulate(400, 150, 3, n_donors=3, n_batches=2, batch_effect=1.0)
    flat.fit(adata, "pathways", n_extra=1, progress=False, **options)
    model = fitted(adata, "pae")
    moments = moments_of(adata, model, None, sample_key="donor", batch_key="batch", progress=False)
    x = adata.X.toarray().astype(float)[:, model.genes]
    batch = adata.obs["batch"].to_numpy() if options.get("batch_key") else np.zeros(400)

    def expected(rows):
        part = x[rows]
        if options.get("center", True):
            means = {name: part[batch[rows] == name].mean(axis=0) for name in np.unique(batch[rows])}
            part = part - np.array([means[name] for name in batch[rows]])
        part = part / model.scale
        return part.T @ part

    whole = standardize(model, moments)
    np.testing.assert_allclose(whole.gram, expected(np.full(400, fill_value=True)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(whole.scale, model.scale, rtol=1e-9)
    some = [name for name in moments.strata if name.endswith("donor_1")][:1]
    rows = (adata.obs["batch"].astype(str) + " | " + adata.obs["donor"].astype(str)).isin(some).to_numpy()
    part = standardize(model, moments.select(*some))  # in units of its own
    units = part.scale / model.scale
    np.testing.assert_allclose(part.gram * units * units[:, None], expected(rows), rtol=1e-6, atol=1e-6)


def test_moments_of_batches_that_the_fit_does_not_have_are_refused():
    adata = pae.datasets.simulate(300, 150, 3, n_batches=2)
    pae.tl.fit(adata, "pathways", n_extra=1, batch_key="batch", progress=False)
    with pytest.raises(ValueError, match="'all'"):
        standardize(fitted(adata, "pae"), pae.pp.moments(adata, progress=False))
