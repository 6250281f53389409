"""How much a fit says: nothing, unless it is asked to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger("pathwayae")

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@contextmanager
def shown(logger_level: str | int | None, verbose_level: int | None) -> Iterator[None]:
    """Messages from a level on reach the logger's handlers, or standard error where it has none; then all is as before.

    Parameters
    ----------
    logger_level
        A name, or 0 to 4 for ``"DEBUG"`` to ``"CRITICAL"``; ``None`` leaves logging as it is.
    verbose_level
        4 to 0 for the same; `logger_level` goes before it.

    Raises
    ------
    ValueError
        If a level is unknown.
    """
    level = _level("verbose_level", verbose_level, LEVELS[::-1])
    level = _level("logger_level", logger_level, LEVELS) or level
    if not level:
        yield
        return
    before, own = logger.level, None if logger.hasHandlers() else logging.StreamHandler()
    if own is not None:
        own.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger.addHandler(own)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        if own is not None:
            logger.removeHandler(own)


def _level(name: str, value: Any, levels: tuple[str, ...]) -> int:
    """Number of a level; 0 where none was given."""
    if value is None:
        return 0
    chosen = value.upper() if isinstance(value, str) else value
    if isinstance(chosen, int) and not isinstance(chosen, bool) and 0 <= chosen < len(levels):
        chosen = levels[chosen]
    if chosen not in LEVELS:
        msg = f"{name}={value!r} is no level; choose 0 to 4 for {', '.join(levels)}, or a name."
        raise ValueError(msg)
    return int(getattr(logging, chosen))
