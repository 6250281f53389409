"""How a command runs: its warnings, its errors and its exit codes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer


@contextmanager
def reported() -> Iterator[None]:
    """Warnings and the usual errors as one line each on stderr; errors end the command with exit code 1."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"warning: {_one_line(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except (ValueError, KeyError, TypeError, OSError) as error:
            # str(KeyError) is the repr of its message.
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"error: {_one_line(str(text))}", err=True)
            raise typer.Exit(1) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def bars() -> bool:
    """Progress bars are for people."""
    return sys.stderr.isatty()
