"""A student's script as a notebook; submissions.py reads it as a script again.

One cell for each function, or for each `# %%` of the script; the docstring of the file
and comments that head a part are text. After the function of a task stands a cell that
checks it, which reads the notebook as it was last saved.
"""

import ast
import json
import re

from .markers import DEFINITIONS

CELL = re.compile(r"# ?%%.*")
HEADING = re.compile(r"# -+ (.+?) -+$")


def from_script(script, assignment):
    """The text of an .ipynb (nbformat 4) for the text of a student's script."""
    percent = any(CELL.match(line) for line in script.split("\n"))
    cells = []
    for kind, text in _by_marks(script) if percent else _by_functions(script):
        if not text.strip():
            continue
        cells.append((kind, text.strip("\n")))
        if kind == "code":
            numbers = _tasks(text, assignment)
            cells += [("code", f"!scratchnn check {number}") for number in numbers]
    if cells and cells[0][0] == "markdown":
        title, _, rest = cells[0][1].partition("\n")
        cells[0] = "markdown", f"# {title.rstrip('.')}\n{rest}".strip()
    note = (
        "Write your code in place of each `raise NotImplementedError(...)`. Save the "
        "notebook before you run a cell with `scratchnn check`: it reads the file."
    )
    cells.insert(1, ("markdown", note))
    language = {"name": "python", "file_extension": ".py"}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel, "language_info": language},
        "cells": [_cell(k, *cell) for k, cell in enumerate(cells, 1)],
    }
    return f"{json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False)}\n"


def _cell(number, kind, text):
    cell = {"id": f"cell-{number}", "cell_type": kind, "metadata": {}}
    cell["source"] = text.splitlines(keepends=True)
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def _tasks(text, assignment):
    """Numbers of the tasks whose functions are defined in a cell."""
    names = {n.name for n in ast.parse(text).body if isinstance(n, DEFINITIONS)}
    return [n for n, task in assignment.tasks.items() if task.function in names]


def _by_marks(script):
    """(kind, text) of the cells of a script in percent format."""
    first, *rest = re.split(r"(?m)^(?=# ?%%)", script)
    yield from _with_docstring(first)
    for cell in rest:
        mark, *lines = cell.split("\n")
        title = re.sub(r"# ?%%|\[markdown\]", "", mark).strip()
        n = next((k for k, x in enumerate(lines) if x[:1] != "#"), len(lines))
        text = [line[1:].removeprefix(" ") for line in lines[:n]]
        yield "markdown", "\n".join([f"## {title}\n"] * bool(title) + text)
        yield "code", "\n".join(lines[n:])


def _by_functions(script):
    """(kind, text) of the cells of a script, one for each function."""
    lines, tree, start = script.split("\n"), ast.parse(script), 0
    body = tree.body
    if ast.get_docstring(tree) is not None:
        start = body[0].end_lineno
        yield "markdown", ast.get_docstring(tree)
        body = body[1:]
    group = []
    for node, after in zip(body, [*body[1:], None]):
        group.append(node)
        alone = isinstance(node, DEFINITIONS) or isinstance(after, DEFINITIONS)
        if alone or after is None:
            yield from _headed(lines[start : node.end_lineno])
            start = node.end_lineno
    yield from _headed(lines[start:])


def _headed(lines):
    """(kind, text) of lines of code, a heading above them as text."""
    while lines and not lines[0].strip():
        lines = lines[1:]
    heading = HEADING.match(lines[0]) if lines else None
    if heading:
        yield "markdown", f"## {heading[1]}"
        lines = lines[1:]
    yield "code", "\n".join(lines)


def _with_docstring(text):
    tree = ast.parse(text)
    if ast.get_docstring(tree) is not None:
        yield "markdown", ast.get_docstring(tree)
        text = "\n".join(text.split("\n")[tree.body[0].end_lineno :])
    yield "code", text
