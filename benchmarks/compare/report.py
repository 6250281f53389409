"""From results to figures, and from figures to JSON, Markdown and plots."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from reasons import LOST, OPENING, YOUR_OWN
from running import HERE, WORK, Ask, Ready, state

DOCS = HERE.parents[1] / "docs"
OURS = "pathwayae"  # methods of ours begin so
Figures = dict[str, Any]


# Figures.


def measured(peers: dict[str, ModuleType], asks: list[Ask], tasks: dict[str, ModuleType], ready: Ready) -> Figures:
    """By task and method: figures as lists of numbers; what runs cost, and what failed or did not converge."""
    methods = list(dict.fromkeys((ask.peer, ask.method) for ask in asks))
    figures: Figures = {"machine": machine(), "tasks": {}, "runs": [], "unasked": [], "methods": {}}
    for peer, method in methods:
        module = peers[peer]
        about = {"peer": peer, "trained": module.TRAINED, "about": module.__doc__.splitlines()[0]}
        figures["methods"][method] = about | {"versions": {}}
    for ask in asks:
        row = ready.cost(ask, peers[ask.peer])
        if row is None:
            figures["unasked"].append(ask._asdict())
        else:
            figures["methods"][ask.method]["versions"] |= row.get("versions", {})
            kept = {key: row[key] for key in ("processor_s", "seconds", "peak_mib", "note", "failed") if key in row}
            figures["runs"].append(ask._asdict() | kept)
    for name, task in tasks.items():
        found = {method: figures_of(task, method, peers[peer], asks, ready) for peer, method in methods}
        figures["tasks"][name] = {method: values for method, values in found.items() if values}
        print(f"measured {name}", flush=True)
    return figures


def figures_of(task: ModuleType, method: str, module: ModuleType, asks: list[Ask], ready: Ready) -> Figures:
    """What ``task.measure`` says of one method; kept, with what it depends on, until that changes."""
    mine = {(ask.problem, ask.seed): ask for ask in asks if ask.method == method and ask.problem in task.PROBLEMS}
    stamps = {
        key: row["stamp"] for key, ask in mine.items() if (row := ready.cost(ask, module)) and "failed" not in row
    }
    depends = json.dumps([state(Path(task.__file__), HERE / "results.py"), sorted(map(str, stamps.items()))])
    place = WORK / "figures" / f"{sha256((method + task.TITLE + depends).encode()).hexdigest()[:20]}.json"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)

        def get(problem: str, seed: int = 0):
            ask = mine.get((problem, seed))
            return None if ask is None else ready.solved(ask, module)

        place.write_text(json.dumps(task.measure(get), default=float))
    return json.loads(place.read_text())


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    where = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    named = {name: version(name) for name in (OURS, "numpy", "scipy", "scanpy", "scikit-learn", "harmonypy")}
    return where | {"gpu": "not used", "python": platform.python_version()} | named


# Ranks.


def unranked(figures: Figures, task: ModuleType) -> dict[str, str]:
    """Methods whose training on one of the task's problems did not end by its own rule, and what they say."""
    rows = [row for row in figures["runs"] if row["problem"] in task.PROBLEMS and row.get("note")]
    return {row["method"]: row["note"] for row in rows}


