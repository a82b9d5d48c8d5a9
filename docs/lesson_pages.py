"""What sphinx-gallery must know to run our lessons: figures, and a fresh start.

A cell whose last line is a Figure, a matplotlib animation or the path of a picture
shows it, as a notebook does for the first; pyplot is not involved.
"""

import ast
import functools
import os
import pathlib
import re
import shutil

import matplotlib
import numpy as np
from matplotlib.animation import Animation, PillowWriter
from matplotlib.figure import Figure
from sphinx_gallery import notebook
from sphinx_gallery.py_source_parser import remove_ignore_blocks
from sphinx_gallery.scrapers import figure_rst

import scratchnn as snn
from scratchnn import recording
from scratchnn.plot import STYLE

DPI = 100  # of the plain picture; a telephone's screen takes the one of twice that
_TABLE = {name: (entry, dict(vars(entry))) for name, entry in snn.TABLE.items()}
_THREADS = snn.get_num_threads()
_JIT = {k: v for k, v in os.environ.items() if k == "SCRATCHNN_JIT"}


# ---- pictures -------------------------------------------------------------------
def figures(block, block_vars, gallery_conf):
    """Save what a cell's last expression draws; the reStructuredText that shows it."""
    shown = last_value(block, block_vars)
    if not isinstance(shown, (Figure, Animation, pathlib.Path)):
        return ""
    file = pathlib.Path(block_vars["image_path_iterator"].next())
    files = {0: file}
    if isinstance(shown, Figure):
        alt = words(shown)
        files[2.0] = file.with_name(f"{file.stem}_2_00x.png")
        for times, name in files.items():
            save(shown, name, DPI * max(1, times))
    elif isinstance(shown, Animation):
        alt, files = words(shown._fig), {0: file.with_suffix(".gif")}
        with matplotlib.rc_context(STYLE):
            shown.save(files[0], writer=PillowWriter(fps=10), dpi=DPI)
    else:
        alt, files = shown.stem.replace("_", " "), {0: file.with_suffix(shown.suffix)}
        shutil.copyfile(shown, files[0])
    return figure_rst([files[0]], gallery_conf["src_dir"], alt, [files])


def last_value(block, block_vars):
    """The value of a cell's last line if that is an expression, else None.

    A figure that hidden lines follow would be lost: raises ValueError.
    """
    seen = last_line(remove_ignore_blocks(block.content))
    whole = last_line(block.content)
    if isinstance(whole, ast.Expr):
        return block_vars["example_globals"].get("___")
    if isinstance(seen, ast.Expr) and ast.unparse(seen).startswith("plot."):
        raise ValueError(
            f"{block_vars['src_file']}, cell at line {block.lineno}: "
            f"what {ast.unparse(seen.value.func)} draws is not shown, as hidden lines "
            "come after it; put them before it"
        )
    return None


def last_line(code):
    """The last statement of a cell; None if it has none."""
    body = ast.parse(code).body
    return body[-1] if body else None


def save(figure, file, dpi):
    """Write a figure as PNG in the library's style, so many dots to an inch."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, dpi=dpi, metadata={"Software": "scratchnn"})


def words(figure):
    """A figure for those who can't see it: its titles, and what its axes say."""
    said = [figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()]
    for axes in figure.axes:
        said += [axes.get_title(loc) for loc in ("left", "center", "right")]
        both = axes.get_ylabel(), axes.get_xlabel()
        said.append(" against ".join(text for text in both if text))
    said = dict.fromkeys(" ".join(text.split()) for text in said if text.strip())
    return "; ".join(said) or "figure without a title"


# ---- notebooks ------------------------------------------------------------------
BORDER = re.compile(r"=+(?: +=+)+")  # of reStructuredText's simple tables


def mend_notebooks():
    """Have sphinx-gallery write tables as Markdown in notebooks: it leaves them be."""
    plain = notebook.rst2md

    @functools.wraps(plain)
    def rst2md(text, *args, **options):
        return plain(markdown_tables(text), *args, **options)

    notebook.rst2md = rst2md


def markdown_tables(text):
    """A text with its simple tables, which have a line of heads, as Markdown's."""
    out, lines = [], iter(text.split("\n"))
    for line in lines:
        if not BORDER.fullmatch(line):
            out.append(line)
            continue
        ends = [m.start() for m in re.finditer("(?<= )=", line)] + [None]
        columns = [slice(a, b) for a, b in zip([0, *ends], ends)]
        until = functools.partial(iter, lambda: next(lines), line)
        heads, *rows = [
            [cut[column].strip().replace("|", r"\|") for column in columns]
            for part in (until(), until())
            for cut in part
        ]
        joined = [heads, ["---"] * len(columns)]
        for row in rows:
            if row[0]:
                joined.append(row)
            else:  # goes on with the row above
                joined[-1] = [f"{a} {b}".strip() for a, b in zip(joined[-1], row)]
        out += [f"| {' | '.join(row)} |" for row in joined]
    return "\n".join(out)


# ---- a fresh start --------------------------------------------------------------
def reset(gallery_conf, file):
    """Put back what a lesson may have left behind; called before each.

    Seeds, recording, threads, the op table with its rules, and kernels on or off. There
    is no default dtype to put back: the library has none.
    """
    snn.manual_seed(0)
    np.random.seed(0)
    np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
    recording._mode.set(True)
    snn.set_num_threads(_THREADS)
    for name in snn.TABLE.keys() - _TABLE.keys():
        del snn.TABLE[name]
    for name, (entry, state) in _TABLE.items():  # its rules and its kernel
        snn.TABLE[name] = entry
        vars(entry).clear()
        vars(entry).update(state)
    os.environ.pop("SCRATCHNN_JIT", None)
    os.environ.update(_JIT)
    snn.kernels.attach()  # the optimizers' kernels too
