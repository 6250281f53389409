#!/usr/bin/env python3
"""Make the files that cards call converted again, from what their sources offer for download.

    python data_registry/rebuild.py go_basic_isa go.RData go-basic_2024-01-17_isa.obo.gz

Nothing is written unless the result is the file of the card: its sha256 for the two tables of the Gene Ontology, for
cells that of names, counts and annotation, since HDF5 files of the same cells differ between versions of its library.
Where to download each raw file is the ``processing`` of its card. ``.RData`` is read by ``rdata`` (pip install rdata).

Not here: ``kang_ifnb_2000``, whose predicted labels come from a classifier that was not kept, and
``kang_ifnb_2donors``, whose raw file is an object of Bioconductor.
"""

import argparse
import gzip
import hashlib
import io
import tomllib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CELLS = {"baron_human1_2002genes": "ecef71933e73d16c9cae5530b28219bc9723d7c993a0934e55f11c1c4ba94cc0"}  # of contents()
ROOTS = ("biological_process", "cellular_component", "molecular_function")


def go_basic_isa(raw):
    """OBO text of ontologyIndex's ``go``: id, name, namespace from the root above, is_a, is_obsolete."""
    go = _rda(raw)["go"]
    ids = _strings(go["id"])
    names = dict(zip(ids, _strings(go["name"]), strict=True))
    obsolete = dict(zip(ids, np.asarray(go["obsolete"]).astype(bool).tolist(), strict=True))
    parents = {one: _strings(above) for one, above in zip(ids, _lists(go["parents"], ids), strict=True)}
    lines = ["format-version: 1.2", "data-version: releases/2024-01-17", "ontology: go"]
    lines += ["remark: id, name, is_a and is_obsolete only (see README)"]
    for one in sorted(one for one in ids if one.startswith("GO:")):
        lines += ["", "[Term]", f"id: {one}", f"name: {names[one]}"]
        if obsolete[one]:
            lines.append("is_obsolete: true")
            continue
        above = sorted(parents[one])
        lines.append(f"namespace: {_root(one, parents, names)}")
        lines += [f"is_a: {other} ! {names[other]}" for other in above]
    return _compressed("\n".join(lines) + "\n")


def goa_human_pairs(raw):
    """Sorted table of ontologySimilarity's ``gene_GO_terms``, a list of terms by gene."""
    genes = _rda(raw)["gene_GO_terms"]
    pairs = sorted({(gene, term) for gene, terms in genes.items() for term in _strings(terms)})
    return _compressed("".join(f"{gene}\t{term}\n" for gene, term in [("gene", "go_id"), *pairs]))


def baron_human1_2002genes(raw):
    """Cells of scAAnet with its label renamed; embedding and colours left out."""
    import anndata as ad

    found = ad.read_h5ad(raw)
    obs = found.obs.rename(columns={"assigned_cluster": "cell_type"})
    return ad.AnnData(found.X, obs=obs[["barcode", "cell_type", "n_counts", "n_genes"]], var=found.var[["n_cells"]])


def contents(adata):
    """Sha256 of the names, counts and annotation of cells, whatever the file that they are in."""
    import scipy.sparse as sp

    counts = sp.csr_matrix(adata.X).astype(np.float32)
    counts.sum_duplicates()
    parts = [array.tobytes() for array in (counts.indptr.astype("<i8"), counts.indices.astype("<i8"), counts.data)]
    for table in (adata.obs, adata.var):
        parts += [_text(table.index), *(_text([name, *table[name]]) for name in sorted(table))]
    return hashlib.sha256(b"".join(parts)).hexdigest()


MADE = (baron_human1_2002genes, go_basic_isa, goa_human_pairs)


def rebuild(name, raw, out):
    """Write a file of a card from its raw file; raises ValueError where another one would come out."""
    result = {one.__name__: one for one in MADE}[name](raw)
    card = tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))["files"][0]
    found = hashlib.sha256(result).hexdigest() if isinstance(result, bytes) else contents(result)
    wanted = CELLS.get(name, card["sha256"])
    if found != wanted:
        msg = f"{raw} gives another file than the card {name}: {found}, not {wanted}. Is it of the commit it names?"
        raise ValueError(msg)
    if isinstance(result, bytes):
        Path(out).write_bytes(result)
    else:
        result.write_h5ad(out, compression="gzip")


def _rda(path):
    import rdata

    return rdata.read_rda(path)


def _strings(values):
    return [str(one) for one in np.atleast_1d(np.asarray(values)).tolist()] if values is not None else []


def _lists(values, ids):
    """What a list of R holds for each id, whether it came with names or without."""
    return [values[one] for one in ids] if isinstance(values, dict) else list(values)


def _root(term, parents, names):
    while parents[term]:
        term = parents[term][0]
    if names[term] not in ROOTS:
        msg = f"{term} {names[term]!r} is no root of the Gene Ontology; the raw file is another one."
        raise ValueError(msg)
    return names[term]


def _compressed(text):
    """Without a name and a date, so that the same text gives the same bytes."""
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=out, mtime=0) as file:
        file.write(text.encode())
    return out.getvalue()


def _text(values):
    """Words, and numbers with seven digits."""
    return "\n".join(f"{one:.7g}" if isinstance(one, float | np.floating) else str(one) for one in values).encode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[one.__name__ for one in MADE])
    parser.add_argument("raw", help="what was downloaded")
    parser.add_argument("out", help="the file to write")
    rebuild(**vars(parser.parse_args()))
