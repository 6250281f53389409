"""Which model lies under a key: claimed, written whole, added to, compared, and read with help where it lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys


class Kind(NamedTuple):
    """A model: its default key, what messages call a fit of it, the call that makes one, and its loadings.

    ``loadings`` is the slot of ``varm``, genes × components.
    """

    default: str
    noun: str
    call: str
    loadings: Any


KINDS = {
    keys.GROUPED: Kind(keys.DEFAULT, "fit", "fit(adata, pathways, key_added={key!r})", keys.loadings),
    keys.SPARSE_AE: Kind(keys.SPARSE_AE, "sparse autoencoder", "sparse_ae(adata, key_added={key!r})", keys.features),
    keys.ARCHETYPES: Kind(
        keys.ARCHETYPES, "archetypes", "archetypes(adata, n_archetypes, key_added={key!r})", keys.profiles
    ),
}


def kind_of(adata: AnnData, key: str) -> str:
    """Which model lies under a key; empty where none does."""
    entry = adata.uns.get(key)
    params = entry.get(keys.PARAMS) if isinstance(entry, Mapping) and keys.COMPONENT_NAMES in entry else None
    return str(plain(params.get(keys.MODEL, ""))) if isinstance(params, Mapping) else ""


def owned(adata: AnnData, key: str, kind: str) -> dict[str, tuple[str, ...]]:
    """Every slot beside ``uns`` that a fit of this kind and its analyses write under a key."""
    varm: tuple[str, ...]
    obs: tuple[str, ...] = ()
    var: tuple[str, ...] = (keys.mean(key),)
    if kind == keys.GROUPED:
        varm = (keys.loadings(key), keys.encoder(key), keys.membership(key), keys.batch_means(key))
        varm += (keys.loadings_low(key), keys.loadings_high(key))
        varm += (keys.prior(key), keys.evidence(key), keys.posterior(key), keys.call(key))
        var += (keys.scale(key),)
    elif kind == keys.SPARSE_AE:
        varm = (keys.features(key), keys.encoder(key), keys.decoder(key))
        var += (keys.bias(key),)
        obs = tuple(keys.of_cell(key).values())
    else:
        labelled = kind_of(adata, key) == kind and plain(adata.uns[key][keys.PARAMS].get("labels", False))
        varm = (keys.profiles(key),)
        obs = (keys.label(key), keys.label_weight(key)) if labelled else ()
    return {"obsm": (keys.scores(key),), "varm": varm, "var": var, "obs": obs}


def claim(adata: AnnData, key: str, kind: str, *, obs: Iterable[str] = ()) -> None:
    """Refuse a key that something else than an earlier fit of this kind holds.

    Parameters
    ----------
    obs
        Columns of ``obs`` that will be written.

    Raises
    ------
    ValueError
        If another model, or anything else in ``uns``, has the key; or a slot of its name is there without a fit.
    """
    other = kind_of(adata, key)
    if other == kind:
        return
    if other:
        msg = f"adata.uns[{key!r}] holds {_a(other)} of pae.tl.{_verb(other)}; choose another key_added."
        raise ValueError(msg)
    taken = [("uns", key)]
    if key != KINDS[kind].default:
        taken.append(("obsm", keys.scores(key)))
    taken += [("varm", key)] if KINDS[kind].loadings(key) == key else []
    taken += [("obs", column) for column in obs]
    for where, name in taken:
        if name in getattr(adata, where):
            msg = f"adata.{where}[{name!r}] is there already and is not of {_a(kind)}; choose another key_added."
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

    for value in values:
        add_to(value)
    return found.hexdigest()[:16]


def same_fit(adata: AnnData, reference: AnnData, key: str, key_added: str) -> None:
    """Refuse new cells that hold something else than the fit of the reference under the key of their scores.

    Raises
    ------
    ValueError
        If ``uns`` of the new cells has another fit, or none, under that key.
    """
    own, theirs = adata.uns.get(key_added), reference.uns[key]
    if own is None:
        return
    ids = [str(plain(entry.get(keys.FIT_ID, ""))) if isinstance(entry, Mapping) else "" for entry in (own, theirs)]
    if not ids[0] or ids[0] != ids[1]:
        msg = f"adata already holds another fit under {key_added!r}; choose another key_added."
        raise ValueError(msg)


def carried(adata: AnnData, key: str, names: Iterable[str]) -> dict[str, Any]:
    """Entries of a fit that new cells get with their scores."""
    wanted = (keys.PARAMS, keys.COMPONENT_NAMES, keys.FIT_ID, *names)
    return {name: plain(adata.uns[key][name]) for name in wanted if name in adata.uns[key]}


def put_scores(adata: AnnData, reference: AnnData, key: str, key_added: str, scores: Any, names: Iterable[str]) -> None:
    """Write the scores of new cells, and what the reference says of their components unless it is there already."""
    adata.obsm[keys.scores(key_added)] = scores
    if key_added not in adata.uns:
        adata.uns[key_added] = carried(reference, key, names)


def fit_of(adata: AnnData, key: str, kind: str = "") -> Mapping[str, Any]:
    """``uns[key]`` of a fit, of a model of this kind or of any.

    Raises
    ------
    KeyError
        If there is none under this key; the message names the keys of those that are there.
    """
    own = kind_of(adata, key)
    if own and kind in ("", own):
        return adata.uns[key]
    found = [name for name in adata.uns if (one := kind_of(adata, name)) and kind in ("", one)]
    wanted = kind or next((name for name, one in KINDS.items() if one.default == key), keys.GROUPED)
    model = KINDS[wanted]
    holds = f"adata.uns[{key!r}] holds {_a(own)}, not {_a(wanted)}" if own else f"No {model.noun} under key {key!r}"
    call = model.call.format(key=model.default if own else key)
    msg = f"{holds}: run pae.tl.{call} first, or pass key=; keys found: {', '.join(map(repr, found)) or 'none'}."
    raise KeyError(msg)


def has(adata: AnnData, where: str, name: str) -> bool:
    """Whether there is such a slot."""
    return name in getattr(adata, where)


def has_scores(adata: AnnData, key: str, kind: str) -> bool:
    """Whether the cells have scores of a fit of this kind under a key."""
    return kind_of(adata, key) == kind and keys.scores(key) in adata.obsm


def names_of_scores(adata: AnnData, obsm: str) -> list[str]:
    """Names of the columns of an embedding that a fit wrote; none where no fit did."""
    key = obsm.removeprefix("X_")
    return component_names(adata, key) if kind_of(adata, key) else []


def params_of_scores(adata: AnnData, obsm: str) -> dict[str, Any]:
    """Settings of the fit that wrote an embedding; none where no fit did."""
    key = obsm.removeprefix("X_")
    return plain(adata.uns[key][keys.PARAMS]) if kind_of(adata, key) else {}


def component_names(adata: AnnData, key: str) -> list[str]:
    """Names of the components of a fit, in its order."""
    return [str(name) for name in np.asarray(value(adata, key, keys.COMPONENT_NAMES)).ravel()]


def gene_names(adata: AnnData, key: str) -> pd.Series:
    """Names of the genes as the fit had them, indexed by ``var_names``, which stand in where a symbol is missing.

    Raises
    ------
    KeyError
        If the column of ``var`` that the fit took them from is gone.
    """
    column = str(plain(fit_of(adata, key)[keys.PARAMS].get("gene_symbols", "")) or "")
    own = pd.Series(adata.var_names.astype(str), index=adata.var_names, dtype=object, name="gene")
    if not column:
        return own
    if column not in adata.var:
        msg = f"The fit took gene names from adata.var[{column!r}], which is gone; put the column back."
        raise KeyError(msg)
    symbols = adata.var[column]
    return symbols.astype(object).where(symbols.notna(), own).astype(str).rename("gene")


def check_says_genes(adata: AnnData, key: str) -> None:
    """Raise KeyError where a fit was to an embedding whose gene loadings are unknown."""
    params = fit_of(adata, key)[keys.PARAMS]
    kind = KINDS[kind_of(adata, key)]
    obsm = str(plain(params.get("obsm", "")) or "")
    if obsm and kind.loadings(key) not in adata.varm:
        msg = (
            f"adata.varm[{kind.loadings(key)!r}] is missing: {key!r} was fitted to obsm[{obsm!r}], of which nothing is "
            "known about genes here. Fit X, a layer, X_pca with varm['PCs'], or scores of pae.tl.fit."
        )
        raise KeyError(msg)


def value(adata: AnnData, key: str, name: str, *, kind: str = "", missing: str = "") -> Any:
    """An entry of a fit, or a KeyError that says what to do (``missing``, by default to fit again)."""
    entry = fit_of(adata, key, kind)
    if name not in entry:
        raise KeyError(missing or _again(adata, f"adata.uns[{key!r}][{name!r}]", key))
    return entry[name]


def slot(adata: AnnData, where: str, name: str, key: str) -> Any:
    """A slot of a fit, or a KeyError that says what to do."""
    fit_of(adata, key)
    if name not in getattr(adata, where):
        raise KeyError(_again(adata, f"adata.{where}[{name!r}]", key))
    return getattr(adata, where)[name]


def matrix(adata: AnnData, where: str, name: str, key: str) -> Any:
    """An array in ``obsm`` or ``varm`` whose columns are components, dense or sparse.

    Raises
    ------
    KeyError
        If it is missing.
    ValueError
        If it has another number of columns than the fit has components.
    """
    n_components = len(component_names(adata, key))
    values = slot(adata, where, name, key)
    values = values if sp.issparse(values) else np.asarray(values)
    if values.ndim != 2 or values.shape[1] != n_components:
        msg = (
            f"adata.{where}[{name!r}] has shape {values.shape}, but adata.uns[{key!r}] names {n_components} "
            "components: they come from different fits."
        )
        raise ValueError(msg)
    return values


def table(adata: AnnData, where: str, name: str, key: str) -> pd.DataFrame:
    """An array in ``obsm`` or ``varm`` whose columns are components, labelled."""
    values = matrix(adata, where, name, key)
    values = values.toarray() if sp.issparse(values) else values
    rows = adata.obs_names if where == "obsm" else adata.var_names
    return pd.DataFrame(values, index=rows, columns=pd.Index(component_names(adata, key), name="component"))


def analysis(adata: AnnData, key: str, kind: str, name: str, call: str) -> pd.DataFrame:
    """A table that an analysis added to a fit, or a KeyError with the call that adds it."""
    fit = fit_of(adata, key, kind)
    if name not in fit:
        msg = f"No {name} in adata.uns[{key!r}]: run pae.tl.{call} first."
        raise KeyError(msg)
    return pd.DataFrame(fit[name]).reset_index(drop=True).copy()


def put_before_a_fit(adata: AnnData, name: str, found: Mapping[str, Any]) -> None:
    """Write what was tried before a fit, in the place of an earlier trial."""
    adata.uns[name] = dict(found)


def before_a_fit(adata: AnnData, name: str, part: str, what: str, call: str) -> Any:
    """A part of what was tried before a fit, which has an entry of ``uns`` of its own."""
    found = adata.uns.get(name)
    if not isinstance(found, Mapping) or part not in found:
        msg = f"No {what} in adata.uns[{name!r}]: run pae.tl.{call} first."
        raise KeyError(msg)
    return found[part]


def of_cells(adata: AnnData, columns: Mapping[str, str], call: str) -> pd.DataFrame:
    """Columns of ``obs`` that an analysis wrote, by their names in tables, or a KeyError with the call."""
    if missing := [column for column in columns.values() if column not in adata.obs]:
        msg = f"adata.obs[{missing[0]!r}] is missing: run pae.tl.{call} on these cells."
        raise KeyError(msg)
    return adata.obs[list(columns.values())].set_axis(list(columns), axis=1)


def of_all_genes(n_genes: int, genes: NDArray[np.intp], values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Values of the genes of the model with zero rows for all others, float32."""
    rows = np.zeros((n_genes, values.shape[1]), dtype=np.float32)
    rows[genes] = values
    return rows


