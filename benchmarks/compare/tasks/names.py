"""T4: does a score mean what it is called?"""

from __future__ import annotations

import counts
import numpy as np
from results import Get, auroc

TITLE = "T4 Names"
TEXT = """\
Pairs of a set and the populations that must have more of it, written down before anything was scored
(`benchmarks/pairs.py`). Mean AUROC of the score over pairs: *coarse*, a population against all other cells; *fine*,
against its neighbours. Only collections on which our defaults were not chosen (`benchmarks/defaults.md` has the
others, with the same peers): GO on PBMC3k, PanglaoDB on two donors of Kang and on PBMC68k; *mean* is that of the
three. A set that a method leaves out counts 0.5. *small*: the cells of T1's *small*, Hallmark and PanglaoDB sets
together."""
KEYS = tuple(counts.NOT_LOOKED_AT)
PROBLEMS = ("small", *(f"names {key}" for key in KEYS))
QUICK, TRAINED, SEEDED = ("small", "names PBMC68k, PanglaoDB"), ("small",), ()
HEADLINES = {f"{what}, {kind}": True for what in ("mean", "small") for kind in ("coarse", "fine")}
OURS = "pathwayae"


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    areas = {key: one(solved) for key in KEYS if (solved := get(f"names {key}")) and solved.found is not None}
    for i, kind in enumerate(("coarse", "fine")):
        if len(areas) == len(KEYS):
            figures[f"mean, {kind}"] = [float(np.mean([areas[key][i] for key in KEYS]))]
        figures |= {f"{key}, {kind}": [values[i]] for key, values in areas.items()}
    if (solved := get("small")) and solved.found is not None:
        figures |= {f"small, {kind}": [value] for kind, value in zip(("coarse", "fine"), one(solved), strict=True)}
    return figures


def one(solved) -> tuple[float, float]:
    scores, kinds = solved.found.scores, solved.truth["obs"]["cell_type"].astype(str).to_numpy()
    areas: dict[bool, list[float]] = {False: [], True: []}
    for pair in solved.truth["pairs"]:
        if pair.name not in solved.problem.sets:
            continue
        more = np.isin(kinds, pair.more)
        asked = more | (~more if pair.less is None else np.isin(kinds, pair.less))
        value = 0.5 if pair.name not in scores else auroc(scores[pair.name].to_numpy()[asked], more[asked])
        areas[pair.fine].append(value)
    return float(np.mean(areas[False])), float(np.mean(areas[True]))
