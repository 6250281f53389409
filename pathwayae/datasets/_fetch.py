"""Cells and gene sets to work with: a registry of public ones, and simulations with known truth."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pandas as pd

from pathwayae import _progress
from pathwayae.core.files import HOST, private_folder
from pathwayae.core.gates import gated
from pathwayae.core.notice import warn
from pathwayae.datasets import _registry
from pathwayae.datasets._registry import Card, File
from pathwayae.datasets._simulate import simulate

if TYPE_CHECKING:
    import requests

__all__ = ["fetch", "list", "simulate"]

logger = logging.getLogger("pathwayae")

CHUNK = 2**16  # bytes
TIMEOUT = 30  # seconds without an answer
EXPANDS = 1000  # times its size in a zip that a file may have
BEGINS = {".gz": b"\x1f\x8b", ".zip": b"PK", ".h5ad": b"\x89HDF", ".h5": b"\x89HDF", ".obo": b"format-version"}


@gated()
def list(kind: str | None = None) -> pd.DataFrame:  # noqa: A001 reads as pae.datasets.list()
    """Return a table of the data sets and gene-set collections that ``fetch`` knows.

    Parameters
    ----------
    kind
        Only ``"gene sets"``, ``"ontology"``, ``"annotation"`` or ``"cells"``; all by default.

    Returns
    -------
    One row per card, indexed by the name that :func:`fetch` takes, with the columns ``title``, ``kind``, ``organism``,
    ``identifiers``, ``version`` (``"rolling"``: the publisher replaces the file now and then, so no hash can verify
    it), ``n`` (sets, terms, or cells × genes), ``licence``, ``redistributable``, ``size_mb`` (missing where unknown)
    and ``where``:

    - ``embedded``: comes with pathwayae or with a package it needs;
    - ``local``: lies in ``$PATHWAYAE_DATA``;
    - ``cached``: downloaded before;
    - ``remote``: :func:`fetch` downloads it;
    - ``by hand``: not to be had by a download; :func:`fetch` says how.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> import pathwayae as pae
    >>> table = pae.datasets.list("gene sets")
    >>> table.loc["immune_pbmc", ["n", "where"]].tolist()
    ['29 sets', 'embedded']
    """
    if kind is not None and kind not in _registry.KINDS:
        close = difflib.get_close_matches(str(kind).lower(), _registry.KINDS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        msg = f"kind={kind!r} is not known.{hint} Choose one of {', '.join(map(repr, _registry.KINDS))}."
        raise ValueError(msg)
    rows = {name: _row(card) for name, card in _registry.cards().items() if kind in (None, card.kind)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


@gated()
def fetch(name: str, *, progress: bool = True, update: bool = False) -> Path | dict[str, Path]:
    """Return the path of a data set or gene-set collection, downloaded if need be.

    A file is taken from ``$PATHWAYAE_DATA`` (that folder itself or the folders in it) when one of the card's names and
    hashes fits; else from the cache, ``$PATHWAYAE_CACHE`` or the user's cache folder; else it is downloaded, verified
    and moved into the cache in one step, so that the cache never holds half a file. Files without a published hash
    cannot be verified: they are downloaded once and kept where they begin as files of their kind do, and the log warns
    of it. Only https is used, redirects included.

    Parameters
    ----------
    name
        A name of :func:`list`.
    progress
        Show a progress bar while downloading.
    update
        Download files of the cache that cannot be verified once more, to have the publisher's current ones.

    Returns
    -------
    The path of the file; where there are several, a dict of file name → path.

    Raises
    ------
    KeyError
        If there is no such name.
    FileNotFoundError
        If the data can be had by hand only; the message says how and where to put them.
    ConnectionError
        If the download fails; the message says what to download by hand and where to put it.
    ValueError
        If what was downloaded has another hash than the card says; it is removed, and both hashes are shown.
    PermissionError
        If the cache cannot be written.

    Examples
    --------
    >>> import pathwayae as pae
    >>> pae.gs.read_gmt(pae.datasets.fetch("immune_pbmc"))
    GeneSetCollection(29 sets, 824 genes: 'B_CELLS', 'PLASMA_CELLS', 'CD4_NAIVE_AND_CENTRAL_MEMORY_T_CELLS', …)
    """
    card = _registry.card(name)
    data = os.environ.get("PATHWAYAE_DATA")
    if data and not Path(data).is_dir():
        warn(f"PATHWAYAE_DATA={data!r} is not a folder; it is passed over.")
    paths = {}
    for file in card.files:
        place, path, complaints = _find(card, file)
        for complaint in complaints:
            warn(complaint)
        again = update and place == "cached" and file.url and not file.sha256
        paths[file.name] = _download(card, file, progress=progress) if path is None or again else path
    return paths if len(paths) > 1 else next(iter(paths.values()))


def _row(card: Card) -> dict[str, object]:
    places = {_find(card, file)[0] for file in card.files}
    order = ("by hand", "remote", "cached", "local", "embedded")
    n = ""
    if card.n_cells:
        n = f"{card.n_cells:,} × {card.n_genes:,}"
    elif card.n_sets or card.n_terms:
        n = f"{card.n_sets:,} sets" if card.n_sets else f"{card.n_terms:,} terms"
    known = all(file.size for file in card.files)
    return {
        "title": card.title,
        "kind": card.kind,
        "organism": card.organism,
        "identifiers": card.identifier,
        "version": card.version,
        "n": n,
        "licence": card.licence,
        "redistributable": card.redistributable,
        "size_mb": round(sum(file.size for file in card.files) / 1e6, 2) if known else float("nan"),
        "where": next(place for place in order if place in places),
    }


# What is there already.


def _find(card: Card, file: File) -> tuple[str, Path | None, tuple[str, ...]]:
    """Where a file lies (as in the table), its path if it lies anywhere, and what was passed over and why."""
    if card.embedded:
        return "embedded", _registry.folder() / file.name, ()
    if file.package and (path := _in_package(file)) is not None:
        return "embedded", path, ()
    complaints: tuple[str, ...] = ()
    for path in _candidates(file):
        found, right = _sha256(path), file.known[path.name]
        if found in right:
            return "local", path, complaints
        if path.name == file.name and not file.sha256:
            logger.info("%s: no hash is published, so it is taken as it is (sha256 %s).", path, found)
            return "local", path, complaints
        complaints += (f"{path} is passed over: its sha256 is {found}, not {' or '.join(right)}.",)
    cached = _cached(card, file)
    if cached.is_file():
        found = _sha256(cached)
        if file.sha256 in ("", found):
            return "cached", cached, complaints
        complaints += (f"{cached} is passed over: its sha256 is {found}, not {file.sha256}.",)
    return "remote" if file.url else "by hand", None, complaints


def _candidates(file: File) -> Iterator[Path]:
    """Files of the right name in ``$PATHWAYAE_DATA`` and the folders in it."""
    data = os.environ.get("PATHWAYAE_DATA")
    if not data or not (root := Path(data)).is_dir():
        return
    for folder in (root, *sorted(entry for entry in root.iterdir() if entry.is_dir())):
        yield from (path for name in file.known if (path := folder / name).is_file())


def _in_package(file: File) -> Path | None:
    spec = find_spec(file.package)  # finds a package without importing it
    path = Path(spec.origin).parent / file.path if spec and spec.origin else None
    return path if path and path.is_file() else None


def _cache() -> Path:
    if given := os.environ.get("PATHWAYAE_CACHE"):
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("pathwayae"))


def _cached(card: Card, file: File) -> Path:
    return _cache() / card.name / file.name


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Downloads.


def _download(card: Card, file: File, *, progress: bool) -> Path:
    """Download into the cache: whole and verified, or not at all."""
    if not file.url:
        msg = f"{card.name}: {card.by_hand.strip()}\n{_advice(card, file)}"
        raise FileNotFoundError(msg)
    import requests

    target = _cached(card, file)
    mismatch, failures, cause = False, "", None
    with _workspace(_cache()) as folder:
        for url in file.urls:
            try:
                path = _stream(url, folder / file.name, progress=progress)
                found = _verified(path, file)
            except (requests.RequestException, ConnectionError, _MismatchError) as error:
                mismatch = mismatch or isinstance(error, _MismatchError)
                failures += f"\n  {url}: {_reason(error)}"
                cause = error
                logger.info("%s: %s", url, _reason(error))
                continue
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
            why = "verified" if file.sha256 else f"{'rolling' if file.rolling else 'no hash published'}, not verified"
            level = logging.INFO if file.sha256 else logging.WARNING  # nobody can tell whether it is what was published
            logger.log(level, "%s: %s downloaded to %s (sha256 %s, %s)", card.name, url, target, found, why)
            return target
    msg = f"{card.name}: {file.name} could not be downloaded.{failures}\n{_advice(card, file)}"
    raise (ValueError if mismatch else ConnectionError)(msg) from cause


class _MismatchError(Exception):
    """What came is not what the card describes."""


def _stream(url: str, path: Path, *, progress: bool) -> Path:
    """Save what an address answers."""
    import pooch
    from tqdm.auto import tqdm

    headers = {"User-Agent": f"pathwayae/{version('pathwayae')}", "Accept-Encoding": "identity"}
    hooks, shown = {"response": _on_the_way}, progress and _progress.watched()
    with tqdm(total=1, desc=path.name, unit="B", unit_scale=True, disable=not shown) as bar:
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT, headers=headers, hooks=hooks)
        get(url, path, None)
        promised = bar.total
    # Older urllib3 takes a connection that ends early for the end of the file.
    if path.stat().st_size < promised:
        msg = f"{path.stat().st_size:,} of {promised:,} bytes came"
        raise ConnectionError(msg)
    return path


def _on_the_way(response: requests.Response, **_: object) -> None:
    """Refuse an answer, or a place that it sends to, which others could have changed on its way."""
    elsewhere = urljoin(response.url, response.headers.get("Location", "")) if response.is_redirect else response.url
    for url in (response.url, elsewhere):
        if not _registry.is_safe(url):
            msg = f"it leads to {url}, which is not https"
            raise _MismatchError(msg)


def _verified(path: Path, file: File) -> str:
    """Unpack where the card says so; the sha256 if it is right."""
    if file.member:
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo(file.member)
                if member.file_size > EXPANDS * max(member.compress_size, 1):
                    msg = f"{file.member} takes {member.file_size:,} bytes unpacked, over {EXPANDS} times its size"
                    raise _MismatchError(msg)
                with archive.open(member) as packed, path.with_suffix(".unpacked").open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
        except (zipfile.BadZipFile, KeyError) as error:
            msg = f"this is not a zip archive with {file.member} in it ({error}); the file was removed"
            raise _MismatchError(msg) from error
        path.with_suffix(".unpacked").replace(path)
    found = _sha256(path)
    if file.sha256 and found != file.sha256:
        msg = f"sha256 is {found}, not {file.sha256} as the card says; the file was removed"
        raise _MismatchError(msg)
    if not file.sha256:
        _check_format(path)
    return found


def _check_format(path: Path) -> None:
    """Raise where a file that no hash can verify does not begin as its ending says, or is a page of a web site."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    begin = BEGINS.get(path.suffix, b"")
    page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    if (
        page
        or not start.removeprefix(b"\xef\xbb\xbf").startswith(begin)
        or (path.suffix == ".gmt" and b"\t" not in start)
    ):
        what = "a web page" if page else f"no {path.suffix} file"
        msg = f"what came is {what}; it was removed"
        raise _MismatchError(msg)