def column(n_genes: int, genes: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the genes of the model with NaN for all others."""
    found = np.full(n_genes, np.nan)
    found[genes] = values
    return found


def mean_scores(adata: AnnData, key: str) -> pd.Series:
    """Mean score of every component over the cells, indexed by its name; sparse codes stay sparse."""
    scores = matrix(adata, "obsm", keys.scores(key), key)
    return pd.Series(np.asarray(scores.mean(axis=0), dtype=float).ravel(), index=component_names(adata, key))


def plain(value: Any) -> Any:
    """A value as it was before it was stored or read lazily."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    value = value.compute() if hasattr(value, "compute") else value
    value = value.to_memory() if hasattr(value, "to_memory") else value
    return value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else value


def _a(kind: str) -> str:
    return {keys.GROUPED: "a fit of pathways", keys.ARCHETYPES: "archetypes"}.get(kind, f"a {KINDS[kind].noun}")


def _verb(kind: str) -> str:
    return KINDS[kind].call.partition("(")[0]


def _again(adata: AnnData, what: str, key: str) -> str:
    kind = kind_of(adata, key)
    return (
        f"{what} of {KINDS[kind].noun} {key!r} is missing: run pae.tl.{KINDS[kind].call.format(key=key)} again, or "
        "pae.tl.transform for new cells."
    )
