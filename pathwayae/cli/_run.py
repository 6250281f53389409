"""How a command runs: its messages, its summary, its errors and its exit codes."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from pathwayae.core.notice import DataWarning

DOES_NOT_FIT, FILES, WARNED, INTERRUPTED, TERMINATED = 3, 4, 5, 130, 143  # exit codes
FULL = " Free some space, or write elsewhere."
RIGHTS = " Change its rights, or choose another place."
ADVICE = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL, errno.EACCES: RIGHTS, errno.EROFS: RIGHTS}

logger = logging.getLogger("pathwayae")


class Run:
    """One call of a command: what it says on standard error, and its result on standard output.

    Attributes
    ----------
    warnings
        Texts of the warnings so far.
    """

    def __init__(self, context: typer.Context) -> None:
        self._started = time.monotonic()
        self._params = context.params
        self._command = context.info_name
        self._show: Callable[[], None] | None = None
        self._figures: dict[str, Any] = {}
        self._paths: list[Path] = []
        self.warnings: list[str] = []

    @property
    def bars(self) -> bool:
        """Whether progress bars are shown: they are for people."""
        return sys.stderr.isatty() and not self._params.get("quiet")

    def found(self, show: Callable[[], None] | None = None, **figures: Any) -> None:
        """Keep what the result is: ``show`` prints it for people, ``figures`` are its JSON."""
        self._show, self._figures = show, figures

    def also(self, path: Path) -> None:
        """Keep a further file that was written."""
        self._paths.append(path)

    def finish(self, *paths: Path) -> None:
        """Log where the results are, and print what they are."""
        paths = (*paths, *self._paths)
        for path in paths:
            logger.info("Written: %s", path)
        if self._params.get("as_json"):
            from pathwayae import __version__

            options = {name: value for name, value in self._params.items() if name not in ("as_json", "quiet")}
            record: dict[str, Any] = {"command": self._command, "version": __version__}
            record |= {"options": options, "outputs": paths}
            record |= {**self._figures, "warnings": self.warnings}
            record["seconds"] = round(time.monotonic() - self._started, 3)
            typer.echo(json.dumps(_plain(record), indent=2, allow_nan=False))
        elif self._show is not None and not self._params.get("quiet"):
            self._show()


@contextmanager
def running(context: typer.Context) -> Iterator[Run]:
    """Messages, warnings and the usual errors on standard error, one line each; errors end with their exit code.

    Other errors are mistakes in this package: they keep their traceback, and exit code 1.
    """
    run = Run(context)
    with _messages(quiet=bool(context.params.get("quiet"))), _terminated(), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _warned(run, str(message))
        warnings.simplefilter("ignore", FutureWarning)  # of libraries, which a user cannot heed
        warnings.filterwarnings("ignore", "Writing zarr v2", UserWarning)
        if context.params.get("strict"):
            warnings.simplefilter("error", DataWarning)
        try:
            yield run
        except DataWarning as warning:
            _fail(f"{warning} (a warning; --strict makes it an error)", WARNED, warning)
        except BrokenPipeError:  # the reader of a pipe has seen enough
            raise
        except (OSError, MemoryError, ImportError) as error:
            _fail(_said(error), FILES, error)
        except (ValueError, KeyError, TypeError) as error:
            _fail(_said(error), DOES_NOT_FIT, error)
        except KeyboardInterrupt as error:
            _fail("interrupted; nothing is left half-written.", INTERRUPTED, error)


def _fail(text: str, code: int, error: BaseException) -> None:
    typer.echo(f"error: {one_line(text)}", err=True)
    raise typer.Exit(code) from error


def _said(error: Exception) -> str:
    """What the error says, with the next step where the system says none; str(KeyError) is the repr of its message."""
    if isinstance(error, MemoryError):
        return f"not enough memory: {error or 'the system gave none'}. Use fewer genes (--mask-var) or more memory."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}.{ADVICE.get(error.errno or 0, '')}"
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error) or type(error).__name__


def _warned(run: Run, text: str) -> None:
    run.warnings.append(one_line(text))
    logger.warning(run.warnings[-1])


def one_line(text: str) -> str:
    """Without line breaks and repeated blanks."""
    return " ".join(text.split())


@contextmanager
def _messages(*, quiet: bool) -> Iterator[None]:
    """The log of the package on standard error."""

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            prefix = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
            return prefix + one_line(record.getMessage())

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM, which schedulers send, ends a command as an error does, so that its temporary files go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _plain(value: Any) -> Any:
    """As JSON has it: no paths, no numpy, no NaN."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return str(value) if isinstance(value, Path) else value
