"""An environment per requirements file, under ``.benchmarks-env/compare``; built where it is not there yet.

A requirements file names every package with its version and is installed as it is (``--no-deps``), so that no resolver
decides anything. Its first line may name a Python: ``# python3.12``. ``torch`` should be a build for the processor:
where PyPI's brings CUDA with it, set ``PIP_EXTRA_INDEX_URL`` to an index that has one.
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent
PLACE = FOLDER.parents[1] / ".benchmarks-env" / "compare"
LONGEST = 900  # seconds of an installation


def python_of(name: str | None) -> tuple[str, str]:
    """A Python with what the file ``requirements/{name}.txt`` lists, or none, and why there is none."""
    if name is None:
        return sys.executable, ""
    requirements = FOLDER / "requirements" / f"{name}.txt"
    place = PLACE / name
    python, done = place / "bin" / "python", place / "built"
    state = sha256(requirements.read_bytes()).hexdigest()
    said = done.read_text().split("\n", 1) if done.exists() else ["", ""]
    if said[0] != state:
        said = [state, _build(place, python, requirements)]
        place.mkdir(parents=True, exist_ok=True)
        done.write_text("\n".join(said))
    return ("", said[1]) if said[1] else (str(python), "")


def _build(place: Path, python: Path, requirements: Path) -> str:
    """Make the environment; what went wrong."""
    first = requirements.read_text().splitlines()[0]
    base = first.removeprefix("# ").strip() if first.startswith("# python") else sys.executable
    print(f"installing {requirements.name}", flush=True)
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "-r", requirements]
    try:
        subprocess.run([base, "-m", "venv", "--clear", place], check=True, capture_output=True, text=True)
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or [str(error)])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""
