"""Head to head: ``python benchmarks/compare`` runs every method on every task and writes ``docs/benchmarks.md``.

``--quick``: what needs no training, on a part of the problems, in minutes. ``--peers``, ``--tasks``: some of them. Both
write ``benchmarks/compare_quick.md`` instead. What has been run is kept under ``.benchmarks-env/work`` and run again
only if a peer's file, the problems or, for ours, the package has changed; ``--again`` also runs what failed. Adding a
peer is a file in ``peers/`` and, if it needs more than our environment, one in ``requirements/``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(1, str(HERE.parent))  # counts.py, pairs.py

import running  # noqa: E402
import tasks  # noqa: E402


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks/compare", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without training, a part of the problems")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="files of peers/, without .py")
    parser.add_argument("--tasks", nargs="+", metavar="T", choices=list(tasks.ALL))
    parser.add_argument("--limit", type=float, default=1800, help="processor seconds of one training (1800)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (1)")
    parser.add_argument("--again", action="store_true", help="also what failed before")
    parser.add_argument("--report", action="store_true", help="run nothing, write what is there")
    return parser.parse_args()


def peers(names: list[str] | None, *, quick: bool) -> dict[str, object]:
    """Modules of ``peers/``; in a quick run those without training."""
    every = sorted(path.stem for path in (HERE / "peers").glob("*.py") if path.stem != "__init__")
    for name in set(names or ()) - set(every):
        sys.exit(f"{name!r} is no peer; choose from {', '.join(every)}.")
    found = {name: importlib.import_module(f"peers.{name}") for name in names or every}
    return {name: peer for name, peer in found.items() if not (quick and peer.TRAINED)}


def main() -> None:
    warnings.simplefilter("ignore")
    options = asked()
    chosen = {name: tasks.ALL[name] for name in options.tasks or tasks.ALL}
    modules = peers(options.peers, quick=options.quick)
    limits = {"trained": options.limit, "other": running.LIMIT}
    queue = running.queue(modules, chosen, quick=options.quick)
    ready = running.Ready()
    if not options.report:
        running.run(queue, modules, ready, limits, jobs=options.jobs, again=options.again)
    import report

    figures = report.measured(modules, queue, chosen, ready)
    report.write(figures, chosen, limits, whole=not (options.quick or options.peers or options.tasks))


if __name__ == "__main__":
    main()
