"""Gene sets drawn at random, and how alike two of them are."""

import numpy as np


def random_sets(seed, n=40, n_genes=25):
    """Sets of all sizes, some empty, some equal, some nested."""
    rng = np.random.default_rng(seed)
    universe = [f"G{i}" for i in range(n_genes)]
    sets = {f"S{j}": tuple(rng.choice(universe, rng.integers(0, 12), replace=False)) for j in range(n)}
    for j in range(0, n, 4):
        sets[f"copy {j}"] = sets[f"S{j}"][::-1]
        sets[f"part {j}"] = sets[f"S{j}"][:-1]
    return sets


def shuffled(sets, seed):
    names = list(sets)
    np.random.default_rng(seed).shuffle(names)
    return {name: tuple(np.random.default_rng(seed).permutation(sets[name]).tolist()) for name in names}


def measures(a, b):
    shared, either, smaller = len(a & b), len(a | b), min(len(a), len(b))
    return shared, shared / either if either else 0.0, shared / smaller if smaller else 0.0
