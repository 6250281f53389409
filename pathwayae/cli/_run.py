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

from pathwayae.core.files import terminating
from pathwayae.core.memory import lacking
from pathwayae.core.notice import DataWarning, printable

DOES_NOT_FIT, FILES, WARNED, INTERRUPTED = 3, 4, 5, 130  # exit codes
KILLED = 128  # and the number of a signal
LONGEST = 4000  # characters of a message
FULL = " Free some space, or write elsewhere."
RIGHTS = " Change its rights, or choose another place."
ADVICE = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL, errno.EACCES: RIGHTS, errno.EROFS: RIGHTS}

OF_LIBRARIES = (FutureWarning, DeprecationWarning, PendingDeprecationWarning)  # which a user cannot heed

logger = logging.getLogger("pathwayae")


class Run:
    """One call of a command: what it says on standard error, and its result on standard output.

    Attributes
    ----------
    warnings
        Texts of the warnings so far.
    interrupted
        Whether Ctrl-C was pressed: a library may have taken it for an error of its own and gone on.
    """

    def __init__(self, context: typer.Context) -> None:
        self._started = time.monotonic()
        self._params = context.params
        self._command = context.info_name
        self._show: Callable[[], None] | None = None
        self._figures: dict[str, Any] = {}
        self._paths: list[Path] = []
        self.warnings: list[str] = []
        self.interrupted = False

    @property
    def bars(self) -> bool:
        """Whether progress bars are wanted."""
        return not self._params.get("quiet")

    def found(self, show: Callable[[], None] | None = None, **figures: Any) -> None:
        """Keep what the result is: ``show`` prints it for people, ``figures`` are its JSON."""
        self._show, self._figures = show, figures

    def also(self, path: Path) -> None:
        """Keep a further file that was written."""
        self._paths.append(path)

    def stop_if_interrupted(self) -> None:
        """Raise KeyboardInterrupt where one was lost."""
        if self.interrupted:
            raise KeyboardInterrupt

    def finish(self, *paths: Path) -> None:
        """Log where the results are, and print what they are."""
        self.stop_if_interrupted()
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
    quiet = bool(context.params.get("quiet"))
    with _messages(quiet=quiet), terminating(), _interrupted(run), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _warned(run, str(message))
        for kind in OF_LIBRARIES:
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", "Writing zarr v2", UserWarning)
        if context.params.get("strict"):
            warnings.simplefilter("error", DataWarning)
        try:
            yield run
            run.stop_if_interrupted()
        except BaseException as error:
            _end(run, error)


def _end(run: Run, error: BaseException) -> None:
    """Say in one line why a command ends, and end it; what is none of the usual errors goes on as it is."""
    if run.interrupted or isinstance(error, KeyboardInterrupt):
        _fail("interrupted; nothing is left half-written.", INTERRUPTED, error)
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > KILLED:
        name = signal.Signals(error.code - KILLED).name
        _fail(f"ended by {name}; nothing is left half-written.", error.code, error)
    if isinstance(error, DataWarning):
        _fail(f"{error} (a warning; --strict makes it an error)", WARNED, error)
    if isinstance(error, (OSError, MemoryError, ImportError)) and not isinstance(error, BrokenPipeError):
        _fail(_said(error), FILES, error)
    if isinstance(error, (ValueError, KeyError, TypeError)):
        _fail(_said(error), DOES_NOT_FIT, error)
    raise error  # BrokenPipeError among them: the reader of a pipe has seen enough


def _fail(text: str, code: int, error: BaseException) -> None:
    typer.echo(f"error: {one_line(text)}", err=True)
    raise typer.Exit(code) from error


def _said(error: Exception) -> str:
    """What the error says, with the next step where the system says none; str(KeyError) is the repr of its message."""
    if isinstance(error, MemoryError):
        what = lacking(error.__cause__ if isinstance(error.__cause__, MemoryError | RuntimeError) else error)
        return f"not enough memory: {what}. Fewer genes (--mask-var) or a sketch (--solver sketch) need less."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}.{ADVICE.get(error.errno or 0, '')}"
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error) or type(error).__name__


def _warned(run: Run, text: str) -> None:
    run.warnings.append(one_line(text))
    logger.warning(run.warnings[-1])


def one_line(text: str) -> str:
    """Without line breaks and repeated blanks, safe to print, and not longer than anybody would read."""
    line = " ".join(printable(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


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
def _interrupted(run: Run) -> Iterator[None]:
    """Ctrl-C is kept in mind, so that a command never ends as if nothing had happened."""
    usual = threading.current_thread() is threading.main_thread()
    if not usual or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def note(*_: object) -> None:
        run.interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
