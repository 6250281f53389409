"""Classes of genes, one per gene, as pathways: vectors and columns of ``var`` → gene sets and who is regularised."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae.core.genesets.membership import mismatch_message
from pathwayae.core.notice import listed, warn
from pathwayae.gs import GeneSetCollection

NONE = "-1"  # in text: a gene of no class that is regularised, as −1 among numbers


class Classes(NamedTuple):
    """Classes as gene sets, and which genes take part in regularisation, in the order of the AnnData, shape (n_vars,).

    ``penalised`` is False where the class is NaN.
    """

    collection: GeneSetCollection
    penalised: NDArray[np.bool_]


def read(adata: AnnData, pathways: Any, names: NDArray[np.str_]) -> Classes | None:
    """The classes that `pathways` holds; None where it is something else.

    Classes are a Series by gene name, a vector with a value per gene of `adata`, or the name of a column of ``var``
    (a key of ``varm`` of that name comes first). Numbers from 0 on are classes, −1 is no class, NaN no class and no
    regularisation; in text and categories every word but "-1" is a class, a missing one is NaN.

    Raises
    ------
    TypeError, ValueError
        If the vector has another length, no name matches, values are no whole numbers from −1 on, or there is no class.
    """
    given = _given(adata, pathways, names)
    if given is None:
        return None
    values, what = given
    labels, penalised = _labels(pd.Series(values), what)
    sets = {name: tuple(names[labels == name].tolist()) for name in _in_order(values, labels)}
    if not sets:
        found = "NaN" if not penalised.any() else "-1" if penalised.all() else "-1 or NaN"
        msg = (
            f"{what} has no class: the value of every gene is {found}. Give genes classes 0, 1, …; components without "
            "classes are those of pae.models.GroupedAutoencoder(k, feature_classes=-1)."
        )
        raise ValueError(msg)
    return Classes(GeneSetCollection(sets), penalised)


def warn_of_dropped(dropped: pd.DataFrame, min_genes: int) -> None:
    """Say which classes get no component; their genes are then of no class."""
    if len(dropped):
        reason = listed(sorted(set(dropped["reason"])), quoted=False)
        warn(
            f"{len(dropped)} classes get no component ({reason}): {listed(dropped['pathway'], 5, quoted=False)}; their "
            f"genes count as -1. min_genes={min_genes} is for gene sets; pass min_genes=1 to keep every class."
        )


def _given(adata: AnnData, pathways: Any, names: NDArray[np.str_]) -> tuple[Any, str] | None:
    """A value per gene of `adata`, and what messages call it."""
    if isinstance(pathways, str):
        if pathways in adata.varm or pathways not in adata.var:
            return None
        column = adata.var[pathways]
        values = column.array if isinstance(column, pd.Series) else np.asarray(column)  # of a table read lazily
        return values, f"the column {pathways!r} of adata.var"
    if _are_genes(pathways, names):
        return None
    if isinstance(pathways, pd.Series):
        return _by_name(pathways, names), "the Series of classes"
    numeric = isinstance(pathways, list | tuple) and all(isinstance(one, numbers.Real) for one in pathways)
    if not (numeric and pathways) and not isinstance(pathways, np.ndarray | pd.api.extensions.ExtensionArray):
        return None
    values = np.asarray(pathways) if numeric else pathways
    if values.shape != (len(names),):
        msg = (
            f"pathways is an array of shape {values.shape}; classes are one value per gene of adata, ({len(names)},). "
            "Pass a pandas Series indexed by gene name to have them matched."
        )
        raise ValueError(msg)
    return values, "the array of classes"


def _are_genes(pathways: Any, names: NDArray[np.str_]) -> bool:
    """Whether a vector of text holds genes of a set, not a word per gene."""
    if not isinstance(pathways, pd.Series | np.ndarray | pd.api.extensions.ExtensionArray) or pathways.ndim != 1:
        return False
    values: pd.Series[Any] = pd.Series(pathways)
    if not (_is_text(values) and values.notna().all()):
        return False
    per_gene = len(values) == len(names)
    if isinstance(pathways, pd.Series):
        per_gene = bool(values.index.astype(str).isin(names).any())
    return not per_gene or bool(values.isin(names).any())


def _by_name(classes: pd.Series, names: NDArray[np.str_]) -> Any:
    """Values of the genes by their names; NaN for genes that the Series does not have."""
    index = classes.index.astype(str)
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        msg = f"pathways is a Series that names {len(twice)} genes more than once, e.g. {listed(twice)}; keep one each."
        raise ValueError(msg)
    found = index.isin(names)
    if not found.any():
        msg = f"pathways is a Series of classes: {mismatch_message(index, names.tolist())}"
        raise ValueError(msg)
    if found.mean() < 0.1:
        warn(f"Only {int(found.sum())} of the {len(index)} genes of the Series of classes are in adata.")
    return classes.set_axis(index).reindex(names).array


def _labels(values: pd.Series, what: str) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Name of the class of each gene, "" for none, and whether it is regularised."""
    missing = values.isna().to_numpy()
    if _is_text(values):
        text = values.astype(object).where(~missing, "").astype(str).str.strip().to_numpy(dtype=object)
        missing = missing | (text == "")
        return np.where(text == NONE, "", text), ~missing
    if pd.api.types.is_bool_dtype(values[~missing].infer_objects()) and not missing.all():
        msg = f"{what} is True/False, which is no class; pass it as mask_var, or classes 0, 1, …, -1 and NaN."
        raise TypeError(msg)
    try:
        numbers_ = values.astype(object).where(~missing, np.nan).astype(float).to_numpy()
    except (TypeError, ValueError) as error:
        msg = f"{what} holds {values[~missing].iloc[0]!r}; classes are whole numbers from -1 on, NaN, or names (text)."
        raise TypeError(msg) from error
    known = numbers_[~missing]
    strange = known[~np.isfinite(known) | (known != np.floor(known)) | (known < -1)]
    if len(strange):
        msg = (
            f"{what} holds {strange[0]:g}; classes are whole numbers: 0, 1, … for a class, -1 for none, and NaN for a "
            "gene that is not regularised."
        )
        raise ValueError(msg)
    labels = [f"class_{int(value)}" if value >= 0 else "" for value in np.where(missing, -1.0, numbers_)]
    return np.array(labels, dtype=object), ~missing


def _is_text(values: pd.Series) -> bool:
    known = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        known = pd.Series(values.cat.categories)
    return len(known) > 0 and all(isinstance(one, str) for one in known)


def _in_order(values: Any, labels: NDArray[np.object_]) -> list[str]:
    """Names of the classes that genes have: numbers by size, categories as they are, words by the alphabet."""
    present = set(labels.tolist()) - {""}
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        order = [str(one).strip() for one in values.categories]
        if present <= set(order):
            return [one for one in dict.fromkeys(order) if one in present]
    if all(one.startswith("class_") and one[6:].isdecimal() for one in present):
        return sorted(present, key=lambda one: int(one[6:]))
    return sorted(present)
