"""Moments by sketch: what the algebra says is what the cells say, and a rank that suffices gives the Gram matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import sketch

from pathwayae.core.moments import sketch as core
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.accumulate_sketch import SketchAccumulator, accumulator, along
from pathwayae.core.moments.batches import of_strata
from pathwayae.core.moments.gram_product import operations, relative_product
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.sketch import Sketch

N, G, RANK = 60, 90, 70  # more genes than cells, and a rank above the cells: the sketch is exact
GENES = tuple(f"gene {i:02d}" for i in np.random.default_rng(5).permutation(G))
STRATA = ("x", "y", "z")
CODES = np.arange(N) % 3
SCALES = ("unit", "pareto", None)


def cells(n=N, seed=0, g=G):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.0, 1.0, size=(n, 3)) @ rng.gamma(0.3, 1.0, size=(3, g)) + 0.05
    x = np.log1p(rng.poisson(rate).astype(float))
    x[:, 7] = 1.5  # a gene that does not vary
    return x


def read(x=None, *, rank=RANK, seed=0, genes=GENES, codes=CODES, strata=STRATA):
    return sketch(cells() if x is None else x, rank=rank, seed=seed, genes=genes, codes=codes, strata=strata)


def exact(x=None, *, genes=GENES, codes=CODES, strata=STRATA):
    m = accumulate(cells() if x is None else x, codes=codes, strata=strata)
    return Moments(m.counts, m.sums, m.grams, m.strata, genes)


def dense(data):
    return np.asarray(data.gram @ np.eye(data.gram.shape[0]))


def assert_same(a, b, atol=1e-9):
    assert (a.strata, a.genes, a.normalize) == (b.strata, b.genes, b.normalize)
    np.testing.assert_array_equal(a.probes.places, b.probes.places)
    for name in core.ARRAYS:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, atol=atol)


def assert_gram(data, wanted):
    """A sketch that suffices has the Gram matrix, its diagonal and its trace."""
    size = max(np.abs(wanted.gram).max(), 1e-300)
    np.testing.assert_allclose(dense(data), wanted.gram, atol=1e-8 * size)
    np.testing.assert_allclose(data.gram.diagonal(), np.diagonal(wanted.gram), rtol=1e-9, atol=1e-9 * size)
    np.testing.assert_allclose(data.total, wanted.total, rtol=1e-12)
    np.testing.assert_allclose(data.mean, wanted.mean, rtol=1e-12)
    np.testing.assert_allclose(data.scale, wanted.scale, rtol=1e-9)
    assert data.n == wanted.n


@pytest.fixture
def whole():
    return read()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("how", [{}, {"center": False}, {"within": True}])
def test_a_rank_above_that_of_the_cells_gives_the_gram_matrix(whole, scale, how):
    assert_gram(whole.standardize(scale=scale, **how), exact().standardize(scale=scale, **how))
    few = GENES[3:40]
    assert_gram(whole.subset(few).standardize(scale=scale, **how), exact().subset(few).standardize(scale=scale, **how))


def test_counts_sums_and_variances_are_exact_at_any_rank():
    one, wanted = read(rank=2), exact()
    assert one.n == N
    np.testing.assert_allclose(one.sum, wanted.sum, rtol=1e-12)
    np.testing.assert_allclose(one.variance, wanted.variance, rtol=1e-9)
    assert one.variance[7] == 0
    for data, of_all in ((one.standardize(), wanted.standardize()), (one.standardize(within=True), None)):
        of_all = wanted.standardize(within=True) if of_all is None else of_all
        np.testing.assert_allclose(data.gram.diagonal(), np.diagonal(of_all.gram), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(data.total, of_all.total, rtol=1e-12)
        assert data.gram.factors.shape == (G, 2)


def test_the_low_rank_part_is_nystroms_and_below_the_matrix():
    """The oracle inverts the core without care; what is left to the diagonal is what the cut leaves of the trace."""
    one, gram = read(rank=20), exact().standardize(scale="unit").gram
    x = cells() - cells().mean(axis=0)
    omega = one.probes.matrix()
    y = x.T @ (x @ omega)
    plain = y @ np.linalg.pinv(omega.T @ y, hermitian=True) @ y.T
    unit = exact().standardize(scale="unit").scale
    values, vectors = np.linalg.eigh(plain / unit / unit[:, None])
    best = (vectors[:, -20:] * values[-20:]) @ vectors[:, -20:].T
    data = one.standardize(scale="unit")
    np.testing.assert_allclose(data.gram.factors @ data.gram.factors.T, best, atol=1e-7 * np.abs(gram).max())
    assert np.linalg.eigvalsh(gram - best).min() > -1e-8 * gram.trace()
    assert data.error == pytest.approx(1.0 - best.trace() / gram.trace(), rel=1e-6)


def test_the_error_falls_with_the_rank_and_is_what_the_diagonal_holds():
    errors = [read(rank=rank).error for rank in (2, 5, 15, 60)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-9
    centred = read(rank=5).standardize(scale=None)
    assert errors[1] == pytest.approx(centred.gram.own.sum() / centred.total)


def test_dense_sparse_and_chunks_give_the_same(whole):
    x = cells()
    for matrix in (sp.csr_matrix(x), sp.csc_matrix(x)):
        assert_same(read(matrix), whole)
    single = x.astype(np.float32)
    assert_same(read(sp.csr_matrix(single)), read(single))
    assert_same(read(single), read(single.astype(np.float64)))
    few = np.where(np.random.default_rng(1).random(x.shape) < 0.1, x, 0.0)
    assert_same(read(sp.csr_matrix(few)), read(few))
    added = SketchAccumulator(Probes.of(GENES, rank=RANK), STRATA)
    for first in range(0, N, 7):
        added.add(sp.csr_matrix(x[first : first + 7]), CODES[first : first + 7])
    assert_same(added.result(GENES), whole)


def test_the_order_of_the_genes_does_not_matter(whole):
    order = np.random.default_rng(2).permutation(G)
    moved = read(cells()[:, order], genes=tuple(GENES[i] for i in order))
    assert_same(moved.subset(GENES), whole)
    low, other = read(rank=5), read(cells()[:, order], rank=5, genes=tuple(GENES[i] for i in order))
    np.testing.assert_allclose(
        dense(other.subset(GENES).standardize()), dense(low.standardize()), atol=1e-9 * low.standardize().total
    )


def test_strata_add_up_and_a_donor_left_out_is_the_sketch_of_the_rest(whole):
    x = cells()
    rest = read(x[CODES != 1], codes=None, strata=("all",))
    assert_same(whole.without("y").pool(), rest)
    assert_same((whole - whole.select("y")).pool(), rest)
    assert_same(whole.select("y").pool(), read(x[CODES == 1], codes=None, strata=("all",)))
    assert_same(whole.pool(), read(codes=None, strata=("all",)))
    assert_same(whole.pool({"x": "first", "z": "first"}).select("first").pool(), rest)
    first, second = read(x[:25], codes=CODES[:25]), read(x[25:], codes=CODES[25:])
    assert_same(first + second, whole)
    assert_same(second + first, whole)
    beside = whole + read(cells(20, seed=1), codes=None, strata=("w",))
    assert beside.strata == (*STRATA, "w")
    assert_same(beside.without("w"), whole)


def test_weights_are_repeated_cells(whole):
    repeated = np.repeat(np.arange(N), np.array([2, 0, 3])[CODES])
    expected = read(cells()[repeated], codes=None, strata=("all",))
    assert_same(whole.weighted([2, 0, 3]).pool(), expected)
    assert_same(whole.weighted({"x": 2, "y": 0, "z": 3}).pool(), expected)
    assert whole.weighted({"x": 0.5}).n == 50


def test_genes_are_chosen_by_name_index_or_mask(whole):
    few = [GENES[4], GENES[1]]
    for chosen in (few, np.array(few), np.array([4, 1])):
        assert_gram(whole.subset(chosen).standardize(), exact().subset(few).standardize())
    assert whole.subset(np.isin(np.arange(G), [1, 4])).genes == (GENES[1], GENES[4])
    with pytest.raises(ValueError, match="1 of 2 genes are not in these moments, for instance 'nix'"):
        whole.subset(["nix", GENES[0]])


@pytest.mark.parametrize("few", [False, True])
def test_given_means_and_units_and_those_of_batches(whole, few):
    """Cells left out in the units of the others; strata in batches, with all genes and with some."""
    one, wanted = whole, exact()
    if few:
        one, wanted = one.subset(GENES[:30]), wanted.subset(GENES[:30])
    rest, others = one.without("y").standardize(), wanted.without("y").standardize()
    left, expected = (own.select("y").standardize_with(others.mean, others.scale) for own in (one, wanted))
    assert_gram(left, expected)
    assert_gram(rest, others)
    zero, unit = np.zeros(len(others.mean)), np.ones(len(others.mean))
    assert_gram(one.standardize_with(zero, unit), wanted.standardize_with(zero, unit))
    names = {"x": "a", "y": "a"}
    batches, same = (of_strata(own.pool(names), ["a", "z"]) for own in (one, wanted))
    np.testing.assert_allclose(batches.sums, same.sums)
    assert_gram(
        one.standardize_within(batches.counts, batches.sums, batches.shadow),
        wanted.standardize_within(same.counts, same.sums),
    )
    assert_gram(
        one.standardize_within(batches.counts, batches.sums, batches.shadow, unit=others.scale),
        wanted.standardize_within(same.counts, same.sums, unit=others.scale),
    )


def test_batches_of_all_genes_need_no_shadow_and_of_some_they_do(whole):
    batches = of_strata(whole, list(STRATA))
    a = whole.standardize_within(batches.counts, batches.sums)
    assert_gram(a, exact().standardize(within=True))
    with pytest.raises(ValueError, match="Of the 90 genes of this sketch 30 are left"):
        whole.subset(GENES[:30]).standardize_within(batches.counts, batches.sums[:, :30])


def test_save_and_load(whole, tmp_path):
    for one in (whole, whole.subset(GENES[:9]).select("z", "x")):
        one.save(tmp_path / "a.npz")
        again = Sketch.load(tmp_path / "a.npz")
        for name in core.ARRAYS:
            np.testing.assert_array_equal(getattr(again, name), getattr(one, name))
        assert_same(again + one, one + one)


def test_files_of_the_other_kind_are_refused_by_name(whole, tmp_path):
    whole.save(tmp_path / "sketch.npz")
    exact().save(tmp_path / "exact.npz")
    with pytest.raises(ValueError, match="holds a sketch: pae.pp.read_moments reads either"):
        Moments.load(tmp_path / "sketch.npz")
    with pytest.raises(ValueError, match="holds exact moments: pae.pp.read_moments reads either"):
        Sketch.load(tmp_path / "exact.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "sketch.npz").read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole file of moments"):
        Sketch.load(tmp_path / "cut.npz")


def test_sketches_along_other_directions_are_not_joined(whole):
    for other, what in (
        (read(seed=1), "random_state 0 and 1"),
        (read(rank=20), "rank 70 and 20"),
        (read(cells()[:, 1:], genes=GENES[1:]), "number of genes 90 and 89"),
        (read(genes=("other", *GENES[1:])), "read from other 90 genes"),
    ):
        for join in (whole.__add__, whole.__sub__):
            with pytest.raises(ValueError, match=f"{what}.*Read both with the same random_state, rank and genes"):
                join(other)
    few, alike = whole.subset(GENES[:9]), read(cells()[:, :9], rank=9, genes=GENES[:9])
    with pytest.raises(ValueError, match="rank 70 and 9"):
        few + alike
    with pytest.raises(ValueError, match="The genes differ: 0 are in the first moments only .*81 in the second only"):
        few + whole
    with pytest.raises(ValueError, match="same in another order"):
        whole + whole.subset(GENES[::-1])
    assert_same(few + few, (whole + whole).subset(GENES[:9]))


def test_sketches_and_gram_matrices_are_not_joined(whole):
    for first, second in ((whole, exact()), (exact(), whole)):
        with pytest.raises(ValueError, match="Moments and Sketch cannot be joined.*the same sketch="):
            first + second
    with pytest.raises(ValueError, match="only moments with moments"):
        whole + 1


def test_a_rank_is_from_one_to_the_genes():
    for rank in (0, G + 1):
        with pytest.raises(ValueError, match=f"rank={rank} of a sketch must be from 1 to the {G} genes"):
            read(rank=rank)
    assert read(rank=G).probes.size == G  # and above the 60 cells


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="Sketches of 90 genes × 90 directions in 3 strata need .*lower rank"):
        SketchAccumulator(Probes.of(GENES, rank=RANK), STRATA, max_bytes=1000)
    assert type(accumulator(5, STRATA, None)).__name__ == "Accumulator"


def test_arrays_that_do_not_belong_together_are_refused(whole):
    with pytest.raises(ValueError, match="A sketch of 3 strata, 90 gene names and 90 rows of 90 directions"):
        Sketch(*(getattr(whole, name)[:2] for name in core.ARRAYS), whole.probes, STRATA, GENES)
    with pytest.raises(ValueError, match="A stratum of these moments has the same name as another: 'x'"):
        Sketch(*(getattr(whole, name) for name in core.ARRAYS), whole.probes, ("x", "x", "y"), GENES)
    with pytest.raises(ValueError, match="center=False contradicts"):
        whole.standardize(center=False, within=True)


def test_products_on_a_device_are_those_of_the_matrix(whole):
    import torch

    data = read(rank=10).standardize()
    w = np.random.default_rng(0).normal(size=(2, G, 3))
    product = relative_product(data, "cpu")(torch.as_tensor(w, dtype=torch.float32)).numpy()
    wanted = np.stack([data.gram @ one for one in w]) / data.total
    np.testing.assert_allclose(product, wanted, atol=1e-5 * np.abs(wanted).max())
    assert operations(data) == (4 * 10 + 2) * G


def test_products_added_up_elsewhere_are_the_same(whole):
    """The way of an accelerator, walked on the processor."""
    import torch

    from pathwayae.core.moments import gram_device

    omega = whole.probes.matrix()
    for x in (cells(), sp.csr_matrix(cells())):
        products = torch.zeros(omega.shape, dtype=torch.float64)
        gram_device.add_product(products, x, torch.as_tensor(omega), rows=11)
        np.testing.assert_allclose(products.numpy(), whole.pool().products[0], atol=1e-4)


def test_an_accelerator_adds_up_the_same(whole):
    """The same way through torch, on the processor by another name."""
    added = SketchAccumulator(Probes.of(GENES, rank=RANK), STRATA, device="cpu:0")
    for first in range(0, N, 25):
        added.add(sp.csr_matrix(cells()[first : first + 25].astype(np.float32)), CODES[first : first + 25])
    assert_same(added.result(GENES), read(cells().astype(np.float32)))


def test_inputs_are_not_changed(whole):
    before = {name: getattr(whole, name).copy() for name in core.ARRAYS}
    whole.standardize(within=True)
    _ = whole + whole, whole - whole.select("x"), whole.weighted([2, 1, 1]), whole.pool(), whole.subset(GENES[:3])
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(whole, name), values)


def test_moments_along_the_leading_directions_of_all_strata_are_nearly_those_of_strata_drawn_again():
    rng = np.random.default_rng(3)
    codes = np.arange(600) % 4
    x = rng.normal(size=(600, 5)) @ rng.normal(size=(5, 40)) + rng.normal(size=(4, 40))[codes] * 0.5
    noisy = x + 0.05 * rng.normal(size=x.shape)
    strata, weights = ("a", "b", "c", "d"), [2.0, 0.0, 1.0, 1.0]
    for cells, atol in ((x, 1e-9), (noisy, 1e-3)):  # of rank 5 and three differences of strata; and nearly so
        moments = accumulate(cells, codes=codes, strata=strata)
        directions = np.linalg.svd(cells - cells.mean(axis=0), full_matrices=False)[2][:9].T
        found = along(moments, directions)
        drawn, exact = (one.weighted(weights).pool().standardize() for one in (found, moments))
        size = np.abs(exact.gram).max()
        np.testing.assert_allclose(drawn.gram @ np.eye(40), exact.gram, rtol=0, atol=atol * size)
        np.testing.assert_allclose(drawn.gram.diagonal(), np.diagonal(exact.gram), rtol=1e-9)
        np.testing.assert_allclose(drawn.mean, exact.mean)
