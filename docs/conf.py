"""How Sphinx builds the pages: `sphinx-build -W -n -b html docs docs/_build/html`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent / "extensions")]

import jaxsci  # noqa: E402

project = "jaxsci"
author = "the jaxsci developers"
project_copyright = "the jaxsci developers, Apache-2.0"
version = release = jaxsci.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "collected",  # pages that lie elsewhere in the checkout: notebooks and benchmarks
    "mathml",
    "public",
    "docstrings",  # the library's docstrings are plain text with `code`
    "tables",
]
exclude_patterns = ["_build", "extensions"]

# Notebooks are shown as committed; tests execute them.
nb_execution_mode = "off"
nb_merge_streams = True  # what a cell prints is one block
nb_mime_priority_overrides = [("html", "image/png", 0)]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"undoc-members": True}
autodoc_preserve_defaults = True
autodoc_use_type_comments = False
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
napoleon_custom_sections = [("Fields", "params_style")]
napoleon_use_rtype = False
default_role = "literal"

# Nothing is fetched to build the pages: what other packages document is named, not linked.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(jax|jaxtyping|flax|optax|chex|numpy|np|h5py|zipfile|matplotlib|collections|typing|pathlib|os|types|linen|Figure|ArrayLike|NDArray)\b.*",
    ),
]

html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_title = "jaxsci"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search is in the sidebar
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_copy_source = False
html_show_sourcelink = False
