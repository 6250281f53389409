"""The structural terms of the objective on a support: those of :mod:`pathwayae.core.grouped.penalties`, pair by pair.

Genes outside the support of a component have one loading between them, its *rest*: one number in the place of many
that would be alike. So the terms are those of all genes, at the price of the pairs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.grouped import penalties
from pathwayae.core.grouped.loss import shares
from pathwayae.core.grouped.penalties import TINY
from pathwayae.core.grouped.problem import Problem
from pathwayae.core.grouped.support import Support


class Structure(NamedTuple):
    """What the structural terms need of a problem.

    Attributes
    ----------
    members
        Gene and pathway of every membership as one number, ``j g + i``.
    penalised
        Genes that take part, shape (g,).
    by_gene
        Weight of the entropy of each gene, shape (g,).
    n_components
        k.
    shares
        Of reconstruction, zero suppression and entropy, see :func:`pathwayae.core.grouped.loss.shares`.
    """

    members: NDArray[np.intp]
    penalised: NDArray[np.bool_]
    by_gene: Tensor
    n_components: int
    shares: tuple[float, float, float]


class Pairs(NamedTuple):
    """The pairs of a support as the terms see them.

    Attributes
    ----------
    rows, columns
        Gene and component of each pair, shape (nnz,).
    outside
        Weight of each in the zero term, shape (nnz,), and ``outside_rest`` of a gene outside the support.
    counted
        1 where the gene of a pair is penalised, 0 where not, shape (nnz,).
    by_gene
        Weight of the entropy of each gene, shape (g,).
    n_rest
        Penalised genes outside the support of each component, shape (k,).
    """

    rows: Tensor
    columns: Tensor
    outside: Tensor
    outside_rest: float
    counted: Tensor
    by_gene: Tensor
    n_rest: Tensor


class Term(NamedTuple):
    """Value of a term, its gradient in the loadings (nnz,), and in the rest (k,)."""

    value: Tensor
    gradient: Tensor
    of_rest: Tensor


def structure(problem: Problem) -> Structure:
    """What the structural terms of a problem need, whose membership is sparse, without a matrix of all pairs."""
    member, penalised, k, config = problem.membership, problem.penalised, problem.n_components, problem.config
    genes, pathways = member.tocoo().coords
    entropy = _entropy_weights(member, penalised, on_classes=config.entropy_on_classes)
    has_zero = int(penalised.sum()) * k > int(penalised[genes].sum())
    weights = shares(config.theta, config.epsilon, has_zero=has_zero, has_entropy=bool(entropy.any()))
    by_gene = torch.from_numpy(entropy * penalties.entropy_factor(config.entropy_scaling, k))
    members = pathways.astype(np.intp) * len(penalised) + genes
    return Structure(members, penalised, by_gene, k, weights)


def _entropy_weights(member: sp.csc_array, penalised: NDArray[np.bool_], *, on_classes: bool) -> NDArray[np.float64]:
    """:func:`pathwayae.core.grouped.penalties.entropy_weights` of a sparse membership."""
    if not on_classes:
        return penalised / max(1, int(penalised.sum()))
    alone = sp.csc_array(np.diff(member.tocsr().indptr)[:, None] == 0)
    classes = sp.diags_array(penalised.astype(np.float64)) @ sp.hstack([member, alone], format="csc")
    size = classes.sum(axis=0)
    return classes @ (1.0 / (np.maximum(size, 1) * max(1, int((size > 0).sum()))))


def pairs_of(support: Support, of: Structure) -> Pairs:
    """The pairs of a support, which holds all members."""
    rows, columns, g = support.rows, support.columns, len(of.penalised)
    counted = of.penalised[rows].astype(np.float64)
    outside = counted * ~np.isin(columns * g + rows, of.members, assume_unique=True)
    weight = 1.0 / (of.n_components * math.sqrt(g))
    n_rest = of.penalised.sum() - np.bincount(columns, counted, minlength=of.n_components)
    parts = (torch.from_numpy(part) for part in (rows, columns, outside * weight, counted, n_rest))
    rows_, columns_, outside_, counted_, n_rest_ = parts
    return Pairs(rows_, columns_, outside_, weight, counted_, of.by_gene, n_rest_)


def zero_component(values: Tensor, rest: Tensor, pairs: Pairs) -> Term:
    """:func:`pathwayae.core.grouped.penalties.zero_component` of loadings (nnz,) and of the rest (k,)."""
    counted = values * pairs.counted
    norm = (_sums(counted * counted, pairs.columns, len(rest)) + pairs.n_rest * rest * rest).clamp_min(TINY).sqrt()
    outside = _sums(counted.abs() * pairs.outside, pairs.columns, len(rest))
    outside = outside + pairs.outside_rest * pairs.n_rest * rest.abs()
    slope = outside / norm**3
    gradient = counted.sign() * pairs.outside / norm[pairs.columns] - counted * slope[pairs.columns]
    of_rest = pairs.n_rest * (rest.sign() * pairs.outside_rest / norm - rest * slope)
    return Term((outside / norm).sum(), gradient, of_rest)


def entropy(values: Tensor, rest: Tensor, pairs: Pairs) -> Term:
    """:func:`pathwayae.core.grouped.penalties.entropy` of loadings (nnz,) and of the rest (k,).

    With ``s_i = Σ_j |w_ij|`` and ``t_i = Σ_j |w_ij| ln |w_ij|`` the entropy is ``ln s_i − t_i / s_i``. Both are sums
    over the pairs of what these have above the rest, and one sum of the rest for all genes.
    """
    g, columns = len(pairs.by_gene), pairs.columns
    magnitude, others = values.abs(), rest.abs()
    log, log_rest = magnitude.clamp_min(TINY).log(), others.clamp_min(TINY).log()
    row = (_sums(magnitude - others[columns], pairs.rows, g) + others.sum()).clamp_min(TINY)
    above = magnitude * log - (others * log_rest)[columns]
    mean_log = (_sums(above, pairs.rows, g) + (others * log_rest).sum()) / row
    weight = pairs.by_gene / row
    gradient = weight[pairs.rows] * (mean_log[pairs.rows] - log) * values.sign()

    def over_rest(of_genes: Tensor) -> Tensor:
        return of_genes.sum() - _sums(of_genes[pairs.rows], columns, len(rest))

    of_rest = over_rest(weight * mean_log) - log_rest * over_rest(weight)
    return Term((pairs.by_gene * (row.log() - mean_log)).sum(), gradient, of_rest * rest.sign())


def _sums(values: Tensor, where: Tensor, n: int) -> Tensor:
    return values.new_zeros(n).index_add_(0, where, values)
