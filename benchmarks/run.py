"""All benchmarks with one command: ``python benchmarks/run.py``, or some of them: ``… run.py gram speed``.

Each writes a Markdown table and a JSON file with the machine, the versions and the date beside this script. Those on
real cells and gene sets read them from ``$PATHWAYAE_DATA`` (default ``../shared/data``); gpu needs a CUDA device.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "gpu": gpu,
        "python": platform.python_version(),
        **{name: version(name) for name in ("pathwayae", "torch", "numpy", "scipy", "scanpy", "scikit-learn")},
    }


def write(name: str, title: str, text: str, figures: object) -> None:
    """``benchmarks/{name}.md`` and ``benchmarks/{name}.json``."""
    where = machine()
    line = ", ".join(f"{key} {value}" for key, value in where.items())
    (FOLDER / f"{name}.md").write_text(f"# {title}\n\n{line}\n\n{text}\n")
    (FOLDER / f"{name}.json").write_text(
        json.dumps({"machine": where, "figures": figures}, indent=1, default=float) + "\n"
    )
    print(f"wrote {name}.md and {name}.json")


def main(names: list[str]) -> None:
    """Run the benchmarks named, by default all."""
    import archetypes
    import contrasts
    import controls
    import defaults
    import gpu
    import gram
    import heldout
    import invariance
    import judge
    import large_collections
    import lost
    import new_cells
    import refine
    import relevance
    import relevance_panel
    import relevance_tail
    import restarts
    import scale
    import sketch
    import sparse_ae
    import speed
    import theta
    import torch

    modules = (archetypes, contrasts, controls, defaults, gpu, gram, heldout, invariance, judge, large_collections)
    modules += (lost, new_cells, refine, relevance, relevance_panel, relevance_tail, restarts)
    modules += (scale, sketch, sparse_ae, speed, theta)
    benchmarks = {module.__name__: module.run for module in modules}
    usual = [name for name in benchmarks if name != "gpu" or torch.cuda.is_available()]
    for name in names or usual:
        if name not in benchmarks:
            sys.exit(f"{name!r} is no benchmark; choose from {', '.join(benchmarks)}.")
        write(name, *benchmarks[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
