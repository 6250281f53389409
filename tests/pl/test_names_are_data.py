"""Names of genes, pathways and cells are drawn and printed as they are, whatever they hold."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from cli_runs import done
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

import pathwayae as pae

ODD = ["\x1b[31mred\x1b[0m", "two\nlines", "$x_{", "a $b$ c", "<b>&amp;</b>", "\u202eright to left"]
LONG = "L" * 1_000_000


@pytest.fixture(scope="module")
def odd():
    """A fit whose pathways, genes, cell types and batches have odd names."""
    adata = pae.datasets.simulate(200, 300, 7)
    member = adata.varm.pop("pathways")
    sets = dict(zip([*ODD, LONG], ([*member.index[member[name]]] for name in member), strict=True))
    renamed = {name: f"{ODD[i % len(ODD)]} {name}" for i, name in enumerate(adata.var_names)}
    adata.var_names = [renamed[name] for name in adata.var_names]
    adata.obs["$type_{"] = np.resize(ODD, adata.n_obs)
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    pae.tl.fit(adata, {name: [renamed[one] for one in genes] for name, genes in sets.items()}, progress=False)
    pae.tl.rank_pathways(adata, "$type_{")
    return adata


DRAWN = {
    "scores": lambda a: pae.pl.scores(a, "$type_{", show=False),
    "scores_dotplot": lambda a: pae.pl.scores_dotplot(a, "$type_{", show=False),
    "embedding": lambda a: pae.pl.embedding(a, ["$x_{", "a $b$ c"], show=False),
    "embedding of types": lambda a: pae.pl.embedding(a, "$type_{", show=False),
    "loadings": lambda a: pae.pl.loadings(a, show=False),
    "loadings_heatmap": lambda a: pae.pl.loadings_heatmap(a, show=False),
    "variance": lambda a: pae.pl.variance(a, show=False),
    "overview": lambda a: pae.pl.overview(a, show=False),
    "leading_genes": lambda a: pae.pl.leading_genes(a, "$x_{", "$type_{", show=False),
    "network": lambda a: pae.pl.network(a, show=False),
    "variance_by_group": lambda a: pae.pl.variance_by_group(a, "$type_{", show=False),
    "gene": lambda a: pae.pl.gene(a, a.var_names[2], show=False),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("plot", DRAWN)
def test_plots_parse_no_names(odd, plot, monkeypatch, tmp_path):
    def parse(self, text, *_, **__):
        raise AssertionError(f"{text[:80]!r} was read as mathematics")

    monkeypatch.setattr(MathTextParser, "parse", parse)
    axes = np.ravel(np.asarray(DRAWN[plot](odd), dtype=object))
    figure = axes[0].figure
    figure.savefig(tmp_path / "a.png", dpi=20)
    words = [one.get_text() for one in figure.findobj(Text)]
    wrong = [one for one in words if any(not (c.isprintable() or c == "\n") for c in one)]
    plt.close(figure)
    assert wrong == []
    assert max(len(one) for one in words) < 1000


def test_the_terminal_obeys_no_names(odd, tmp_path):
    cells = odd[:, :].copy()
    for slot in [*cells.varm, *cells.uns]:
        (cells.varm if slot in cells.varm else cells.uns).pop(slot)
    cells.obs = cells.obs[[]]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    member = odd.varm["pae_membership"]
    rows = member.toarray() if hasattr(member, "toarray") else np.asarray(member)
    names = [name.replace("\n", " ") for name in pae.get.pathways(odd)["pathway"]]
    lines = [
        f"{name}\t\t" + "\t".join(one.replace("\n", " ") for one in odd.var_names[rows[:, j] != 0]) + "\n"
        for j, name in enumerate(names)
    ]
    (tmp_path / "sets.gmt").write_text("".join(lines))
    result = done("fit", tmp_path / "cells.h5ad", "-p", tmp_path / "sets.gmt", "-o", tmp_path / "out.h5ad")
    said = result.stdout + result.stderr
    assert "�[31mred" in said
    assert all(one.isprintable() or one in "\n" for one in said)
    assert len(said) < 20_000
