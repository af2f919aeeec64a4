"""How Sphinx builds the site: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from ostinato import __version__  # noqa: E402

project = "Ostinato"
author = "The Ostinato authors"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "bundled_mathjax",
    "outside_links",
    "plain_docstrings",
    "site_check",
]
exclude_patterns = ["_build", "_ext"]

# Pages are read on a forge too: the same links, anchors and equations hold in both.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_fence_as_directive = ["math"]
myst_dmath_double_inline = True

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
# Every name that a page refers to is documented; types in signatures need not be.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]
toc_object_entries_show_parents = "hide"

copybutton_exclude = ".linenos, .gp, .go"

# Quotes belong to code as often as to prose.
smartquotes = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "Ostinato"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
