"""Checks at the door: which matrix, which genes, which device; everything behind it may trust its arguments."""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core import gates, kinds
from pathwayae.core.notice import listed

if TYPE_CHECKING:
    import anndata as ad

LARGEST = 1e15  # of a value; the squares of a million such cells add up to less than the largest float32
TAKEN = {"X", "pca", "umap", "tsne", "diffmap", "draw_graph", "neighbors", "log1p", "hvg", "leiden", "louvain", "paga"}
TAKEN |= {"rank_genes_groups", "dendrogram", "spatial", "highly_variable"}
COUNTS_ROWS = 1000  # cells looked at to tell counts from log-normalised values


def check_finite(values: Any, name: str) -> None:
    """Raise where values are no numbers, NaN, infinite, or so large that their squares overflow.

    Raises
    ------
    TypeError
        If they are of another type than numbers.
    ValueError
        If some are not finite: how many, and the first gene that has one; or the largest is above ``LARGEST``.
    """
    stored = values.data if sp.issparse(values) else values
    if stored.dtype.kind not in "fiub":
        msg = f"{name} is of type {stored.dtype}; real numbers are needed: convert it, for instance by astype(float)."
        raise TypeError(msg)
    if not stored.size:
        return
    # The ends tell whether anything is wrong, without a boolean copy of the matrix; NaN is both.
    ends = float(stored.min()), float(stored.max())
    if np.isfinite(ends).all():
        if max(map(abs, ends)) <= LARGEST:
            return
        msg = (
            f"{name} holds values up to {max(ends, key=abs):.3g}, of which no expression is (at most {LARGEST:g} in "
            "size): such a number stands for a missing value, or the file is damaged. Remove or impute them."
        )
        raise ValueError(msg)
    bad = ~np.isfinite(stored)
    columns = values.tocoo().col if sp.issparse(values) else np.nonzero(bad)[1]
    first = columns[np.flatnonzero(bad)[0]] if sp.issparse(values) else columns[0]
    msg = (
        f"{name} holds {int(bad.sum())} NaN or infinite values, the first in column {int(first)}. "
        "Remove or impute them; log1p of negative values is a common cause."
    )
    raise ValueError(msg)


def check_reconstructable(X: Any) -> None:
    """Refuse a sparse matrix where its reconstruction, which is dense, is asked for.

    Raises
    ------
    TypeError
        If X is sparse.
    """
    if sp.issparse(X):
        msg = (
            "X is sparse, but its reconstruction is dense. Pass a dense array, or reconstruct some samples at a time "
            "with inverse_transform(transform(X[start:stop]))."
        )
        raise TypeError(msg)


def looks_like_counts(values: Any) -> bool:
    """Whether all values are whole numbers and some are above 1, as raw counts are."""
    rows = values[:COUNTS_ROWS]
    stored = rows.data if sp.issparse(rows) else rows
    return stored.size > 0 and bool(stored.max() > 1 and stored.min() >= 0 and (stored == np.floor(stored)).all())


def modality(adata: Any, mod: str | None) -> Any:
    """The AnnData of a modality of a MuData (whatever has a mapping ``mod``); anything else as it is.

    Raises
    ------
    ValueError
        If a MuData has no such modality or none is named, or one is named of something else.
    """
    parts = getattr(adata, "mod", None)
    if not isinstance(parts, Mapping):
        if mod is not None:
            msg = f"mod={mod!r} names a modality of a MuData, but adata is a {type(adata).__name__}; leave it out."
            raise ValueError(msg)
        return adata
    if mod not in parts:
        msg = f"mod={mod!r}: adata is a MuData with the modalities {', '.join(map(repr, parts))}; name one of them."
        raise ValueError(msg)
    return parts[mod]


def annotated(adata: Any, instead: str) -> ad.AnnData:
    """An AnnData, or a TypeError that says what to do instead with the path of a file."""
    import anndata

    if isinstance(adata, anndata.AnnData):
        return adata
    is_path = isinstance(adata, str | os.PathLike)
    what = f"the path {os.fspath(adata)!r}" if is_path else f"a {type(adata).__name__}"
    msg = f"adata is {what}; pass an AnnData.{' ' + instead if is_path else ''}"
    raise TypeError(msg)


def gene_names(adata: ad.AnnData, gene_symbols: str | None, *, what: str = "adata") -> NDArray[np.str_]:
    """Names by which genes are matched: ``var_names``, or a column of ``var``; a missing symbol keeps its var name.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a name occurs twice.
    """
    if gene_symbols is None:
        names = pd.Series(adata.var_names.astype(str))
        source, remedy = f"{what}.var_names", f"{what}.var_names_make_unique()"
    elif gene_symbols not in adata.var:
        msg = f"gene_symbols={gene_symbols!r} is not a column of {what}.var, which has {list(adata.var.columns)}."
        raise KeyError(msg)
    else:
        column = np.asarray(adata.var[gene_symbols], dtype=object)  # of a table in memory or read lazily
        names = pd.Series(np.where(pd.isna(column), adata.var_names, column).astype(str))
        source = f"{what}.var[{gene_symbols!r}]"
        remedy = (
            f"keep one gene of each, or let the others go by their var_names: {source} = "
            f"{source}.astype(object).mask({source}.duplicated())"
        )
    if (blank := names.str.strip() == "").any():
        first = int(np.argmax(blank))
        msg = f"{source} holds {int(blank.sum())} empty name(s), the first of gene {first}. Name or drop these genes."
        raise ValueError(msg)
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        msg = (
            f"{source} holds {len(repeated)} name(s) more than once, for instance {listed(repeated, 5)}; genes are "
            f"matched by name, so every name must be unique. Next step: {remedy}."
        )
        raise ValueError(msg)
    return names.to_numpy(dtype=str)


