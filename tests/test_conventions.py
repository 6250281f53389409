"""The rules of the package, read from its source: who may import whom, and what no file does.

One test a rule; each lists what breaks it.
"""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pathwayae

PACKAGE = Path(pathwayae.__file__).parent
FILES = {str(file.relative_to(PACKAGE)): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}

# Folders, and those that they may import beside themselves. For a wing of the core, "core" is the ground that all wings
# share; for others it is all of the core.
MAY_IMPORT = {
    "core": set(),
    "core/genesets": {"core"},
    "core/moments": {"core"},
    "core/evidence": {"core", "core/moments"},
    "core/grouped": {"core", "core/moments", "core/evidence"},
    "core/trust": {"core", "core/moments", "core/evidence", "core/grouped"},
    "core/sparse_ae": {"core", "core/moments"},
    "core/archetypes": {"core", "core/moments"},
    "core/contrasts": {"core", "core/grouped"},
    "core/enrichment": {"core"},
    "_checks": {"core"},
    "_progress": set(),
    "_cells": {"core", "_checks", "_progress"},
    "_slots": {"core", "_checks"},
    "gs": {"core"},
    "pp": {"core", "_checks", "_progress", "_cells"},
    "datasets": {"core", "_progress"},
    "models": {"core", "_checks", "_slots"},
    "get": {"core", "_slots"},
    "pl": {"core", "get", "gs", "_slots"},
    "tl": {"core", "_checks", "_progress", "_cells", "_slots", "get", "gs", "pp"},
    "_report": {"core", "_slots", "get", "pl"},
}
THIRD_PARTY = {
    "core": {"numpy", "scipy", "pandas", "torch"},
    "pl": {"matplotlib", "numpy", "pandas", "scipy", "anndata"},
    "tl": {"anndata", "numpy", "pandas", "pyarrow", "scipy", "torch", "zarr"},
    "_report": {"anndata", "jinja2", "matplotlib", "numpy", "pandas"},
}
ODDITIES = {
    "core/threads.py": {"numba", "threadpoolctl"},
    "core/enrichment/splitting.py": {"numba"},
    "core/enrichment/walks.py": {"numba"},
    "core/genesets/ontology.py": {"obonet"},
    "core/moments/gram.py": {"numba"},
    "core/moments/gram_passes.py": {"numba"},
    "core/moments/sketch_product.py": {"numba"},
    "core/evidence/newton_loops.py": {"numba"},
    "core/evidence/pathway_loops.py": {"numba"},
    "core/grouped/support_loops.py": {"numba"},
    "core/moments/cells_times.py": {"numba"},
    "core/trust/coherence_loops.py": {"numba"},
    "core/archetypes/active_set.py": {"numba"},
    "core/contrasts/mixed.py": {"statsmodels"},
    "core/sparse_ae/active.py": {"numba"},
}
LEGACY_RANDOM = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "RandomState"}
SLOTS = {"uns", "obsm", "varm", "var", "obs"}


def module_of(name):
    """``core/genesets/gmt.py`` → ``pathwayae.core.genesets.gmt``; a package for its ``__init__``."""
    parts = ["pathwayae", *Path(name).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(name): name for name in FILES}


def targets(node):
    """Modules an import statement names; ``from package import module`` names the module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert not node.level, "relative imports hide where a name comes from"
    inner = [f"{node.module}.{alias.name}" for alias in node.names]
    return [module if module in MODULES else node.module for module in inner]


def imports(name, *, on_loading=False):
    """Modules imported anywhere in a file, or outside functions alone."""
    found, stack = set(), [TREES[name]]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(targets(node))
        elif not (on_loading and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            stack.extend(ast.iter_child_nodes(node))
    return found


def own(modules):
    return {module for module in modules if module.split(".")[0] == "pathwayae"}


def third_party(modules):
    return {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"pathwayae"}


def folder_of(module):
    """The rank of a module: a wing of the core, else the first folder or file under the package."""
    parts = module.split(".")[1:]
    if parts[:1] == ["core"] and len(parts) > 1 and (PACKAGE / "core" / parts[1]).is_dir():
        return f"core/{parts[1]}"
    return parts[0] if parts else ""


def calls(name):
    return [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]


def dotted(node):
    """``a.b.c`` of nested attributes, or an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


# Layers.


def test_folders_import_what_their_rank_allows():
    wrong = []
    for name in FILES:
        here = folder_of(module_of(name))
        if here in MAY_IMPORT:
            allowed = MAY_IMPORT[here] | {here}
            shell = not here.startswith("core")
            for module in own(imports(name)):
                there = folder_of(module).partition("/")[0] if shell else folder_of(module)
                wrong += [(name, module)] if there not in allowed else []
    assert wrong == []


def test_every_file_has_a_rank():
    ranked = {*MAY_IMPORT, "", "cli", "__main__"}
    assert [name for name in FILES if folder_of(module_of(name)) not in ranked] == []


