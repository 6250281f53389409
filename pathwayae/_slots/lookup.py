"""What a fit has in its slots, read with help where something lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys, mark

DENSE = 2**23  # entries up to which a table of a sparse slot is dense


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


def fit_of(adata: AnnData, key: str, kind: str = "") -> Mapping[str, Any]:
    """``uns[key]`` of a fit, of a model of this kind or of any.

    Raises
    ------
    KeyError
        If there is none under this key; the message names the keys of those that are there.
    ValueError
        If the cells were joined from several fits, see :func:`pathwayae._slots.mark.check_one_fit`.
    """
    own = kind_of(adata, key)
    if own and kind in ("", own):
        mark.check_one_fit(adata, key, str(plain(adata.uns[key].get(keys.FIT_ID, ""))))
        return adata.uns[key]
    found = [name for name in adata.uns if (one := kind_of(adata, name)) and kind in ("", one)]
    wanted = kind or next((name for name, one in KINDS.items() if one.default == key), keys.GROUPED)
    model = KINDS[wanted]
    holds = (
        f"adata.uns[{key!r}] holds {a_fit_of(own)}, not {a_fit_of(wanted)}"
        if own
        else f"No {model.noun} under key {key!r}"
    )
    call = model.call.format(key=model.default if own else key)
    msg = f"{holds}: run pae.tl.{call} first, or pass key=; keys found: {', '.join(map(repr, found)) or 'none'}."
    raise KeyError(msg + _why_not(adata, key, own))


def _why_not(adata: AnnData, key: str, own: str) -> str:
    """What else may be the reason that there is no fit: cells joined without ``uns``, or a MuData."""
    if isinstance(getattr(adata, "mod", None), Mapping):
        return " This is a MuData: pass one of its modalities, such as mdata.mod['rna']."
    if not own and keys.mark(key) in adata.obs:
        return (
            f" adata.obsm[{keys.scores(key)!r}] has scores, but what describes them is lost: anndata.concat keeps it "
            "with uns_merge='same', merge='same'."
        )
    return ""


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


def unsound(values: Any) -> str:
    """What keeps a matrix from being one of numbers; empty of finite ones."""
    stored: Any = values.data if sp.issparse(values) else values
    if stored.dtype.kind not in "fiub":
        return f"is of type {stored.dtype}"
    return "" if np.isfinite(stored).all() else "holds NaN or infinite values"


def matrix(adata: AnnData, where: str, name: str, key: str) -> Any:
    """An array in ``obsm`` or ``varm`` whose columns are components, dense or sparse, read if it is lazy.

    Raises
    ------
    KeyError
        If it is missing.
    ValueError
        If it has another number of columns than the fit has components, or holds what is no finite number.
    """
    n_components = len(component_names(adata, key))
    values = plain(slot(adata, where, name, key))
    values = values if sp.issparse(values) else np.asarray(values)
    if values.ndim != 2 or values.shape[1] != n_components:
        msg = (
            f"adata.{where}[{name!r}] has shape {values.shape}, but adata.uns[{key!r}] names {n_components} "
            "components: they come from different fits."
        )
        raise ValueError(msg)
    if wrong := unsound(values):
        msg = f"adata.{where}[{name!r}] {wrong}, and no fit leaves such: it was changed or damaged; {_anew(adata, key)}"
        raise ValueError(msg)
    return values


def table(adata: AnnData, where: str, name: str, key: str, components: list[str] | None = None) -> pd.DataFrame:
    """An array in ``obsm`` or ``varm`` whose columns are components, or some of these columns, labelled: a copy.

    Those not asked for are not made dense. A sparse array of genes with over 2²³ entries has sparse columns.
    """
    values = matrix(adata, where, name, key)
    names = component_names(adata, key)
    if components is not None:
        place = {own: j for j, own in enumerate(names)}
        values, names = values[:, [place[own] for own in components]], components
    labels = {"index": adata.obs_names if where == "obsm" else adata.var_names}
    labels["columns"] = pd.Index(names, name="component")
    if where == "varm" and sp.issparse(values) and np.prod(values.shape, dtype=float) > DENSE:
        accessor: Any = pd.DataFrame.sparse
        return accessor.from_spmatrix(sp.csc_matrix(values, copy=values.format == "csc"), **labels)
    dense = values.toarray() if sp.issparse(values) else values
    return pd.DataFrame(dense.copy() if dense is values else dense, **labels)


def by_columns(values: Any) -> Any:
    """An array, dense or sparse, as one whose columns are quick to take with :func:`column`."""
    return sp.csc_array(values) if sp.issparse(values) else np.asarray(values)


def column(values: Any, j: int) -> NDArray[Any]:
    """One column of :func:`by_columns`, dense."""
    if not sp.issparse(values):
        return values[:, j]
    part = slice(values.indptr[j], values.indptr[j + 1])
    dense = np.zeros(values.shape[0], dtype=values.dtype)
    dense[values.indices[part]] = values.data[part]
    return dense


def analysis(adata: AnnData, key: str, kind: str, name: str, call: str) -> pd.DataFrame:
    """A table that an analysis added to a fit, or a KeyError with the call that adds it."""
    fit = fit_of(adata, key, kind)
    if name not in fit:
        msg = f"No {name} in adata.uns[{key!r}]: run pae.tl.{call} first."
        raise KeyError(msg)
    return pd.DataFrame(fit[name]).reset_index(drop=True).copy()


def before_a_fit(adata: AnnData, name: str, part: str, what: str, call: str) -> Any:
    """A part of what was tried before a fit, which has an entry of ``uns`` of its own."""
    found = adata.uns.get(name)
    if not isinstance(found, Mapping) or part not in found:
        msg = f"No {what} in adata.uns[{name!r}]: run pae.tl.{call} first, or pass its key=."
        raise KeyError(msg)
    return found[part]


def of_cells(adata: AnnData, columns: Mapping[str, str], call: str) -> pd.DataFrame:
    """Columns of ``obs`` that an analysis wrote, by their names in tables, or a KeyError with the call."""
    if missing := [column for column in columns.values() if column not in adata.obs]:
        msg = f"adata.obs[{missing[0]!r}] is missing: run pae.tl.{call} on these cells."
        raise KeyError(msg)
    return adata.obs[list(columns.values())].set_axis(list(columns), axis=1)


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


def a_fit_of(kind: str) -> str:
    return {keys.GROUPED: "a fit of pathways", keys.ARCHETYPES: "archetypes"}.get(kind, f"a {KINDS[kind].noun}")


def _again(adata: AnnData, what: str, key: str) -> str:
    return f"{what} of {KINDS[kind_of(adata, key)].noun} {key!r} is missing: {_anew(adata, key)}"


def _anew(adata: AnnData, key: str) -> str:
    call = KINDS[kind_of(adata, key)].call.format(key=key)
    return f"run pae.tl.{call} again, or pae.tl.transform for new cells."
