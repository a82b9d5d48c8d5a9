"""Releases: what students get says nothing of the solution, and checks what they do."""

import ast
import base64
import gzip
import io
import json
import os
import re
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnn import cli
from scratchnn.course import TaskError, load, proofs
from scratchnn.course.archive import packed, write_file, write_folder
from scratchnn.course.checking import run_tasks
from scratchnn.course.leaks import leaks
from scratchnn.course.markers import blocks, solution_text, student_text
from scratchnn.course.recorded import ARRAYS, PUBLIC, TASKS, load_public
from scratchnn.course.release import KINDS, build, release
from scratchnn.course.session import Session
from scratchnn.course.submissions import script

EXERCISES = Path(__file__).parent.parent / "lessons" / "exercises"
TOY = '''\
"""Toy: a square, and a function twice.

Write the first, mend the second.
"""

import numpy as np

### BEGIN TESTS
from scratchnn.course import task

### END TESTS


# ---- 1.1 ------------------------------------------------------------------------
def square(x):
    """x^2, entry by entry: (n,) -> (n,)."""
    ### BEGIN SOLUTION
    result_of_square = x * x
    return result_of_square
    ### END SOLUTION


### BEGIN TESTS
SQUARE = task("1.1", "square", points=2, hint="times itself")


@SQUARE.value
def _(rng, n=3):
    """equals a loop"""
    return rng.normal(size=n)


@SQUARE.gradient(backward=lambda g, x: 2 * x * g)
def _(rng, n=3):
    return rng.normal(size=n)


@SQUARE.invariant
def _(square, rng):
    """never below 0"""
    assert (square(rng.normal(size=5)) >= 0).all(), "a square is never negative"


### END TESTS
### BEGIN HIDDEN TESTS
@SQUARE.value
def _(rng, n=4):
    """also in two axes"""
    return rng.normal(size=(n, 2))


@SQUARE.mistake("M1", "twice is not squared")
def _(x):
    return np.multiply(x, 2.0) + 0.0


### END HIDDEN TESTS
# ---- 1.2 ------------------------------------------------------------------------
def twice(f, x):
    """f(f(x)): a function, (n,) -> (n,). It has a bug."""
    # BEGIN SOLUTION NO PROMPT
    return f(f(np.array(x)))
    # END SOLUTION
    """ # BEGIN PROMPT
    return f(np.array(x))
    """  # END PROMPT


### BEGIN TESTS
TWICE = task("1.2", "twice", points=1, hint="f of f", needs=["1.1"])


@TWICE.value
def _(rng, n=3):
    """equals a formula"""
    return (lambda x: 3 * x + 1), rng.normal(size=n)


@TWICE.invariant
def _(twice, rng):
    """turning round twice changes nothing"""
    assert (twice(lambda x: -x, np.ones(3)) == 1).all(), "-(-1) is 1"


### END TESTS
'''
SOLUTION = "result_of_square = x * x"


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A release that tests only read."""
    folder = tmp_path_factory.mktemp("released")
    (folder / "toy.py").write_text(TOY, encoding="utf-8")
    return release(folder / "toy.py", folder / "out")


def files_in(folder):
    found = [p for p in Path(folder).rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def checked(folder, text, name="toy", **options):
    """{number: TaskResult} of the public checks in a folder on a student's text."""
    with Session({f"{name}.py": text.encode()}, name, isolate=False, **options) as s:
        results = run_tasks(load_public(folder), s, public_only=True)
        return {result.number: result for result in results}


