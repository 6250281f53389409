"""The page of a fit: its tables are those of ``get``, names are escaped, it loads nothing and says what is lacking."""

import json
import re
import shlex
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cli_runs import done
from fitted import fitted_adata
from report_pages import Page
from scipy import sparse

import pathwayae as pae
from pathwayae._report.contents import LONGEST, MAX_CELLS, MAX_ROWS, number_text, short, table_of

QUIET = {"progress": False}


@pytest.fixture(scope="module")
def cells():
    """Cells of a fit after every analysis that a page shows, as a file gives them back."""
    adata = pae.datasets.simulate(400, 300, 6, n_silent=1, n_cell_types=3, n_donors=6, random_state=1)
    rng = np.random.default_rng(0)
    adata.obsm["X_umap"] = rng.normal(size=(400, 2))
    adata.obs["condition"] = pd.Categorical(np.where(rng.random(400) < 0.5, "ctrl", "stim"))
    adata.layers["counts"] = adata.X.copy()
    member = adata.varm["pathways"].copy()
    member["none of these"] = False
    member.iloc[0, -1] = True
    adata.varm["pathways"] = member
    pae.tl.fit(adata, "pathways", n_extra=2, **QUIET)
    pae.tl.relevance(adata, n_folds=2, n_null=100, **QUIET)
    pae.tl.refine(adata, **QUIET)
    pae.tl.stability(adata, n_bootstrap=40, sample_key="donor", **QUIET)
    pae.tl.rank_pathways(adata, "condition", reference="ctrl", groups=["stim"], sample_key="donor", within="cell_type")
    pae.tl.rank_pathways(adata, "cell_type", sample_key="donor", key_added="types")
    sets = {name: adata.var_names[member[name]] for name in member}
    pae.tl.enrich(adata, sets, method="ora", n_genes=40, **QUIET)
    pae.tl.annotate_components(adata, **QUIET)
    pae.tl.group_loadings(adata, "cell_type", sample_key="donor", **QUIET)
    return adata


@pytest.fixture(scope="module")
def written(cells, tmp_path_factory):
    """The page of these cells after a way through a file."""
    folder = tmp_path_factory.mktemp("report")
    cells.write_h5ad(folder / "cells.h5ad")
    pae.report(ad.read_h5ad(folder / "cells.h5ad"), folder / "a.html", multiqc=folder / "kang_mqc.json")
    return folder, (folder / "a.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written):
    return Page(written[1])


def agrees(rows, frame, *, numbers=(), words=()):
    assert len(rows) == len(frame)
    for name in numbers:
        shown = [np.nan if row[name] == "" else row[name] for row in rows]
        np.testing.assert_allclose(shown, frame[name].astype(float), rtol=1e-6, err_msg=name)
    for name in words:
        assert [row[name] for row in rows] == frame[name].tolist(), name


def test_the_page_is_whole_html_that_loads_nothing(written, page):
    text = written[1]
    assert text.startswith("<!DOCTYPE html>")
    assert "http:" not in text
    assert "https:" not in text
    assert {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "form"} == set()
    assert all(one["src"].startswith("data:image/png;base64,") for one in page.all("img"))
    assert all("src" not in one for one in page.all("script"))
    assert all(one["href"].startswith("#") for one in page.all("a"))
    assert "url(" not in text
    assert "@import" not in text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for one in page.all("a")} <= set(ids)


def test_pictures_have_words_and_tables_have_heads(page):
    assert len(page.all("img")) >= 6
    assert all(len(one["alt"]) > 30 for one in page.all("img"))
    assert all(one["scope"] in ("col", "row") for one in page.all("th"))
    (policy,) = [one["content"] for one in page.all("meta") if "http-equiv" in one]
    assert policy.startswith("default-src 'none'")
    assert all("style" not in attrs and "onclick" not in attrs for _, attrs in page.elements)


