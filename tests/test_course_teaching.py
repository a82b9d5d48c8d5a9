"""What docs/teaching.md shows is what happens, from its new task to the report."""

import csv
import re
import shlex
import zipfile
from pathlib import Path

import pytest

from scratchnn import cli
from scratchnn.course.markers import blocks, solution_text, student_text

PAGE = Path(__file__).parent.parent / "docs" / "teaching.md"
TEXT = PAGE.read_text(encoding="utf-8")
(TASK,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
SHELL = [c for b in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for c in b.splitlines()]
WRONG = "def softplus(x):\n    return np.log(1 + np.exp(x))\n"


def test_the_checks_of_the_new_task_are_20_lines():
    lines = TASK.split("\n")
    inside = [
        lines[n - 1]
        for block in blocks(TASK, "softplus.py")
        if block.kind != "solution"
        for n in block.inner
    ]
    assert len([x for x in inside if x.strip() and x[:1] != "@"]) <= 20


def test_every_command_of_the_page_does_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("softplus.py").write_text(TASK, encoding="utf-8")
    right, stub = (f(TASK, "softplus.py") for f in (solution_text, student_text))
    Path("submissions").mkdir()
    Path("submissions", "ada.py").write_text(right, encoding="utf-8")
    wrong = f"import numpy as np\n\n\n{WRONG}"
    Path("submissions", "ben.py").write_text(wrong, encoding="utf-8")
    with zipfile.ZipFile(Path("submissions", "cleo.zip"), "w") as archive:
        archive.writestr("softplus/softplus.py", stub)
    assert len(SHELL) >= 8
    for command in SHELL:
        program, *argv = shlex.split(command)
        assert program == "scratchnn" and cli.main(argv) == 0, command
    out = capsys.readouterr().out
    assert "the solution passes all checks" in out

    with open(Path("grades", "softplus", "grades.csv"), newline="") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"ada.py", "ben.py", "cleo.zip"}
    scores = {name: (row["score"], row["mistakes"]) for name, row in rows.items()}
    assert scores["ben.py"] == ("0.0", "5.1: overflow")
    assert float(scores["ada.py"][0]) > 0 and scores["cleo.zip"] == ("0.0", "")
    report = Path("grades", "softplus", "report.html").read_text(encoding="utf-8")
    assert "overflow" in report
    assert Path("out", "softplus.zip").is_file()
    assert Path("out", "notebook", "softplus.ipynb").is_file()
    assert Path("out", "softplus-autograder.zip").is_file()
    assert Path("grades", "softplus", "secret").is_file()


def test_a_student_with_the_mistake_of_the_page_gets_its_hint(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("softplus.py").write_text(TASK, encoding="utf-8")
    assert cli.main(["release", "softplus.py", "out"]) == 0
    text = f"import numpy as np\n\n\n{WRONG}"
    Path("out", "softplus.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "out")
    capsys.readouterr()
    assert cli.main(["check"]) == 1
    assert "e^x is infinite from x = 710 on" in capsys.readouterr().out


MARK = r"`(?:\"\"\" )?(#.*?)`"
MARKS = re.findall(rf"^\| {MARK} \.\.\. {MARK} \|", TEXT, re.M)


@pytest.mark.parametrize("first, last", MARKS)
def test_the_marks_of_the_page_are_marks(first, last):
    quotes = '\"""' if "PROMPT" in last else ""
    body = f"{quotes}{first}\ny = 1\n{quotes}{last}\n"
    kinds = [block.kind for block in blocks(body, "page.py")]
    assert kinds and kinds[0] in first.lower()