# ---- what is in it --------------------------------------------------------------
def test_a_folder_holds_stubs_checks_and_answers_and_nothing_else(released):
    assert (
        set(files_in(released.path))
        == set(released.files)
        == {*("toy.py", "README.md", PUBLIC, TASKS, ARRAYS)}
    )
    text = (released.path / "toy.py").read_text(encoding="utf-8")
    assert 'raise NotImplementedError("Task 1.1: square")' in text
    assert "return f(np.array(x))" in text and "scratchnn" not in text
    readme = (released.path / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Toy: a square, and a function twice\n\nWrite the first")
    assert "| 1.2 | `twice` | 1 | 1.1 |" in readme and "3 points in all" in readme
    said = b"".join(released.files.values()).decode("utf-8", "ignore")
    for secret in (SOLUTION, "return result_of", "f(f(np", "np.multiply", "two axes"):
        assert secret not in said


def test_what_is_recorded_is_arrays_numbers_and_hints(released):
    with np.load(released.path / ARRAYS, allow_pickle=False) as arrays:
        assert arrays.files and all(a.dtype == np.float64 for a in arrays.values())
    about = json.loads((released.path / TASKS).read_bytes())
    words = set(re.findall(r"[A-Za-z]{2,}", json.dumps(about["tasks"])))
    hint = {"M", "twice", "is", "not", "squared"}
    frame = {"checks", "inputs", "answer", "alike", "array", "hidden", "mistakes"}
    assert words <= hint | frame | {"tuple", "null"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_source_gives_the_same_bytes(kind, toy, tmp_path):
    one, two = (release(toy, tmp_path / str(k) / "out", kind).path for k in range(2))
    if one.is_file():
        assert one.read_bytes() == two.read_bytes()
    else:
        assert files_in(one) == files_in(two)


def test_neither_the_folder_nor_the_order_of_sets_is_in_the_bytes(toy, tmp_path):
    made = []
    for seed in "12":
        folder = tmp_path / f"at{seed}"
        folder.mkdir()
        (folder / "toy.py").write_text(TOY, encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "scratchnn", "release", "toy.py", "toy.zip"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=folder,
            check=True,
            capture_output=True,
        )
        made.append((folder / "toy.zip").read_bytes())
    assert made[0] == made[1]


def test_a_notebook_may_be_zipped(toy, tmp_path):
    made = release(toy, tmp_path / "toy.zip", "notebook")
    with zipfile.ZipFile(made.path) as archive:
        assert archive.read("toy/toy.ipynb") == made.files["toy.ipynb"]


def test_a_zip_is_the_folder_sorted_of_one_time_not_for_others_to_write(toy, tmp_path):
    made = release(toy, tmp_path / "toy.zip")
    with zipfile.ZipFile(made.path) as archive:
        infos = archive.infolist()
        assert [i.filename for i in infos] == sorted(f"toy/{n}" for n in made.files)
        assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
        assert {oct(i.external_attr >> 16) for i in infos} == {"0o100644"}
        archive.extractall(tmp_path)
    assert (tmp_path / "toy" / PUBLIC).read_bytes() == made.files[PUBLIC]


def test_a_notebook_is_valid_and_its_cells_are_the_script(toy, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    out = release(toy, tmp_path / "out", "notebook").path
    notebook = nbformat.read(out / "toy.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# Toy: a square, and a function twice")
    checks = [c.source for c in notebook.cells if c.source[:1] == "!"]
    assert checks == ["!scratchnn check 1.1", "!scratchnn check 1.2"]
    code = script((out / "toy.ipynb").read_bytes()).decode()
    of_script = ast.parse(student_text(TOY, toy))
    of_script.body = of_script.body[1:]  # its docstring is text
    assert ast.dump(ast.parse(code)) == ast.dump(of_script)


def test_a_notebook_is_checked_as_it_was_saved(toy, tmp_path, monkeypatch, capsys):
    out = release(toy, tmp_path / "out", "notebook").path
    monkeypatch.chdir(out)
    assert cli.main(["check"]) == 1 and "not started" in capsys.readouterr().out
    notebook = (out / "toy.ipynb").read_text(encoding="utf-8")
    stub = r'raise NotImplementedError(\"Task 1.1: square\")'
    assert stub in notebook
    solved = notebook.replace(stub, "return x * x")
    (out / "toy.ipynb").write_text(solved, encoding="utf-8")
    assert cli.main(["check", "1.1"]) == 0
    assert "all public checks passed (1 more" in capsys.readouterr().out


def test_a_script_in_percent_format_gives_its_cells(toy, tmp_path):
    text = TOY.replace("# ---- 1.1 -", "# %% The square\n# It is *positive*.\n# -- -")
    text = text.replace("# ---- 1.2 -", "# %%\n# ---- 1.2 -")
    toy.write_text(text, encoding="utf-8")
    out = release(toy, tmp_path / "out", "notebook").path
    cells = json.loads((out / "toy.ipynb").read_bytes())["cells"]
    text = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    assert any(t.startswith("## The square\n\nIt is *positive*.") for t in text)
    code = script((out / "toy.ipynb").read_bytes()).decode()
    assert code.count("def ") == 2


# ---- what it does for a student -------------------------------------------------
def test_the_released_checks_pass_the_solution_without_holding_it(released):
    results = checked(released.path, solution_text(TOY, "toy.py"))
    assert [r.status for r in results.values()] == ["passed", "passed"]


def test_the_released_checks_say_of_stubs_that_they_are_not_started(released):
    results = checked(released.path, student_text(TOY, "toy.py"))
    assert results["1.1"].status == "not started"
    assert results["1.2"].status == "can't check yet"


def test_a_known_mistake_gets_its_hint_from_arrays_alone(released):
    wrong = student_text(TOY, "toy.py").replace(
        'raise NotImplementedError("Task 1.1: square")', "return x + x"
    )
    result = checked(released.path, wrong)["1.1"]
    assert result.status == "failed" and result.mistake == "M1"
    assert "twice is not squared" in result.text


def test_a_bug_that_is_released_fails_until_it_is_mended(released):
    half = student_text(TOY, "toy.py").replace(
        'raise NotImplementedError("Task 1.1: square")', "return x**2"
    )
    results = checked(released.path, half)
    assert results["1.1"].status == "passed" and results["1.2"].status == "failed"
    mended = half.replace("return f(np", "return f(f(np").replace("(x))", "(x)))")
    assert checked(released.path, mended)["1.2"].status == "passed"


def test_the_number_of_hidden_checks_is_told(released):
    assert load_public(released.path).answers.hidden == {"1.1": 1, "1.2": 0}


def test_answers_of_other_inputs_are_refused(toy, tmp_path):
    release(toy, tmp_path / "out")
    public = tmp_path / "out" / PUBLIC
    text = public.read_text(encoding="utf-8")
    public.write_text(text.replace("normal(size=n)", "uniform(size=n)"), "utf-8")
    with pytest.raises(TaskError, match="other inputs; .* NumPy"):
        checked(tmp_path / "out", solution_text(TOY, toy))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda f: (f / TASKS).unlink(), "tasks.json is missing"),
        (lambda f: (f / TASKS).write_text("{"), "damaged"),
        (lambda f: (f / ARRAYS).write_bytes(b"PK"), "damaged"),
        (lambda f: (f / PUBLIC).write_text("task("), "public.py:1: not Python"),
        (lambda f: (f / TASKS).write_text('{"format": 9}'), "is of format 9"),
    ],
)
def test_a_damaged_folder_is_refused_in_words(spoil, words, toy, tmp_path):
    release(toy, tmp_path / "out")
    spoil(tmp_path / "out")
    with pytest.raises(TaskError, match=re.escape(words)):
        load_public(tmp_path / "out")


