"""T2: who is a member, and how active a program is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from problems import NOISE as EVERY
from results import Get, auroc
from sklearn.metrics import average_precision_score

TITLE = "T2 Membership and activity"
TEXT = """\
Sets with a share of their members hidden and of false ones added (noise). *planted*: `simulate()`, 1 500 cells, 20
programs, seeds that no default was chosen on; *Kang*: Hallmark, where real sets stand for the truth though they
lack and hold genes wrongly themselves. Loadings are the method's own; of methods that give scores alone, the
correlation of each gene with the score. Factors without names stand for the set whose genes their loadings pick out
best.
- *AP*: average precision of the loadings for the true members, mean over sets (Kang: median).
- *hidden*: AUROC of hidden members among all genes outside the given set; *false*: of true among given members.
  Scores alone do not say which genes were given, which loadings and posteriors do: *sets as given* is the floor.
- *activity*: correlation of the score with the planted activity, mean over programs. Defaults only, no tuning."""
NOISE, REAL_NOISE = {n: EVERY[n] for n in (0.0, 0.3, 0.5)}, {0.3: EVERY[0.3][:1]}
PLANTED = {noise: [f"planted {noise} {seed}" for seed in seeds] for noise, seeds in NOISE.items()}
REAL = {noise: [f"corrupted {noise} {seed}" for seed in seeds] for noise, seeds in REAL_NOISE.items()}
PROBLEMS = tuple(name for part in (*PLANTED.values(), *REAL.values()) for name in part)
QUICK, TRAINED, SEEDED = (PLANTED[0.3][0],), (PLANTED[0.3][0],), ()
HEADLINES = {
    **{f"planted {noise:.0%}, {what}": True for noise in NOISE for what in ("AP", "activity")},
    **{f"planted {noise:.0%}, {what}": True for noise in (0.3,) for what in ("hidden", "false")},
    **{f"Kang {noise:.0%}, AP": True for noise in REAL_NOISE},
    **{f"Kang 30%, {what}": True for what in ("hidden", "false")},
}
OURS = "pathwayae refine"


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for where, problems in (("planted", PLANTED), ("Kang", REAL)):
        for noise, names in problems.items():
            for name in names:
                solved = get(name)
                if solved is None or solved.found is None:
                    continue
                for what, value in one(solved, planted=where == "planted").items():
                    figures.setdefault(f"{where} {noise:.0%}, {what}", []).append(value)
    return figures


def one(solved, *, planted: bool) -> dict[str, float]:
    found, truth, given = solved.found, solved.truth, solved.problem.sets
    genes = found.loadings.index
    rows = []
    for name in found.loadings:
        true = (truth["loadings"][name] > 0).to_numpy() if planted else genes.isin(truth["true"][name])
        inside, values = genes.isin(given[name]), np.nan_to_num(found.loadings[name].to_numpy(float))
        rows.append(
            (
                average_precision_score(true, values),
                auroc(values[~inside], true[~inside]),
                auroc(values[inside], true[inside]),
            )
        )
    table = pd.DataFrame(rows, columns=["AP", "hidden", "false"])
    figures = (table.mean() if planted else table.median()).to_dict()
    if planted:
        figures["activity"] = float(found.scores.corrwith(truth["scores"]).fillna(0.0).mean())
    return {name: value for name, value in figures.items() if np.isfinite(value)}
