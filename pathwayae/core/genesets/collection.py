"""An ordered, immutable collection of named gene sets."""

from __future__ import annotations

import os
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
from pathwayae.core.genesets import weights as _weights
from pathwayae.core.genesets.choice import chosen_names
from pathwayae.core.genesets.identifiers import guess_identifiers
from pathwayae.core.notice import warn

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

    Members may have weights: their sign says whether a gene goes up with its set or down, as a repressed target of a
    transcription factor does, their size how much it counts. Everything that changes sets carries them, or refuses.

    Parameters
    ----------
    sets
        Name → genes, or gene → weight; ``"CD14;d"`` and ``"CD14,-1.0"`` are weights too, ``"CD3D, CD3E"`` two genes.
    descriptions
        Name → description, for some or all names; the others get an empty one. By default those of `sets`, if it is
        a collection.
    weights
        Name → gene → weight, the others have 1, and names of genes as they stand. By default those in `sets`.

    Raises
    ------
    TypeError
        If a name or a gene is not a string, or a string stands where a list of genes is expected.
    ValueError
        If a name or a gene is empty, a weight is 0 or not finite, or `descriptions` name an unknown set.

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

    __slots__ = ("_descriptions", "_sets", "_weights")

    # Tables about the sets: these functions take any mapping of sets, here the collection itself.
    overlap = _overlap.overlap
    overlap_matrix = _overlap.overlap_matrix
    redundant = _redundancy.redundant
    trim_report = _trim.trim_report
    report = _genes.report
    sets_per_gene = _genes.sets_per_gene

    def __init__(
        self,
        sets: Mapping[str, Iterable[str] | Mapping[str, float]],
        descriptions: Mapping[str, str] | None = None,
        weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        if not isinstance(sets, Mapping):
            msg = f"sets must be a mapping of name → genes, found {type(sets).__name__}. Pass a dict."
            raise TypeError(msg)
        if descriptions is None:
            descriptions = sets.descriptions if isinstance(sets, GeneSetCollection) else {}
        if weights is None and isinstance(sets, GeneSetCollection):
            weights = sets.weights
        self._sets, self._weights = _weights.read({_genes.set_name(name): sets[name] for name in sets}, weights)
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
        return tuple(self._sets.items()) == tuple(other._sets.items()) and self._weights == other._weights

    def __hash__(self) -> int:
        return hash(tuple(self._sets.items()))

    def __or__(self, other: object) -> GeneSetCollection:
        if not isinstance(other, Mapping):
            return NotImplemented
        right = other if isinstance(other, GeneSetCollection) else GeneSetCollection(other)
        self._refuse_conflicts(right)
        described = {name: right._descriptions[name] for name in right if not self._descriptions.get(name)}
        weights = {**right._weights, **self._weights}
        return GeneSetCollection({**self, **right, **self}, {**self._descriptions, **described}, weights)

    def __ror__(self, other: object) -> GeneSetCollection:
        return GeneSetCollection(other) | self if isinstance(other, Mapping) else NotImplemented

    def __and__(self, other: object) -> GeneSetCollection:
        if not isinstance(other, Mapping):
            return NotImplemented
        right = other if isinstance(other, GeneSetCollection) else GeneSetCollection(other)
        self._refuse_conflicts(right)
        return self.select([name for name in self if name in right])

    def __repr__(self) -> str:
        names = [repr(name) for name in list(self)[:_SHOWN]] + ["…"] * (len(self) > _SHOWN)
        counts = {"set": len(self), "gene": len(self.genes)}
        sizes = ", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in counts.items())
        return f"{type(self).__name__}({sizes}{': ' * bool(names)}{', '.join(names)})"

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Name → description, empty where there is none; read-only."""
        return MappingProxyType(self._descriptions)

    @property
    def weights(self) -> Mapping[str, Mapping[str, float]]:
        """Name → gene → weight of the sets in which some weight is not 1; read-only."""
        return MappingProxyType({name: MappingProxyType(own) for name, own in self._weights.items()})

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

        Give `names`, in the order wanted, or a `regex` to find in the names (:func:`re.search`; ``"(?i)interferon"``
        ignores the case).

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
        chosen = chosen_names(self, names, regex)
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
        _weights.refuse(self._weights, "merge_similar() unites genes, and weights of several sets make no one weight")
        new = _redundancy.merge_similar(self, self._descriptions, jaccard=jaccard, containment=containment, name=name)
        return GeneSetCollection(*new)

    def trim(
        self, hierarchy: Hierarchy, how: _trim.How = "informative", *, min_genes: int = 1, jaccard: float = 0.8
    ) -> GeneSetCollection:
        """Thin parents and children out; :meth:`trim_report` takes the same arguments and gives the reasons.

        Parameters
        ----------
        hierarchy, min_genes, jaccard
            Hierarchy of the set names (:func:`pathwayae.gs.hierarchy_of`); smaller sets go; nearly the same from here.
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
        new = _genes.map_genes(self, mapping, unmapped=unmapped)
        names = _genes.new_names(self.genes, mapping, keep=unmapped == "keep") if self._weights else {}
        return GeneSetCollection(new, self._descriptions, _weights.renamed(self._weights, names))

    def identifiers(self) -> str:
        """Say what kind of gene identifiers the sets hold."""
        return guess_identifiers(self.genes)

    def to_dict(self) -> dict[str, list[str]]:
        """Turn the sets into a dict, name → list of genes, as gseapy takes it; warns where weights are left behind."""
        if self._weights:
            warn(f"Weights of {len(self._weights)} set(s) are not in the dict of lists; to_frame() has them.")
        return {name: list(genes) for name, genes in self._sets.items()}

    def to_frame(self) -> pd.DataFrame:
        """Turn the sets into a long table for decoupler: ``source``, ``target``, ``weight``; empty sets vanish."""
        return _weights.frame(self._sets, self._weights)

    def to_gmt(self, path: str | os.PathLike[str]) -> None:
        """Write a GMT file with the descriptions, gzipped for ``.gz``; weights as Enrichr does, ``GENE,-1.0``."""
        cells = _weights.cells(self._sets, self._weights)
        gmt.write(path, [gmt.GeneSet(name, self._descriptions[name], genes) for name, genes in cells.items()])

    def membership(self, var_names: _membership.VarNames) -> _membership.Membership:
        """Lay the sets over the genes of a matrix, by name.

        `var_names` are different names of genes, or an AnnData. Gives a boolean matrix (genes × sets), names, a report.

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
            What to do with genes in several sets: refuse them (``"error"``), take the ``"first"`` set or the
            ``"smallest"`` by genes in `var_names`, or give -1 (``"unassigned"``) or NaN (``"ignore"``).
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
        _weights.refuse(self._weights, "feature_classes() gives every gene a class, which has no sign and no size")
        matrix = self.membership(var_names).matrix
        return _membership.feature_classes(matrix, overlap=overlap, unannotated=unannotated)

    @classmethod
    def from_frame(
        cls, df: pd.DataFrame, source: str = "source", target: str = "target", *, weight: str | None = "weight"
    ) -> GeneSetCollection:
        """Read a long table with one row per set and gene, as decoupler uses it.

        Parameters
        ----------
        df
            The table; sets and genes keep their order of appearance.
        source
            Column of the set names.
        target
            Column of the genes.
        weight
            Column of the weights (mode of regulation, sign and size), where the table has it; None to leave it out.

        Returns
        -------
        The collection, without descriptions.

        Raises
        ------
        KeyError
            If a column is missing.
        ValueError
            If there are missing values, or a weight is 0, no number, or different for the same pair.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"source": ["T", "T", "B"], "target": ["CD3D", "CD3E", "CD19"]})
        >>> dict(GeneSetCollection.from_frame(table))
        {'T': ('CD3D', 'CD3E'), 'B': ('CD19',)}
        """
        sets = _genes.read_frame(df, source, target)
        return cls(sets if weight is None or weight not in df else _weights.column(df, source, target, weight))

    def _with(self, sets: Mapping[str, Iterable[str]]) -> GeneSetCollection:
        weights = {name: self._weights[name] for name in sets if name in self._weights}
        return GeneSetCollection(sets, {name: self._descriptions[name] for name in sets}, weights)

    def _refuse_conflicts(self, other: GeneSetCollection) -> None:
        _overlap.refuse_conflicts(self, other)
        _weights.refuse_conflicts(self._weights, other._weights, [name for name in self if name in other])
