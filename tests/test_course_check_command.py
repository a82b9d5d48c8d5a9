"""`scratchnn check`, as a student runs it in the folder of an assignment."""

import os
import pathlib
import subprocess
import sys

import pytest

from scratchnn import cli
from scratchnn.course.release import build, release

ROOT = pathlib.Path(__file__).parent.parent
ENGINE = ROOT / "lessons" / "exercises" / "engine.py"
RIGHT = {
    "1.1": "return g * b, g * a",
    "1.2": "return g @ B.T, A.T @ g",
    "1.3": "return g @ W, g.T @ x, g.sum(axis=0)",
}


@pytest.fixture(scope="module")
def files():
    """What students get of assignment 1."""
    return build(ENGINE)


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """Its folder, which is the current one."""
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write(folder, **bodies):
    """Put code in place of stubs: write(folder, t1_1="return ...")."""
    path = folder / "engine.py"
    text = path.read_text(encoding="utf-8")
    for name, body in bodies.items():
        number = name[1:].replace("_", ".")
        start = text.index(f'    raise NotImplementedError("Task {number}')
        end = text.index("\n", start)
        lines = "\n".join(f"    {line}" for line in body.split("\n"))
        text = text[:start] + lines + text[end:]
    path.write_text(text, encoding="utf-8")


def test_a_new_release_reads_not_started(folder, capsys):
    assert cli.main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.count("not started") == 4 and out.count("can't check yet") == 3
    assert out.endswith("0 of 5 tasks passed; 3 not started, 2 can't check yet\n")
    assert "Traceback" not in out


def test_what_is_right_passes_and_the_rest_is_counted(folder, capsys):
    write(folder, **{f"t{n.replace('.', '_')}": body for n, body in RIGHT.items()})
    assert cli.main(["check", "1.1", "affine_rule"]) == 0
    out = capsys.readouterr().out
    assert "1.1  multiply_rule            passed" in out and "matmul_rule" not in out
    assert out.endswith("all public checks passed (2 more run at grading)\n")


def test_what_is_wrong_is_shown_small_with_its_hint(folder, capsys):
    write(folder, t1_1="return g * a, g * b")
    assert cli.main(["check", "multiply_rule"]) == 1
    out = capsys.readouterr().out
    assert "likely: the slope by a has the other factor in it, b" in out
    assert "for g = [[" in out and "passed: invariant" in out
    assert max(map(len, out.split("\n"))) <= 80
    assert out.count("\n") <= 14


def test_an_error_has_the_students_own_line(folder, capsys):
    write(folder, t1_2="return g @ B, A.T @ G")
    assert cli.main(["check", "1.2"]) == 1
    out = capsys.readouterr().out
    assert "engine.py, line" in out and "return g @ B, A.T @ G" in out
    assert "NameError: name 'G' is not defined" in out
    assert "child.py" not in out and "Traceback" not in out


def test_a_file_that_is_no_python_is_said_once(folder, capsys):
    path = folder / "engine.py"
    path.write_text(path.read_text(encoding="utf-8") + "\ndef f(:\n", encoding="utf-8")
    assert cli.main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.count("def f(:") == out.count("SyntaxError") == 1
    assert out.count("can't run") == 6 and "hint" not in out and "Traceback" not in out
    assert out.endswith("0 of 5 tasks passed; 5 can't run\n")


def test_an_endless_loop_ends_and_the_other_tasks_are_checked(
    folder, capsys, monkeypatch
):
    monkeypatch.setattr("scratchnn.cli.course_check.SECONDS", 2.0)
    write(folder, t1_1="while True:\n    pass", t1_2=RIGHT["1.2"])
    assert cli.main(["check"]) == 1
    out = capsys.readouterr().out
    assert "it took more than 2 s" in out
    assert "1.2  matmul_rule              passed" in out


def test_what_the_student_prints_is_seen(folder):
    write(folder, t1_1="print('shape', g.shape)\n" + RIGHT["1.1"])
    done = run("check", "1.1", cwd=folder)
    assert done.returncode == 0 and done.stderr == ""
    assert "printed:\n       shape (" in done.stdout and "shape (5, 3)" in done.stdout
    assert done.stdout.endswith("all public checks passed (1 more run at grading)\n")


def test_what_is_printed_stands_with_its_task_and_has_an_end(folder, capsys):
    lines = "print(*range(10**5), sep='\\n')\n"
    write(folder, t1_1=lines + RIGHT["1.1"], t1_2="print('B' * 10**6)\n" + RIGHT["1.2"])
    assert cli.main(["check", "1.1", "1.2"]) == 0
    out = capsys.readouterr().out
    first, second = out.split("1.2  matmul_rule")
    assert "       99\n       ... more was printed" in first and "100\n" not in first
    assert "B" * 1000 in second and "... more was printed" in second
    assert len(out) < 30_000


def test_colours_are_for_terminals_alone(folder, monkeypatch):
    assert "\x1b" not in run("check", "1.1", cwd=folder).stdout
    from scratchnn.cli import course_check

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert course_check._painted("x", 31) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert course_check._painted("x", 31) == "x"


def test_it_needs_neither_numba_nor_posix(folder):
    """Modules of one system alone are hidden, as they are on another."""
    write(folder, t1_1=RIGHT["1.1"])
    hide = "import sys\nfor n in ('numba', 'resource', 'fcntl', 'pwd', 'grp', 'pty'):\n"
    hide += "    sys.modules[n] = None\n"
    code = f"{hide}from scratchnn.cli import main\nsys.exit(main(['check', '1.1']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True,
                          capture_output=True, env=environment())  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_notebook_is_checked_as_well(tmp_path, monkeypatch, capsys):
    release(ENGINE, tmp_path / "book", kind="notebook")
    monkeypatch.chdir(tmp_path / "book")
    assert cli.main(["check", "1.1"]) == 1
    assert "1.1  multiply_rule            not started" in capsys.readouterr().out
    path = tmp_path / "book" / "engine.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("import numpy", "import os, numpy"), encoding="utf-8")
    assert cli.main(["check", "1.1"]) == 1
    path.write_text(text.replace("import numpy", "import numpy,"), encoding="utf-8")
    assert cli.main(["check"]) == 1
    out = capsys.readouterr().out
    assert "engine.ipynb, code cell 1, line 1:" in out and "engine.py" not in out


def test_a_teacher_tries_an_annotated_file(capsys):
    assert cli.main(["check", "--solution", str(ENGINE), "1.1"]) == 0
    out = capsys.readouterr().out
    assert "all checks, on the solution" in out and "4 checks" in out


@pytest.mark.parametrize(
    "argv, words",
    [
        (["9.9"], "engine has no task '9.9'; there are 1.1, 1.2"),
        (["multiply_rul"], "did you mean 'multiply_rule'"),
        (["--solution", "nowhere.py"], "there is no file nowhere.py"),
        (["--solution", "engine.py"], "engine.py has no tasks with checks"),
        (["--colour"], "unknown option --colour"),
    ],
)
def test_wrong_arguments_are_said_in_a_line(folder, capsys, argv, words):
    assert cli.main(["check", *argv]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_another_folder_is_said_to_be_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check"]) == 2
    assert "go to the folder that you were given" in capsys.readouterr().err


def test_a_lost_file_is_said(folder, capsys):
    (folder / "engine.py").unlink()
    assert cli.main(["check"]) == 2
    assert "there is no engine.py" in capsys.readouterr().err


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def run(*argv, cwd):
    command = [sys.executable, "-m", "scratchnn", *argv]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True,
                          env=environment())  # fmt: skip
