"""Memory of a fit: how many Gram matrices there are at once, and what is said where there is none."""

import tracemalloc

import numpy as np
import pytest

import pathwayae as pae
from pathwayae.core.memory import NotEnoughMemoryError
from pathwayae.core.moments import accumulate

N_GENES = 800


@pytest.fixture(scope="module")
def adata():
    """Genes in another order than that of their names, some constant, two batches."""
    cells = pae.datasets.simulate(300, N_GENES, 4, n_batches=2, random_state=0)
    cells = cells[:, np.random.default_rng(0).permutation(N_GENES)].copy()
    cells.X = cells.X.toarray()
    cells.X[:, :7] = 0.0
    return cells


def peak(adata, **words):
    """Bytes at the peak of a fit, in Gram matrices."""
    settings = pae.tl.FitSettings(solver="gram")
    words |= {"n_extra": 2, "progress": False, "key_added": "measured", "settings": settings}
    sets = {"a": adata.var_names[20:60].tolist(), "b": adata.var_names[50:90].tolist()}
    tracemalloc.start()
    pae.tl.fit(adata, sets, **words)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / (8 * N_GENES**2)


def test_a_fit_holds_two_gram_matrices_at_most(adata, monkeypatch):
    """One as it is read and one as it is fitted, beside a little for cells and compiled code."""
    monkeypatch.setattr(accumulate, "BLOCK_BYTES", 2**18)
    peak(adata)  # compiles
    assert peak(adata) < 2.4
    assert peak(adata, batch_key="batch") < 2.4


@pytest.mark.parametrize(
    "error", [MemoryError("Unable to allocate 3 GiB"), RuntimeError("can't allocate memory: 3 GiB"), MemoryError()]
)
def test_memory_that_lacks_is_one_line_and_changes_nothing(adata, monkeypatch, error):
    def none(*_, **__):
        raise error

    before = list(adata.uns)
    monkeypatch.setattr(accumulate.Accumulator, "add", none)
    sets = {"a": adata.var_names[20:60].tolist()}
    with pytest.raises(NotEnoughMemoryError, match=r"^not enough memory: .*solver='sketch'") as caught:
        pae.tl.fit(adata, sets, settings=pae.tl.FitSettings(solver="gram"), progress=False, key_added="lost")
    assert "\n" not in str(caught.value)
    assert list(adata.uns) == before
    model = pae.models.GroupedAutoencoder(2)
    with pytest.raises(NotEnoughMemoryError):
        model.set_params(solver="gram").fit(np.random.default_rng(0).random((50, 10)))
    assert not hasattr(model, "components_")
