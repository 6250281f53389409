"""The slots of a fit written: its key claimed, an older fit cleared, analyses added, other fits told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._slots import keys, lookup, mark


def owned(adata: AnnData, key: str, kind: str) -> dict[str, tuple[str, ...]]:
    """Every slot beside ``uns`` that a fit of this kind and its analyses write under a key."""
    varm: tuple[str, ...]
    obs: tuple[str, ...] = ()
    var: tuple[str, ...] = (keys.mean(key),)
    if kind == keys.GROUPED:
        varm = (keys.loadings(key), keys.encoder(key), keys.membership(key), keys.batch_means(key))
        varm += (keys.loadings_low(key), keys.loadings_high(key))
        varm += (keys.prior(key), keys.evidence(key), keys.posterior(key), keys.call(key))
        var += (keys.scale(key), keys.bins(key), keys.regularised(key))
        obs = tuple(keys.unexplained(key).values())
    elif kind == keys.SPARSE_AE:
        varm = (keys.features(key), keys.encoder(key), keys.decoder(key))
        var += (keys.bias(key),)
        obs = tuple(keys.of_cell(key).values())
    else:
        labelled = lookup.kind_of(adata, key) == kind and lookup.plain(adata.uns[key][keys.PARAMS].get("labels", False))
        varm = (keys.profiles(key),)
        obs = (keys.label(key), keys.label_weight(key)) if labelled else ()
    obs += (keys.mark(key), *columns_written(adata, key))
    return {"obsm": (keys.scores(key),), "varm": varm, "var": var, "obs": obs}


def claim(adata: AnnData, key: str, kind: str, *, obs: Iterable[str] = ()) -> None:
    """Refuse a key that something else than an earlier fit of this kind holds.

    Parameters
    ----------
    obs
        Columns of ``obs`` that will be written.

    Raises
    ------
    TypeError, ValueError
        If it cannot name slots, see :func:`pathwayae._checks.slot_key`; another model, or anything else in ``uns``,
        has the key; or a slot of its name is there without a fit.
    """
    _checks.slot_key("key_added", key)
    mark.check_free(adata, key)
    other = lookup.kind_of(adata, key)
    if other == kind:
        return
    if other:
        msg = f"adata.uns[{key!r}] holds {lookup.a_fit_of(other)} of pae.tl.{_verb(other)}; choose another key_added."
        raise ValueError(msg)
    taken = [("uns", key)]
    if key != lookup.KINDS[kind].default:
        taken.append(("obsm", keys.scores(key)))
    taken += [("varm", key)] if lookup.KINDS[kind].loadings(key) == key else []
    taken += [("obs", column) for column in obs]
    for where, name in taken:
        if name in getattr(adata, where):
            what = lookup.a_fit_of(kind)
            msg = f"adata.{where}[{name!r}] is there already and is not of {what}; choose another key_added."
            raise ValueError(msg)


def put(adata: AnnData, key: str, kind: str, entries: Mapping[str, Any], **slots: Mapping[str, Any]) -> None:
    """Write a fit in the place of an earlier one, of which nothing is left.

    Parameters
    ----------
    entries
        Of ``uns[key]``, ``params`` among them.
    slots
        ``obsm``, ``varm``, ``var`` and ``obs``: names and values. A value of None is not written.
    """
    arrays = [value for where in ("varm", "var") for value in slots.get(where, {}).values() if value is not None]
    entries = dict(entries) | {keys.FIT_ID: fingerprint([*entries.values(), *arrays])}
    entries[keys.PARAMS] = {keys.MODEL: kind} | entries[keys.PARAMS]
    if slots.get("obsm", {}).get(keys.scores(key)) is not None:
        slots["obs"] = {**slots.get("obs", {}), keys.mark(key): mark.of_cells(adata.n_obs, entries[keys.FIT_ID])}
    for where, names in owned(adata, key, kind).items():
        for name in names:  # what is written anyway need not go, which a table read lazily does not allow
            if name in getattr(adata, where) and slots.get(where, {}).get(name) is None:
                del getattr(adata, where)[name]
    for where, values in slots.items():
        for name, value in values.items():
            if value is not None:
                getattr(adata, where)[name] = value
    adata.uns[key] = entries


def add(
    adata: AnnData, key: str, entries: Mapping[str, Any], *, instead_of: Iterable[str] = (), **slots: Mapping[str, Any]
) -> None:
    """Add an analysis to a fit: entries of ``uns[key]``, those named removed, and slots, where None removes one."""
    gone = set(instead_of)
    kept = {name: value for name, value in adata.uns[key].items() if name not in gone}
    adata.uns[key] = kept | dict(entries)
    for where, values in slots.items():
        for name, value in values.items():
            if value is not None:
                getattr(adata, where)[name] = value
            elif name in getattr(adata, where):
                del getattr(adata, where)[name]


def fingerprint(values: Iterable[Any]) -> str:
    """A number that follows from the arrays of a fit alone, 16 hexadecimal digits; of mappings their arrays count."""
    found = hashlib.sha256()

    def add_to(value: Any) -> None:
        if isinstance(value, Mapping):
            for name in sorted(value):
                add_to(value[name])
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, np.ndarray):
            found.update("\0".join(map(str, value.ravel())).encode())
        elif sp.issparse(value):
            entries = sp.csr_array(value)
            add_to({name: getattr(entries, name) for name in ("data", "indices", "indptr")})

    for value in values:
        add_to(value)
    return found.hexdigest()[:16]


def same_fit(adata: AnnData, reference: AnnData, key: str, key_added: str) -> None:
    """Refuse new cells that hold something else than the fit of the reference under the key of their scores.

    Raises
    ------
    ValueError
        If ``uns`` of the new cells has another fit, or none, under that key; a column of ``obs`` is in the way; or it
        cannot name slots.
    """
    _checks.slot_key("key_added", key_added)
    mark.check_free(adata, key_added)
    own, theirs = adata.uns.get(key_added), reference.uns[key]
    if own is None:
        return
    ids = [
        str(lookup.plain(entry.get(keys.FIT_ID, ""))) if isinstance(entry, Mapping) else "" for entry in (own, theirs)
    ]
    if not ids[0] or ids[0] != ids[1]:
        msg = f"adata already holds another fit under {key_added!r}; choose another key_added."
        raise ValueError(msg)


def carried(adata: AnnData, key: str, names: Iterable[str]) -> dict[str, Any]:
    """Entries of a fit that new cells get with their scores."""
    wanted = (keys.PARAMS, keys.COMPONENT_NAMES, keys.FIT_ID, *names)
    return {name: lookup.plain(adata.uns[key][name]) for name in wanted if name in adata.uns[key]}


def put_scores(
    adata: AnnData,
    reference: AnnData,
    key: str,
    key_added: str,
    scores: Any,
    names: Iterable[str],
    *,
    entries: Mapping[str, Any] | None = None,
    obs: Mapping[str, Any] | None = None,
) -> None:
    """Write the scores of new cells, and what the reference says of their components unless it is there already.

    Parameters
    ----------
    entries, obs
        What was found of the new cells: entries of ``uns``, and columns of ``obs``.
    """
    adata.obsm[keys.scores(key_added)] = scores
    if fit_id := str(lookup.plain(reference.uns[key].get(keys.FIT_ID, ""))):
        adata.obs[keys.mark(key_added)] = mark.of_cells(adata.n_obs, fit_id)
    if key_added not in adata.uns:
        adata.uns[key_added] = carried(reference, key, names)
    if entries:
        adata.uns[key_added] = dict(adata.uns[key_added]) | dict(entries)
    for name, values in (obs or {}).items():
        adata.obs[name] = values


def columns_written(adata: AnnData, key: str) -> list[str]:
    """Columns of ``obs`` that hold scores of the fit under a key, as :func:`put_columns` wrote them."""
    entry = adata.uns.get(key)
    found = entry.get(keys.OBS_COLUMNS, ()) if isinstance(entry, Mapping) else ()
    return [str(name) for name in np.asarray(lookup.plain(found), dtype=object).ravel()]


def put_columns(adata: AnnData, key: str, table: pd.DataFrame) -> None:
    """Write scores of a fit as columns of ``obs``, and remember that they are of the fit.

    Raises
    ------
    ValueError
        If a column is there already that this fit did not write and that has other values.
    """
    ours = columns_written(adata, key)
    there = [name for name in table.columns if name in adata.obs and name not in ours]
    if taken := [name for name in there if not np.array_equal(np.asarray(adata.obs[name]), table[name])]:
        msg = (
            f"adata.obs[{taken[0]!r}] is there already and is not of this fit; pass prefix= for other names, or remove "
            "the column."
        )
        raise ValueError(msg)
    obs = adata.obs if isinstance(adata.obs, pd.DataFrame) else adata.obs.to_memory()
    again = [name for name in table.columns if name in obs]
    adata.obs = pd.concat([obs.drop(columns=again), table.set_axis(obs.index)], axis=1)
    add(adata, key, {keys.OBS_COLUMNS: np.array(list(dict.fromkeys([*ours, *table.columns])), dtype=object)})


def put_before_a_fit(adata: AnnData, name: str, found: Mapping[str, Any]) -> None:
    """Write what was tried before a fit, in the place of an earlier trial."""
    _checks.slot_key("key_added", name)
    adata.uns[name] = dict(found)


def of_all_genes(n_genes: int, genes: NDArray[np.intp], values: Any) -> Any:
    """Values of the genes of the model, dense or sparse, with zero rows for all others, float32; CSR where sparse."""
    if sp.issparse(values):
        place = sp.csr_array((np.ones(len(genes), np.float32), (genes, np.arange(len(genes)))), (n_genes, len(genes)))
        whole = sp.csr_matrix(place @ sp.csr_array(values, dtype=np.float32))
        whole.sort_indices()
        return whole
    rows = np.zeros((n_genes, values.shape[1]), dtype=np.float32)
    rows[genes] = values
    return rows


def column(n_genes: int, genes: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the genes of the model with NaN for all others."""
    found = np.full(n_genes, np.nan)
    found[genes] = values
    return found


def _verb(kind: str) -> str:
    return lookup.KINDS[kind].call.partition("(")[0]
