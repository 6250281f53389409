"""Time and memory against cells, genes and sets: ``tl.fit``, PCA, NMF and scores of gene sets, each run a process.

``python benchmarks/run.py scale``, within 25 minutes on two cores; it goes on where it was cut off.
``python benchmarks/scale.py --quick`` for two minutes of small sizes, which writes scale_quick.md, .json and .png.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from cells_on_disk import GENES, PATHWAYS, SIZE, density, write
from measuring import FOLDER, NO_TIME, Journal, Row, decoupler, one

WORKER = FOLDER / "scale_worker.py"
LIMIT = 120  # seconds of a process
NEXT, NEXT_OF = 40, {"nmf": 15, "aucell": 25}  # a method that took longer is not run on more cells, genes or sets
QUICK, REPEATED, MANY = 12, 3, 100_000  # in turns: what took less, so often, up to so many cells
WITH_SETS = ("fit_in_memory", "fit_from_disk", "stages", "ulm", "aucell", "score_genes")
LABELS = {
    "fit_in_memory": "tl.fit, in memory",
    "fit_from_disk": "tl.fit, from disk",
    "pca": "sc.pp.pca",
    "ulm": "decoupler ulm",
    "aucell": "decoupler aucell",
    "score_genes": "sc.tl.score_genes",
    "minibatch_nmf": "MiniBatchNMF",
    "nmf": "NMF",
}
IN_TURNS = ("fit_in_memory", "pca", "ulm", "minibatch_nmf")
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#009E73", "#E69F00", "#999999", "#CC79A7", "#000000")
MARKERS = "osD^vPX*"
Point = tuple[int, int, int]  # cells, genes, sets
AXES = ("cells", "genes", "sets")


@dataclass
class Plan:
    """Points along each axis, the seconds that all may take, and what the files are called."""

    cells: tuple[int, ...] = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
    genes: tuple[int, ...] = (2_000, 8_000, 20_000, 33_000)
    sets: tuple[int, ...] = (50, 300, 1_200, 5_000)
    centre: tuple[int, int] = (10_000, 8_000)  # cells where genes or sets vary, genes where sets vary
    seconds: float = 23.5 * 60
    name: str = "scale"

    def along(self, axis: str) -> list[Point]:
        n, g = self.centre
        points = {
            "cells": [(cells, GENES, PATHWAYS) for cells in self.cells],
            "genes": [(n, genes, self.sets[1]) for genes in self.genes],
            "sets": [(n, g, sets) for sets in self.sets],
        }
        return points[axis]

    def points(self) -> list[Point]:
        """Of all axes, each once."""
        return list(dict.fromkeys(point for axis in AXES for point in self.along(axis)))

    def files(self) -> Iterator[tuple[int, int, list[int]]]:
        """Cells, genes, and the numbers of sets asked of them; the largest file last."""
        points = self.points()
        for n, g in sorted({point[:2] for point in points}, key=lambda shape: (shape[0] > MANY, np.prod(shape))):
            yield n, g, sorted(point[2] for point in points if point[:2] == (n, g))


QUICK_PLAN = Plan((500, 1_000), (1_000, 12_000), (50, 100), (500, 1_000), 240, "scale_quick")


# Runs.


def key_of(method: str, n: int, g: int, sets: int, turn: int = 0) -> Row:
    """What a row is found by; the number of sets is 0 where it does not matter."""
    sets = sets if method in WITH_SETS else 0
    return {"method": method, "cells": n, "genes": g, "sets": sets, "turn": turn}


def slower(journal: Journal, key: Row) -> str:
    """Why a run is left out: a smaller one took too long already."""
    for row in journal.rows:
        smaller = all(row[axis] <= key[axis] for axis in AXES) and row["method"] == key["method"]
        if smaller and row.get("timed_s", row.get("seconds", 0.0)) > NEXT_OF.get(row["method"], NEXT):
            return f"not run: {row['seconds']:.0f} s before"
        if smaller and "note" in row and row["note"] != NO_TIME:
            return "not run: a smaller one failed"
    return ""


def measure(journal: Journal, path: Path, key: Row, python: str) -> None:
    """One row, unless it is there or can be told to take too long."""
    why = "no decoupler" if key["method"] in ("ulm", "aucell") and not python else slower(journal, key)
    own = python if key["method"] in ("ulm", "aucell") else sys.executable
    command = (own, WORKER, key["method"], path, key["sets"])
    journal.ask(key, lambda limit: {"note": why} if why and not journal.has(key) else one(command, limit), LIMIT)


def runs(journal: Journal, path: Path, file: tuple[int, int, list[int]], python: str) -> None:
    """All methods in turns on one file."""
    n, g, numbers = file
    for turn in range(REPEATED):
        for method in (*LABELS, *(("limit", "stages") if turn == 0 else ())):
            for sets in numbers if method in WITH_SETS else (0,):
                first = next((row for row in journal.rows if key_of(method, n, g, sets).items() <= row.items()), {})
                again = method in IN_TURNS and n <= MANY and g == GENES and sets in (0, PATHWAYS)
                if turn == 0 or (again and first.get("seconds", np.inf) < QUICK):
                    if method == "stages" and (g, sets) != (GENES, PATHWAYS):
                        continue
                    measure(journal, path, key_of(method, n, g, sets, turn), python)


def done(journal: Journal, file: tuple[int, int, list[int]]) -> bool:
    """Whether the last row of a file is there, so that the file need not be written again."""
    n, g, numbers = file
    wanted = [key_of(method, n, g, sets) for method in (*LABELS, "limit") for sets in numbers]
    over = n > MANY or g != GENES or journal.has(key_of("fit_in_memory", n, g, PATHWAYS, REPEATED - 1))
    return over and all(journal.has(key) for key in wanted)


def rows_of(plan: Plan) -> tuple[pd.DataFrame, str]:
    """All rows, and a sentence on decoupler."""
    python, note = decoupler()
    journal = Journal(plan.name, plan.seconds)
    with tempfile.TemporaryDirectory() as folder:
        for file in plan.files():
            if done(journal, file) or time.monotonic() > journal.end:
                continue
            path, begin = Path(folder) / "cells.h5ad", time.perf_counter()
            write(path, *file[:2])
            print(f"{file[0]} cells × {file[1]} genes written in {time.perf_counter() - begin:.0f} s", flush=True)
            runs(journal, path, file, python)
            path.unlink()
    journal.close()
    return pd.DataFrame(journal.rows), note


# Tables and the plot.


def at(rows: pd.DataFrame, method: str, point: Point) -> pd.DataFrame:
    """Rows of a method at a point, turn by turn."""
    key = key_of(method, *point)
    return rows[np.logical_and.reduce([rows[name] == key[name] for name in ("method", *AXES)])].sort_values("turn")


def median(found: pd.DataFrame, column: str) -> float:
    """NaN where there is nothing."""
    values = found[column].dropna() if column in found else []
    return float(np.median(values)) if len(values) else np.nan


def cell(rows: pd.DataFrame, method: str, point: Point, columns: tuple[str, ...]) -> str:
    """Medians of some columns; of a run that has none, why."""
    found = at(rows, method, point)
    values = [median(found, column) for column in columns]
    if np.isfinite(values).all():
        return " / ".join(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values)
    note = str(found["note"].iloc[0]) if len(found) and "note" in found else ""
    return note if note.startswith((">", "no decoupler")) else "–" if note.startswith("not run") else ""


def table(rows: pd.DataFrame, plan: Plan, axis: str, columns: tuple[str, ...]) -> str:
    """Markdown with a line per point and a column per method."""
    place = AXES.index(axis)
    lines = [
        {axis: f"{point[place]:,}"} | {label: cell(rows, name, point, columns) for name, label in LABELS.items()}
        for point in plan.along(axis)
    ]
    return _markdown(lines)


def _markdown(lines: list[Row]) -> str:
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True, stralign="right")


def ratios(rows: pd.DataFrame, plan: Plan) -> str:
    """The whole fit in memory over each other method, within turns, median."""
    lines = []
    for point in plan.points():
        line: Row = dict(zip(AXES, (f"{number:,}" for number in point), strict=True))
        fit = at(rows, "fit_in_memory", point).set_index("turn")["seconds"]
        for method in (name for name in LABELS if name != "fit_in_memory"):
            ratio = (fit / at(rows, method, point).set_index("turn")["seconds"]).dropna()
            line[LABELS[method]] = f"{ratio.median():.2g}" if len(ratio) else ""
        lines.append(line)
    return _markdown(lines)


def limits(rows: pd.DataFrame, plan: Plan) -> str:
    """What of a fit's time reading and the matrix product alone would take."""
    lines = []
    for point in plan.points():
        found = at(rows, "limit", point)
        memory, disk = (median(at(rows, method, point), "seconds") for method in ("fit_in_memory", "fit_from_disk"))
        reading, product = (median(found, column) for column in ("reading_s", "product_s"))
        if np.isnan(reading):
            continue
        solver = at(rows, "fit_in_memory", point).get("solver", pd.Series([""])).iloc[0]
        line: Row = dict(zip(AXES, (f"{number:,}" for number in point), strict=True))
        line |= {"solver": solver, "reading once, s": f"{reading:.2g}", "product": found["product"].iloc[0]}
        line |= {"product, s": f"{product:.2g}", "fit in memory, s": f"{memory:.3g}", "fit from disk, s": f"{disk:.3g}"}
        line |= {
            "share in memory": f"{product / memory:.0%}",
            "share from disk": f"{(2 * reading + product) / disk:.0%}",
        }
        lines.append({name: "" if "nan" in str(value) else value for name, value in line.items()})
    return _markdown(lines)


