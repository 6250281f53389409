"""From a list of what is asked to results on disk: problems are made, environments built, workers run within limits."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from contract import Problem, read_problem, read_result, write_problem
from environments import python_of
from problems import BUILD
from results import Solved

import pathwayae

HERE = Path(__file__).parent
WORK = HERE.parents[1] / ".benchmarks-env" / "work"
PACKAGE = Path(pathwayae.__file__).parent
LIMIT = 60.0  # processor seconds of what needs no training
REPEATS = (1, 2)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Ask(NamedTuple):
    """One run."""

    peer: str
    method: str
    problem: str
    seed: int

    @property
    def path(self) -> Path:
        """Of the result, without suffix."""
        return WORK / "results" / self.method.replace(" ", "_") / f"{self.problem.replace(' ', '_')}_{self.seed}.x"


def queue(peers: dict[str, ModuleType], tasks: dict[str, ModuleType], *, quick: bool) -> list[Ask]:
    """What each method is asked, the first of the tasks first; nothing twice."""
    asks: dict[Ask, None] = {}
    for task in tasks.values():
        for name, peer in peers.items():
            problems = task.TRAINED if peer.TRAINED else task.QUICK if quick else task.PROBLEMS
            for method in peer.METHODS:
                for problem in problems:
                    if wanted(peer, method, problem):
                        seeded = problem in task.SEEDED and method in getattr(peer, "SEEDED", ())
                        asks |= dict.fromkeys(Ask(name, method, problem, s) for s in (0, *(REPEATS if seeded else ())))
    return list(asks)


def wanted(peer: ModuleType, method: str, problem: str) -> bool:
    """Methods that take no batches are not told of them; some methods are for some problems, slow ones not for all."""
    only = getattr(peer, "ONLY", {}).get(method)
    told = problem.endswith(" told") and method not in getattr(peer, "BATCHES", ())
    spared = tuple(getattr(peer, "NOT", {}).get(method, ()))
    return not told and (only is None or problem.startswith(only)) and not problem.startswith(spared)


@cache
def state(*parts: Path) -> str:
    """Of files, and of all Python files of folders; what Python does not run (comments, docstrings) does not count."""
    found = sha256()
    for part in parts:
        for path in sorted(part.rglob("*.py")) if part.is_dir() else [part]:
            found.update(code(path).encode() if path.suffix == ".py" else path.read_bytes())
    return found.hexdigest()[:16]


def code(path: Path) -> str:
    """The syntax tree of a Python file, without its docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(value=ast.Constant()), *rest]:
                node.body = rest
    return ast.dump(tree)


class Ready:
    """Problems on disk, made when first asked for."""

    def __init__(self) -> None:
        simulated = PACKAGE / "datasets" / "_simulate.py"
        self.state = state(HERE / "problems.py", HERE.parent / "counts.py", HERE.parent / "pairs.py", simulated)

    def folder(self, name: str) -> Path:
        folder = WORK / "problems" / name.replace(" ", "_").replace(",", "")
        mark = folder / "state"
        if not mark.exists() or mark.read_text() != self.state:
            print(f"making {name}", flush=True)
            made = BUILD[name]()
            write_problem(folder, made.problem)
            (folder / "truth.pkl").write_bytes(pickle.dumps(made.truth))
            mark.write_text(self.state)
        return folder

    @cache  # noqa: B019 (there is one of these in a process)
    def read(self, name: str) -> tuple[Problem, dict[str, Any]]:
        folder = self.folder(name)
        return read_problem(folder), pickle.loads((folder / "truth.pkl").read_bytes())

    def stamp(self, ask: Ask, peer: ModuleType) -> str:
        """What a result depends on."""
        parts = [HERE / "peers" / f"{ask.peer}.py", HERE / "contract.py"]
        if "pathwayae" in peer.IMPORTS:
            parts.append(PACKAGE)
        elif peer.ENVIRONMENT:
            parts.append(HERE / "requirements" / f"{peer.ENVIRONMENT}.txt")
        return f"{self.state} {state(*parts)}"

    def cost(self, ask: Ask, peer: ModuleType) -> dict[str, Any] | None:
        """What is known of a run, or nothing if it has to be run."""
        path = ask.path.with_suffix(".json")
        row = json.loads(path.read_text()) if path.exists() else {}
        return row if row.get("stamp") == self.stamp(ask, peer) else None

    def solved(self, ask: Ask, peer: ModuleType) -> Solved | None:
        row = self.cost(ask, peer)
        if row is None or "failed" in row:
            return None
        return Solved(*self.read(ask.problem), read_result(ask.path.with_suffix(".npz")), row)


def run(asks: Iterable[Ask], peers: dict[str, ModuleType], ready: Ready, limits: dict[str, float], *,
        jobs: int, again: bool) -> None:  # fmt: skip
    """All that is not there yet: one worker per method and, of trained ones, per problem."""
    groups: dict[tuple, list[Ask]] = {}
    for ask in asks:
        row = ready.cost(ask, peers[ask.peer])
        if row is None or (again and "failed" in row):
            trained = peers[ask.peer].TRAINED
            groups.setdefault((trained, ask.problem if trained else "", ask.peer, ask.method), []).append(ask)
    for name in dict.fromkeys(ask.problem for group in groups.values() for ask in group):
        ready.folder(name)
    pythons = {name: python_of(peers[name].ENVIRONMENT) for name in {key[2] for key in groups}}
    ordered = sorted(groups, key=lambda key: key[0])

    def work(key: tuple) -> None:
        trained, _, name, _ = key
        one(groups[key], peers[name], ready, *pythons[name], limits["trained" if trained else "other"])

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, ordered))


def one(asks: list[Ask], peer: ModuleType, ready: Ready, python: str, missing: str, limit: float) -> None:
    """One worker process; whatever happens to it, every run has a row afterwards."""
    for ask in asks:
        ask.path.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".json", ".npz"):
            ask.path.with_suffix(suffix).unlink(missing_ok=True)
    failed = f"not installed: {missing}"[:300] if missing else ""
    if not missing:
        jobs = [f"{ready.folder(ask.problem)}:{ask.seed}:{ask.path}" for ask in asks]
        command = [python, HERE / "worker.py", asks[0].peer, asks[0].method, str(limit), *jobs]
        paths = os.pathsep.join([str(PACKAGE.parent)] if peer.ENVIRONMENT is None else [])
        environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": paths}
        said = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        log = asks[0].path.parent / "log.txt"
        log.write_text(said.stdout[-20000:] + said.stderr[-20000:])
        last = said.stderr.strip().splitlines()
        failed = f"the worker ended: {last[-1] if last else said.returncode}"[:300]
    for ask in asks:
        path = ask.path.with_suffix(".json")
        row = json.loads(path.read_text()) if path.exists() else {"failed": failed}
        path.write_text(json.dumps(row | {"stamp": ready.stamp(ask, peer), "limit": limit}))
        took = f"{row['processor_s']:.2f} s" if "processor_s" in row else row["failed"]
        print(f"{ask.method}, {ask.problem}, seed {ask.seed}: {took} {row.get('note', '')}", flush=True)
