"""Names as labels."""

import numpy as np
import pytest
from plotted import flat

from pathwayae.pl import _names

LONG = "REACTOME_RESPIRATORY_ELECTRON_TRANSPORT_ATP_SYNTHESIS_BY_CHEMIOSMOTIC_COUPLING_AND_HEAT_PRODUCTION_BY_PROTEINS"


def test_short_names_stay_and_long_ones_keep_both_ends():
    assert _names.labels(["B cells", "T_cells"], 20) == ["B cells", "T_cells"]
    for width in (16, 20, 42):
        (label,) = _names.titles([LONG], width, 2)
        head, tail = flat(label).split("…")
        assert LONG.startswith(head)
        assert LONG.endswith(tail)
        assert len(head) > len(tail) > 0
        assert len(flat(label)) <= 2 * width
        assert max(map(len, label.split("\n"))) <= width + 1
    assert flat(_names.titles([LONG], 42, 3)[0]) == LONG


def test_a_prefix_that_all_share_is_left_out():
    shared = ["HALLMARK_HYPOXIA", "HALLMARK_APOPTOSIS"]
    assert _names.labels(shared, 30) == ["HYPOXIA", "APOPTOSIS"]
    assert _names.titles(shared, 30) == shared
    for names in (shared[:1], [*shared, "KEGG_CELL_CYCLE"], [*shared, "HALLMARK_"], [*shared, "B cells"]):
        assert _names.labels(names, 30) == names
    assert _names.labels([], 30) == []


@pytest.mark.parametrize("seed", range(3))
def test_no_two_labels_are_the_same(seed):
    rng = np.random.default_rng(seed)
    words = ["regulation", "of", "positive", "negative", "T", "cell", "activation", "in"]
    names = [" ".join(rng.choice(words, rng.integers(1, 20))) for _ in range(60)]
    names += [f"GOBP_{'A_LONG_BEGINNING_' * 4}{j}{'_AND_A_LONG_END' * 4}" for j in range(12)]
    names = list(dict.fromkeys(names))
    for width, n_lines in ((12, 2), (30, 1), (42, 2)):
        labels = [flat(label) for label in _names.titles(names, width, n_lines)]
        assert len(set(labels)) == len({flat(name) for name in names})
    one = "A" * 40
    assert len(set(_names.labels([one + "1" + one, one + "2" + one, one], 20))) == 3
