"""Write docs/ops.md from the op table: python docs/make_ops.py

The page can't drift from the code: a test writes it anew and compares.
"""

import ast
import inspect
import pathlib
import re

from scratchnn import TABLE, ops

PAGE = pathlib.Path(__file__).with_name("ops.md")
HEAD = """# The ops and their rules

Generated from the op table by `python docs/make_ops.py`; do not edit.

Each op is an array function with, for each input, one rule: the vector-Jacobian product
that turns `g`, the gradient of the loss by the output `y`, into the gradient by that
input. An argument of a rule that begins with `_` is not read, so the graph need not
keep that array. The engine sums a gradient over the axes that broadcasting repeated,
and repeats it over the axes that a reduction left out.

Below each op stands its rule; or, if it is a composition of other ops, its body, whose
derivative follows from theirs; or nothing, if it has no derivative.
"""


def page(picture=None):
    """The text of docs/ops.md; the site's page if given picture(name) -> Markdown."""
    families = [(m.__name__.rpartition(".")[2], m, entries(m)) for m in ops.FAMILIES]
    parts = [HEAD]
    for family, _, found in families:
        links = (f"[{e.name}](#{anchor(e)})" for e in found)
        parts.append(f"\n**{family}**: {', '.join(links)}\n")
    for family, module, found in families:
        parts.append(f"\n## {family}\n\n{inspect.getdoc(module)}\n")
        sources = statements(module)
        for entry in found:
            parts.append(f"\n### `{entry.name}{entry.signature}`\n")
            parts.append(f"\n{inspect.cleandoc(entry.body.__doc__)}\n")
            if picture:
                parts.append(picture(entry.name))
            code = derivative(entry, sources)
            if code:
                parts.append(f"\n```python\n{code}\n```\n")
    return "".join(parts)


def entries(module):
    """The ops that a module defines, private ones (the inside of others) left out."""
    mine = (e for e in TABLE.values() if e.body.__module__ == module.__name__)
    return [e for e in mine if not e.name.startswith("_")]


def anchor(entry):
    """The address that a page's reader gives to the op's heading."""
    title = f"{entry.name}{entry.signature}".lower()
    return "".join(c for c in title if c.isalnum() or c in "_- ").replace(" ", "-")


def statements(module):
    """{name: source}: the functions of a module, and the `.rules(...)` of its ops."""
    source, found = inspect.getsource(module), {}
    for node in ast.parse(source).body:
        call = getattr(node, "value", None)
        if isinstance(node, ast.FunctionDef):
            found[node.name] = without_docstring(source, node)
        elif isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "rules":
            found[f"{call.func.value.id}.rules"] = ast.get_source_segment(source, node)
    return found


def without_docstring(source, function):
    """The source of a function; its docstring stands above it on the page."""
    lines = source.splitlines()[function.lineno - 1 : function.end_lineno]
    first = function.body[0]
    if ast.get_docstring(function) and len(function.body) > 1:
        start, end = first.lineno, first.end_lineno
        del lines[start - function.lineno : end - function.lineno + 1]
    return "\n".join(lines)


def derivative(entry, sources):
    """What the derivative follows from, with the helpers of the same file it calls."""
    top = entry.body.__name__ if entry.is_composite else f"{entry.body.__name__}.rules"
    if top not in sources or entry.is_constant:
        return ""
    shown, todo = {}, [top]
    while todo:
        name = todo.pop()
        shown[name] = sources[name]
        for word in re.findall(r"\b_\w+", sources[name]):
            for other in (word, f"{word}.rules"):
                if other in sources and other not in shown and other not in todo:
                    todo.append(other)
    return "\n\n".join(reversed(shown.values()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
