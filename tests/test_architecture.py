"""The structure holds: imports go down, files stay small, importing stays light."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "scratchnn"
FILES = sorted(PACKAGE.rglob("*.py"))

# Lower ranks may not import higher ones (at module level).
RANK = {
    "errors": 0, "random": 0, "recording": 0, "threads": 0, "op": 1, "tensor": 2,
    "backward": 3, "anomaly": 3, "opgraph": 4, "device": 4, "ops": 4, "kernels": 5,
    "methods": 5, "checkpoint": 5, "gradcheck": 6, "metrics": 6, "nn": 6, "optim": 6,
    "data": 6, "symmetry": 7, "models": 7, "plot": 7, "profiler": 7, "recipes": 8,
    "train": 9, "course": 9, "cli": 10, "__main__": 11, "__init__": 11,
}  # fmt: skip


def part(path):
    """The part of the package that a file belongs to: its folder, or its own name."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return first


def imported(path):
    """Parts of scratchnn that a file imports when it is imported itself."""
    package = path.relative_to(PACKAGE.parent).parent.parts
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        module = (node.module or "").split(".") if node.module else []
        base = [*package[: len(package) - node.level + 1], *module]
        for name in [base[1]] if len(base) > 1 else [a.name for a in node.names]:
            if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists():
                yield name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    own = part(path)
    for other in imported(path):
        assert other == own or RANK[other] < RANK[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_can_be_read_in_one_sitting(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= (350 if path.name in ("tensor.py", "backward.py") else 500)


def names_used(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_library_has_its_place(path):
    own, used = part(path), set(names_used(path))
    assert "pickle" not in used or path.name == "planetoid.py"  # reads published ones
    assert "print" not in used or own == "cli"
    assert "numba" not in used or own in ("kernels", "cli")
    assert "matplotlib" not in used or own == "plot"
    assert "tqdm" not in used or own in ("train", "cli", "data")


def test_importing_scratchnn_imports_no_heavy_library():
    code = "import sys, scratchnn; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(out.stdout.split())
    heavy = {"numba", "matplotlib", "pooch", "tqdm", "safetensors", "scipy", "torch"}
    assert "scratchnn" in loaded and not loaded & heavy


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
            assert ast.get_docstring(node), f"{node.name} in {path.name}"
