"""Settings of ``pae.tl.fit``: checked at its door, handed to the core, and stored with the fit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pathwayae import _inputs
from pathwayae.core import grouped_ae

CONFIG = ("theta", "epsilon", "l1_ratio", "scores", "zero_norm", "learning_rate", "max_iter", "device", "random_state")
CONFIG += ("balance",)
DESCENT = {"theta": 0.3, "epsilon": 0.0, "l1_ratio": 0.5, "zero_norm": "component", "init": "evidence"}
DESCENT |= {"dropout": None, "learning_rate": 0.03, "max_iter": 100, "n_restarts": 1}
DROPOUT = 0.9  # of projection
STORED = ("layer", "mask_var", "gene_symbols", "min_genes", "max_genes", "n_extra", "center", "scale", "batch_key")
STORED += ("condition_key", "normalize", "solver", "n_restarts", "n_bootstrap", "sample_key")


def check(given: dict[str, Any]) -> None:
    """Settings of every fit."""
    min_genes, max_genes, n_extra = given["min_genes"], given["max_genes"], given["n_extra"]
    _inputs.number("min_genes", min_genes, 1, integer=True)
    if max_genes is not None:
        _inputs.number("max_genes", max_genes, min_genes, integer=True)
    if n_extra != "auto":
        _inputs.number("n_extra", n_extra, 0, integer=True)
    _inputs.choice("scale", given["scale"], ("unit", "pareto", None))
    _inputs.choice("solver", given["solver"], ("auto", "gram", "cells"))
    if given["solver"] == "cells" and given["moments"] is not None:
        msg = (
            "solver='cells' goes through the cells, but moments= stands in their place and holds their Gram matrix "
            "alone. Leave moments out, or solver."
        )
        raise ValueError(msg)


def check_scores(given: dict[str, Any]) -> None:
    """Settings that only some kinds of scores know."""
    scores, dropout = given["scores"], given["dropout"]
    _inputs.choice("scores", scores, ("members", "projection", "least_squares"))
    _inputs.choice("balance", given["balance"], (True, False))
    _inputs.choice("init", given["init"], ("evidence", "membership"))
    if scores == "members":
        _check_members(given)
    elif scores == "least_squares" and dropout:
        msg = f"dropout={dropout!r} is of scores='projection'; least_squares scores hide nothing. Leave it out."
        raise ValueError(msg)
    if not given["center"] and (scores == "members" or given["balance"] or given["init"] == "evidence"):
        msg = (
            f"center=False, but scores={scores!r}, balance={given['balance']}, init={given['init']!r} compare genes by "
            "correlations and means. Leave center out, or pass scores='projection', balance=False, init='membership'."
        )
        raise ValueError(msg)


def _check_members(given: dict[str, Any]) -> None:
    """Raise where settings of a descent are given to scores that have none."""
    for name, value in DESCENT.items():
        if given[name] != value:
            msg = (
                f"{name}={given[name]!r} sets the descent of scores='projection' or 'least_squares'; scores='members' "
                f"are computed in closed form and have none. Leave {name} out, or pass scores='projection'."
            )
            raise ValueError(msg)


def config_of(given: dict[str, Any]) -> grouped_ae.Config:
    """Checked settings of the core."""
    values = {name: given[name] for name in CONFIG}
    dropout = given["dropout"]
    if dropout is not None:
        _inputs.number("dropout", dropout, 0)
        if dropout >= 1:
            msg = (
                f"dropout={dropout!r} hides the whole input; choose a probability from 0 to below 1, for instance 0.9."
            )
            raise ValueError(msg)
    hidden = DROPOUT if dropout is None and given["scores"] == "projection" else dropout or 0.0
    values |= {"start": given["init"], "dropout": float(hidden)}
    for name in ("theta", "epsilon", "l1_ratio"):
        _inputs.number(name, values[name], 0, 1)
    _inputs.number("learning_rate", values["learning_rate"], 1e-12)
    _inputs.number("max_iter", values["max_iter"], 1, integer=True)
    _inputs.number("random_state", values["random_state"], 0, integer=True)
    _inputs.choice("zero_norm", values["zero_norm"], ("component", "feature"))
    return grouped_ae.Config(**values | {"device": _inputs.device(values["device"])})


def check_size(n_cells: float, n_genes: int, n_pathways: int, n_extra: int) -> None:
    """Raise where there are more components than cells or genes."""
    n_components = n_pathways + n_extra
    if n_components > min(n_cells, n_genes):
        msg = (
            f"{n_pathways} pathways and {n_extra} free components are more than the {n_cells} cells or the {n_genes} "
            "genes allow. Fit fewer pathways (raise min_genes, merge similar ones) or lower n_extra."
        )
        raise ValueError(msg)


def stored(given: dict[str, Any], config: grouped_ae.Config) -> dict[str, Any]:
    """Settings as h5ad and zarr can hold them; "" stands for None."""
    settings = {name: given[name] for name in STORED} | asdict(config)
    if not isinstance(settings["mask_var"], str | None):
        settings["mask_var"] = "array"
    return {name: "" if value is None else value for name, value in settings.items()}
