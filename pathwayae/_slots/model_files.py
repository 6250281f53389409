"""A model alone as one file: the slots of a fit without its cells, as npz with a header in JSON.

Nothing in it can be run when it is read: no pickle, arrays of numbers and text only.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys, lookup
from pathwayae.core.files import check_zip, whole_or_nothing
from pathwayae.core.notice import listed

ENDING = ".npz"
FORMAT = "pathwayae model"
VERSION = 1
ABOUT = "about"  # the header; arrays are named after the place of their values in it
NUMBERS = "fiub"

# What a file holds of uns[key]: what scores cells and describes the fit, not what analyses of it or its cells added.
ENTRIES = (
    *(keys.PARAMS, keys.COMPONENT_NAMES, keys.FIT_ID, keys.HISTORY),
    *(keys.N_PATHWAYS, keys.NORM, keys.LEVEL, keys.VARIANCE_RATIO, keys.VARIANCE_RATIO_TOTAL, keys.PATHWAYS),
    *(keys.DROPPED, keys.BATCHES, keys.BATCH_VARIANCE, keys.REFERENCE_CELLS),
    *(keys.NETWORK, keys.DIMENSIONS, keys.COORDINATES, keys.GAP, keys.EXPLAINED_VARIANCE, keys.CONVERGED),
)
SLOTS: dict[str, Any] = {  # of var and of varm; the first column tells the genes of the model
    keys.GROUPED: (
        (keys.scale, keys.mean, keys.bins, keys.regularised),
        (keys.loadings, keys.encoder, keys.membership, keys.batch_means),
    ),
    keys.SPARSE_AE: ((keys.mean, keys.bias), (keys.features, keys.encoder, keys.decoder)),
    keys.ARCHETYPES: ((keys.mean,), (keys.profiles,)),
}


def write(path: str | os.PathLike[str], adata: AnnData, key: str) -> None:
    """Write the fit under a key, whole or not at all; a file of that name is replaced.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the folder is not there, or cannot be written to.
    KeyError
        If there is no fit, or a slot of it is missing.
    ValueError
        If the path has another ending, or the fit holds no usable numbers.
    """
    target = Path(path).expanduser()
    if target.suffix != ENDING:
        msg = f"path={os.fspath(path)!r} must end in {ENDING}: a model is written as npz."
        raise ValueError(msg)
    kind = lookup.kind_of(adata, key)
    lookup.fit_of(adata, key)
    _check_whole(adata, key, kind)
    values = _gathered(adata, key, kind)
    check(values, key, kind, f"adata, key {key!r}")
    arrays: dict[str, NDArray[Any]] = {}
    tree = _taken_apart(values, "", arrays)
    about = {"format": FORMAT, "version": VERSION, "pathwayae": version("pathwayae"), "kind": kind, "key": key}
    about |= {"tree": tree, "sha256": _checksum(tree, arrays)}
    if not target.absolute().parent.is_dir():
        msg = f"path={os.fspath(path)!r}: there is no folder {target.absolute().parent}; make it first."
        raise FileNotFoundError(msg)
    try:
        with whole_or_nothing(target) as part, part.open("wb") as file:
            named: dict[str, Any] = {ABOUT: np.array(json.dumps(about)), **arrays}
            np.savez_compressed(file, **named)
    except PermissionError as error:
        msg = f"path={os.fspath(path)!r} cannot be written ({error.strerror}); choose another folder."
        raise PermissionError(msg) from error


def read(path: str | os.PathLike[str]) -> AnnData:
    """An AnnData without cells that holds the fit of a file in its slots.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no model, is truncated or damaged, is of a newer version, or does not agree with itself.
    """
    path = Path(path).expanduser()
    name = os.fspath(path)
    if not path.is_file():
        what = "this is a folder; name a file in it" if path.is_dir() else "there is no such file"
        msg = f"path={str(name)!r}: {what}; write one with pae.models.save(adata, path)."
        raise FileNotFoundError(msg)
    again = "write it again with pae.models.save(adata, path)."
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file[ABOUT]))
            if unknown := _unknown(about, name):
                raise _UnknownError(unknown)
            arrays = {one: file[one] for one in file.files if one != ABOUT}
        same = _checksum(about["tree"], arrays) == about["sha256"]
        values, key, kind = (_put_together(about["tree"], arrays) if same else None), about["key"], about["kind"]
    except _UnknownError as error:
        raise ValueError(str(error)) from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        OSError,
    ) as error:
        msg = f"{name} is no whole file of a model ({error}): it is truncated, damaged or something else; {again}"
        raise ValueError(msg) from error
    if values is None:
        msg = f"{name} is damaged: its contents do not have the checksum in its header; {again}"
        raise ValueError(msg)
    check(values, key, kind, name)
    var = pd.DataFrame(index=pd.Index(values["genes"].astype(str), dtype=object))
    adata = AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=object)), var=var.assign(**values["var"]))
    for one, value in values["varm"].items():
        adata.varm[one] = value
    adata.uns[key] = values["uns"]
    try:
        _check_whole(adata, key, kind)
    except KeyError as error:
        msg = f"{name} holds no whole model: {error.args[0]}"
        raise ValueError(msg) from None
    return adata


def check(values: Mapping[str, Any], key: str, kind: str, name: str) -> None:
    """Raise ValueError where a model does not agree with itself, or its numbers cannot be used."""
    genes = [str(gene) for gene in values["genes"]]
    wrong = []
    if len(set(genes)) < len(genes):
        wrong.append(f"{len(genes) - len(set(genes))} of its genes have the name of another")
    n_components = len(values["uns"][keys.COMPONENT_NAMES])
    if len({str(one) for one in values["uns"][keys.COMPONENT_NAMES]}) < n_components:
        wrong.append("components share a name")
    for one, value in (*values["var"].items(), *values["varm"].items()):
        if value.shape[0] != len(genes):
            wrong.append(f"{one!r} has {value.shape[0]} rows, but there are {len(genes)} genes")
        stored = value.data if sp.issparse(value) else np.asarray(value)
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            wrong.append(f"{one!r} holds NaN or infinite values")
    loadings = values["varm"].get(lookup.KINDS[kind].loadings(key))
    if loadings is not None and loadings.shape[1] != n_components:
        wrong.append(f"{n_components} components have names, but {loadings.shape[1]} have loadings")
    scale = values["var"].get(keys.scale(key))
    if scale is not None and not (np.asarray(scale) > 0).all():
        wrong.append(f"{keys.scale(key)!r} is 0 or negative for some genes")
    if wrong:
        msg = f"{name} holds no usable model: {'; '.join(wrong)}. Fit again, then pae.models.save."
        raise ValueError(msg)


def _check_whole(adata: AnnData, key: str, kind: str) -> None:
    """Raise KeyError where a slot of the fit is missing."""
    import_module(f"pathwayae._slots.{kind}").fitted(adata, key)  # torch comes with it, which tables do without


def _gathered(adata: AnnData, key: str, kind: str) -> dict[str, Any]:
    """Genes of the model with their columns and rows, and the entries of ``uns``."""
    columns, tables = ([name(key) for name in some] for some in SLOTS[kind])
    columns = [name for name in columns if name in adata.var]
    inside = np.zeros(adata.n_vars, dtype=bool)
    if columns:
        inside = np.isfinite(np.asarray(adata.var[columns[0]], dtype=np.float64))
    symbols = str(lookup.plain(adata.uns[key][keys.PARAMS].get("gene_symbols", "")) or "")
    var: dict[str, Any] = {name: np.asarray(adata.var[name], dtype=np.float64)[inside] for name in columns}
    if symbols and symbols in adata.var:
        var[symbols] = lookup.gene_names(adata, key).to_numpy(dtype=object)[inside]
    varm = {}
    for name in tables:
        if name in adata.varm:
            value = lookup.plain(adata.varm[name])
            varm[name] = sp.csr_matrix(value)[inside] if sp.issparse(value) else np.asarray(value)[inside]
    entry = adata.uns[key]
    return {
        "genes": adata.var_names.to_numpy(dtype=object)[inside],
        "var": var,
        "varm": varm,
        "uns": {name: lookup.plain(entry[name]) for name in ENTRIES if name in entry},
    }


class _UnknownError(Exception):
    """The file is whole, but not of a kind that is known here."""


def _unknown(about: Any, name: str) -> str:
    """Why a header is not one that can be read here; empty where it can."""
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        return f"{name} is no model of pae.models.save; its format is {found!r}."
    if about.get("version") != VERSION:
        return (
            f"{name} is a model of version {about.get('version')!r}, written by pathwayae {about.get('pathwayae')}; "
            f"pathwayae {version('pathwayae')} reads version {VERSION}. Upgrade pathwayae, or save the model again."
        )
    if about.get("kind") not in SLOTS:
        return f"{name} holds a model of kind {about.get('kind')!r}; known are {listed(SLOTS)}. Upgrade pathwayae."
    return ""


def _checksum(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of the values and of all arrays, with their types and shapes."""
    found = hashlib.sha256(json.dumps(tree, sort_keys=True).encode())
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {value.dtype.str} {value.shape}".encode())
        found.update(value.tobytes())
    return found.hexdigest()


