"""The walk: every public signature with values that no parameter of its kind can take, and what is left behind."""

import inspect
import math
import warnings

import anndata
import doors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from typer.testing import CliRunner

import pathwayae as pae
from pathwayae.cli import app

SURFACES = ("tl", "pp", "pl", "get", "gs", "datasets", "models", "report")
# Accepted for a reason: the function says what such a value means, or any text or number will do.
FINE = {"title", "vmin", "vmax", "prefix", "name", "size", "threshold", "default", "unannotated", "min_cosine"}
FINE |= {"strengths", "basis", "within", "palette", "n_extra", "n_latents", "donor_effect", "batch_effect"}
ZERO = {"n_bootstrap", "n_genes", "n_labels", "n_permutations", "n_restarts", "n_silent", "n_cells"}
EMPTY = {"collection", "pathways", "var_names", "covariates", "adata", "genes", "relations", "roots"}
# Messages that call a parameter by what it holds: names of components and of keys are looked up in one place each.
ALSO = dict.fromkeys(("latents", "pathways", "pathway", "color"), "component") | {
    "gene_sets": "pathways|gene sets",
    "collection": "pathways|the collection",
    "other_key": "key",
    "other": "path",
    "slim": "subset",
    "within": "adata.obs",
}
SHOWN_OTHERWISE = {"start", "taxon"}


@pytest.fixture(scope="module")
def cells():
    return doors.cells()


def fine(name, value):
    """Whether a value may be accepted."""
    if name in FINE or (name == "key_added" and value == "no_such"):
        return True
    return (name in ZERO and value == 0) or (name in EMPTY and isinstance(value, dict | list) and not value)


@pytest.mark.parametrize("surface", SURFACES)
def test_hostile_values_are_refused_by_name_and_leave_nothing(surface, cells, tmp_path, monkeypatch):
    """A refusal names the parameter, what was found and what to do; cells are as they were, no file is left."""
    monkeypatch.chdir(tmp_path)
    adata, whole, tried, wrong = cells.copy(), doors.fingerprint(cells), 0, []
    for name, function in doors.public().items():
        if name.split(".")[0] != surface or inspect.isclass(function) or name in doors.NEEDS_FILES:
            continue
        base = doors.base(name, function, adata, tmp_path)
        for parameter, value, error in doors.walk(name, function, base, skip=fine):
            tried += 1
            if parameter in SHOWN_OTHERWISE:
                continue
            if error is None:
                wrong.append(f"{name}({parameter}={value!r}) is accepted")
                adata = cells.copy()
                base.update(doors.base(name, function, adata, tmp_path))
            elif not doors.clear(error, parameter, value, ALSO.get(parameter, parameter)):
                wrong.append(f"{name}({parameter}={value!r}): {type(error).__name__}: {str(error)[:150]}")
            elif surface == "tl" and doors.fingerprint(adata) != whole:
                wrong.append(f"{name}({parameter}={value!r}) changed the cells")
        if doors.fingerprint(adata) != whole:
            wrong.append(f"{name} changed the cells")
            adata = cells.copy()
        plt.close("all")
    assert tried > 0
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("made", [pae.tl.FitSettings, pae.tl.SparseAESettings, pae.tl.ArchetypesSettings])
def test_settings_refuse_what_is_of_another_type(made):
    wrong = []
    for parameter in inspect.signature(made).parameters.values():
        for value in doors.hostile(parameter.name, parameter.annotation):
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                continue  # bounds follow from the other settings, and are looked at with them
            if isinstance(value, tuple) or (isinstance(value, str) and "str" in doors.kinds(parameter.annotation)):
                continue
            try:
                made(**{parameter.name: value})
            except (TypeError, ValueError) as error:
                if not doors.clear(error, parameter.name, value, parameter.name):
                    wrong.append(f"{parameter.name}={value!r}: {error}")
            else:
                wrong.append(f"{parameter.name}={value!r} is accepted")
    assert not wrong, "\n".join(wrong)