def ranks(figures: Figures, tasks: dict[str, ModuleType]) -> pd.DataFrame:
    """For every headline: ours, the best peer, our rank among all ranked methods, and how many times its seconds."""
    rows = []
    for name, task in tasks.items():
        found, left = figures["tasks"].get(name, {}), unranked(figures, task)
        for headline, more in task.HEADLINES.items():
            values = {method: float(np.median(of[headline])) for method, of in found.items() if headline in of}
            ours = values.get(task.OURS)
            others = {
                m: v
                for m, v in values.items()
                if m not in left and not m.startswith((OURS, task.OURS)) and np.isfinite(v)
            }
            if ours is None or not others:
                continue
            best = (max if more else min)(others, key=others.__getitem__)
            ahead = sum(v > ours if more else v < ours for v in others.values())
            margin = ours - others[best] if more else others[best] - ours
            rows.append(
                {
                    "task": name, "figure": headline, "method": task.OURS, "ours": ours, "best peer": best,
                    "its": others[best], "margin": margin, "rank": ahead + 1, "of": len(others) + 1,
                    "times": times(figures, task, best),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def times(figures: Figures, task: ModuleType, other: str) -> float:
    """Processor seconds of another method over ours, on the problems of the task that both solved."""
    spent: dict[str, dict] = {task.OURS: {}, other: {}}
    for row in figures["runs"]:
        if row["method"] in spent and row["problem"] in task.PROBLEMS and "processor_s" in row:
            spent[row["method"]][row["problem"], row["seed"]] = row["processor_s"]
    both = spent[task.OURS].keys() & spent[other].keys()
    return sum(spent[other][key] for key in both) / max(sum(spent[task.OURS][key] for key in both), 1e-9)


# Pages.


def write(figures: Figures, tasks: dict[str, ModuleType], limits: dict[str, float], *, whole: bool) -> None:
    """A whole run: ``results.json`` here, ``docs/benchmarks.md``, its plots; a part of it: ``../compare_quick.*``."""
    table = ranks(figures, tasks)
    figures |= {"limits": limits, "ranks": table.to_dict("records")}
    target = HERE / "results.json" if whole else HERE.parent / "compare_quick.json"
    target.write_text(json.dumps(figures, indent=1, default=float) + "\n")
    page = DOCS / "benchmarks.md" if whole else HERE.parent / "compare_quick.md"
    pictures = []
    if whole:
        import plots

        pictures = plots.draw(figures, tasks, DOCS / "figures")
    page.write_text(text(figures, tasks, table, pictures))
    print(f"wrote {target.name} and {page.name}")


def text(figures: Figures, tasks: dict[str, ModuleType], table: pd.DataFrame, pictures: list[tuple[str, str]]) -> str:
    line = ", ".join(f"{key} {value}" for key, value in figures["machine"].items())
    parts = ["# Head to head", OPENING.format(**figures["limits"]), f"*{line}.*", about(figures)]
    if len(table):  # ours were asked
        parts += ["## In short", summary(table)]
    parts += [f"![{caption}](figures/{name})\n\n*{caption}*" for name, caption in pictures]
    if len(table):
        parts += ["## Where we lose, and why", lost(table)]
    for name, task in tasks.items():
        parts += [f"## {task.TITLE}", task.TEXT, of_task(figures, name, task)]
    parts += ["## What failed, did not end or was not ranked", failures(figures)]
    parts += ["## What was not asked", unasked(figures), YOUR_OWN]
    return "\n\n".join(part for part in parts if part) + "\n"


def about(figures: Figures) -> str:
    """One row per peer, with its methods."""
    rows: dict[str, dict[str, str]] = {}
    for method, row in figures["methods"].items():
        own = rows.setdefault(row["peer"], {"methods": "", "what": row["about"], "trained": "yes" * row["trained"]})
        own["methods"] += f"{', ' * bool(own['methods'])}{method}"
        own["version"] = ", ".join(f"{name} {of}" for name, of in row["versions"].items()) or own.get("version", "")
    return pd.DataFrame(rows.values()).to_markdown(index=False)


def summary(table: pd.DataFrame) -> str:
    """One row per headline; our rank, and how many times our processor seconds the best peer took."""
    shown = table.assign(
        rank=[f"{'**' if row['rank'] == 1 else ''}{row['rank']} of {row['of']}{'**' if row['rank'] == 1 else ''}"
              for _, row in table.iterrows()],
        times=[f"{value:.3g} ×" if value else "" for value in table["times"]],
    ).drop(columns=["of", "method"])  # fmt: skip
    shown = shown.rename(columns={"its": "best peer's", "times": "its time / ours"})
    first = int((table["rank"] == 1).sum())
    return f"First in {first} of {len(table)} figures.\n\n" + shown.to_markdown(index=False, floatfmt=".3f")


def lost(table: pd.DataFrame) -> str:
    """Figures with one reason together."""
    seen: dict[tuple[str, str], list[str]] = {}
    for _, row in table[table["rank"] > 1].iterrows():
        said = f"{row['figure']} {row['ours']:.3f}, {row['best peer']} {row['its']:.3f} ({row['rank']} of {row['of']})"
        seen.setdefault((row["task"], why(row["task"], row["figure"])), []).append(said)
    lines = [f"- **{task}** {'; '.join(of)}. {reason}".rstrip() for (task, reason), of in seen.items()]
    return "\n".join(lines) or "Nowhere."


def why(task: str, figure: str) -> str:
    """The sentence for a figure, or for its task."""
    return LOST.get((task, figure), LOST.get(task, ""))


def of_task(figures: Figures, name: str, task: ModuleType) -> str:
    """Methods × headlines and what else was measured, medians with the range over replicates."""
    found, left = figures["tasks"].get(name, {}), unranked(figures, task)
    columns = list(dict.fromkeys([*task.HEADLINES, *(key for of in found.values() for key in of)]))
    rows = {}
    for method, of in found.items():
        label = f"**{method}**" if method == task.OURS else f"({method})" if method in left else method
        rows[label] = {key: cell(of[key]) for key in columns if key in of}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=None).reindex(columns=columns).fillna("")
    width = 10
    pieces = [table[columns[i : i + width]] for i in range(0, len(columns), width)]
    kept = [part[(part != "").any(axis=1)] for part in pieces]
    return "\n\n".join(part.to_markdown(disable_numparse=True) for part in kept if len(part))


def cell(values: list[float]) -> str:
    numbers = np.asarray(values, float)
    middle = f"{np.median(numbers):.3g}" if abs(np.median(numbers)) >= 10 else f"{np.median(numbers):.3f}"
    if len(numbers) == 1 or np.ptp(numbers) < 5e-4:
        return middle
    return f"{middle} ({numbers.min():.3f}–{numbers.max():.3f})"


def failures(figures: Figures) -> str:
    seen: dict[tuple[str, str], list[str]] = {}
    for row in figures["runs"]:
        why = row.get("failed") or row.get("note")
        if why:
            seen.setdefault((row["method"], why), []).append(row["problem"])
    lines = [f"- **{method}**: {why} ({', '.join(dict.fromkeys(of))})" for (method, why), of in seen.items()]
    return "\n".join(lines) or "Nothing."


def unasked(figures: Figures) -> str:
    """What a whole run would ask, and no result here is of."""
    seen: dict[str, list[str]] = {}
    for row in figures["unasked"]:
        seen.setdefault(row["method"], []).append(row["problem"])
    lines = [f"- **{method}**: {', '.join(dict.fromkeys(of))}" for method, of in seen.items()]
    return "\n".join(lines) or "Nothing that a whole run asks; of trained methods these are the small problems alone."