# ---- what is promised -----------------------------------------------------------
def base64_of(text):
    return base64.b64encode(f"xx {text} yy".encode()).decode()


NOTED = "1 of 2 lines of this solution stand elsewhere"
BROKEN = {
    "a solution line in public tests": (
        *("SQUARE = task(", f"def mine(x):\n    {SOLUTION}\n\n\nSQUARE = task("),
        r"toy\.py:18: this line .* in the public tests in line 25: 'result_of",
    ),
    "a solution line in a text": (
        *('"""equals a loop"""', f'"""equals  {SOLUTION}"""'),
        r"toy\.py:18: .* would be released in the public tests in line",
    ),
    "a solution line in base64": (
        *('"""equals a loop"""', f'"""{base64_of(SOLUTION)}"""'),
        r"toy\.py:18: this line would be released in",
    ),
    "a solution line in a hint": (
        *('"twice is not squared"', f'"write {SOLUTION}"'),
        r"toy\.py:18: .* would be released in \.checks/tasks\.json",
    ),
    "a solution line in the page": (
        *("Write the first", f"Write {SOLUTION}"),
        NOTED,
    ),
    "a docstring in the marks": (
        *(
            '    """x^2, entry by entry: (n,) -> (n,)."""\n    ### BEGIN SOLUTION\n',
            '    ### BEGIN SOLUTION\n    """x^2, entry by entry: (n,) -> (n,)."""\n',
        ),
        r"toy\.py:15: the docstring of square would change",
    ),
    "a public helper that is left out": (
        *(
            "# ---- 1.2",
            "# BEGIN SOLUTION NO PROMPT\ndef helper(x):\n    return x\n\n\n"
            "# END SOLUTION\n# ---- 1.2",
        ),
        r"toy\.py:59: helper is not in the release",
    ),
    "a check that passes on the stub": (
        *("assert (square(rng.normal(size=5)) >= 0).all(), ", "assert True, "),
        r'toy\.py:38: on the stub of task 1\.1, .* "not started", but: it passes',
    ),
    "a solution that fails": (
        *("result_of_square = x * x", "result_of_square = x * x * x"),
        r"the solution of task 1\.1 fails its checks",
    ),
    "a check that passes by luck": (
        *('.all(), "a square', '.all() and rng.random() < 0.5, "a square'),
        r"the solution of task 1\.1 fails its checks",
    ),
    "inputs from elsewhere": (
        *(
            "    return rng.normal(size=n)\n\n\n@SQUARE.grad",
            "    return np.random.default_rng().normal(size=n)\n\n\n@SQUARE.grad",
        ),
        "two builds differ",
    ),
    "a mistake in public tests": (
        *(
            'hint="times itself")\n',
            'hint="h")\n\n\n@SQUARE.mistake("M2", "h")\ndef _(x):\n    return x\n',
        ),
        r"mistake M2 of task 1\.1 stands in public tests",
    ),
    "a bug that is none": (
        *("    return f(np.array(x))\n", "    x = f(np.array(x))\n    return f(x)\n"),
        r"task 1\.2 passes its public checks as it is released",
    ),
    "an import that students may not use": (
        *("import numpy as np\n", "import numpy as np\nimport socket\n"),
        r"import of 'socket' is not allowed",
    ),
    "no tasks": (TOY, '"""Nothing."""\n', r"no tasks"),
    "an error of its own": (
        *("import numpy as np\n", "import numpy as np\n\nhalf = 1 / 0\n"),
        r"toy\.py:8: ZeroDivisionError",
    ),
    "an error in its inputs": (
        *("(lambda x: 3 * x + 1)", "(lambda x: 3 * x + 1) + n"),
        r"toy\.py:\d+: TypeError",
    ),
    "public tests that use hidden ones": (
        *(
            "### END HIDDEN TESTS\n# ---- 1.2",
            "HIDDEN = 1\n### END HIDDEN TESTS\n### BEGIN TESTS\nOPEN = HIDDEN\n"
            "### END TESTS\n# ---- 1.2",
        ),
        r"toy\.py:60: NameError: .*HIDDEN.* \(in public tests,",
    ),
    "public tests that call a solution": (
        *(
            "return (lambda x: 3 * x + 1), rng.normal(size=n)",
            "return (lambda x: 3 * x + 1), square(rng.normal(size=n))",
        ),
        r"toy\.py:76: NotImplementedError: Task 1\.1: square \(in public tests,",
    ),
    "another encoding": (
        *("Write the first", "Schreib zuerst \udcfc"),
        "not UTF-8",
    ),
    "marks in a prompt": (
        *("    return f(np.array(x))\n", "    x = 1  # SOLUTION\n    return f(x)\n"),
        r"a prompt holds marks",
    ),
}