@contextmanager
def _workspace(cache: Path) -> Iterator[Path]:
    """Temporary folder in the cache, gone afterwards whatever happens."""
    stack = ExitStack()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        workspace = stack.enter_context(private_folder(cache, f".download.{HOST}."))
    except OSError as error:
        msg = (
            f"The cache {cache} cannot be written ({error.strerror}). Set PATHWAYAE_CACHE to a folder where you may "
            "write, or put the files into a folder of your own and set PATHWAYAE_DATA to it."
        )
        raise PermissionError(msg) from error
    with stack:
        yield workspace


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT} seconds"
    if isinstance(error, requests.ConnectionError):
        return f"no connection ({type(error).__name__})"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ConnectionError)):
        return f"the connection broke off ({error}); nothing was kept"
    return str(error) if isinstance(error, _MismatchError) else f"{type(error).__name__}: {error}"


def _advice(card: Card, file: File) -> str:
    """What to get by hand and where to put it."""
    data = os.environ.get("PATHWAYAE_DATA")
    if file.url:
        what = f"To do it by hand: download {file.url},"
        what += f" take {file.member} out of it," if file.member else ""
    else:
        what = f"When you have {file.name},"
    expected = file.sha256 or "not published, so any content is taken"
    return (
        f"{what} save it as {_cached(card, file)}, or as {file.name} in $PATHWAYAE_DATA "
        f"({data or 'not set: a folder of your own data'}). Expected sha256: {expected}."
    )