def test_no_file_imports_itself_by_a_detour():
    graph = {name: {MODULES[m] for m in own(imports(name)) if m in MODULES} - {name} for name in FILES}
    graph = {name: used - {"__init__.py"} for name, used in graph.items() if name != "__init__.py"}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")


def test_surfaces_and_models_keep_what_is_private_to_themselves():
    """``tl`` takes nothing from inside ``get`` or ``pl`` and the like; a model's folder nothing from another's."""
    wrong = []
    for name in FILES:
        here = module_of(name).split(".")[1:]
        for module in own(imports(name)):
            there = module.split(".")[1:]
            if len(there) > 1 and there[0] in ("tl", "get", "pl", "models", "datasets") and there[0] != here[0]:
                wrong.append((name, module))
            models = ("_grouped", "_sparse_ae", "_archetypes")
            if len(here) > 2 and here[1] in models and len(there) > 2 and there[1] in models and here[1] != there[1]:
                wrong.append((name, module))
    assert wrong == []


def test_only_slots_index_the_slots_of_a_fit():
    """Elsewhere no ``uns``, ``obsm``, ``varm``, ``var`` or ``obs`` is indexed by a key of a fit."""

    def of_a_fit(node, *, of_cells):
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        return bool(names & ({"keys", "key_added", "slot"} | (set() if of_cells else {"key"})))

    wrong = []
    for name, tree in TREES.items():
        if name.startswith(("_slots/", "cli/")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript):
                holder, index = node.value, node.slice
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                holder, index = node.comparators[0], node.left
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                holder, index = node.func.value, node.args[0]
            else:
                continue
            if (
                isinstance(holder, ast.Attribute)
                and holder.attr in SLOTS
                and of_a_fit(index, of_cells=holder.attr == "obs")
            ):
                wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def test_libraries_are_those_of_the_layer():
    wrong = []
    for name in FILES:
        layer = name.split("/")[0]
        if layer in THIRD_PARTY:
            wrong += [
                (name, one) for one in third_party(imports(name)) - THIRD_PARTY[layer] - ODDITIES.get(name, set())
            ]
    assert wrong == []


def test_scanpy_is_known_to_few_files_and_imported_only_when_used():
    wrong = []
    for library, homes in (("scanpy", ("cli/_demo.py", "cli/_files.py")),):
        wrong += [name for name in FILES if library in third_party(imports(name, on_loading=True))]
        wrong += [name for name in FILES if library in third_party(imports(name)) and name not in homes]
    assert wrong == []


# What no file does.


def test_a_file_has_at_most_400_lines_and_a_function_at_most_60():
    long = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in FILES.items()}
    assert {name: n for name, n in long.items() if n > 400} == {}
    functions = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                n = (body[-1].end_lineno - body[0].lineno + 1) if body else 0
                functions += [f"{name}: {node.name}, {n} lines"] if n > 60 else []
    assert functions == []


