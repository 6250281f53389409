"""What DESIGN 5 says about layers and surfaces, read from the source."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pathwayae

PACKAGE = Path(pathwayae.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(file.relative_to(PACKAGE)) for file in FILES]
READING_ORDER = [
    "notice",
    "fdr",
    "textfile",
    "gmt",
    "hierarchy",
    "ontology",
    "annotations",
    "propagate",
    "membership",
    "genes",
    "overlap",
    "trim",
    "collection",
    "ontology_sets",
    "reactome",
    "specific",
    "gram",
    "gram_device",
    "strata",
    "moments",
    "batches",
    "gram_product",
    "basis",
    "association",
    "pathway_loops",
    "refine",
    "encoder",
    "members",
    "penalties",
    "reconstruction",
    "optimize",
    "loss",
    "start",
    "grouped_ae",
    "components",
    "stability",
    "relevance",
    "heldout",
    "selection",
    "sparse_ae",
    "sparse_ae.sparsity",
    "sparse_ae.network",
    "sparse_ae.minibatches",
    "sparse_ae.settings",
    "sparse_ae.active",
    "sparse_ae.stack",
    "sparse_ae.training",
    "sparse_ae.measures",
    "sparse_ae.ranks",
    "sparse_ae.selectivity",
    "sparse_ae.batches",
    "sparse_ae.ablation",
    "sparse_ae.agreement",
    "sparse_ae.trade_off",
    "archetypes",
    "archetypes.active_set",
    "archetypes.simplex_device",
    "archetypes.cells",
    "archetypes.simplex",
    "archetypes.hull",
    "archetypes.starts",
    "archetypes.coreset",
    "archetypes.robust",
    "archetypes.passes",
    "archetypes.alternation",
    "archetypes.batch",
    "archetypes.problem",
    "archetypes.solver",
    "archetypes.profiles",
    "archetypes.classic",
    "archetypes.bootstrap",
    "archetypes.t_ratio",
    "archetypes.selection",
    "archetypes.features",
    "enrichment",
]
ODDITIES = {
    "core/enrichment.py": {"gseapy"},
    "core/ontology.py": {"obonet"},
    "core/gram.py": {"numba"},
    "core/pathway_loops.py": {"numba"},
    "core/archetypes/active_set.py": {"numba"},
    "core/sparse_ae/active.py": {"numba"},
}
LEGACY_RANDOM = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "RandomState"}

every_file = pytest.mark.parametrize("name", NAMES)
core_files = pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("core/")])
tl_files = pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tl/")])
pl_files = pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("pl/")])


def parse(name):
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"))


def module_of(name):
    """``core/gmt.py`` → ``pathwayae.core.gmt``; a package for its ``__init__``."""
    parts = ["pathwayae", *Path(name).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exists(module):
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path.with_suffix(".py").is_file() or path.is_dir()


def targets(node, name):
    """Modules an import statement names; ``from package import module`` names the module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        here = module_of(name).split(".")
        here = here if name.endswith("__init__.py") else here[:-1]
        base = ".".join([*here[: len(here) - node.level + 1], *filter(None, [base])])
    inner = [f"{base}.{alias.name}" for alias in node.names]
    if base.split(".")[0] != "pathwayae":
        return [base]
    return [module if exists(module) else base for module in inner]


def imports(name):
    """Every module imported anywhere in a file, type checking and functions included."""
    nodes = (node for node in ast.walk(parse(name)) if isinstance(node, (ast.Import, ast.ImportFrom)))
    return {module for node in nodes for module in targets(node, name)}


def imports_on_loading(name):
    """Modules imported outside functions."""
    found, stack = set(), [parse(name)]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(targets(node, name))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            stack.extend(ast.iter_child_nodes(node))
    return found


def top(module):
    return module.split(".")[0]


def third_party(modules):
    return {top(module) for module in modules} - set(sys.stdlib_module_names) - {"pathwayae"}


def own(modules):
    return {module for module in modules if top(module) == "pathwayae"}


