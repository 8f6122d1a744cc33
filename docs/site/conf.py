"""The configuration of Sphinx for the site; `make docs` builds it."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from docs.site.markup import process_docstring, process_signature
from energy import __version__

project = "equilibria"
copyright = "The equilibria authors, Apache-2.0"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

html_theme = "furo"
html_title = f"equilibria {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"

myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

nitpicky = True
suppress_warnings = ["ref.python"]  # an attribute that several classes have
nitpick_ignore_regex = [("py:.*", ".*")]  # signatures name parts of torch and of energy that have no page of their own


def setup(app: Any) -> None:
    """Register what reads the docstrings and the signatures."""
    app.connect("autodoc-process-docstring", process_docstring, priority=400)  # before napoleon, at 500
    app.connect("autodoc-process-signature", process_signature)
