"""Scores of gene sets by decoupler, for benchmarks/defaults.py; needs decoupler 2 and what comes with it, no more.

``python peers_worker.py folder``: for every ``name.npz`` (cells × genes ``x``, names of ``cells`` and ``genes``) and
``name.csv`` (columns ``source`` and ``target``) in the folder, writes ``name_ulm.pkl``, ``name_mlm.pkl`` (where there
are 400 sets or fewer, as many coefficients as a regression on few genes can bear) and ``name_aucell.pkl``: pickled data
frames of cells × sets. Prints one line of JSON: the version, and seconds by method.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import decoupler as dc
import numpy as np
import pandas as pd

MOST = {"ulm": sys.maxsize, "mlm": 400, "aucell": sys.maxsize}  # sets
FEWEST_GENES = 5


def scores(method: str, cells: dict[str, np.ndarray], net: pd.DataFrame) -> pd.DataFrame:
    """Enrichment scores as decoupler computes them by default, without their p-values."""
    table = pd.DataFrame(cells["x"], cells["cells"], cells["genes"])
    found = getattr(dc.mt, method)(table, net, tmin=FEWEST_GENES)
    return found[0] if isinstance(found, tuple) else found


def main(folder: Path) -> None:
    """All data sets of the folder by all methods."""
    seconds = dict.fromkeys(MOST, 0.0)
    for path in sorted(folder.glob("*.npz")):
        cells, net = dict(np.load(path)), pd.read_csv(path.with_suffix(".csv"), dtype=str)
        for method, most in MOST.items():
            if net["source"].nunique() > most:
                continue
            begin = time.perf_counter()
            scores(method, cells, net).to_pickle(folder / f"{path.stem}_{method}.pkl")
            seconds[method] += time.perf_counter() - begin
    print(json.dumps({"version": version("decoupler"), "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