@pytest.mark.parametrize("old, new, words", BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_promise_is_named_and_nothing_is_written(
    old, new, words, toy, tmp_path
):
    assert TOY.count(old) == 1
    toy.write_text(TOY.replace(old, new), "utf-8", errors="surrogateescape")
    if words == NOTED:  # given to all: no secret, but worth a note
        assert any(NOTED in note for note in release(toy, tmp_path / "out").notes)
        return
    with pytest.raises(TaskError, match=words):
        release(toy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["toy.py"]


def npz(text):
    file = io.BytesIO()
    np.savez_compressed(file, x=np.array([text]))
    return file.getvalue()


def outputs_with(text):
    cell = {"cell_type": "code", "source": [], "outputs": [{"text": [text]}]}
    return json.dumps({"cells": [cell | {"metadata": {}}]}).encode()


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("notes.txt", b"", r"notes\.txt: missing, or not to be released"),
        (".git/HEAD", b"", r"\.git/HEAD: missing, or not"),
        ("__pycache__/toy.cpython-311.pyc", b"", "pyc: missing, or not"),
        (ARRAYS, None, r"would be released in \.checks/answers\.npz"),
        ("README.md", f"a {SOLUTION}".encode(), r"would be released in README\.md"),
        ("toy.ipynb", outputs_with(SOLUTION), "missing, or not to be released"),
    ],
)
def test_no_other_file_and_no_line_in_any_of_them_is_let_through(
    name, data, words, toy, released
):
    files = released.files | {name: npz(SOLUTION) if data is None else data}
    with pytest.raises(TaskError, match=words):
        proofs.prove(toy, files)


