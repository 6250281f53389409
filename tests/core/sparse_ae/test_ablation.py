"""Progressive ablation against loops that zero one activation after the other."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from pathwayae.core.sparse_ae import ablation


def planted(n=50, m=12, d=7, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    dense = rng.gamma(1.0, 1.0, (n, m)) * (rng.random((n, m)) < 0.4)
    dense[0] = 0
    dictionary, offset = rng.normal(size=(m, d)), 10.0 + rng.normal(size=d)
    values = dense @ dictionary + offset + noise * rng.normal(size=(n, d))
    return values, dense, dictionary, offset


def naive(values, dense, decode, n):
    """Zero the smallest activations of each cell until `n` are left."""
    left = dense.copy()
    for code in left:
        while np.count_nonzero(code) > n:
            code[np.flatnonzero(code)[code[np.flatnonzero(code)].argmin()]] = 0
    error = ((values - decode(left)) ** 2).sum()
    return 1 - error / ((values - values.mean(axis=0)) ** 2).sum(), left


def blocks(values, dense, size=13):
    return [(values[i : i + size], sp.csr_matrix(dense[i : i + size])) for i in range(0, len(values), size)]


def squashed(dictionary, offset):
    def decode(codes):
        return np.tanh(codes @ dictionary + offset)

    return decode


def test_a_linear_decoder_one_latent_at_a_time_as_the_loop_has_it():
    values, dense, dictionary, offset = planted()
    kept = ablation.grid(12)
    table = ablation.curve(blocks(values, dense), ablation.linear(dictionary, offset), kept)
    for n in kept:
        expected, left = naive(values, dense, lambda h: h @ dictionary + offset, n)
        assert table["explained_variance"][n] == pytest.approx(expected, abs=1e-10)
        assert table["mean_kept"][n] == pytest.approx((left > 0).sum(axis=1).mean())
        assert table["population"][n] == pytest.approx((left > 0).mean())
    assert table["share"].iloc[-1] == 1.0


def test_any_decoder_as_the_loop_has_it():
    values, dense, dictionary, offset = planted()
    decode = squashed(dictionary, offset)
    values = decode(dense)
    table = ablation.curve(blocks(values, dense), ablation.decoded(decode), ablation.grid(12))
    for n in range(13):
        assert table["explained_variance"][n] == pytest.approx(naive(values, dense, decode, n)[0], abs=1e-10)
    assert table["explained_variance"].iloc[-1] == pytest.approx(1.0)


def test_both_ways_agree_and_do_not_depend_on_the_blocks():
    values, dense, dictionary, offset = planted()
    kept = [0, 1, 3, 12]
    curves = [
        ablation.curve(blocks(values, dense, size), errors, kept)
        for size in (50, 7)
        for errors in (ablation.linear(dictionary, offset), ablation.decoded(lambda h: h @ dictionary + offset))
    ]
    for other in curves[1:]:
        pd.testing.assert_frame_equal(other, curves[0], rtol=1e-10)


def test_keep_breaks_ties_by_the_latent():
    codes = sp.csr_matrix([[0.2, 0.5, 0.2, 0.2], [0.0, 0.0, 0.0, 0.1]])

    def kept(n):
        return ablation._kept(codes, ablation.rank_in_cell(codes), n)

    np.testing.assert_array_equal(kept(2).toarray(), [[0.2, 0.5, 0, 0], [0, 0, 0, 0.1]])
    assert kept(0).nnz == 0
    assert (kept(9) != codes).nnz == 0


def test_the_fewest_that_keep_a_share_are_where_the_loop_first_finds_it():
    values, dense, dictionary, offset = planted()
    table = ablation.curve(blocks(values, dense), ablation.linear(dictionary, offset), ablation.grid(12))
    fewest = ablation.fewest(table)
    whole = naive(values, dense, lambda h: h @ dictionary + offset, 12)[0]
    for share, kept in zip(fewest["share"], fewest["kept"], strict=True):
        course = [naive(values, dense, lambda h: h @ dictionary + offset, n)[0] for n in range(13)]
        assert kept == next(n for n, value in enumerate(course) if value >= share * whole)


def test_a_code_that_explains_nothing_has_no_fewest():
    values, dense, dictionary, offset = planted()
    table = ablation.curve(blocks(values, dense), ablation.linear(-dictionary, offset), [0, 12])
    assert table["explained_variance"].iloc[-1] < 0
    assert table["share"].isna().all()
    assert ablation.fewest(table)["kept"].tolist() == [-1, -1]


def test_numbers_left_out_of_a_coarse_grid_are_named():
    table = pd.DataFrame({"kept": [0, 4, 8, 12], "share": [0.0, 0.5, 0.92, 1.0]})
    table = table.assign(mean_kept=0.0, explained_variance=0.0)
    assert ablation.between(table) == [5, 6, 7, 9, 10, 11]
    assert ablation.between(table, shares=(0.5,)) == [1, 2, 3]


def test_the_grid_tries_all_small_numbers_and_ends_at_the_largest():
    assert ablation.grid(5) == [0, 1, 2, 3, 4, 5]
    long = ablation.grid(3000)
    assert long[:65] == list(range(65))
    assert long[-1] == 3000
    assert all(b > a for a, b in pairwise(long))
    assert all(b <= np.ceil(1.1 * a) for a, b in pairwise(long[64:]))
    assert ablation.grid(0) == [0]


def test_one_cell_is_measured_against_what_is_decoded_of_nothing():
    values, dense, dictionary, offset = planted()
    kept = [0, 1, 2, 12]
    table = ablation.curve(blocks(values[3:4], dense[3:4]), ablation.linear(dictionary, offset), kept)
    errors = []
    for q in kept:
        code = np.where(np.argsort(np.argsort(-dense[3], kind="stable")) < q, dense[3], 0.0)
        errors.append(((values[3] - code @ dictionary - offset) ** 2).sum())
    np.testing.assert_allclose(table["explained_variance"], 1 - np.array(errors) / errors[0], atol=1e-9)
    same = ablation.curve(blocks(values[[3, 3]], dense[[3, 3]]), ablation.linear(dictionary, offset), kept)
    np.testing.assert_allclose(same["explained_variance"], table["explained_variance"], atol=1e-9)


def test_cells_with_nothing_to_explain_are_refused():
    _, dense, dictionary, offset = planted()
    with pytest.raises(ValueError, match="nothing to explain in 50 cells"):
        ablation.curve(blocks(np.tile(offset, (50, 1)), dense), ablation.linear(dictionary, offset), [0, 12])
    with pytest.raises(ValueError, match="0 cells"):
        ablation.curve([], ablation.linear(dictionary, offset), [0])