def stages(rows: pd.DataFrame, plan: Plan) -> str:
    """The pass, the fit from moments and the scores, one by one."""
    names = {"pass": "the pass", "refit": "fit from moments", "scores": "scores to zarr"}
    lines = []
    for point in plan.along("cells"):
        line = {"cells": f"{point[0]:,}"}
        for name, label in names.items():
            line |= {f"{label}, s / MiB": cell(rows, "stages", point, (f"{name}_s", f"{name}_peak_mib"))}
        lines.append(line)
    return _markdown(lines)


def plot(rows: pd.DataFrame, plan: Plan) -> None:
    """``benchmarks/scale.png``: seconds above, memory below, an axis of the data in each column."""
    import matplotlib.pyplot as plt

    n, g = plan.centre
    titles = (f"{GENES:,} genes, {PATHWAYS} sets", f"{n:,} cells, {plan.sets[1]} sets", f"{n:,} cells, {g:,} genes")
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), sharex="col", sharey="row", layout="constrained")
    for j, axis in enumerate(AXES):
        points = plan.along(axis)
        for i, column in enumerate(("seconds", "peak_mib")):
            panel = axes[i, j]
            for method, colour, marker in zip(LABELS, COLOURS, MARKERS, strict=True):
                values = [median(at(rows, method, point), column) for point in points]
                style = {"color": colour, "marker": marker, "markeredgecolor": "0.25", "markeredgewidth": 0.5}
                width = 2.4 if method.startswith("fit") else 1.4
                panel.plot([point[j] for point in points], values, label=LABELS[method], linewidth=width, **style)
            panel.set(xscale="log", yscale="log")
            panel.set_xticks([point[j] for point in points], [_short(point[j]) for point in points])
            panel.minorticks_off()
            panel.grid(color="0.9")
            panel.spines[["top", "right"]].set_visible(False)
        axes[0, j].set_title(titles[j], fontsize=11)
        axes[1, j].set_xlabel(axis.capitalize())
    axes[0, 0].set_ylabel("Wall time, s")
    axes[1, 0].set_ylabel("Peak memory beyond the cells, MiB")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(FOLDER / f"{plan.name}.png", dpi=150)
    plt.close(figure)


