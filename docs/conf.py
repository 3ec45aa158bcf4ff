"""How Sphinx builds this documentation."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as _file:
    release = version = tomllib.load(_file)["project"]["version"]

project = "Flask-Sealed"
author = "The Flask-Sealed authors"
copyright = author
html_title = f"{project} {release}"
html_theme = "furo"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False

extensions = ["sphinx.ext.autodoc", "tests.docs.shown"]
html_static_path = ["_static/pages.css"]
html_css_files = ["pages.css"]
exclude_patterns = ["_build"]
highlight_language = "text"
nitpicky = True
# Other projects' names are not linked: a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|datetime|flask|functools)\..*"),
    ("py:.*", "(Blueprint|Flask)"),
    ("py:class", r"flask_sealed\.(extension\.F|policy\.V)"),
]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