def test_tables_of_the_fit_are_those_of_get(cells, page):
    order = page.table("pae.get.trust(adata, key='pae')")
    trust = pae.get.trust(cells).set_index("component").loc[[row["component"] for row in order]].reset_index()
    assert sorted(trust["component"]) == sorted(pae.get.component_names(cells))
    numbers = ["n_effective", "top_gene_share", "agreement", "outside", "variance_ratio", "stability"]
    numbers += ["relevance_padj", "heldout_variance", "heldout_auc", "heldout_padj", "n_matched"]
    agrees(order, trust, numbers=numbers, words=["verdict", "reason", "top_gene"])
    assert trust["component"].tolist()[-2:] == ["free_1", "free_2"]
    for name, numbers in (
        ("stability", ["scores_low", "own", "chance"]),
        ("relevance", ["z", "padj", "heldout_unique"]),
    ):
        rows = page.table(f"pae.get.{name}(adata, key='pae')")
        table = getattr(pae.get, name)(cells, [row["component"] for row in rows])
        agrees(rows, table, numbers=numbers, words=["verdict"])
    rows = page.table("pae.get.refinement(adata, of='pathways', key='pae')")
    table = pae.get.refinement(cells, [row["component"] for row in rows], of="pathways")
    agrees(rows, table, numbers=["heldout_auc", "n_added", "false_share"], words=["verdict"])
    rows = page.table("pae.get.pathways(adata, key='pae')")
    table = pae.get.pathways(cells).set_index("pathway").loc[[row["component"] for row in rows]]
    agrees(rows, table, numbers=["n_genes", "n_matched"])
    (dropped,) = page.table("adata.uns['pae']['dropped']")
    assert (dropped["component"], dropped["n_matched"]) == ("none of these", 1)


def test_leading_genes_mark_members(cells, page):
    rows = page.table("pae.get.top_genes(adata, n_genes=10, key='pae')")
    long = pae.get.top_genes(cells).groupby("component")
    for row in rows:
        own = long.get_group(row["component"])
        wanted = []
        for gene, member, loading in zip(own["gene"], own["member"], own["loading"], strict=True):
            free = row["component"].startswith("free_")
            wanted.append(("\N{MINUS SIGN}" if loading < 0 else "") + gene + ("" if member or free else "+"))
        assert row["top_genes"].split() == wanted


def test_tables_of_groups_are_those_of_get(cells, page):
    for groupby in ("cell_type", "condition"):
        rows = page.table(f"pae.get.scores_by_group(adata, {groupby!r}, key='pae')")
        table = pae.get.scores_by_group(cells, groupby)
        wide = table.pivot_table(index="component", columns="group", values="mean")
        agrees(rows, wide.loc[[row["component"] for row in rows]], numbers=wide.columns)
        between = table.drop_duplicates("component").set_index("component")["between"]
        assert between[[row["component"] for row in rows]].is_monotonic_decreasing
    source = "pae.get.rank_pathways(adata, key='pae')"
    numbers = ["effect", "effect_low", "effect_high", "p", "padj", "auroc", "n_samples", "n_agree", "gene_share"]
    table = pae.get.rank_pathways(cells)
    agrees(page.table(source, "auroc"), table, numbers=numbers, words=["pathway", "group", "within", "gene", "verdict"])
    for row in page.table(source, "n_found"):
        own = table[table["within"] == row["within"]]
        named = own[~own["pathway"].str.startswith("free_")].iloc[0]
        assert (row["n_tested"], row["n_found"]) == (len(own), (own["padj"] <= 0.05).sum())
        assert (row["first"], row["gene"]) == (named["pathway"], named["gene"])
        assert row["effect"] == pytest.approx(named["effect"], rel=1e-6)
    types = pae.get.rank_pathways(cells, key_added="types")
    agrees(page.table("pae.get.rank_pathways(adata, key_added='types', key='pae')", "auroc"), types, numbers=["padj"])
    rows = page.table("pae.get.group_loadings(adata, of='groups', key='pae')")
    agrees(rows, pae.get.group_loadings(cells, of="groups"), numbers=["sd", "reliability"], words=["group"])
    found = pae.get.group_loadings(cells, max_padj=0.05).sort_values("padj", kind="stable")
    agrees(
        page.table("pae.get.group_loadings(adata, key='pae')"), found, numbers=["difference", "padj"], words=["gene"]
    )


