"""scratchnn docs: the lessons, the ops and the API as a site, built and opened."""

import importlib.util
import os
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

from .parser import Parser, UsageError, path

ROOT = Path(__file__).parents[2]  # of a checkout
NEEDS = "sphinx", "sphinx_gallery", "myst_parser", "furo", "sphinx-mathjax-offline"
MADE = "lessons", "api", "pictures"  # in docs/, by each build; ignored by git


def docs(argv):
    """Build the lessons and all that can be looked up as a site, and open it."""
    parser = Parser("docs", description=f"{docs.__doc__} It takes some minutes.")
    text = "where the site goes; build/site"
    parser.add_argument("--out", metavar="DIR", type=path, help=text)
    text = "build it, and open no browser"
    parser.add_argument("--no-open", action="store_true", help=text)
    asked = parser.parse_args(argv)
    out = (asked.out or ROOT / "build" / "site").absolute()
    _refuse_what_cannot_be(out)
    _build(out)
    start = out / "index.html"
    print(start)
    if not asked.no_open:
        webbrowser.open(start.as_uri())


def _refuse_what_cannot_be(out):
    if not all((ROOT / name).exists() for name in ("docs/conf.py", "lessons")):
        raise UsageError(
            "scratchnn docs: the pages are made from docs/ and lessons/ of a checkout, "
            "and this scratchnn was installed without them; in the checkout run "
            "pip install -e '.[docs]' and then scratchnn docs"
        )
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"scratchnn docs: {', '.join(missing)} not installed; "
            "pip install 'scratchnn[docs]', or -e '.[docs]' in the checkout, has all "
            "that it needs"
        )
    if out.exists() and not _is_ours(out):
        raise UsageError(
            f"scratchnn docs: --out {out} holds what is no site of ours and would be "
            "lost; name a new or an empty folder"
        )


def _is_ours(out):
    """Whether a folder may be replaced: an earlier site, or nothing."""
    return out.is_dir() and ((out / "objects.inv").exists() or not any(out.iterdir()))


def _build(out):
    """Build beside the place, from nothing, and put it there if all went well.

    From nothing, as sphinx-gallery would run no lesson again whose own file is as it
    was, even if the library has changed. Warnings are errors.
    """
    part = out.with_name(f".{out.name}.part")
    for folder in (part, *(ROOT / "docs" / name for name in MADE)):
        shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-E"]
    command += ["-d", str(part / ".doctrees"), str(ROOT / "docs"), str(part)]
    try:
        built = subprocess.run(command, stdout=2, env=_environment())  # to stderr
        if built.returncode:
            raise UsageError(
                "scratchnn docs: the site was not built; the lines above say why"
            )
        shutil.rmtree(part / ".doctrees")
        shutil.rmtree(out, ignore_errors=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _environment():
    """Ours, with quiet progress bars and a matplotlib that needs no screen."""
    return os.environ | {"SCRATCHNN_PROGRESS": "0", "MPLBACKEND": "Agg"}