def test_outputs_of_a_notebook_are_searched_too(toy):
    files = build(toy, notebook=True)
    notebook = json.loads(files["toy.ipynb"])
    code = next(c for c in notebook["cells"] if c["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "text": [f"{SOLUTION}\n"]}]
    files["toy.ipynb"] = json.dumps(notebook).encode()
    with pytest.raises(TaskError, match=r"would be released in toy\.ipynb"):
        proofs.prove(toy, files)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    write_file(tmp_path / "a.zip", b"old")
    write_folder(tmp_path / "out", {"x": b"old"})

    replace = os.replace

    def fail(source, target):
        if Path(target) in (tmp_path / "a.zip", tmp_path / "out"):
            if Path(source).name != "old":
                raise OSError("the disk is full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_file(tmp_path / "a.zip", b"new")
    with pytest.raises(OSError, match="full"):
        write_folder(tmp_path / "out", {"x": b"new"})
    assert files_in(tmp_path) == {"a.zip": b"old", "out/x": b"old"}
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip", "out"}


# ---- leaks ----------------------------------------------------------------------
WRAPPED = {
    "text": lambda s: f"a {s} b".encode(),
    "other spaces": lambda s: s.replace(" ", "\n\t ").encode(),
    "two bytes a letter": lambda s: s.encode("utf-16"),
    "base64": lambda s: base64.b64encode(f"?{s}".encode()),
    "base64 in lines": lambda s: base64.encodebytes(f"{s} {s} {s}".encode()),
    "base64 for addresses": lambda s: base64.urlsafe_b64encode(f"??>{s}".encode()),
    "gzip": lambda s: gzip.compress(s.encode()),
    "zlib": lambda s: zlib.compress(s.encode()),
    "an array of texts": npz,
    "a zip in a zip": lambda s: packed({"a.zip": packed({"b": s.encode()})}),
    "base64 of gzip": lambda s: base64.b64encode(gzip.compress(s.encode())),
}
TEXTS = st.text("abcxyz_ =+*()[].0123\"'é", min_size=20, max_size=60).filter(
    lambda s: len("".join(s.split())) >= 12
)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@given(text=TEXTS)
def test_a_line_is_found_however_it_is_wrapped(wrap, text):
    line = text.strip()
    if line.isascii() or wrap not in (npz, WRAPPED["two bytes a letter"]):
        assert list(leaks({"file": wrap(line)}, [line])) == [("file", line)]
    assert not list(leaks({"file": wrap("nothing of it " * 3)}, [line]))


@given(text=TEXTS)
def test_a_line_is_found_in_strings_of_json_and_of_code(text):
    line = text.strip()
    notebook = {"cells": [{"outputs": [{"text": [line[:9], line[9:]]}]}]}
    files = {
        "a.json": json.dumps({"x": [1, {"y": line}]}).encode(),
        "b.ipynb": json.dumps(notebook).encode(),
        "c.py": f"x = {ascii(line)}\ny = {line.encode()!r}\n".encode(),
    }
    assert list(leaks(files, [line])) == [(name, line) for name in sorted(files)]


# ---- what is there already ------------------------------------------------------
def test_a_release_replaces_an_earlier_one_but_no_work(toy, tmp_path):
    out = release(toy, tmp_path / "out").path
    assert release(toy, out).path == out
    with open(out / "toy.py", "a", encoding="utf-8") as file:
        file.write("# my work\n")
    with pytest.raises(TaskError, match="toy.py was changed since it was released"):
        release(toy, out)
    assert "# my work" in (out / "toy.py").read_text(encoding="utf-8")


def test_a_release_goes_into_no_folder_with_other_files(toy, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "grades.csv").write_text("1")
    with pytest.raises(TaskError, match="holds grades.csv, which is no part"):
        release(toy, tmp_path / "out")
    assert list(files_in(tmp_path / "out")) == ["grades.csv"]


# ---- the command ----------------------------------------------------------------
def test_the_command_finds_an_assignment_by_name_and_says_what_it_made(
    toy, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "lessons" / "exercises"
    folder.mkdir(parents=True)
    toy.rename(folder / "toy.py")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["release", "toy", "out", "--zip"]) == 0
    said = capsys.readouterr().out
    path = str(Path("out") / "toy.zip")
    assert said.startswith(f"{path}: 2 tasks, 3 points, 6 checks\n")
    assert (tmp_path / path).is_file()


@pytest.mark.parametrize(
    "argv, words",
    [
        (["toy"], "OUT is missing"),
        (["to", "out"], "no assignment to; did you mean 'toy'?"),
        (["nothing", "out"], "there are toy"),
        (["lessons", "out"], "lessons is a folder"),
        (["notes.txt", "out"], "a name that Python can import"),
        (["toy", "notes.txt"], "notes.txt is a file"),
        (["toy", "out", "--zip", "--notebook"], "not allowed with"),
        (["broken.py", "out"], "broken.py:1: it has no end"),
        (["wrong.py", "out"], "wrong.py: the solution of task 1.1 fails its checks"),
    ],
)
def test_wrong_input_is_answered_in_one_line(
    argv, words, toy, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "lessons" / "exercises"
    folder.mkdir(parents=True)
    toy.rename(folder / "toy.py")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "broken.py").write_text("### BEGIN TESTS\nx = 1\n")
    (tmp_path / "wrong.py").write_text(TOY.replace(SOLUTION, f"{SOLUTION} + x"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["release", *argv]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "out").exists()


# ---- the assignments of this repository -----------------------------------------
@pytest.mark.parametrize("path", sorted(EXERCISES.glob("*.py")), ids=lambda p: p.stem)
def test_each_assignment_is_released_and_what_it_gives_can_be_solved(path, tmp_path):
    made = release(path, tmp_path / "out")
    source = path.read_text(encoding="utf-8")
    said = "".join(f.decode("utf-8", "ignore") for f in made.files.values())
    given = student_text(source, path)
    for block in blocks(source, path):
        if block.kind == "solution":
            for n in block.inner:
                line = source.split("\n")[n - 1].strip()
                assert len(line) < 20 or line in given or line not in said
    results = checked(tmp_path / "out", solution_text(source, path), path.stem)
    assert {r.status for r in results.values()} == {"passed"}
    assert list(results) == list(load(path).tasks)