def _short(number: int) -> str:
    return f"{number / 1e6:g}M" if number >= 1e6 else f"{number / 1e3:g}k" if number >= 1e3 else str(number)


def text(rows: pd.DataFrame, plan: Plan, note: str) -> str:
    """What was measured, and the tables."""
    n, g = plan.centre
    shares = ", ".join(f"{density(genes):.0%} of {genes:,}" for genes in plan.genes)
    left = int((rows["note"] == NO_TIME).sum()) if "note" in rows else 0
    over = f" The time of the benchmark was over before {left} runs, which are missing." if left else ""
    parts = [
        f"Sparse random cells (not zero: {shares} genes), sets of {SIZE} random genes. One number varies at a time: "
        f"cells at {GENES:,} genes × {PATHWAYS} sets; genes at {n:,} cells × {plan.sets[1]} sets; sets at {n:,} cells "
        f"× {g:,} genes. `tl.fit` with its defaults (20 free components); {PATHWAYS} components of PCA and of the "
        f"NMFs, defaults throughout. {note}{over} `sc.tl.score_genes` is called once per set; beyond 100 sets it is "
        "timed on 100 and the rest reckoned.",
        f"Every run is a process of its own, stopped after {LIMIT} s with its imports and the reading of its cells "
        f"(“> {LIMIT}”); a dash stands where a smaller size failed or took over {NEXT} s (aucell {NEXT_OF['aucell']}, "
        f"NMF {NEXT_OF['nmf']}). Runs along the cells of less than {QUICK} s, up to {MANY:,} cells "
        f"({', '.join(LABELS[name] for name in IN_TURNS)}): medians of {REPEATED} in turns; others once. The clock "
        "starts with the cells in memory, but for “from disk”.",
    ]
    for axis in AXES:
        parts += [f"## {axis.capitalize()}", "Seconds, wall / processor (user and system, all threads):"]
        parts += [table(rows, plan, axis, ("seconds", "processor_s"))]
        parts += ["Peak memory beyond the interpreter with its imports (and the cells, but for “from disk”), MiB:"]
        parts += [table(rows, plan, axis, ("peak_mib",))]
    parts += [
        "## `tl.fit` in memory over the others, wall seconds",
        "Below 1 the fit is the faster one. Medians of ratios within turns.",
        ratios(rows, plan),
        "## Share of the machine's limit",
        "Reading: every stored value of the file once, from the page cache, best of 3. Product: all cells, reckoned "
        "from the best of some ways on one block (BLAS, ours, scipy's); `XᵀX` up to 11 585 genes, beyond the product "
        "of a sketch. Share in memory: product / fit. From disk, where cells are read twice (moments, scores): "
        "(2 readings + product) / fit.",
        limits(rows, plan),
        f"## A fit from disk, part by part ({GENES:,} genes × {PATHWAYS} sets)",
        stages(rows, plan),
        f"![Time and memory against cells, genes and sets]({plan.name}.png)",
    ]
    return "\n\n".join(parts)


def run(plan: Plan | None = None) -> tuple[str, str, object]:
    """Title, text and figures."""
    plan = plan or Plan()
    rows, note = rows_of(plan)
    plot(rows, plan)
    return "Cells, genes and sets against time and memory", text(rows, plan, note), rows.to_dict("records")


if __name__ == "__main__":
    from run import write as write_results

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    chosen = QUICK_PLAN if parser.parse_args().quick else Plan()
    write_results(chosen.name, *run(chosen))
