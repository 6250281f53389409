"""T7: time and memory."""

from __future__ import annotations

from problems import SET_COUNTS, SIZES
from results import Get

TITLE = "T7 Time and memory"
TEXT = """\
`simulate()`, 2 000 genes, 50 programs. Processor seconds of the method (user and system, all threads; imports,
reading and, where nothing is trained, a warm-up come before the clock) and peak memory beyond what was there
before, one thread, one process each. By cells with 50 sets, by sets with 1 000 cells. Less is better.
`benchmarks/scale.md` goes on to a million cells."""
BY_CELLS = {n: f"size {n} 50" for n in SIZES}
BY_SETS = {n: f"size 1000 {n}" for n in SET_COUNTS[1:]}
PROBLEMS = (*BY_CELLS.values(), *BY_SETS.values())
QUICK, TRAINED, SEEDED = (BY_CELLS[1000],), (BY_CELLS[1000],), ()
HEADLINES = {
    **{f"{n} cells, s": False for n in SIZES},
    **{f"{n} sets, s": False for n in SET_COUNTS[1:]},
    f"{SIZES[-1]} cells, MiB": False,
}
OURS = "pathwayae"


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for what, problems in (("cells", BY_CELLS), ("sets", BY_SETS)):
        for n, name in problems.items():
            solved = get(name)
            if solved:
                figures[f"{n} {what}, s"] = [solved.cost["processor_s"]]
                figures[f"{n} {what}, MiB"] = [solved.cost["peak_mib"]]
    return figures