def gene_mask(adata: ad.AnnData, mask_var: str | NDArray[np.bool_] | pd.Series | None) -> NDArray[np.bool_]:
    """Genes to use: a boolean column of ``var``, a boolean array, a Series by gene names, or all."""
    if mask_var is None:
        return np.ones(adata.n_vars, dtype=bool)
    asked = mask_var
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            msg = f"mask_var={mask_var!r} is not a column of adata.var, which has {list(adata.var.columns)}."
            raise KeyError(msg)
        mask_var = np.asarray(adata.var[mask_var])
    if isinstance(mask_var, pd.Series):
        mask_var = _by_name(mask_var, adata.var_names)
    mask = np.asarray(mask_var)
    if mask.shape != (adata.n_vars,) or mask.dtype != bool:
        msg = (
            f"mask_var={kinds.shown(asked)} must be boolean with one value per gene ({adata.n_vars}); got {mask.dtype} "
            f"of {mask.shape}. Of names: adata.var_names.isin(names); of numbers or text: a comparison, such as "
            "adata.var['n_cells'] > 10."
        )
        raise ValueError(msg)
    if not mask.any():
        msg = f"mask_var={kinds.shown(asked)} selects no gene of {adata.n_vars}; choose a mask with at least one."
        raise ValueError(msg)
    return mask


def _by_name(mask: pd.Series, names: pd.Index) -> NDArray[Any]:
    """Values of a Series for genes by their names, in whichever order it has them."""
    if mask.index.equals(names):
        return mask.to_numpy()
    lost = names[~names.isin(mask.index)]
    if len(lost) or not mask.index.is_unique:
        what = f"lacks {len(lost)} genes ({listed(lost)})" if len(lost) else "names a gene more than once"
        msg = (
            f"mask_var is a Series whose index {what}; it needs one value for each of adata.var_names, or pass a plain "
            "array in their order."
        )
        raise ValueError(msg)
    return mask.loc[names].to_numpy()


def as_text(values: Any, key: str, where: str = "adata") -> NDArray[np.object_]:
    """Values of a column of ``obs`` as text, shape (n,).

    Raises
    ------
    ValueError
        If a cell has no value, or a number and a text look the same.
    """
    column = pd.Series(np.asarray(values, dtype=object))
    if column.isna().any():
        of = f"{where.removesuffix('.X')}.obs"
        msg = f"{of}: {int(column.isna().sum())} cells have no {key!r}; give them one or leave them out."
        raise ValueError(msg)
    text = column.astype(str)
    if text.str.endswith("\0").any():  # which numpy takes for the end of the text
        msg = f"{where}: {key!r} holds text that ends in a NUL character, so it is no text; read it again."
        raise ValueError(msg)
    kinds = pd.DataFrame({"text": text, "is_text": column.map(lambda value: isinstance(value, str))}).drop_duplicates()
    if kinds["text"].duplicated().any():
        same = kinds["text"][kinds["text"].duplicated()].iloc[0]
        msg = (
            f"{where}: {key!r} holds {same} both as text and as another value, which would be one group; make them one "
            f"kind, for instance adata.obs[{key!r}].astype(str)."
        )
        raise ValueError(msg)
    return text.to_numpy(dtype=object)


def check_column(adata: ad.AnnData, name: str, column: str) -> None:
    """Raise KeyError unless ``obs`` has the column that the parameter ``name`` asks for."""
    if column not in adata.obs:
        msg = f"{name}={column!r} is not a column of adata.obs, which has {list(adata.obs.columns)}."
        raise KeyError(msg)


def slot_key(name: str, value: Any) -> None:
    """Raise unless ``value`` can name slots that survive in a file and are no other tool's.

    Raises
    ------
    TypeError
        If it is no text.
    ValueError
        If it is blank, holds what a file cannot have in a name, or is what scanpy calls its own results.
    """
    if not isinstance(value, str):
        msg = f"{name}={value!r} must be text, not {type(value).__name__}; leave it out, or choose a word."
        raise TypeError(msg)
    gates.key(name, value)
    if value in TAKEN:
        msg = f"{name}={value!r} is what scanpy calls slots of its own; choose another word."
        raise ValueError(msg)


def choice(name: str, value: Any, allowed: Collection[Any]) -> None:
    """Raise ValueError unless ``value`` is one of ``allowed``."""
    if not any(value is option or (type(value) is type(option) and value == option) for option in allowed):
        msg = f"{name}={value!r} is not known; choose one of {', '.join(map(repr, allowed))}."
        raise ValueError(msg)


def number(name: str, value: Any, low: float, high: float = float("inf"), *, integer: bool = False) -> None:
    """Raise TypeError or ValueError unless ``value`` is a number from ``low`` to ``high``."""
    kind = numbers.Integral if integer else numbers.Real
    if not isinstance(value, kind) or isinstance(value, bool):
        msg = f"{name}={value!r} must be {'an integer' if integer else 'a number'}, not {type(value).__name__}."
        raise TypeError(msg)
    if not (low <= float(value) <= high and isfinite(value)):
        allowed = f"at least {low}" if high == float("inf") else f"from {low} to {high}"
        msg = f"{name}={value!r} is out of range; choose a value {allowed}."
        raise ValueError(msg)


def device(name: str) -> str:
    """``"auto"`` becomes CUDA where there is one, else the CPU; a device that is not there is refused."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except (RuntimeError, TypeError) as error:
        msg = f"device={name!r} is not a torch device; choose 'auto', 'cpu' or 'cuda'."
        raise ValueError(msg) from error
    if kind == "cuda" and not torch.cuda.is_available():
        msg = f"device={name!r}, but torch sees no CUDA device; choose 'auto' or 'cpu'."
        raise ValueError(msg)
    return str(name)
