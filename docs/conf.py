"""Settings of the documentation site: ``sphinx-build -W -b html docs docs/_build``."""

import importlib.metadata
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import array_types  # noqa: E402
import make_api  # noqa: E402
from scanpydoc.elegant_typehints import PickleableCallable  # noqa: E402
from sphinx.deprecation import RemovedInSphinx10Warning  # noqa: E402

warnings.simplefilter("ignore", RemovedInSphinx10Warning)  # of extensions

metadata = importlib.metadata.metadata("pathwayae")
links = dict(one.split(", ", 1) for one in metadata.get_all("Project-URL", []))

project = "pathwayae"
author = "The pathwayae developers"
copyright = f"2026, {author}"  # noqa: A001
version = release = metadata["Version"]
repository = links.get("Source", "").rstrip("/")  # none as long as there is no public address

# Pages that lie elsewhere in the repository are copied here, those of the API made of the package; git ignores both.
COMMUNITY = ["CONTRIBUTING", "CODE_OF_CONDUCT", "SECURITY"]
COPIED = {
    "tutorials": sorted((ROOT / "tutorials").glob("*.ipynb")),
    "benchmarks": sorted((ROOT / "benchmarks").glob("*.[mp][dn]*")),
    "project": [ROOT / "CHANGELOG.md", *(ROOT / ".github" / f"{one}.md" for one in COMMUNITY)],
}
for folder, files in COPIED.items():
    (HERE / folder).mkdir(exist_ok=True)
    for file in files:
        shutil.copy2(file, HERE / folder / file.name)
first = ["../benchmarks"] if (HERE / "benchmarks.md").is_file() else []
pages = "\n".join([*first, *[file.stem for file in COPIED["benchmarks"] if file.suffix == ".md"]])
(HERE / "benchmarks" / "index.md").write_text(
    "# Benchmarks\n\nEach page says on which day and machine it was measured; "
    "`python benchmarks/run.py` measures all of them again.\n\n"
    f"```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n",
    encoding="utf-8",
)
make_api.write(HERE / "api")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinxext.opengraph",
    "scanpydoc.elegant_typehints",
    "scanpydoc.definition_list_typed_field",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}  # the first is that of made pages

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
myst_url_schemes = {
    "http": None,
    "https": None,
    "doi": "https://doi.org/{{path}}",
}
nb_execution_mode = "off"  # tutorials are stored with their outputs; tests run them
nb_merge_streams = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
OF_SKLEARN = ["fit", "score", "transform", "inverse_transform"]
autodoc_default_options = {"exclude-members": ",".join(f"set_{one}_request" for one in OF_SKLEARN)}
autodoc_typehints = "none"  # types stand beside the parameters, by sphinx_autodoc_typehints
napoleon_google_docstring = False
napoleon_include_init_with_doc = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Warns", "params_style")]
typehints_defaults = "braces"
typehints_document_rtype_none = False
always_use_bars_union = True
qualname_overrides = {
    f"{one.__module__}.{name}": f"pathwayae.{surface}.{name}"
    for surface in make_api.SURFACES
    for name, one in make_api.exported(surface).items()
} | {"pathwayae.core.notice.DataWarning": "pathwayae.DataWarning"}

# Links to other libraries need the network: on Read the Docs alone. Elsewhere their names are text.
nitpicky = True
libraries = {
    "anndata": "https://anndata.readthedocs.io/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "python": "https://docs.python.org/3/",
    "scanpy": "https://scanpy.readthedocs.io/en/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
}
intersphinx_mapping = {name: (url, None) for name, url in libraries.items()} if "READTHEDOCS" in os.environ else {}
nitpick_ignore_regex = [
    (r"py:.*", r"(anndata|collections|matplotlib|numpy|os|pandas|pathlib|re|scipy|sklearn|torch|typing)\..*"),
    (r"py:.*", r"Ellipsis"),
    (r"py:class", r"pathwayae\.core\.moments\..*"),  # what a fit makes of moments by itself
    (r"py:class", r"(?!pathwayae)[^.]*|.*[ =].*"),  # words of "attribute : words" in docstrings
]

suppress_warnings = [
    "sphinx_autodoc_typehints.forward_reference",  # aliases made of strings: shown as they are written
    "ref.python",
]

html_theme = "sphinx_book_theme"
html_title = "pathwayae"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "repository_url": repository,
    "use_repository_button": bool(repository),
    "navbar_persistent": [],
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "home_page_in_toc": True,
}
html_show_sphinx = False
ogp_social_cards = {"enable": False}


def to_copies(_app, page, source):
    """Links of pages to folders of the repository lead to what was copied here."""
    if "/" not in page:
        source[0] = re.sub(r"\]\(\.\./(benchmarks|tutorials)/", r"](\1/", source[0])


def setup(app):
    app.connect("source-read", to_copies)
    app.config["typehints_formatter"] = PickleableCallable(array_types.shown)  # calls that of scanpydoc
