"""How Sphinx builds the site: `scratchnn docs`, or `python -m sphinx docs build/site`.

Besides the pages of this folder it makes, anew in each build and ignored by git:
lessons/ from ../lessons (lesson_pages.py), api/ from the docstrings (make_api.py), and
pictures/ for the page of ops (op_pictures.py). Nothing on a built page is fetched from
the network: MathJax comes with the package sphinx-mathjax-offline.
"""

import importlib.util
import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))  # our own extensions, for Sphinx and for sphinx-gallery
os.environ["SCRATCHNN_PROGRESS"] = "0"  # stderr of a lesson would be on its page
os.environ.setdefault("MPLBACKEND", "Agg")

import lesson_pages  # noqa: E402
import make_api  # noqa: E402
import make_ops  # noqa: E402
import op_pictures  # noqa: E402

project = "scratchnn"
author = "the authors of scratchnn"
project_copyright = author
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]

# ---- look -----------------------------------------------------------------------
html_theme = "furo"
html_title = "scratchnn"
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # would fetch pages, which a browser forbids in files
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"
smartquotes = False  # quotes and dots in a docstring are often code

# ---- mathematics without a network ----------------------------------------------
_mathjax = importlib.util.find_spec("sphinx-mathjax-offline")
_mathjax = pathlib.Path(_mathjax.origin).parent / "static/mathjax/tex-svg-full.js"
html_static_path = ["_static", str(_mathjax)]
mathjax_path = _mathjax.name
mathjax3_config = {
    "options": {"enableMenu": False},
    "svg": {"fontCache": "global", "mtextInheritFont": True},
}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # as GitHub gives, so that links hold there and here

# ---- the API --------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False

# ---- lessons --------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": [str(HERE.parent / "lessons")],
    "gallery_dirs": ["lessons"],
    "filename_pattern": r"lesson_\d\d_\w+\.py$",  # what is run, not only shown
    "ignore_pattern": r"^(?!.*lesson_\d\d_\w+\.py$)",
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": False,
    "abort_on_example_error": True,
    "parallel": False,  # a lesson has both cores
    "reset_modules": ("matplotlib", "lesson_pages.reset"),
    "image_scrapers": ("lesson_pages.figures",),
    "ignore_repr_types": r"matplotlib\.(figure|animation)|pathlib",
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "inspect_global_variables": False,
    "copyfile_regex": r"$.",  # nothing
}


def setup(app):
    """Make what the pages need, and fill in what is made from the code."""
    lesson_pages.mend_notebooks()
    app.connect("builder-inited", _make)
    app.connect("source-read", _as_on_the_site)
    app.connect("autodoc-process-docstring", make_api.as_rst)
    app.connect("autodoc-skip-member", make_api.skip)


def _make(app):
    source = pathlib.Path(app.srcdir)
    make_api.write(source / "api")
    op_pictures.write(source / "pictures")


def _as_on_the_site(app, name, source):
    """Pictures among the ops; files of the checkout, which the site lacks, by name."""
    if name == "ops":
        source[0] = make_ops.page(op_pictures.markdown)
    source[0] = re.sub(r"\[[^\]]+\]\(\.\./([^)]+)\)", r"`\1`", source[0])
