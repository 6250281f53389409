"""The runner of ``benchmarks/compare`` on a tiny made data set: files, processes, figures, ranks."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "compare"
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def compare(tmp_path_factory):
    """The modules of the runner, a tiny problem in place of all others, results in a folder of their own."""
    before, known = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
    import problems
    import report
    import running
    from peers import factors, simple

    place = tmp_path_factory.mktemp("compare")
    patch = pytest.MonkeyPatch()
    patch.setattr(running, "WORK", place)
    patch.setattr(report, "WORK", place)
    patch.setattr(running, "BUILD", {"tiny": tiny(problems)})
    yield SimpleNamespace(running=running, report=report, peers={"simple": simple, "factors": factors})
    patch.undo()
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if str(FOLDER.parent) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def tiny(problems):
    def build():
        adata = problems.pae.datasets.simulate(80, 150, 4, missing=0.0, false=0.0)
        given = adata.varm["pathways"]
        sets = {name: adata.var_names[given[name]].tolist() for name in given}
        return problems.made(adata, sets, loadings=adata.varm["true_loadings"])

    return build


def test_two_peers_from_files_to_figures(compare):
    running, ready = compare.running, compare.running.Ready()
    asks = [running.Ask("simple", "mean of genes", "tiny", 0), running.Ask("factors", "PCA", "tiny", 0)]
    limits = {"other": 60.0, "trained": 60.0}
    running.run(asks, compare.peers, ready, limits, jobs=2, again=False)
    mean, factors = (ready.solved(ask, compare.peers[ask.peer]) for ask in asks)
    problem = mean.problem
    naive = np.column_stack([problem.cells[:, genes].X.toarray().mean(axis=1) for genes in problem.sets.values()])
    np.testing.assert_allclose(mean.found.scores.to_numpy(), naive, rtol=1e-4, atol=1e-5)
    assert list(problem.cells.obs) == []  # no labels, no truth
    assert mean.cost["processor_s"] >= 0
    assert factors.found.scores.shape == (80, 4)  # nameless factors, one for each set
    task = SimpleNamespace(
        TITLE="T", PROBLEMS=("tiny",), HEADLINES={"cells": True}, OURS="mean of genes", __file__=running.__file__,
        measure=lambda get: {"cells": [len(get("tiny").found.scores)]},
    )  # fmt: skip
    figures = compare.report.measured(compare.peers, asks, {"T": task}, ready)
    assert figures["tasks"]["T"] == {"mean of genes": {"cells": [80]}, "PCA": {"cells": [80]}}
    row = compare.report.ranks(figures, {"T": task}).iloc[0]
    assert (row["best peer"], row["rank"], row["of"]) == ("PCA", 1, 2)
    assert "| **mean of genes** |" in compare.report.of_task(figures, "T", task)
    assert figures["unasked"] == []
    more = compare.report.measured(compare.peers, [*asks, asks[0]._replace(problem="huge")], {}, ready)
    assert compare.report.unasked(more) == "- **mean of genes**: huge"
    alone = SimpleNamespace(**vars(task) | {"OURS": "pathwayae", "TEXT": "Text."})  # a run without ours has no ranks
    figures |= {"limits": {"other": 60.0, "trained": 60.0}}
    page = compare.report.text(figures, {"T": alone}, compare.report.ranks(figures, {"T": alone}), [])
    assert "## In short" not in page
    assert "| PCA           | 80      |" in page


def test_what_cannot_be_installed_is_said(compare):
    running, ready = compare.running, compare.running.Ready()
    ask = running.Ask("factors", "first component", "tiny", 0)
    running.one([ask], compare.peers["factors"], ready, "", "no such release", 60.0)
    assert ready.cost(ask, compare.peers["factors"])["failed"] == "not installed: no such release"
    assert ready.solved(ask, compare.peers["factors"]) is None


def test_the_peer_on_the_page_runs(compare):
    """The example of "A peer of your own": what a peer must name, and scores for every set."""
    from contract import read_problem
    from reasons import YOUR_OWN

    mine = {}
    exec(next(part for part in YOUR_OWN.split("```python\n") if "METHODS" in part).split("```")[0], mine)
    problem = read_problem(compare.running.Ready().folder("tiny"))
    found = mine["run"](problem, "mine")
    assert {"METHODS", "ENVIRONMENT", "TRAINED", "IMPORTS", "VERSIONS"} <= mine.keys()
    assert found.scores.shape == (80, 4) == (problem.cells.n_obs, len(found.names))


def test_every_peer_is_one_file_with_one_function_and_pinned(compare):
    for path in (FOLDER / "peers").glob("[a-z]*.py"):
        peer = __import__(f"peers.{path.stem}", fromlist=["run"])
        assert len(path.read_text().splitlines()) <= 90
        if peer.ENVIRONMENT:
            pins = (FOLDER / "requirements" / f"{peer.ENVIRONMENT}.txt").read_text().splitlines()
            assert all("==" in line for line in pins if line and not line.startswith("#"))
