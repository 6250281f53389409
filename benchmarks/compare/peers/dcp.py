"""decoupler 2: ulm, mlm, zscore, aucell and gsva with its defaults, p-values too where it computes them."""

from __future__ import annotations

import pandas as pd
from contract import Problem, Result, dense

METHODS = ("ulm", "mlm", "zscore", "aucell", "gsva")
ENVIRONMENT, TRAINED = "decoupler", False
IMPORTS = VERSIONS = ("decoupler",)
NOT = {"mlm": ("fold Reactome", "names PBMC3k, GO", "size 1000 500")}  # more sets than a regression on genes bears
ONLY = {"gsva": ("small", "planted 0.3 2", "batches biased", "silent 2", "size 1000 50")}  # for the sake of time
FEWEST_GENES = 5


def run(problem: Problem, method: str) -> Result:
    """Every cell by itself, except with gsva, which ranks cells within genes."""
    import decoupler as dc

    net = pd.DataFrame(
        [(name, gene) for name, genes in problem.sets.items() for gene in genes], columns=["source", "target"]
    )

    def scored(cells) -> pd.DataFrame:
        table = pd.DataFrame(dense(cells), cells.obs_names, cells.var_names)
        found = getattr(dc.mt, method)(table, net, tmin=FEWEST_GENES)
        return found[0] if isinstance(found, tuple) else found

    scores = scored(problem.cells)
    new = None if problem.new is None else scored(problem.new)[scores.columns].to_numpy()
    return Result(scores.to_numpy(), list(scores.columns), new=new)