def under(module, *parents):
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def dotted(node):
    """``a.b.c`` of nested attributes, or None."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def place(name):
    """``core/archetypes/simplex.py`` → ``archetypes.simplex``, as in the reading order; "" for core itself."""
    return module_of(name).removeprefix("pathwayae.core").strip(".")


def calls(name):
    return [node for node in ast.walk(parse(name)) if isinstance(node, ast.Call)]


# Layers.


@core_files
def test_core_imports_numerical_libraries_and_core_only(name):
    allowed = {"numpy", "scipy", "pandas", "torch"} | ODDITIES.get(name, set())
    assert third_party(imports(name)) <= allowed
    assert all(under(module, "pathwayae.core") for module in own(imports(name)))


@core_files
def test_core_has_no_back_edges_in_its_reading_order(name):
    here = place(name)
    later = READING_ORDER[READING_ORDER.index(here) :] if here else READING_ORDER
    found = {module.removeprefix("pathwayae.core").strip(".") for module in own(imports(name))}
    assert not found & set(later)
    assert found <= set(READING_ORDER)


def test_every_module_of_core_has_its_place_in_the_reading_order():
    assert {place(name) for name in NAMES if name.startswith("core/")} == {*READING_ORDER, ""}


@core_files
def test_models_do_not_import_each_other(name):
    models = ("grouped_ae", "sparse_ae", "archetypes")
    others = [f"pathwayae.core.{model}" for model in models if not under(place(name), model)]
    if under(place(name), *models):
        assert not any(under(module, *others) for module in imports(name))


@every_file
def test_gseapy_is_known_to_one_file_and_imported_only_when_used(name):
    assert "gseapy" not in third_party(imports_on_loading(name))
    if name != "core/enrichment.py":
        assert "gseapy" not in third_party(imports(name))


@tl_files
def test_tools_use_core_get_gs_and_their_own_modules(name):
    shared = ("pathwayae.core", "pathwayae.get", "pathwayae.gs", "pathwayae._keys", "pathwayae._inputs")
    shared += ("pathwayae._sources", "pathwayae._files", "pathwayae.pp", "pathwayae.tl")
    assert {module for module in own(imports(name)) if not under(module, *shared)} == set()
    assert not third_party(imports(name)) & {"matplotlib", "seaborn", "gseapy"}


@pl_files
def test_plots_read_slots_through_get_and_draw(name):
    shared = ("pathwayae.get", "pathwayae._keys", "pathwayae.pl", "pathwayae.gs")
    assert {module for module in own(imports(name)) if not under(module, *shared)} == set()
    assert third_party(imports(name)) <= {"matplotlib", "numpy", "pandas", "scipy", "anndata"}


@every_file
def test_nothing_but_the_package_itself_and_the_command_line_imports_plots(name):
    if not name.startswith("pl/") and name not in ("__init__.py", "cli.py"):
        assert not any(under(module, "pathwayae.pl") for module in imports(name))


@every_file
def test_get_keys_and_inputs_lie_below_the_shell(name):
    below = ("gs.py", "pp.py", "_keys.py", "_inputs.py", "_sources.py", "_files.py", "_dask.py", "_cluster.py")
    if name in below or name.startswith("get/"):
        assert not any(under(module, "pathwayae.tl", "pathwayae.pl", "pathwayae.models") for module in imports(name))


# What no file does.


@every_file
def test_a_file_has_at_most_400_lines(name):
    assert len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) <= 400


@every_file
def test_nothing_is_printed_or_asserted(name):
    assert [node.lineno for node in calls(name) if isinstance(node.func, ast.Name) and node.func.id == "print"] == []
    assert [node.lineno for node in ast.walk(parse(name)) if isinstance(node, ast.Assert)] == []


@every_file
def test_there_is_one_logger(name):
    for node in calls(name):
        if (dotted(node.func) or "").split(".")[-1] == "getLogger":
            assert [getattr(argument, "value", None) for argument in node.args] == ["pathwayae"]
            assert not node.keywords
    assert not any((dotted(node.func) or "") == "logging.basicConfig" for node in calls(name))
    roots = {"logging.debug", "logging.info", "logging.warning", "logging.error", "logging.exception"}
    assert not {dotted(node.func) for node in calls(name)} & roots


@every_file
def test_no_global_random_state_is_touched(name):
    for node in calls(name):
        called = dotted(node.func) or ""
        assert called not in ("random.seed", "torch.manual_seed", "torch.cuda.manual_seed_all", "torch.seed")
        match = re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", called)
        assert match is None or match[1] in LEGACY_RANDOM
        if match and match[1] in ("default_rng", "RandomState"):
            assert node.args, f"line {node.lineno}: a generator without a seed"


# The public surface.

SURFACES = ["tl", "pp", "pl", "get", "gs", "datasets"]


def public():
    """(surface, name) of all public functions, from ``__all__`` where there is one."""
    found = []
    for surface in SURFACES:
        module = importlib.import_module(f"pathwayae.{surface}")
        names = getattr(module, "__all__", None)
        if names is None:
            names = [
                name
                for name, value in vars(module).items()
                if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
            ]
        found += [(surface, name) for name in names if inspect.isfunction(getattr(module, name))]
    return found


every_function = pytest.mark.parametrize(("surface", "name"), public(), ids=lambda value: value)


def function(surface, name):
    return getattr(importlib.import_module(f"pathwayae.{surface}"), name)


def sections(text):
    return set(re.findall(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(text), flags=re.MULTILINE))


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_offers_functions(surface):
    assert surface in {found for found, _ in public()}


@every_function
def test_public_functions_document_parameters_and_results(surface, name):
    documented = function(surface, name)
    expected = {"Parameters"}
    if inspect.signature(documented).return_annotation not in (None, "None"):
        expected.add("Returns")
    assert expected <= sections(documented.__doc__ or "")


@every_function
def test_the_docstring_names_every_parameter(surface, name):
    documented = function(surface, name)
    text = inspect.cleandoc(documented.__doc__)
    block = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", text, flags=re.MULTILINE | re.DOTALL)[1]
    heads = re.findall(r"^(\S.*?)(?: : .*)?$", block, flags=re.MULTILINE)
    named = [part.strip().lstrip("*") for head in heads for part in head.split(",")]
    assert sorted(named) == sorted(inspect.signature(documented).parameters)


@every_function
def test_public_functions_are_annotated_throughout(surface, name):
    signature = inspect.signature(function(surface, name))
    assert signature.return_annotation is not signature.empty
    bare = [parameter.name for parameter in signature.parameters.values() if parameter.annotation is signature.empty]
    assert bare == []


@every_function
def test_public_functions_take_at_most_three_positional_parameters(surface, name):
    parameters = inspect.signature(function(surface, name)).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    assert len(positional) <= 3


@every_function
def test_tools_plots_and_getters_take_the_annotated_data_first(surface, name):
    about_gene_sets = (surface, name) in (("pl", "overlap"), ("pl", "coverage"))
    if surface in ("tl", "pl", "get") and not about_gene_sets:
        assert next(iter(inspect.signature(function(surface, name)).parameters)).startswith("adata")


@every_function
def test_tools_can_return_a_copy(surface, name):
    if surface == "tl":
        copy = inspect.signature(function(surface, name)).parameters["copy"]
        assert copy.kind is copy.KEYWORD_ONLY
        assert copy.default is False


# Loading.


def in_a_new_process(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_importing_the_package_loads_no_torch_no_gseapy_and_no_pyplot():
    heavy = ["torch", "gseapy", "matplotlib.pyplot"]
    code = f"import sys, pathwayae; print(*[name for name in {heavy} if name in sys.modules])"
    assert in_a_new_process(code) == []


def test_gene_sets_getters_and_simulations_load_no_torch():
    code = "import sys, pathwayae as pae; pae.gs, pae.get, pae.datasets; print('torch' in sys.modules)"
    assert in_a_new_process(code) == ["False"]


@pytest.mark.parametrize("part", ["tl", "pp", "pl", "get", "gs", "datasets", "models"])
def test_each_part_is_there_after_importing_the_package_alone(part):
    code = f"import pathwayae as pae; print(pae.{part}.__name__, {part!r} in dir(pae))"
    assert in_a_new_process(code) == [f"pathwayae.{part}", "True"]


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_part"):
        pathwayae.no_such_part  # noqa: B018
