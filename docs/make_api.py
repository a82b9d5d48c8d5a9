"""Write the pages of docs/api from the library's own names and docstrings.

A module's public names are its `__all__`, or, without one, the functions and classes
that it defines, or that its parts do if it is a package. The ops have their own page.

Docstrings are plain text, not reStructuredText: `as_rst` says for Sphinx what is a
paragraph, a list or code in them, and that nothing else is meant by a `*` or a `|`.
"""

import importlib
import inspect
import pathlib
import pkgutil
import re

import scratchnn as snn

MODULES = [
    "scratchnn", "scratchnn.nn", "scratchnn.nn.functional", "scratchnn.nn.init",
    "scratchnn.optim", "scratchnn.data", "scratchnn.models", "scratchnn.metrics",
    "scratchnn.symmetry", "scratchnn.plot", "scratchnn.checkpoint",
]  # fmt: skip
HEAD = """\
API
===

What can be called, by module, with the docstrings as they stand in the code; *[source]*
beside a name shows the code itself. The array functions, ``snn.exp`` and its like, have
:doc:`a page of their own </ops>` with their rules.

.. toctree::
   :maxdepth: 1

"""


def modules():
    """The names of the modules that have a page: the models one each."""
    folder = pathlib.Path(snn.__file__).parent
    found = list(MODULES)
    if (folder / "course" / "__init__.py").exists():
        found.append("scratchnn.course")
    at = found.index("scratchnn.models") + 1
    models = pkgutil.iter_modules([str(folder / "models")], "scratchnn.models.")
    found[at:at] = [m.name for m in models if public(m.name)]
    return found


def public(name):
    """The functions and classes that a module offers, in the order of their names."""
    module = importlib.import_module(name)
    found = {k: getattr(module, k) for k in offered(module)}
    return sorted(k for k, v in found.items() if _belongs(k, v, module))


def offered(module):
    """The names of a module's `__all__`; without one, all that begin with no `_`."""
    return getattr(module, "__all__", [k for k in vars(module) if k[0] != "_"])


def constants(name):
    """The names in capitals that a module offers; what they hold is in the code."""
    module = importlib.import_module(name)
    capitals = (k for k in offered(module) if k.isupper() and len(k) > 1)
    return sorted(k for k in capitals if not callable(getattr(module, k)))


def _belongs(name, value, module):
    home = getattr(value, "__module__", None) or ""
    if not callable(value) or not home.startswith("scratchnn"):
        return False
    if module is snn:
        return name not in snn.ops.__all__ and name != "nearest"  # serves our errors
    if module is snn.nn.functional:  # most are the ops themselves
        return home == module.__name__ or hasattr(value, "op")
    return home.startswith(module.__name__)


def write(folder):
    """Write index.rst and a page for each module; pages of old modules go."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.rst"):
        old.unlink()
    lines = "".join(f"   {name}\n" for name in modules())
    (folder / "index.rst").write_text(HEAD + lines, encoding="utf-8")
    for name in modules():
        (folder / f"{name}.rst").write_text(page(name), encoding="utf-8")


def page(name):
    """The page of a module: what it is, a table of its names, then each."""
    module = importlib.import_module(name)
    text = "\n".join(plain_to_rst(inspect.getdoc(module)))
    parts = [f"{name}\n{'=' * len(name)}\n\n.. py:module:: {name}\n\n{text}\n\n"]
    names = public(name)
    if names:
        parts.append(".. list-table::\n   :class: names\n   :widths: 30 70\n\n")
    for each in names:
        first = (inspect.getdoc(getattr(module, each)) or "").partition("\n")[0]
        parts.append(f"   * - :py:obj:`~{name}.{each}`\n     - {escape(first)}\n")
    for each in names:
        if inspect.isclass(getattr(module, each)):
            options = "\n   :members:"
            parts.append(f"\n.. autoclass:: {name}.{each}{options}\n")
        else:
            parts.append(f"\n.. autofunction:: {name}.{each}\n")
    also = ", ".join(f"``{k}``" for k in constants(name))
    if also:
        parts.append(f"\nConstants: {also}.\n")
    return "".join(parts)


# ---- docstrings -----------------------------------------------------------------
def as_rst(app, what, name, thing, options, lines):
    """Sphinx's hook on each docstring: changes its lines in place."""
    lines[:] = plain_to_rst("\n".join(lines))


def skip(app, what, name, thing, skipped, options):
    """Sphinx's hook on each member: fields of a NamedTuple say nothing of their own."""
    doc = getattr(thing, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def plain_to_rst(text):
    """The lines of a docstring, so that Sphinx reads them as they look."""
    out = []
    for block in re.split(r"\n[ ]*\n", text.rstrip().lstrip("\n")):
        lines = block.split("\n")
        if lines[0].startswith(">>>"):
            out += lines
        elif lines[0].startswith(" ") or _is_code(lines):
            out += ["::", "", *(f"   {line}" for line in lines)]
        elif lines[0].startswith("- "):
            for line in lines:
                dash, rest = ("- ", line[2:]) if line[:2] == "- " else ("  ", line)
                out.append(dash + escape(rest.strip()))
        else:
            out += _paragraph(lines)
        out.append("")
    return out


def _is_code(lines):
    return lines[0].startswith(("import ", "from "))


def _paragraph(lines):
    """Lines of prose; from the first one that is set in, code."""
    n = next((i for i, line in enumerate(lines) if line.startswith(" ")), len(lines))
    out = ["\\ " + escape(lines[0]), *map(escape, lines[1:n])]
    if n < len(lines):
        out += ["", "::", "", *(f"   {line}" for line in lines[n:])]
    return out


def escape(text):
    """A line of plain text for reStructuredText; what is in backquotes is code."""
    parts = re.split(r"(`+[^`]+`+)", text)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip('`')}``"
        else:
            parts[i] = re.sub(r"([\\*`|_])", r"\\\1", part)
    return "".join(parts)
