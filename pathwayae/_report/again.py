"""How to do it again: calls in Python and on the command line, from the settings that a fit keeps."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae._slots import keys, lookup

if TYPE_CHECKING:
    from anndata import AnnData

FIT = (
    "layer",
    "mask_var",
    "gene_symbols",
    "min_genes",
    "max_genes",
    "n_extra",
    "scores",
    "theta",
    "scale",
    "batch_key",
)
SETTINGS = (
    *("balance", "joint", "center", "solver", "epsilon", "l1_ratio", "zero_norm", "start", "dropout", "support"),
    *("learning_rate", "max_iter", "condition_key"),
)
OF_DESCENT = ("theta", "epsilon", "l1_ratio", "zero_norm", "start", "dropout", "learning_rate", "max_iter")
RENAMED = {"start": "init"}
CALLS = {
    keys.RELEVANCE: ("sample_key", "n_folds", "n_null", "n_bins", "random_state"),
    keys.STABILITY: ("n_bootstrap", "n_restarts", "sample_key", "random_state"),
    "refine": ("sample_key", "batch_key", "fdr", "random_state"),
    "enrich": ("method", "sign", "n_genes", "min_genes", "max_genes", "n_permutations", "random_state"),
    "annotate_components": ("batch_key", "sample_key", "n_genes", "technical"),
    keys.GROUP_LOADINGS: ("reference", "sample_key", "n_genes"),
}
STORED = {
    "refine": keys.REFINEMENT_PARAMS,
    "enrich": keys.ENRICHMENT_PARAMS,
    "annotate_components": keys.ANNOTATION_PARAMS,
}
SETS, OTHER_SETS, CELLS, FITTED, REPORT = "sets.gmt", "other_sets.gmt", "cells.h5ad", "fitted.h5ad", "report.html"


def python(adata: AnnData, key: str) -> str:
    """Lines that fit and test again, with every setting written out."""
    params = lookup.plain(lookup.fit_of(adata, key)[keys.PARAMS])
    lines = ["import anndata as ad", "import pathwayae as pae", "", f"adata = ad.read_h5ad({CELLS!r})"]
    given, own = _arguments(params), _settings(params)
    if params.get("normalize"):
        lines.append(f"moments = pae.pp.moments(adata, normalize={params['normalize']!r})  # of counts")
        given["moments"] = "moments"
    if params.get("mask_var") == "array":
        lines.append("# The genes were named by an array, which is not kept: pass it as mask_var=.")
    words = [f"{name}={value if name == 'moments' else _said(value)}" for name, value in given.items()]
    words.append(f"settings=pae.tl.FitSettings({', '.join(f'{name}={_said(value)}' for name, value in own.items())})")
    words += [f"random_state={params.get('random_state', 0)}", f"key_added={key!r}"]
    lines += ["pae.tl.fit(", "    adata,", f"    {SETS!r},", *[f"    {word}," for word in words], ")"]
    return "\n".join([*lines, *_calls(adata, key), f"pae.report(adata, {REPORT!r}, key={key!r})"])


def _arguments(params: dict[str, Any]) -> dict[str, Any]:
    descent = params.get("scores") != "members"
    names = [name for name in FIT if name in params and (descent or name not in OF_DESCENT)]
    found = {name: params[name] for name in names if not (name == "mask_var" and params[name] == "array")}
    if "covariates" in params:
        found["covariates"] = [str(one) for one in np.ravel(params["covariates"])]
    return found


def _settings(params: dict[str, Any]) -> dict[str, Any]:
    descent = params.get("scores") != "members"
    names = [name for name in SETTINGS if name in params and (descent or name not in OF_DESCENT)]
    return {RENAMED.get(name, name): params[name] for name in names}


def _said(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) and ";" in value:  # several columns
        value = value.split(";")
    return "None" if isinstance(value, str) and not value else repr(value)


def _calls(adata: AnnData, key: str) -> list[str]:
    """Analyses that were run, by the settings that they kept."""
    fit = lookup.fit_of(adata, key)
    lines = []
    for call, names in CALLS.items():
        params = lookup.plain(fit.get(STORED.get(call, f"{call}_params"), {}))
        if params:
            places = {keys.GROUP_LOADINGS: f", {params.get('groupby')!r}", "enrich": f", {OTHER_SETS!r}"}
            words = [f"{name}={_said(params[name])}" for name in names if name in params]
            first, given = places.get(call, ""), ", ".join([*_chosen(adata, key, call), *words])
            lines.append(f"pae.tl.{call}(adata{first}, {given}, key={key!r})")
    ranks = [name for name in fit if keys.rank_params(name) in fit and keys.rank_genes(name) in fit]
    return lines + [_rank(name, lookup.plain(fit[keys.rank_params(name)]), key) for name in ranks]


def _chosen(adata: AnnData, key: str, call: str) -> list[str]:
    """Components or pathways that an analysis was asked for, where they are not the usual ones."""
    fit, names = lookup.fit_of(adata, key), lookup.component_names(adata, key)
    n_pathways = int(lookup.value(adata, key, keys.N_PATHWAYS))
    if call == keys.GROUP_LOADINGS:
        own = [str(one) for one in np.ravel(lookup.plain(fit[keys.GROUP_LOADINGS]["pathways"]))]
        return [] if own == names[:n_pathways] else [f"pathways={own!r}"]
    table = {"enrich": keys.ENRICHMENT, "annotate_components": keys.ANNOTATION}.get(call)
    if table is None:
        return []
    found = {str(name) for name in fit[table]["component"]}
    own = [name for name in names if name in found]
    usual = names if call == "enrich" else names[n_pathways:] or names
    return [] if own in (usual, []) else [f"components={own!r}"]


def _rank(name: str, params: dict[str, Any], key: str) -> str:
    groups = [str(one) for one in np.ravel(params.get("groups", []))]
    words = [f"groups={groups!r}"] + [f"{one}={_said(params[one])}" for one in ("reference", "sample_key", "within")]
    if params.get("covariates"):
        words.append(f"covariates={str(params['covariates']).split(', ')!r}")
    words += [f"method={params['method']!r}"] + ([] if name == keys.RANK_PATHWAYS else [f"key_added={name!r}"])
    return f"pae.tl.rank_pathways(adata, {params['groupby']!r}, {', '.join(words)}, key={key!r})"


def command(adata: AnnData, key: str) -> str:
    """The fit and the page on the command line."""
    params = lookup.plain(lookup.fit_of(adata, key)[keys.PARAMS])
    options = _arguments(params) | _settings(params) | {"random_state": params.get("random_state", 0)}
    words = ["pathwayae", "fit", CELLS, "--pathways", SETS, "--out", FITTED]
    if params.get("normalize"):
        words += ["--normalize", str(params["normalize"])]
    for name, value in options.items():
        words += _option(name, value)
    words += [] if key == keys.DEFAULT else ["--key-added", key]
    again = ["pathwayae", "report", FITTED, "--out", REPORT] + ([] if key == keys.DEFAULT else ["--key", key])
    return "\n".join(shlex.join(one) for one in (words, again))


def _option(name: str, value: Any) -> list[str]:
    value = value.item() if isinstance(value, np.generic) else value
    option = f"--{name.replace('_', '-')}"
    if name == "support":
        return [option, {True: "yes", False: "no"}.get(value, str(value))]
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, list):
        return [word for one in value for word in (option, one)]
    if name == "scale" and value == "":
        return [option, "none"]
    return [] if value == "" else [option, str(value)]
