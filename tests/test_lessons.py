"""Lessons: each runs as a script, in silence, and keeps the standard of a lesson.

What the standard asks is counted on the lines of the file. A cell begins at `# %%`:
comment lines are its text, the rest is its code. Lines between
`sphinx_gallery_start_ignore` and `sphinx_gallery_end_ignore` are hidden from the page
and count as neither.
"""

import ast
import os
import pathlib
import re
import statistics
import subprocess
import sys
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LESSONS = sorted((ROOT / "lessons").glob("lesson_*.py"))
_RE = re.MULTILINE | re.DOTALL
MATH = re.compile(r"^\.\. math::.*\n(?:\n|[ \t]+\S.*\n)*", re.MULTILINE)


class Cell(NamedTuple):
    """text: without comment marks. code: its lines but blank and hidden ones."""

    text: str
    code: list


class Lesson:
    """A lesson's file, taken apart."""

    def __init__(self, source):
        self.tree = ast.parse(source)
        doc = self.tree.body[0]
        self.source, self.lines = source, source.splitlines()
        self.cells = [Cell(ast.get_docstring(self.tree) + "\n", [])]
        rest = "\n".join(self.lines[doc.end_lineno :])
        for part in re.split(r"^# %%.*$", rest, flags=re.MULTILINE)[1:]:
            self.cells.append(_cell(part))
        self.text = "\n".join(cell.text for cell in self.cells)

    @property
    def code_cells(self):
        return [cell.code for cell in self.cells if cell.code]

    def figures(self):
        """Statements that are a Figure and no more: `plot.name(...)`, or its name."""
        drawn = {
            node.targets[0].id
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and _draws(node.value)
        }
        for node in self.tree.body:
            if isinstance(node, ast.Expr):
                value = node.value
                if _draws(value) or isinstance(value, ast.Name) and value.id in drawn:
                    yield node

    def equations(self):
        """For each displayed equation: the ten lines that follow it."""
        k = 0
        while k < len(self.lines):
            if self.lines[k].startswith("# .. math::"):
                k += 1
                while re.match(r"#(\s{3,}\S.*)?$", self.lines[k]):
                    k += 1
                yield self.lines[k : k + 10]
            k += 1

    def paragraphs(self):
        return re.split(r"\n\s*\n", self.text)


def _cell(part):
    lines = part.strip("\n").splitlines()
    k = 0
    while k < len(lines) and re.match(r"#( |$)", lines[k]):
        k += 1
    text = "\n".join(line[2:] for line in lines[:k]) + "\n"
    code, hidden = [], False
    for line in lines[k:]:
        hidden = hidden or "sphinx_gallery_start_ignore" in line
        if line.strip() and not hidden:
            code.append(line)
        hidden = hidden and "sphinx_gallery_end_ignore" not in line
    return Cell(text, code)


def _draws(value):
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and isinstance(value.func.value, ast.Name)
        and value.func.value.id == "plot"
    )


def words(text):
    """Words of prose: without displayed equations, rules of tables, inline formulas."""
    text = MATH.sub("", text)
    text = re.sub(r":math:`[^`]*`|``[^`]*``", "x", text)
    return len(re.findall(r"[^\W\d_][\w'’-]*", text))


def pages(test):
    ids = [path.stem for path in LESSONS]
    opened = [Lesson(path.read_text(encoding="utf-8")) for path in LESSONS]
    return pytest.mark.parametrize("lesson", opened, ids=ids)(test)