def test_nothing_is_printed_or_asserted_or_taken_from_locals():
    wrong = []
    for name, tree in TREES.items():
        wrong += [(name, node.lineno) for node in calls(name) if getattr(node.func, "id", "") in ("print", "locals")]
        wrong += [(name, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert [one for one in wrong if not one[0].startswith("cli/")] == []


def test_there_is_one_logger():
    roots = {f"logging.{name}" for name in ("debug", "info", "warning", "error", "exception", "basicConfig")}
    wrong = []
    for name in FILES:
        for node in calls(name):
            called = dotted(node.func)
            if called.split(".")[-1] == "getLogger":
                wrong += [name] if [getattr(one, "value", None) for one in node.args] != ["pathwayae"] else []
            wrong += [name] if called in roots else []
    assert wrong == []


def test_no_global_random_state_is_touched():
    wrong = []
    for name in FILES:
        for node in calls(name):
            called = dotted(node.func)
            if called in ("random.seed", "torch.manual_seed", "torch.cuda.manual_seed_all", "torch.seed"):
                wrong.append((name, node.lineno))
            match = re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", called)
            if match and (
                match[1] not in LEGACY_RANDOM or (match[1] in ("default_rng", "RandomState") and not node.args)
            ):
                wrong.append((name, node.lineno))
    assert wrong == []


# The public surface.

SURFACES = ["tl", "pp", "pl", "get", "gs", "datasets"]


def public():
    """Every public function by its name, ``tl.fit`` and the like."""
    found = {}
    for surface in SURFACES:
        module = importlib.import_module(f"pathwayae.{surface}")
        found |= {f"{surface}.{name}": getattr(module, name) for name in module.__all__}
    return {name: one for name, one in found.items() if inspect.isfunction(one)} | {"report": pathwayae.report}


PUBLIC = public()


def sections(text):
    return set(re.findall(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(text), flags=re.MULTILINE))


def test_public_functions_document_parameters_results_and_an_example():
    wrong = []
    for name, function in PUBLIC.items():
        expected = {"Parameters", "Examples"}
        if inspect.signature(function).return_annotation not in (None, "None"):
            expected.add("Returns")
        if missing := expected - sections(function.__doc__ or ""):
            wrong.append((name, missing))
    assert wrong == []


def test_docstrings_name_every_parameter_and_no_other():
    wrong = []
    for name, function in PUBLIC.items():
        text = inspect.cleandoc(function.__doc__)
        block = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", text, flags=re.MULTILINE | re.DOTALL)[1]
        heads = re.findall(r"^(\S.*?)(?: : .*)?$", block, flags=re.MULTILINE)
        named = [part.strip().lstrip("*") for head in heads for part in head.split(",")]
        if sorted(named) != sorted(inspect.signature(function).parameters):
            wrong.append((name, set(named) ^ set(inspect.signature(function).parameters)))
    assert wrong == []


def test_docstrings_send_users_to_public_pages():
    """A reference to ``pathwayae.core`` is of no use to a reader of the documentation."""
    assert [name for name, function in PUBLIC.items() if re.search(r"\bcore\.\w", function.__doc__)] == []


def test_docstrings_begin_with_a_verb():
    """The first word is what the function does; what else it is follows."""
    verbs = {"Ask", "Choose", "Describe", "Draw", "Find", "Fit", "Give", "Keep", "List", "Make", "Measure", "Read"}
    verbs |= {"Refit", "Return", "Say", "Score", "Test", "Train", "Turn", "Weigh", "Write"}
    firsts = {name: function.__doc__.split()[0] for name, function in PUBLIC.items()}
    assert {name: word for name, word in firsts.items() if word not in verbs} == {}


def test_public_functions_are_annotated_throughout():
    wrong = []
    for name, function in PUBLIC.items():
        signature = inspect.signature(function)
        bare = [one.name for one in signature.parameters.values() if one.annotation is one.empty]
        if bare or signature.return_annotation is signature.empty:
            wrong.append((name, bare))
    assert wrong == []


def test_public_functions_take_at_most_three_positional_parameters_and_twenty_one_in_all():
    wrong = []
    for name, function in PUBLIC.items():
        parameters = inspect.signature(function).parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
        wrong += [name] if len(positional) > 3 or len(parameters) > 21 else []
    assert wrong == []


def test_tools_plots_and_getters_take_the_annotated_data_first():
    about_cells = [name for name in PUBLIC if name.split(".")[0] in ("tl", "pl", "get")]
    about_cells = [name for name in about_cells if name not in ("pl.overlap", "pl.coverage")]
    firsts = {name: next(iter(inspect.signature(PUBLIC[name]).parameters)) for name in about_cells}
    assert {name: first for name, first in firsts.items() if first != "adata"} == {}


def test_parameters_of_one_meaning_have_one_name_one_default_and_one_place():
    """``copy`` of tools, ``key`` and its like last, ``device="auto"``, ``random_state=0``, ``progress=True``."""
    defaults = {
        "device": "auto",
        "random_state": 0,
        "progress": True,
        "copy": False,
        "show": None,
        "ax": None,
        "save": None,
    }
    synonyms = {"what", "kind", "n", "n_top", "n_cols", "seed", "random_seed", "verbose", "cmap_name", "use_rep"}
    wrong = []
    for name, function in PUBLIC.items():
        parameters = inspect.signature(function).parameters
        wrong += [(name, one) for one in synonyms & set(parameters) if (name, one) != ("datasets.list", "kind")]
        wrong += [
            (name, one) for one, value in defaults.items() if one in parameters and parameters[one].default != value
        ]
        if name.startswith("tl."):
            wrong += [] if list(parameters)[-1] == "copy" else [(name, "copy")]
        ending = {"tl": ["key", "key_added", "copy"], "get": ["key"], "pl": ["key", "ax", "show", "save"]}.get(
            name.split(".")[0], []
        )
        last = [one for one in parameters if one in ending]
        wrong += (
            []
            if list(parameters)[len(parameters) - len(last) :] == [one for one in ending if one in last]
            else [(name, list(parameters)[-4:])]
        )
    assert wrong == []


# Loading.


def test_importing_the_package_and_its_parts_loads_what_is_needed():
    """One new process: nothing heavy after the import alone, no torch for tables and gene sets, every part there."""
    code = """
import sys
import pathwayae as pae
heavy = ["torch", "gseapy", "matplotlib.pyplot", "scanpy"]
print("heavy", *[name for name in heavy if name in sys.modules])
pae.gs, pae.get, pae.datasets
print("torch", *[name for name in ("torch", "scanpy") if name in sys.modules])
for part in ("tl", "pp", "pl", "get", "gs", "datasets", "models"):
    print(part, getattr(pae, part).__name__, part in dir(pae))
print("scanpy", "scanpy" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    parts = ["tl", "pp", "pl", "get", "gs", "datasets", "models"]
    expected = ["heavy", "torch", *[f"{part} pathwayae.{part} True" for part in parts], "scanpy False"]
    assert result.stdout.splitlines() == expected


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_part"):
        pathwayae.no_such_part  # noqa: B018
