"""What hostile callers pass: values that no parameter of a kind can take, a call of every public function, and a judge.

Kinds are read from the annotations, so that a new function or parameter is tried without a word here.
"""

import ast
import hashlib
import importlib
import inspect
import re
import warnings

import numpy as np
import pandas as pd
from scipy import sparse

import pathwayae as pae

SURFACES = ("tl", "pp", "pl", "get", "gs", "datasets", "models")
REFUSALS = (TypeError, ValueError, KeyError, FileNotFoundError, IsADirectoryError)
NEEDS_FILES = {"gs.read_gaf", "gs.read_reactome", "datasets.fetch"}  # tried with values for their paths alone
OTHER, OPEN = object(), inspect.Parameter.empty
GONE = "/no/such/folder/cells.h5ad"

VALUES = {
    "AnnData": (None, 5, "cells.h5ad", {}, pd.DataFrame({"a": [1.0]}), np.eye(3)),
    "bool": ("x", "no", None, 2, 0.5, []),
    "int": ("3", 1.5, np.nan, np.inf, -1, 0, 10**30, [1], {}, True, None),
    "float": ("0.5", np.nan, np.inf, -1.0, 1e300, [0.5], {}, True, None),
    "seed": (-1, 2**64, 2**70, "0", 1.5, np.nan, None, [0]),
    "str": (5, "", "no_such", {}, OTHER, None, b"raw", 0.5, "a\0b"),
    "names": ([], [5], [None], 7, {}, ["no_such"], [["a"]], ["no_such", "no_such"], OTHER),
    "choice": ("no_such", 5, "", [], {}, None),
    "path": (5, "", GONE, "/", OTHER, b"raw", None, []),
    "axes": (5, "x", {}),
    "class": (5, "no_such", {}, OTHER),
    "numbers": (5, "ab", (), (0,), ("a", "b"), (-1, -1), {}, None),
}
CLASSES = {"FitSettings", "SparseAESettings", "ArchetypesSettings", "Moments", "Sketch", "Normalize", "Colormap"}
CLASSES |= {"GeneSetCollection", "Hierarchy", "Ontology", "Annotations", "Pathways", "Sets", "Any", "ArrayLike"}


def kinds(annotation):
    """Kinds of values that an annotation takes, and whether None is one."""
    node = ast.parse(str(annotation), mode="eval").body
    parts, stack = [], [node]
    while stack:
        one = stack.pop()
        if isinstance(one, ast.BinOp):
            stack += [one.left, one.right]
        else:
            parts.append(ast.unparse(one))
    found = set()
    for part in parts:
        head = part.split("[")[0].split(".")[-1]
        if head in ("Sequence", "Iterable", "tuple", "range", "NDArray", "Mapping", "list"):
            found.add("names" if "str" in part else "axes" if "Axes" in part else "numbers")
        elif head in ("PathLike", "Path"):
            found.add("path")
        elif head in ("Literal", "Method", "LegendLoc"):
            found.add("choice")
        elif head == "Axes":
            found.add("axes")
        elif head in ("AnnData", "Cells"):
            found.add("AnnData")
        elif head in ("bool", "int", "float", "str", "None"):
            found.add(head)
        else:
            found.add("class")
    return found


def hostile(name, annotation):
    """Values to try for a parameter: those of its kinds that are of none of its other kinds."""
    own = kinds(annotation)
    optional = "None" in own
    if name in ("random_state", "random_seed"):
        tried = VALUES["seed"]
    elif "path" in own:
        tried = VALUES["path"]
    else:
        order = ("AnnData", "axes", "class", "numbers", "names", "str", "int", "float", "bool", "choice")
        tried = [value for kind in order if kind in own for value in VALUES[kind]]
    tried = [value for value in tried if not (value is None and optional)]
    seen, once = set(), []
    for value in tried:
        if (mark := f"{type(value).__name__} {value!r}") not in seen:
            seen.add(mark)
            once.append(value)
    return once


def public():
    """Every public function by its name."""
    found = {"report": pae.report}
    for surface in SURFACES:
        module = importlib.import_module(f"pathwayae.{surface}")
        found |= {f"{surface}.{name}": getattr(module, name) for name in getattr(module, "__all__", ())}
    return {name: one for name, one in found.items() if callable(one)}