# ---- it runs --------------------------------------------------------------------
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs_as_a_script_in_silence(path, tmp_path):
    quiet = {
        "PYTHONWARNINGS": "error",
        "MPLBACKEND": "Agg",
        "SCRATCHNN_PROGRESS": "0",
        "SCRATCHNN_LESSON_QUICK": "1",
    }
    run = subprocess.run(
        [sys.executable, str(path)],
        env=os.environ | quiet,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert not list(tmp_path.iterdir())


# ---- its size -------------------------------------------------------------------
@pages
def test_length_is_one_sitting(lesson):
    assert 1200 <= words(lesson.text) <= 2500
    assert sum(map(len, lesson.code_cells)) <= 220


@pages
def test_cells_are_small(lesson):
    sizes = sorted(map(len, lesson.code_cells))
    assert statistics.median(sizes) <= 6
    assert sizes[int(0.9 * len(sizes))] <= 18
    assert sizes[-1] <= 30


@pages
def test_words_stand_between_cells(lesson):
    silent = [bool(cell.code) and not words(cell.text) for cell in lesson.cells]
    two = [a and b for a, b in zip(silent, silent[1:])]
    assert not any(two), "three code cells in a row"


@pages
def test_imports_are_in_one_cell(lesson):
    imports = re.compile(r"\s*(import|from)\b")
    found = [code for code in lesson.code_cells if any(map(imports.match, code))]
    assert len(found) == 1 and len(found[0]) <= 8


# ---- what it shows --------------------------------------------------------------
@pages
def test_question_has_its_picture_within_150_words(lesson):
    first = next(lesson.figures()).lineno
    above = "\n".join(lesson.lines[: first - 1])
    seen = Lesson(above).text
    assert "?" in seen and words(seen) <= 150


@pages
def test_figures_are_4_to_9_per_1000_words(lesson):
    count = len(list(lesson.figures()))
    assert count >= 3
    assert 4 <= 1000 * count / words(lesson.text) <= 9


@pages
def test_each_figure_is_captioned_by_the_question_it_answers(lesson):
    """A question in bold stands in the words between one figure and the next."""
    figures = [node.lineno for node in lesson.figures()]
    for before, line in zip([0, *figures], figures):
        between = [x[2:] for x in lesson.lines[before:line] if x.startswith("#")]
        bold = re.findall(r"\*\*([^*]+)\*\*", "\n".join(between))
        assert any("?" in words for words in bold), f"the figure in line {line}"


@pages
def test_no_cell_is_about_matplotlib(lesson):
    assert not re.search(r"matplotlib|pyplot|\bplt\b", lesson.source)


@pages
def test_equations_are_few_and_beside_their_code(lesson):
    equations = list(lesson.equations())
    assert len(equations) <= 6
    for after in equations:
        code = [line for line in after if line.strip() and line[0] != "#"]
        assert any("  # " in line for line in code), "\n".join(after)


@pages
def test_symbols_are_in_one_table(lesson):
    assert len(re.findall(r"^ *symbol +", lesson.text, re.MULTILINE)) == 1


# ---- what it asks ---------------------------------------------------------------
@pages
def test_predictions_are_asked_before_and_answered_after(lesson):
    marks = re.findall(r"^\*\*(Predict|Answer)\.\*\*", lesson.text, re.MULTILINE)
    assert marks.count("Predict") >= 3
    assert marks == ["Predict", "Answer"] * (len(marks) // 2)
    for paragraph in lesson.paragraphs():
        if paragraph.startswith("**Predict.**"):
            assert "?" in paragraph
    for cell in lesson.cells:
        between = re.search(r"\*\*Predict\.\*\*.*\*\*Answer\.\*\*", cell.text, _RE)
        assert not between, "answered before the cell runs"


@pages
def test_exercises_say_length_and_hint_and_one_is_a_gradient_check(lesson):
    section = _section(lesson, "Exercises")
    tasks = re.split(r"^\d+\.\d+ ", section, flags=re.MULTILINE)[1:]
    assert 3 <= len(tasks) <= 6
    for task in tasks:
        assert re.search(r"\d lines?\)", task), task
        assert "*Hint" in task, task
    assert re.search(r"gradient\s+check", section)
    assert "scratchnn release" in section and "scratchnn check" in section


@pages
def test_it_ends_in_three_lines(lesson):
    section = _section(lesson, "What you now know")
    assert len(re.findall(r"^- ", section, re.MULTILINE)) == 3


def _section(lesson, heading):
    end = r"(?=^[^\n]+\n-{4,}\n|\Z)"
    found = re.search(rf"^{heading}\n-+\n(.*?){end}", lesson.text, _RE)
    assert found, f"no section {heading!r}"
    return found.group(1)


@pages
def test_numbers_are_held_by_hidden_asserts(lesson):
    """At least one assert for each figure; none is shown on the page."""
    asserts = [n for n in ast.walk(lesson.tree) if isinstance(n, ast.Assert)]
    assert len(asserts) >= len(list(lesson.figures()))
    shown = [line for code in lesson.code_cells for line in code]
    assert not [line for line in shown if line.lstrip().startswith("assert ")]


@pages
def test_hidden_lines_stand_among_code_that_is_shown(lesson):
    """Right after text they would be text; alone they would leave an empty box."""
    assert "sphinx_gallery" not in lesson.text
    for part in re.split(r"^# %%.*$", lesson.source, flags=re.MULTILINE)[1:]:
        if "sphinx_gallery_start_ignore" in part:
            assert _cell(part).code, part


@pages
def test_tone(lesson):
    assert not re.search(r"\b(simply|obviously|just)\b", lesson.text, re.IGNORECASE)


# ---- what single lessons promise ------------------------------------------------
def test_the_engine_that_lesson_1_promises_has_about_40_lines():
    path = ROOT / "lessons/lesson_01_engine.py"
    source = path.read_text(encoding="utf-8")
    parts = "as_value", "Value", "tanh", "history", "walk_back", "clear"
    lines = ["clock = itertools.count(1)"]
    for node in ast.parse(source).body:
        if getattr(node, "name", "") in parts:
            lines += ast.get_source_segment(source, node).splitlines()
    assert 30 <= sum(bool(line.strip()) for line in lines) <= 40


# ---- the counting itself --------------------------------------------------------
SAMPLE = '''"""
Title
=====

Why *five words*?
"""

# %%
# Some text with :math:`x`.
#
# .. math::
#
#    a = b \\tag{1}

a = b  # (n,)

# sphinx_gallery_start_ignore
assert a
# sphinx_gallery_end_ignore
plot.cost(a)

# %%
# More.
'''


def test_counting_sees_text_code_hidden_lines_and_figures():
    sample = Lesson(SAMPLE)
    assert [cell.code for cell in sample.cells] == [
        [],
        ["a = b  # (n,)", "plot.cost(a)"],
        [],
    ]
    assert words(sample.text) == 1 + 3 + 4 + 1
    assert len(list(sample.figures())) == 1
    assert list(sample.equations())[0][0] == ""