def _taken_apart(value: Any, place: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """A value as JSON; its arrays of numbers are put under the name of their place."""
    if isinstance(value, Mapping):
        return {"dict": {str(name): _taken_apart(one, f"{place}.{name}", arrays) for name, one in value.items()}}
    if isinstance(value, pd.DataFrame):
        columns = [[str(name), _taken_apart(value[name].to_numpy(), f"{place}.{name}", arrays)] for name in value]
        return {"table": columns}
    if sp.issparse(value):
        rows = sp.csr_matrix(value)
        for name in ("data", "indices", "indptr"):
            arrays[f"{place}.{name}"] = getattr(rows, name)
        return {"csr": place, "shape": list(rows.shape)}
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
        arrays[place] = value
        return {"array": place}
    if isinstance(value, np.ndarray | pd.api.extensions.ExtensionArray):
        return {"text": np.asarray(value, dtype=object).astype(str).tolist()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | int | float | bool):
        return {"value": value}
    msg = f"A value of type {type(value).__name__} at {place} of the fit cannot be written to a model file."
    raise TypeError(msg)


def _put_together(tree: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    """What was taken apart."""
    if "dict" in tree:
        return {name: _put_together(one, arrays) for name, one in tree["dict"].items()}
    if "table" in tree:
        return pd.DataFrame({name: _put_together(one, arrays) for name, one in tree["table"]})
    if "csr" in tree:
        parts = tuple(arrays[f"{tree['csr']}.{name}"] for name in ("data", "indices", "indptr"))
        return sp.csr_matrix(parts, shape=tuple(tree["shape"]))
    if "array" in tree:
        return arrays[tree["array"]]
    return np.array(tree["text"], dtype=object) if "text" in tree else tree["value"]