def cells():
    """150 cells of a simulation after every tool."""
    adata = pae.datasets.simulate(150, 120, 5, n_cell_types=3, n_batches=2, n_donors=4, random_state=1)
    rng = np.random.default_rng(0)
    adata.obsm["X_umap"] = rng.normal(size=(150, 2))
    quiet = {"progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pae.tl.fit(adata, "pathways", n_extra=2, **quiet)
        pae.tl.refine(adata, **quiet)
        pae.tl.relevance(adata, n_folds=2, n_null=50, **quiet)
        pae.tl.stability(adata, n_bootstrap=10, **quiet)
        pae.tl.n_extra_path(adata, n_max=3, n_folds=2, **quiet)
        pae.tl.group_loadings(adata, "cell_type", sample_key="donor", **quiet)
        pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
        pae.tl.enrich(adata, {"few": adata.var_names[:20], "some": adata.var_names[10:50]}, method="ora", **quiet)
        pae.tl.annotate_components(adata, **quiet)
        pae.tl.fit(adata, "pathways", n_extra=2, scores="projection", key_added="projection", **quiet)
        pae.tl.theta_path(adata, thetas=(0.1, 0.3), n_folds=2, key="projection", **quiet)
        pae.tl.fit(adata, "pathways", n_extra=0, batch_key="batch", key_added="batches", **quiet)
        pae.tl.archetypes(adata, 3, n_restarts=1, **quiet)
        pae.tl.archetype_selection(adata, range(2, 4), n_bootstrap=2, **quiet)
        pae.tl.archetype_trust(adata, n_bootstrap=3, n_permutations=5, **quiet)
        pae.tl.archetype_features(adata, groupby="cell_type")
        pae.tl.sparse_ae(adata, n_latents=8, k=2, n_epochs=2, **quiet)
        pae.tl.latent_sparsity(adata, groupby="cell_type")
        pae.tl.latent_selectivity(adata, "cell_type")
        pae.tl.latent_genes(adata, n_genes=5)
        pae.tl.latent_batches(adata, "batch", groupby="cell_type")
        pae.tl.latent_agreement(adata, n_refits=1, **quiet)
        pae.tl.latent_ablation(adata, **quiet)
        pae.tl.sparse_ae_sweep(adata, strengths=(2, 4), n_latents=8, n_epochs=2, **quiet)
        pae.tl.transform(adata, adata, **quiet)
    return adata


def walk(name, function, base, *, skip):
    """Try every value of every parameter; yields the parameter, the value, and the error or None."""
    for parameter in inspect.signature(function).parameters.values():
        for value in hostile(parameter.name, parameter.annotation):
            if skip(parameter.name, value):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    function(**(base | {parameter.name: value}))
            except Exception as error:
                yield parameter.name, value, error
            else:
                yield parameter.name, value, None


def clear(error, name, value, also):
    """Whether a refusal names the parameter and what was found, and says what is allowed or next."""
    if not isinstance(error, REFUSALS):
        return False
    text = str(error.args[-1]) if error.args else ""
    named = re.search(rf"\b({name}|{also})\b", text) or (name.endswith("s") and re.search(rf"\b{name[:-1]}\b", text))
    return bool(named) and shows(text, value) and len(text) > len(name) + 20


def shows(text, value):
    found = [repr(value), type(value).__name__]
    if isinstance(value, str | bytes | int | float):
        found.append(str(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        found.append(f"{value:g}")
    if isinstance(value, list | tuple):
        found += [repr(one) for one in value] + [str(one) for one in value]
    if isinstance(value, list | tuple | dict | str) and not len(value):
        found += ["empty", "none", "at least one", "no "]
    return any(one and one in text for one in found)


def fingerprint(adata):
    """A hash of all that is in an AnnData."""
    digest = hashlib.blake2b()
    for slot in ("X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"):
        _feed(digest, getattr(adata, slot))
    return digest.hexdigest()


def _feed(digest, value):
    if isinstance(value, pd.DataFrame):
        _feed(digest, value.index.to_numpy())
        for column in value.columns:
            digest.update(str(column).encode())
            _feed(digest, np.asarray(value[column]))
    elif sparse.issparse(value):
        for part in (value.data, *((value.indices, value.indptr) if hasattr(value, "indptr") else ())):
            digest.update(np.ascontiguousarray(part).data)
    elif isinstance(value, np.ndarray) and value.dtype.kind not in "OUV":
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, np.ndarray):
        digest.update(repr(value.tolist()).encode())
    elif hasattr(value, "items"):
        for name, one in value.items():
            digest.update(str(name).encode())
            _feed(digest, one)
    else:
        digest.update(repr(value).encode())


REQUIRED = {
    "gene_sets": {"few": ["gene_1", "gene_2", "gene_3", "gene_4", "gene_5", "gene_6"]},
    "groupby": "cell_type",
    "batch_key": "batch",
    "component": "program_1",
    "components": "program_1",
    "pathway": "program_1",
    "gene": "gene_1",
    "latents": "latent_1",
    "n_archetypes": 3,
    "progress": False,
}
# Words that a function needs beside these, and those that make it quick.
CALLS = {
    "tl.fit": {"pathways": "pathways", "n_extra": 2},
    "tl.archetype_selection": {"n_archetypes": range(2, 4), "n_bootstrap": 2, "n_restarts": 1},
    "tl.archetype_trust": {"n_bootstrap": 3, "n_permutations": 5},
    "tl.archetypes": {"n_restarts": 1},
    "tl.enrich": {"method": "ora"},
    "tl.latent_agreement": {"n_refits": 1},
    "tl.n_extra_path": {"n_max": 2, "n_folds": 2},
    "tl.relevance": {"n_folds": 2, "n_null": 20},
    "tl.stability": {"n_bootstrap": 3},
    "tl.theta_path": {"thetas": (0.1, 0.3), "n_folds": 2, "key": "projection"},
    "tl.sparse_ae": {"n_latents": 8, "k": 2, "n_epochs": 1},
    "tl.sparse_ae_sweep": {"strengths": (2,), "n_latents": 8, "n_epochs": 1},
    "get.batch_variance": {"key": "batches"},
    "get.archetype_groups": {"groupby": None},
    "get.theta_path": {"key": "projection"},
    "pl.theta_path": {"key": "projection"},
    "pl.history": {"key": "projection"},
    "pl.embedding": {"color": "program_1"},
    "pl.enrichment": {"max_padj": 1.0},
    "pl.paired": {"groupby": "batch", "sample_key": "donor"},
    "pl.violin": {"pathways": "program_1", "groupby": "batch", "sample_key": "donor"},
    "datasets.simulate": {"n_cells": 60, "n_genes": 150, "n_programs": 3},
}


def base(name, function, adata, folder):
    """Arguments of a call that succeeds."""
    parameters = inspect.signature(function).parameters
    words = {one: value for one, value in REQUIRED.items() if one in parameters}
    words = {
        one: value for one, value in words.items() if one == "progress" or parameters[one].default is inspect._empty
    }
    words |= {"show": False} if "show" in parameters else {}
    words |= {"adata": adata} if "adata" in parameters else {}
    words |= CALLS.get(name, {})
    extra = {
        "tl.transform": lambda: {"reference": adata},
        "pp.moments": lambda: {"data": adata},
        "get.compare": lambda: {"other": adata, "other_key": "projection"},
        "models.save": lambda: {"path": folder / "model.npz"},
        "report": lambda: {"path": folder / "report.html"},
        "pp.read_moments": lambda: {"path": kept(adata, folder)},
        "models.load": lambda: {"path": saved(adata, folder)},
        "pl.overlap": lambda: {"collection": sets(adata)},
        "pl.coverage": lambda: {"collection": sets(adata)},
        "gs.as_collection": lambda: {"pathways": sets(adata)},
        "gs.match_genes": lambda: {"pathways": sets(adata)},
        "gs.rename_wikipathways": lambda: {"collection": wiki()},
        "gs.most_specific": lambda: {"collection": terms(), "hierarchy": tree()},
        "gs.specific_classes": lambda: {"collection": terms(), "hierarchy": tree(), "var_names": ["a", "b", "c"]},
        "gs.hierarchy_of": lambda: {"collection": terms(), "ontology": obo(folder)},
        "gs.from_ontology": lambda: {"ontology": obo(folder), "annotations": pairs()},
        "gs.read_obo": lambda: {"path": obo(folder)},
        "gs.read_gmt": lambda: {"path": gmt(folder)},
        "gs.read_annotations": lambda: {"data": pairs()},
        "gs.weighted_membership": lambda: {
            "annotations": pae.gs.read_annotations(pairs(), evidence="evidence"),
            "ontology": obo(folder),
            "collection": terms(),
            "var_names": ["a", "b", "c"],
            "confidence": {"IDA": 1.0},
        },
    }
    return words | extra.get(name, dict)()


def sets(adata):
    return pae.gs.GeneSetCollection({"few": adata.var_names[:20].tolist(), "some": adata.var_names[10:50].tolist()})


def kept(adata, folder):
    pae.pp.moments(adata, progress=False).save(folder / "moments.npz")
    return folder / "moments.npz"


def saved(adata, folder):
    pae.models.save(adata, folder / "saved.npz")
    return folder / "saved.npz"


def wiki():
    return pae.gs.GeneSetCollection({"A%WikiPathways_1%WP1%Homo sapiens": ["a", "b"]})


def terms():
    return {"GO:0000001": ["a", "b", "c"], "GO:0000002": ["a"]}


def tree():
    return pae.gs.Hierarchy({"GO:0000001": (), "GO:0000002": ("GO:0000001",)})


def pairs():
    return pd.DataFrame({"gene": list("abc"), "term": ["GO:0000001", "GO:0000002", "GO:0000002"], "evidence": "IDA"})


def obo(folder):
    text = "format-version: 1.2\n\n[Term]\nid: GO:0000001\nname: one\nnamespace: n\n\n"
    text += "[Term]\nid: GO:0000002\nname: two\nnamespace: n\nis_a: GO:0000001\n"
    (folder / "terms.obo").write_text(text)
    return folder / "terms.obo"


def gmt(folder):
    (folder / "sets.gmt").write_text("one\tdescription\ta\tb\ntwo\tdescription\tb\tc\n")
    return folder / "sets.gmt"


def words_of(annotation):
    """The words of a choice."""
    found = [one for one in ast.walk(ast.parse(str(annotation), mode="eval")) if isinstance(one, ast.Constant)]
    return [one.value for one in found if isinstance(one.value, str)]
