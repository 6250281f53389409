"""An ordered, immutable collection of named gene sets."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from pathwayae.core.genesets import genes as _genes
from pathwayae.core.genesets import gmt
from pathwayae.core.genesets import membership as _membership
from pathwayae.core.genesets import overlap as _overlap
from pathwayae.core.genesets import redundancy as _redundancy
from pathwayae.core.genesets import trim as _trim

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from pathwayae.core.genesets.hierarchy import Hierarchy

_SHOWN = 3


class GeneSetCollection(Mapping[str, tuple[str, ...]]):
    """Named gene sets in a fixed order: a read-only mapping from name to genes.

    Repeated genes of a set are kept once, at their first place; a Python ``set`` of genes is sorted. Two collections
    are equal if they hold the same names in the same order with the same genes; descriptions do not count. ``a | b``
    unites two collections and ``a & b`` keeps the sets of ``a`` whose names are in ``b``, each with the order and the
    descriptions of ``a`` first; a name with different genes in both is an error. ``b`` may be any mapping.

    Parameters
    ----------
    sets
        Name → genes.
    descriptions
        Name → description, for some or all names; the others get an empty one. By default those of `sets`, if it is
        a collection.

    Raises
    ------
    TypeError
        If a name or a gene is not a string, or a string stands where a list of genes is expected.
    ValueError
        If a name or a gene is empty, or `descriptions` name an unknown set.

    Examples
    --------
    >>> pathways = GeneSetCollection({"T cells": ["CD3D", "CD3E", "CD2"], "B cells": ["CD19", "MS4A1"]})
    >>> pathways
    GeneSetCollection(2 sets, 5 genes: 'T cells', 'B cells')
    >>> pathways["B cells"]
    ('CD19', 'MS4A1')
    >>> pathways.filter(min_genes=2, genes=["CD3D", "CD3E", "CD19"])
    GeneSetCollection(1 set, 2 genes: 'T cells')
    """

    __slots__ = ("_descriptions", "_sets")

    # Tables about the sets: these functions take any mapping of sets, here the collection itself.
    overlap = _overlap.overlap
    overlap_matrix = _overlap.overlap_matrix
    redundant = _redundancy.redundant
    trim_report = _trim.trim_report
    report = _genes.report
    sets_per_gene = _genes.sets_per_gene

    def __init__(self, sets: Mapping[str, Iterable[str]], descriptions: Mapping[str, str] | None = None) -> None:
        if not isinstance(sets, Mapping):
            msg = f"sets must be a mapping of name → genes, found {type(sets).__name__}. Pass a dict."
            raise TypeError(msg)
        if descriptions is None:
            descriptions = sets.descriptions if isinstance(sets, GeneSetCollection) else {}
        self._sets = {_genes.set_name(name): _membership.unique_genes(name, genes) for name, genes in sets.items()}
        unknown = [name for name in descriptions if name not in self._sets]
        if unknown:
            msg = f"descriptions name {len(unknown)} set(s) that do not exist, e.g. {unknown[0]!r}. Drop them."
            raise ValueError(msg)
        self._descriptions = {name: str(descriptions.get(name, "")) for name in self._sets}

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._sets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets)

    def __len__(self) -> int:
        return len(self._sets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GeneSetCollection):
            return NotImplemented
        return tuple(self._sets.items()) == tuple(other._sets.items())

    def __hash__(self) -> int:
        return hash(tuple(self._sets.items()))

    def __or__(self, other: object) -> GeneSetCollection:
        if not isinstance(other, Mapping):
            return NotImplemented
        right = other if isinstance(other, GeneSetCollection) else GeneSetCollection(other)
        _overlap.refuse_conflicts(self, right)
        described = {name: right._descriptions[name] for name in right if not self._descriptions.get(name)}
        return GeneSetCollection({**right, **self}, {**self._descriptions, **described}).select([*self, *right])

    def __ror__(self, other: object) -> GeneSetCollection:
        return GeneSetCollection(other) | self if isinstance(other, Mapping) else NotImplemented

    def __and__(self, other: object) -> GeneSetCollection:
        if not isinstance(other, Mapping):
            return NotImplemented
        right = other if isinstance(other, GeneSetCollection) else GeneSetCollection(other)
        _overlap.refuse_conflicts(self, right)
        return self.select([name for name in self if name in right])

    def __repr__(self) -> str:
        names = [repr(name) for name in list(self)[:_SHOWN]] + ["…"] * (len(self) > _SHOWN)
        sets = f"{len(self)} set{'s' * (len(self) != 1)}"
        genes = f"{len(self.genes)} gene{'s' * (len(self.genes) != 1)}"
        return f"{type(self).__name__}({sets}, {genes}{': ' * bool(names)}{', '.join(names)})"

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Name → description, empty where there is none; read-only."""
        return MappingProxyType(self._descriptions)

    @property
    def genes(self) -> tuple[str, ...]:
        """All different genes, in order of first appearance."""
        return tuple(dict.fromkeys(gene for genes in self._sets.values() for gene in genes))

    def filter(
        self, *, min_genes: int = 1, max_genes: int | None = None, genes: _membership.VarNames | None = None
    ) -> GeneSetCollection:
        """Keep the sets of a suitable size.

        Parameters
        ----------
        min_genes
            Fewest genes a set may have.
        max_genes
            Most genes a set may have; ``None`` for no limit.
        genes
            If given, names of genes, or the AnnData that has them: sets are first restricted to these genes, and sizes
            are those of what is left.

        Returns
        -------
        A new collection in the same order, possibly empty.

        Examples
        --------
        >>> pathways = GeneSetCollection({"T cells": ["CD3D", "CD3E", "CD2"], "B cells": ["CD19", "MS4A1"]})
        >>> dict(pathways.filter(genes=["CD3D", "CD19"]))
        {'T cells': ('CD3D',), 'B cells': ('CD19',)}
        """
        return self._with(_genes.resize(self, min_genes, max_genes, genes))

    def select(self, names: Iterable[str] | None = None, *, regex: str | None = None) -> GeneSetCollection:
        """Pick sets by their names or by a regular expression.

        Parameters
        ----------
        names
            The names to keep, in the order wanted.
        regex
            What to find in the names to keep (:func:`re.search`; ``"(?i)interferon"`` ignores the case).

        Returns
        -------
        A new collection.

        Raises
        ------
        KeyError
            If a name is unknown.
        ValueError
            If `regex` is faulty or is found in no name, or not exactly one of the two is given.

        Examples
        --------
        >>> pathways = GeneSetCollection({"T cells": ["CD3D"], "B cells": ["CD19"], "hypoxia": ["VEGFA"]})
        >>> list(pathways.select(regex="cells$")), list(pathways.select(["hypoxia"]))
        (['T cells', 'B cells'], ['hypoxia'])
        """
        if (names is None) == (regex is None):
            msg = "give either names or regex: the names of the sets to keep, or what to find in them."
            raise ValueError(msg)
        chosen = [names] if isinstance(names, str) else list(dict.fromkeys(names or ()))
        if regex is not None:
            try:
                chosen = [name for name in self if re.search(regex, name)]
            except re.error as error:
                msg = f"regex={regex!r} is not a regular expression: {error}. re.escape(…) searches for it literally."
                raise ValueError(msg) from error
            if not chosen:
                msg = (
                    f"regex={regex!r} is found in none of {len(self)} set names. '(?i)' at its start ignores the case."
                )
                raise ValueError(msg)
        if unknown := [name for name in chosen if name not in self._sets]:
            near = difflib.get_close_matches(str(unknown[0]), self, n=3, cutoff=0.5)
            hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
            msg = f"{len(unknown)} name(s) are not in the collection, e.g. {unknown[0]!r}.{hint}"
            raise KeyError(msg)
        return self._with({name: self._sets[name] for name in chosen})

    def merge_similar(
        self,
        *,
        jaccard: float | None = 0.8,
        containment: float | None = None,
        name: Callable[[Sequence[str]], str] | None = None,
    ) -> GeneSetCollection:
        """Unite sets that are nearly the same, from the largest set on.

        What is merged with what is the table of :meth:`redundant` with the same thresholds, and stands in the
        descriptions. Likeness is measured between the sets as they were, so a union can be alike to another set in
        turn: the log counts such pairs, and a second call would unite them. `containment` swallows small sets that lie
        within large ones, all children into their parents where there is a hierarchy; see :meth:`trim` for those.

        Parameters
        ----------
        jaccard, containment
            From which likeness on; see :meth:`redundant`.
        name
            Gives the name of a united set from the names of its sets, the largest first (``" / ".join``, say); by
            default the name of the largest.

        Returns
        -------
        A new collection; a united set stands at the place of its largest one.

        Examples
        --------
        >>> pathways = GeneSetCollection({"T": ["CD3D", "CD3E"], "T cells": ["CD3D", "CD3E", "CD2"], "B": ["CD19"]})
        >>> pathways.merge_similar(jaccard=0.6)
        GeneSetCollection(2 sets, 4 genes: 'T cells', 'B')
        """
        new = _redundancy.merge_similar(self, self._descriptions, jaccard=jaccard, containment=containment, name=name)
        return GeneSetCollection(*new)

    def trim(
        self, hierarchy: Hierarchy, how: _trim.How = "informative", *, min_genes: int = 1, jaccard: float = 0.8
    ) -> GeneSetCollection:
        """Thin parents and children out; :meth:`trim_report` takes the same arguments and gives the reasons.

        Parameters
        ----------
        hierarchy, min_genes, jaccard
            Hierarchy of the set names (of :func:`pathwayae.gs.hierarchy_of`); smaller sets go; from which Jaccard index
            on sets are nearly the same.
        how
            ``"informative"`` drops a set that is nearly the same as a kept one below it, ``"leaves"`` keeps the sets
            without others below them, ``"subtract"`` takes from each set the genes of the kept ones below it.

        Returns
        -------
        A new collection in the same order.

        Examples
        --------
        >>> from pathwayae.core.genesets.hierarchy import Hierarchy
        >>> pathways = GeneSetCollection({"immune": ["C3", "CD3D"], "T cell": ["CD3D"]})
        >>> dict(pathways.trim(Hierarchy({"immune": (), "T cell": ("immune",)}), "subtract"))
        {'immune': ('C3',), 'T cell': ('CD3D',)}
        """
        return self._with(_trim.trim(self, hierarchy, how, min_genes=min_genes, jaccard=jaccard))

    def map_genes(self, mapping: _genes.GeneMap, *, unmapped: _genes.Unmapped = "drop") -> GeneSetCollection:
        """Rename genes by a table: Ensembl ids to symbols, mouse to human.

        Parameters
        ----------
        mapping
            Old name → new name(s): a mapping, a Series (old names in the index) or a table of two columns (old, new).
            A gene with several new names gets all of them; genes that get the same name become one.
        unmapped
            Genes without a new name: ``"drop"`` them (more than half: with a warning), ``"keep"`` them, or ``"error"``.

        Returns
        -------
        A new collection of all sets; those left without genes are dropped by :meth:`filter`.

        Examples
        --------
        >>> dict(GeneSetCollection({"T": ["CD3D", "TRAC"]}).map_genes({"CD3D": "Cd3d"}))
        {'T': ('Cd3d',)}
        """
        return self._with(_genes.map_genes(self, mapping, unmapped=unmapped))

    def identifiers(self) -> str:
        """Say what kind of gene identifiers the sets hold."""
        return _membership.guess_identifiers(self.genes)

    def to_dict(self) -> dict[str, list[str]]:
        """Name → list of genes, as gseapy and others take it."""
        return {name: list(genes) for name, genes in self._sets.items()}

    def to_frame(self) -> pd.DataFrame:
        """Long table for decoupler: ``source`` (set), ``target`` (gene), ``weight`` (1); sets without genes vanish."""
        pairs = [(name, gene, 1.0) for name, genes in self._sets.items() for gene in genes]
        return pd.DataFrame(pairs, columns=["source", "target", "weight"]).astype({"weight": float})

    def to_gmt(self, path: str | os.PathLike[str]) -> None:
        """Write a GMT file with the descriptions, as :func:`pathwayae.gs.write_gmt` does; gzipped for ``.gz``."""
        gmt.write(path, [gmt.GeneSet(name, self._descriptions[name], genes) for name, genes in self._sets.items()])

    def membership(self, var_names: _membership.VarNames) -> _membership.Membership:
        """Lay the sets over the genes of a matrix, by name.

        Parameters
        ----------
        var_names
            Names of the genes of the matrix, each different, or the AnnData that has them.

        Returns
        -------
        Matrix (genes × sets), names and a report of matched and lost genes.

        Examples
        --------
        >>> pathways = GeneSetCollection({"T cells": ["CD3D", "CD2"], "B cells": ["CD19"]})
        >>> pathways.membership(["CD19", "CD3D"]).report["lost"].tolist()
        ['CD2', '']
        """
        return _membership.build(self, var_names)

    def feature_classes(
        self, var_names: _membership.VarNames, *, overlap: _membership.Overlap = "error", unannotated: float = -1
    ) -> npt.NDArray[np.float64]:
        """Give every gene of a matrix one class, the position of its set.

        Parameters
        ----------
        var_names
            Names of the genes of the matrix, each different, or the AnnData that has them.
        overlap
            What to do with genes in several sets: ``"error"`` refuses them; ``"first"`` takes the first set in order;
            ``"smallest"`` takes the one with the fewest genes in `var_names` (the first among equals);
            ``"unassigned"`` gives -1; ``"ignore"`` gives NaN.
        unannotated
            Value of the genes of no set: -1 (entropy only) or NaN (not regularised).

        Returns
        -------
        One value per gene: 0, 1, … or -1 or NaN.

        Examples
        --------
        >>> pathways = GeneSetCollection({"T cells": ["CD3D", "CD2"], "B cells": ["CD19"]})
        >>> pathways.feature_classes(["CD19", "ACTB", "CD3D"])
        array([ 1., -1.,  0.])
        """
        matrix = self.membership(var_names).matrix
        return _membership.feature_classes(matrix, overlap=overlap, unannotated=unannotated)

    @classmethod
    def from_frame(cls, df: pd.DataFrame, source: str = "source", target: str = "target") -> GeneSetCollection:
        """Read a long table with one row per set and gene, as decoupler uses it.

        Parameters
        ----------
        df
            The table; sets and genes keep their order of appearance.
        source
            Column of the set names.
        target
            Column of the genes.

        Returns
        -------
        The collection, without descriptions.

        Raises
        ------
        KeyError
            If a column is missing.
        ValueError
            If there are missing values.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"source": ["T", "T", "B"], "target": ["CD3D", "CD3E", "CD19"]})
        >>> dict(GeneSetCollection.from_frame(table))
        {'T': ('CD3D', 'CD3E'), 'B': ('CD19',)}
        """
        return cls(_genes.read_frame(df, source, target))

    def _with(self, sets: Mapping[str, Iterable[str]]) -> GeneSetCollection:
        return GeneSetCollection(sets, {name: self._descriptions[name] for name in sets})
