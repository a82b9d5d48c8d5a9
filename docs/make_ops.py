"""Write docs/ops.md from the op table: python docs/make_ops.py

The page can't drift from the code: a test writes it anew and compares.
"""

import ast
import inspect
import pathlib

from scratchnn import TABLE, ops

PAGE = pathlib.Path(__file__).with_name("ops.md")
HEAD = """# The ops and their rules

Generated from the op table by `python docs/make_ops.py`; do not edit.

Each op is an array function with, for each input, one rule: the vector-Jacobian product
that turns `g`, the gradient of the loss by the output `y`, into the gradient by that
input. An argument of a rule that begins with `_` is not read, so the graph need not
keep that array. An op without rules of its own is a composition of other ops, or has no
derivative. The engine sums a gradient over the axes that broadcasting repeated.
"""


def rules_of(module):
    """{op name: source of its rules}, read from the module's own text."""
    source = inspect.getsource(module)
    tree = ast.parse(source)
    functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
    found = {}
    for statement in tree.body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "rules":
            named = {k.value.id for k in call.keywords if isinstance(k.value, ast.Name)}
            parts = [functions[name] for name in functions if name in named]
            texts = [ast.get_source_segment(source, node) for node in parts]
            rules = ast.get_source_segment(source, statement)
            found[call.func.value.id.strip("_")] = "\n\n".join([*texts, rules])
    return found


def page():
    """The text of docs/ops.md."""
    parts = [HEAD]
    for module in ops.FAMILIES:
        family = module.__name__.rpartition(".")[2]
        parts.append(f"\n## {family}\n\n{inspect.getdoc(module)}\n")
        rules = rules_of(module)
        for name, entry in TABLE.items():
            if entry.body.__module__ != module.__name__ or name.startswith("_"):
                continue
            parts.append(f"\n### `{name}{entry.signature}`\n")
            parts.append(f"\n{inspect.cleandoc(entry.body.__doc__)}\n")
            if name in rules:
                parts.append(f"\n```python\n{rules[name]}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
