"""Memory that is not to be had: one clear line, with what would need less."""

from __future__ import annotations

LESS = (
    "Less is needed by fewer genes (mask_var of a fit, genes of moments), by a sketch of their products "
    "(pae.tl.FitSettings(solver='sketch'), pae.pp.moments(sketch=True)), and by cells that stay in their file "
    "(anndata.read_h5ad(path, backed='r'))."
)
SIGNS = ("can't allocate memory", "not enough memory", "out of memory")  # of torch, whose errors are of no kind
LONGEST = 200  # characters of what a library says


class NotEnoughMemoryError(MemoryError):
    """There is not enough memory for a call; what was asked for is as it was."""


def lacking(error: BaseException) -> str:
    """What could not be had, as a library says it; empty for errors of another kind.

    Examples
    --------
    >>> lacking(MemoryError("Unable to allocate 3 GiB"))
    'Unable to allocate 3 GiB'
    >>> lacking(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
    >>> lacking(ValueError("no"))
    ''
    """
    said = " ".join(str(error).split())
    if not isinstance(error, MemoryError) and not (
        isinstance(error, RuntimeError) and any(sign in said.lower() for sign in SIGNS)
    ):
        return ""
    return said[:LONGEST].rstrip(".") or "the system gave none"


def tell(error: BaseException) -> None:
    """Raise :class:`NotEnoughMemoryError` where memory was lacking; nothing else happens for other errors."""
    if isinstance(error, NotEnoughMemoryError) or not (what := lacking(error)):
        return
    msg = f"not enough memory: {what}. {LESS}"
    raise NotEnoughMemoryError(msg) from error
