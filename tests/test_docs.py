"""Pages made from the code are as the code is now."""

import importlib.util
import pathlib
import re

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_ops_is_up_to_date():
    page = load("make_ops").page()
    assert page == (DOCS / "ops.md").read_text(encoding="utf-8"), (
        "run: python docs/make_ops.py"
    )
    assert "lambda g, _y, _a, b: g * b" in page


def test_files_that_pages_name_exist():
    root = DOCS.parent
    for page in [root / "README.md", *DOCS.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"
