"""Work in a process of its own, within a time limit: wall and processor seconds, peak memory; rows kept as they come.

The clock of a row starts once the process has imported, warmed up and, where it says so, read its cells; the time limit
counts all of that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ENVIRONMENT = FOLDER.parent / ".benchmarks-env"
MIB = 2**20
NO_TIME = "no time left"
Row = dict[str, Any]


# In the process that works.


def memory(what: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def measured(work: Callable[[], object]) -> Row:
    """Seconds, processor seconds (user and system, all threads), MiB at the peak in all and beyond what was there."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, begin, used = memory("VmRSS"), time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - begin, time.process_time() - used
    peak = memory("VmHWM")
    return {"seconds": seconds, "processor_s": processor, "peak_mib": peak - before, "process_mib": peak}


# In the process that asks.


def one(command: Iterable[object], limit: float, **environment: str) -> Row:
    """The last line that a Python script prints, as JSON; or, under "note", why there is none."""
    parts = [str(part) for part in command]
    try:
        result = subprocess.run(
            parts, capture_output=True, text=True, timeout=limit, env=os.environ | environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"note": f"> {limit:.0f}"}
    if result.returncode:
        said = result.stderr.strip().splitlines()
        return {"note": said[-1][:200] if said else f"ended with {result.returncode}"}
    return json.loads(result.stdout.splitlines()[-1])


def decoupler() -> tuple[str, str]:
    """A Python interpreter that has decoupler, and its version; or nothing, and why.

    That is ``$DECOUPLER_PYTHON``, or an environment beside the checkout, made once, that borrows this one's packages.
    """
    python = os.environ.get("DECOUPLER_PYTHON", str(ENVIRONMENT / "bin" / "python"))
    asked = [python, "-c", "from importlib.metadata import version; print(version('decoupler'))"]
    try:
        if "DECOUPLER_PYTHON" not in os.environ and not ENVIRONMENT.exists():
            import numpy as np

            subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True, capture_output=True)
            site = next(ENVIRONMENT.glob("lib/python*/site-packages"))
            (site / "borrowed.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
            install = [python, "-m", "pip", "install", "-q", "decoupler>=2"]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
        found = subprocess.run(asked, check=True, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"decoupler could not be installed ({type(error).__name__}), so ulm and aucell are left out."
    return python, f"ulm and aucell are decoupler {found.stdout.strip()}, as it runs them by default (p-values too)."


class Journal:
    """Rows of a benchmark of at most so many seconds, which goes on where it was cut off unless a file has changed.

    ``benchmarks/{name}.jsonl`` has them until the benchmark is over.
    """

    def __init__(self, name: str, seconds: float) -> None:
        files = [*FOLDER.glob("*.py"), *(FOLDER.parent / "pathwayae").rglob("*.py")]
        state = json.dumps({"newest file": max(file.stat().st_mtime for file in files), "name": name})
        self.path = FOLDER / f"{name}.jsonl"
        self.end = time.monotonic() + seconds
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines[1:]] if lines[:1] == [state] else []
        if self.rows:
            print(f"going on after {len(self.rows)} rows of {self.path.name}", flush=True)
        else:
            self.path.write_text(f"{state}\n")

    def has(self, key: Row) -> bool:
        return any(key.items() <= row.items() for row in self.rows)

    def ask(self, key: Row, work: Callable[[float], Row], limit: float) -> Row:
        """The row of a key: as it was found before, or what ``work`` finds within the seconds it is given."""
        for row in self.rows:
            if key.items() <= row.items():
                return row
        left = self.end - time.monotonic()
        row = key | (work(min(limit, left)) if left > 5 else {"note": NO_TIME})
        if left < limit and row.get("note", "").startswith(">"):
            row["note"] = NO_TIME
        if row.get("note") != NO_TIME:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        print({name: round(x, 3) if isinstance(x, float) else x for name, x in row.items()}, flush=True)
        return row

    def close(self) -> int:
        """Forget the rows unless some are missing; how many are."""
        missing = sum(row.get("note") == NO_TIME for row in self.rows)
        if missing:
            print(f"{missing} rows had no time left; the same command goes on with them", flush=True)
        else:
            self.path.unlink(missing_ok=True)
        return missing