ESTIMATORS = {
    pae.models.GroupedAutoencoder: {"n_components": 2, "max_iter": 3},
    pae.models.SparseAutoencoder: {"n_latents": 4, "k": 2, "n_epochs": 1},
    pae.models.ArchetypalAnalysis: {"n_archetypes": 2, "max_iter": 3},
}
OF_CLASSES = {"feature_classes", "init", "start"}  # arrays and words for arrays, which have tests of their own


@pytest.mark.parametrize("made", ESTIMATORS)
def test_a_refused_refit_leaves_an_estimator_as_it_was(made):
    """Parameters of every kind, cells of another width and cells with NaN; then its own cells get the same scores."""
    rng = np.random.default_rng(0)
    own, other = rng.random((20, 6)), rng.random((20, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = made(**ESTIMATORS[made]).fit(own)
        scores = model.transform(own)
        wrong, tried = [], 0
        for parameter in inspect.signature(made).parameters.values():
            if parameter.name in OF_CLASSES:
                continue
            kept = getattr(model, parameter.name)
            for value in doors.hostile(parameter.name, parameter.annotation):
                if value == 1e300:
                    continue  # a strength as any other, with which a fit diverges
                setattr(model, parameter.name, value)
                before = dict(vars(model))
                try:
                    model.fit(other)
                except (TypeError, ValueError) as error:
                    tried += 1
                    if not doors.clear(error, parameter.name, value, parameter.name):
                        wrong.append(f"{parameter.name}={value!r}: {type(error).__name__}: {error}")
                    if not same(before, vars(model)):
                        wrong.append(f"{parameter.name}={value!r} changed the model")
                else:  # a legitimate value: back to the fit that is compared
                    model = made(**ESTIMATORS[made]).fit(own)
                setattr(model, parameter.name, kept)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((20, 4), np.nan))
    again = model.transform(own)
    assert not wrong, "\n".join(wrong)
    assert tried > 40
    assert abs(again - scores).max() == 0


def same(before, after):
    return before.keys() == after.keys() and all(before[name] is after[name] for name in before)


def test_an_estimator_that_is_not_fitted_says_so():
    for made, words in ESTIMATORS.items():
        for call in {"transform", "predict", "score", "reconstruct"} & set(dir(made)):
            with pytest.raises(NotFittedError, match="fit"):
                getattr(made(**words), call)(np.ones((3, 4)))


def changed_in_place(table):
    """Change all that a table holds, as far as it can be changed."""
    for column in range(table.shape[1]):
        values = table.iloc[:, column]
        if isinstance(values.dtype, pd.SparseDtype):
            values.array.sp_values[:] = 7
        elif values.dtype.kind in "fiub" or values.dtype == object:
            values = table.iloc[:, column].to_numpy()
            if values.flags.writeable:  # pandas 3 lets nobody write what a copy still shares
                values[...] = {"b": 1, "O": "changed"}.get(values.dtype.kind, 7)
    if table.shape[1]:
        table[table.columns[0]] = 0


def test_tables_are_copies_of_the_slots(cells):
    """Whatever is done to what ``get`` returns, in place, the cells stay as they were."""
    adata, whole, wrong = cells.copy(), doors.fingerprint(cells), []
    for name, function in doors.public().items():
        if not name.startswith("get.") or name == "get.to_obs":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for words in variants(function):
                found = function(**(doors.base(name, function, adata, None) | words))
                if isinstance(found, pd.DataFrame):
                    changed_in_place(found)
                elif hasattr(found, "obsm"):
                    found.X[:] = 7
                    for part in (found.obs, found.var):
                        changed_in_place(part)
        if doors.fingerprint(adata) != whole:
            wrong.append(name)
            adata = cells.copy()
    assert wrong == []


def variants(function):
    """Calls of a function for all it can give: every ``of``, and raw and standardised values."""
    parameters = inspect.signature(function).parameters
    words = [{"components": None}] if "components" in parameters else [{}]
    if "of" in parameters:
        words += [{"of": value} for value in doors.words_of(parameters["of"].annotation)]
    return words


def test_a_view_of_a_backed_file_is_refused_before_anything_is_read(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for tool in (pae.tl.fit, pae.tl.refine, pae.tl.sparse_ae, pae.tl.latent_sparsity):
        words = {"pathways": "pathways"} if tool is pae.tl.fit else {}
        with pytest.raises(ValueError, match=r"a view of a backed file.*pass adata\.to_memory\(\)"):
            tool(backed[:50], **words)
    with pytest.raises(ValueError, match=r"copy=True; pass adata\.to_memory\(\)"):
        pae.tl.latent_sparsity(backed, copy=True)
    backed.file.close()


def test_messages_say_the_next_step(cells):
    """Cells in raw alone, symbols that repeat (the call that is told mends it), and cells without a value."""
    raw = cells.copy()
    raw.raw = cells.copy()
    raw.X = None
    for call in (lambda: pae.tl.fit(raw, "pathways"), lambda: pae.pp.moments(raw), lambda: pae.tl.fit(raw[:20], "a")):
        with pytest.raises(ValueError, match=r"raw has 120 genes: pass adata\.raw\.to_adata\(\)"):
            call()
    adata = cells.copy()
    adata.var["symbol"] = adata.var_names.to_numpy()
    adata.var.loc[adata.var_names[1], "symbol"] = adata.var_names[0]
    sets = {"a": adata.var_names[2:20].tolist()}
    with pytest.raises(ValueError, match=r"1 name.*'gene_1'.*mask\(adata\.var\['symbol'\]\.duplicated\(\)\)"):
        pae.tl.fit(adata, sets, gene_symbols="symbol")
    adata.var["symbol"] = adata.var["symbol"].astype(object).mask(adata.var["symbol"].duplicated())
    pae.tl.fit(adata, sets, gene_symbols="symbol", n_extra=0, key_added="symbols", progress=False)
    assert adata.obsm["X_symbols"].shape == (150, 1)
    adata.obs["g"] = np.where(np.arange(150) < 100, None, "a")
    with pytest.raises(ValueError, match=r"adata\.obs: 100 cells have no 'g'"):
        pae.tl.fit(adata, "pathways", batch_key="g")


def test_cells_in_raw_alone_are_told_of_in_files_too(cells, tmp_path):
    """Backed, by path, on the command line, and beside scaled values; the call that is told works."""
    adata = anndata.AnnData(cells.X.toarray(), obs=cells.obs[[]], var=cells.var[[]])
    adata.raw = adata.copy()
    adata = adata[:, :60].copy()
    adata.X = (adata.X - adata.X.mean(axis=0)) / adata.X.std(axis=0)
    sets = {"a": adata.var_names[2:20].tolist()}
    with pytest.warns(pae.DataWarning, match=r"scaled.*adata\.raw has 120 genes: pass adata\.raw\.to_adata"):
        pae.tl.fit(adata, sets, n_extra=0, progress=False)
    with pytest.warns(pae.DataWarning, match="scaled"):
        pae.pp.moments(adata, progress=False)
    adata.X = None
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    with pytest.raises(ValueError, match=r"pass adata\.raw\.to_adata\(\)"):
        pae.tl.fit(anndata.read_h5ad(path, backed="r"), sets)
    with pytest.raises(KeyError, match=r"raw\.to_adata\(\)\.write_h5ad"):
        pae.pp.moments(path)
    pae.gs.as_collection(sets).to_gmt(tmp_path / "sets.gmt")
    words = ["fit", str(path), "-p", str(tmp_path / "sets.gmt"), "-o", str(tmp_path / "fitted.h5ad")]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 3
    assert "raw.to_adata().write_h5ad('raw.h5ad')" in found.output
    anndata.read_h5ad(path).raw.to_adata().write_h5ad(tmp_path / "raw.h5ad")
    assert pae.pp.moments(tmp_path / "raw.h5ad", progress=False).sums.shape == (1, 120)