def test_tables_of_components_are_those_of_get(cells, page):
    rows = page.table("pae.get.annotation(adata, key='pae')")
    agrees(rows, pae.get.annotation(cells), words=["component", "label", "nearest"], numbers=["correlation"])
    found = pae.get.enrichment(cells, max_padj=0.05)
    found = found.groupby(["component", "direction"], sort=False).head(5)
    rows = page.table("pae.get.enrichment(adata, max_padj=0.05, key='pae')")
    agrees(rows, found, numbers=["score", "padj", "n_up", "n_down"], words=["component", "term", "direction"])


def test_long_tables_are_cut_and_it_is_said(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(pae._report.contents.table_of, "__kwdefaults__", {"max_rows": 5})
    pae.report(cells, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    table = pae.get.rank_pathways(cells)
    source = "pae.get.rank_pathways(adata, key='pae')"
    agrees(Page(text).table(source, "auroc"), table.head(5), numbers=["p", "effect"], words=["pathway"])
    assert f"The first 5 of {len(table)} rows." in text


def test_what_is_to_be_careful_about_and_what_was_not_asked(cells, page, tmp_path):
    text = "".join(page.text)
    assert "1 gene set dropped for the number of genes in the data: none of these." in text
    assert "Not asked yet" not in text
    assert "samples (donor) as replicates" in text
    small = cells.copy()
    small.uns["pae"] = {
        k: v for k, v in small.uns["pae"].items() if not str(k).startswith(("stability", "rank", "types"))
    }
    with pytest.warns(pae.DataWarning, match="cells"):
        pae.tl.rank_pathways(small, "condition", reference="ctrl")
    pae.report(small, tmp_path / "b.html", title="<Mine>")
    page = Page((tmp_path / "b.html").read_text(encoding="utf-8"))
    assert "rank_pathways treats cells as replicates" in "".join(page.text)
    assert "pae.tl.stability(adata" in "".join(page.text)
    assert "<Mine>" in "".join(page.text)


def test_the_same_but_for_the_date(cells, written, tmp_path):
    pae.report(cells, tmp_path / "again.html")
    text = (tmp_path / "again.html").read_text(encoding="utf-8")
    pattern = re.compile(r"\d{4}-\d\d-\d\d")
    before, after = (pattern.sub("", one).split('id="again"')[0] for one in (written[1], text))
    assert before == after


def test_the_cells_are_not_changed(cells, tmp_path):
    before = cells.copy()
    pae.report(cells, tmp_path / "a.html")
    assert list(cells.obs) == list(before.obs)
    assert list(cells.uns) == list(before.uns)
    assert list(cells.uns["pae"]) == list(before.uns["pae"])


def test_the_lines_to_repeat_it_do(cells, tmp_path, monkeypatch, page):
    code = "".join(page.text).split("Python\n", 1)[1].split("Command line", 1)[0]
    member = cells.varm["pathways"]
    pae.gs.as_collection({n: member.index[member[n]].tolist() for n in member}).to_gmt(tmp_path / "sets.gmt")
    shutil.copy(tmp_path / "sets.gmt", tmp_path / "other_sets.gmt")
    fresh = ad.AnnData(cells.X, obs=cells.obs[["cell_type", "donor", "condition"]], var=cells.var[[]])
    fresh.layers["counts"] = cells.layers["counts"]
    fresh.obsm["X_umap"] = cells.obsm["X_umap"]
    fresh.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.chdir(tmp_path)
    own = {}
    exec(code, own)
    np.testing.assert_array_equal(own["adata"].obsm["X_pae"], cells.obsm["X_pae"])
    for name in ("relevance", "stability", "rank_pathways", "annotation"):
        pd.testing.assert_frame_equal(getattr(pae.get, name)(own["adata"]), getattr(pae.get, name)(cells))
    assert (tmp_path / "report.html").is_file()


@pytest.mark.filterwarnings("ignore::pathwayae.DataWarning")
@pytest.mark.parametrize("options", [{}, {"scores": "projection", "theta": 0.1, "scale": None, "batch_key": "donor"}])
def test_the_commands_to_repeat_it_do(cells, tmp_path, monkeypatch, options):
    adata = ad.AnnData(cells.X, obs=cells.obs[["donor"]], var=cells.var[[]])
    member = cells.varm["pathways"]
    pae.gs.as_collection({n: member.index[member[n]].tolist() for n in member}).to_gmt(tmp_path / "sets.gmt")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    pae.tl.fit(adata, str(tmp_path / "sets.gmt"), n_extra=3, key_added="mine", **options, **QUIET)
    pae.report(adata, tmp_path / "a.html", key="mine")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    lines = "".join(page.text).split("this page\n", 1)[1].strip().splitlines()[:2]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        done(*shlex.split(line)[1:])
    found = ad.read_h5ad("fitted.h5ad")
    np.testing.assert_allclose(found.obsm["X_mine"], adata.obsm["X_mine"], rtol=1e-5, atol=1e-5)
    params = {name: value for name, value in adata.uns["mine"]["params"].items() if name != "solver"}
    assert {name: found.uns["mine"]["params"][name] for name in params} == params
    assert (tmp_path / "report.html").is_file()


def test_multiqc(cells, written):
    folder = written[0]
    general, table = (json.loads((folder / f"kang{end}_mqc.json").read_text()) for end in ("", "_pathwayae"))
    assert general["plot_type"] == "generalstats"
    assert table["plot_type"] == "table"
    assert list(general["data"]) == list(table["data"]) == ["kang"]
    found = table["data"]["kang"]
    assert (found["n_cells"], found["n_genes"], found["n_dropped"]) == (400, 300, 1)
    assert found["variance"] == pytest.approx(100 * cells.uns["pae"]["variance_ratio_total"], abs=0.01)
    assert found["n_different"] == (pae.get.rank_pathways(cells)["padj"] <= 0.05).sum()
    assert set(general["headers"]) == set(general["data"]["kang"])
    assert set(table["headers"]) == set(found)
    assert [next(iter(one)) for one in general["pconfig"]] == list(general["headers"])


# Names that are markup, and long ones.


def test_names_are_escaped(tmp_path):
    adata = fitted_adata()
    nasty = [
        "<script>alert(1)</script>",
        "a & b",
        "\"quoted\" 'name'",
        "$x^2$ costs $5",
        "{{ 7 * 7 }}",
        "</td></table>",
    ]
    names = [*nasty, "é" * 1_000_000, "free_1", "free_2"]
    adata.uns["pae"]["component_names"] = np.array(names, dtype=object)
    adata.uns["pae"]["pathways"]["pathway"] = names[:7]
    adata.var_names = [*[f"<b>{i}" for i in range(10)], *adata.var_names[10:]]
    adata.obs["<i>group"] = adata.obs["cell_type"].cat.rename_categories(["<u>", "a&b", "$y$", "'"])
    pae.report(adata, tmp_path / "a.html", groupby="<i>group", title="<h1>")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    page = Page(text)
    assert {tag for tag, _ in page.elements} & {"b", "i", "u", "td><"} == set()
    assert len(page.all("script")) == 1
    shown = [row["component"] for row in page.table("pae.get.trust(adata, key='pae')")]
    assert sorted(shown) == sorted(map(short, names))
    assert max(map(len, shown)) <= LONGEST
    assert len(text) < 2_000_000
    assert "49" not in "".join(shown)


# Smaller pages.


def test_new_cells_have_a_smaller_page(cells, tmp_path):
    new = cells[:60, 20:].copy()
    for slot in (new.obsm, new.uns, new.varm):
        slot.clear()
    new.obs = new.obs[["cell_type"]]
    pae.tl.transform(new, cells, **QUIET)
    pae.report(new, tmp_path / "new.html", groupby="cell_type", multiqc=tmp_path / "new_mqc.json")
    page = Page((tmp_path / "new.html").read_text(encoding="utf-8"))
    rows = page.table("pae.get.missing_genes(adata, key='pae')")
    table = pae.get.missing_genes(new).sort_values("weight_missing", ascending=False, kind="stable")
    agrees(rows, table, numbers=["weight_missing", "n_missing"], words=["component"])
    unlike = pae.get.unexplained(new).groupby(new.obs["cell_type"], observed=True)["unlike"].sum()
    for row in page.table("pae.get.unexplained(adata, key='pae')"):
        assert row["n_unlike"] == unlike[row["group"]]
    assert "Command line" not in "".join(page.text)
    assert json.loads((tmp_path / "new_mqc.json").read_text())["data"]["new"]["n_cells"] == 60


def test_a_fit_of_moments_has_no_scores(cells, tmp_path):
    bare = ad.AnnData(obs=cells.obs[[]], var=cells.var[[]], varm={"pathways": cells.varm["pathways"]})
    pae.tl.fit(bare, "pathways", moments=pae.pp.moments(cells, progress=False), **QUIET)
    if "X_pae" in bare.obsm:
        del bare.obsm["X_pae"]
    pae.report(bare, tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "The cells have no scores" in "".join(page.text)
    assert page.table("pae.get.trust(adata, key='pae')")


def test_free_components_alone(tmp_path):
    adata = fitted_adata()
    entry = adata.uns["pae"]
    entry["n_pathways"], entry["pathways"] = 0, entry["pathways"].iloc[:0]
    adata.varm["pae_membership"] = sparse.csr_matrix((adata.n_vars, 0), dtype=bool)
    pae.report(adata, tmp_path / "a.html", groupby="cell_type", multiqc=tmp_path / "a_mqc.json")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert len(page.table("pae.get.trust(adata, key='pae')")) == 9


# What is refused.


def test_what_is_refused(cells, tmp_path):
    out = tmp_path / "a.html"
    with pytest.raises(KeyError, match=r"pae\.tl\.fit"):
        pae.report(ad.AnnData(np.ones((3, 2))), out)
    with pytest.raises(KeyError, match="groupby='nothing' is not a column"):
        pae.report(cells, out, groupby="nothing")
    with pytest.raises(KeyError, match="no basis 'tsne'"):
        pae.report(cells, out, basis="tsne")
    with pytest.raises(ValueError, match=r"end in \.html"):
        pae.report(cells, tmp_path / "a.pdf")
    with pytest.raises(ValueError, match=r"end in _mqc\.json"):
        pae.report(cells, out, multiqc=tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"end in _mqc\.json"):
        pae.report(cells, out, multiqc=tmp_path / "_mqc.json")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        pae.report(cells, tmp_path)
    with pytest.raises(FileNotFoundError, match="make it first"):
        pae.report(cells, tmp_path / "no" / "a.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["archetypes", "sparse_ae"])
def test_other_models_have_no_page(cells, tmp_path, model):
    adata = cells.copy()
    if model == "archetypes":
        pae.tl.archetypes(adata, 3, **QUIET)
    else:
        pae.tl.sparse_ae(adata, n_latents=8, k=2, n_epochs=1, **QUIET)
    with pytest.raises(KeyError, match="not a fit of pathways"):
        pae.report(adata, tmp_path / "a.html", key=model)


def test_a_folder_without_rights(cells, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        pae.report(cells, tmp_path / "a.html")


def test_an_interrupted_write_leaves_what_was_there(cells, tmp_path, monkeypatch):
    out = tmp_path / "a.html"
    out.write_text("before")

    def stop(self, *_, **__):
        with self.open("w") as file:
            file.write("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        pae.report(cells, out)
    monkeypatch.undo()
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_home_is_expanded(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pae.report(cells, "~/a.html", multiqc="~/b_mqc.json")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.html", "b_mqc.json", "b_pathwayae_mqc.json"]


def test_no_figure_is_left_open(cells, tmp_path):
    import matplotlib.pyplot as plt

    mine = plt.figure()
    before = plt.get_fignums()
    pae.report(cells, tmp_path / "a.html")
    assert plt.get_fignums() == before
    plt.close(mine)


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (0.1234, "share", "12.3%"),
        (3.2e-8, "p", "3.2e-08"),
        (2000, "", "2,000"),
        (1.234, "", "1.23"),
        (4e-5, "", "4e-05"),
    ],
)
def test_numbers_for_readers(number, kind, text):
    assert number_text(number, kind) == text


@pytest.mark.parametrize(("n_rows", "n_columns", "shown"), [(400, 3, MAX_ROWS), (400, 41, MAX_CELLS // 41), (7, 2, 7)])
def test_large_tables_are_bounded(n_rows, n_columns, shown):
    table = table_of(pd.DataFrame(np.zeros((n_rows, n_columns))), "", "")
    assert (len(table.rows), table.n_rows) == (shown, n_rows)
