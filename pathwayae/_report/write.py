"""The report of a fit, written to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathwayae._report import multiqc as mqc
from pathwayae._report.gather import page
from pathwayae._report.render import html
from pathwayae._slots import keys, lookup
from pathwayae.core.files import whole_or_nothing
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def report(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    groupby: str | Sequence[str] | None = None,
    basis: str | None = None,
    title: str | None = None,
    multiqc: str | os.PathLike[str] | None = None,
    key: str = keys.DEFAULT,
) -> None:
    """Write one HTML page of a fit: what was found, how far to trust it, and how to repeat it.

    The page needs no network and no other file: pictures, style and the script that sorts and searches tables are
    inside. It says what is there, and what has not been asked. Long tables show their first rows, at most 300, and name
    the call that gives all.

    Parameters
    ----------
    adata
        A fitted AnnData, or new cells after ``pae.tl.transform``, of which less is known. Read through ``pae.get``.
    path
        The ``.html`` to write. It is replaced if it is there; an error leaves what was there.
    groupby
        Column of ``obs`` with groups to show scores by, or several of them, whose values make groups together. ``None``
        for the columns that ``pae.tl.rank_pathways`` and ``pae.tl.group_loadings`` compared.
    basis
        Embedding in ``obsm`` to draw cells on; ``"umap"`` stands for ``"X_umap"``. ``None`` for the first there is of
        UMAP, t-SNE and PCA.
    title
        Title of the page. ``None`` for one that counts the cells.
    multiqc
        A file whose name ends in ``_mqc.json``, for MultiQC: what comes before is the name of the sample in its general
        statistics. Its table has a second file, ``…_pathwayae_mqc.json``. ``None`` for neither.
    key
        Key of the fit.

    Raises
    ------
    KeyError
        If no pathways were fitted under `key` (of sparse autoencoders and archetypes there is no page), or there is no
        such column or basis.
    ValueError
        If a name has another ending, or `groupby` holds numbers or over 100 groups.
    OSError
        If a file cannot be written: its folder is missing, it is a folder, or rights are lacking.

    Examples
    --------
    >>> pae.report(adata, "report.html", groupby="cell_type", multiqc="pbmc_mqc.json")
    >>> from pathlib import Path
    >>> sorted(file.name for file in Path(".").iterdir())
    ['pbmc_mqc.json', 'pbmc_pathwayae_mqc.json', 'report.html']
    """
    target = _target("path", path, (".html", ".htm"))
    targets = () if multiqc is None else mqc.names(_target("multiqc", multiqc, (mqc.ENDING,)))
    lookup.fit_of(adata, key, keys.GROUPED)
    text = html(page(adata, key, title=title, groupby=groupby, basis=basis))
    found = mqc.records(adata, key, targets[0].name.removesuffix(mqc.ENDING)) if targets else ()
    with whole_or_nothing(target) as part:
        part.write_text(text, encoding="utf-8")
    for own, record in zip(targets, found, strict=True):
        with whole_or_nothing(own) as part:
            part.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _target(parameter: str, path: str | os.PathLike[str], endings: tuple[str, ...]) -> Path:
    """The path with ``~`` expanded; raises before any work is done where it cannot be written."""
    target = Path(path).expanduser()
    if target.is_dir():
        msg = f"{parameter}: {target} is a folder; name a file in it."
        raise IsADirectoryError(msg)
    if not any(target.name.endswith(one) and target.name != one for one in endings):
        msg = f"{parameter}={str(path)!r}: the name must end in {' or '.join(endings)}."
        raise ValueError(msg)
    if not target.parent.is_dir():
        msg = f"{parameter}: there is no folder {target.parent}; make it first."
        raise FileNotFoundError(msg)
    if not os.access(target.parent, os.W_OK):
        msg = f"{parameter}: the folder {target.parent} cannot be written to; choose another or change its rights."
        raise PermissionError(msg)
    return target
