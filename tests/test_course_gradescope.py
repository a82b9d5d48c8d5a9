"""Gradescope's autograder, set up and run in a folder like Gradescope's own."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_course_release import TOY

from scratchnn.course.markers import solution_text, student_text
from scratchnn.course.release import release

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("timeout")),
    reason="the scripts are for Gradescope's Linux",
)

RIGHT = solution_text(TOY, "toy.py")
STUBS = student_text(TOY, "toy.py")
HALF = STUBS.replace('raise NotImplementedError("Task 1.1: square")', "return x**2")
CURL = """\
#!/bin/sh
# stands for the network: gives an installer, which makes this uv
cat <<'END'
mkdir -p "$UV_INSTALL_DIR"
cat >"$UV_INSTALL_DIR/uv" <<'UV'
#!/bin/sh
echo "uv $*" >>"$UV_INSTALL_DIR/said"
if [ "$1" = venv ]; then
    mkdir -p "$SCRATCHNN_HOME/venv/bin"
    printf '#!/bin/sh\\nexec "%s" "$@"\\n' PYTHON >"$SCRATCHNN_HOME/venv/bin/python"
    chmod +x "$SCRATCHNN_HOME/venv/bin/python"
fi
UV
chmod +x "$UV_INSTALL_DIR/uv"
END
"""


class Box:
    """A folder as /autograder is: source, submission, results."""

    def __init__(self, folder, archive):
        self.folder = folder
        self.source = folder / "source"
        self.environment = {
            "PATH": os.environ["PATH"],
            "AUTOGRADER": str(folder),
            "SCRATCHNN_HOME": str(folder / "home"),
        }
        with zipfile.ZipFile(archive) as unpacked:
            for info in unpacked.infolist():
                path = Path(unpacked.extract(info, self.source))
                path.chmod(stat.S_IMODE(info.external_attr >> 16))

    def run(self, program, **environment):
        return subprocess.run(
            [self.source / program],
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )

    def result(self, files, metadata=None, **environment):
        """What Gradescope reads after the run on {name: text}."""
        shutil.rmtree(self.folder / "submission", ignore_errors=True)
        (self.folder / "submission").mkdir()
        for name, text in files.items():
            (self.folder / "submission" / name).write_text(text, encoding="utf-8")
        about = self.folder / "submission_metadata.json"
        about.write_text(json.dumps(metadata or {"id": 7}), encoding="utf-8")
        self.said = self.run("run_autograder", **environment)
        assert self.said.returncode == 0
        results = self.folder / "results"
        assert [p.name for p in results.iterdir()] == ["results.json"]
        return json.loads((results / "results.json").read_bytes())


def score(result):
    """The score that Gradescope shows: its own, or the sum over the tests."""
    tests = result.get("tests", [])
    return result.get("score", sum(test.get("score", 0) for test in tests))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "toy.py").write_text(TOY, encoding="utf-8")
    return release(folder / "toy.py", folder / "out", "gradescope").path


@pytest.fixture(scope="module")
def box(archive, tmp_path_factory):
    """A box that is set up, with the Python of these tests."""
    box = Box(tmp_path_factory.mktemp("autograder"), archive)
    done = box.run("setup.sh", SCRATCHNN_PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    return box


def test_only_the_owner_can_read_the_solution_the_checks_and_the_secret(archive, box):
    with zipfile.ZipFile(archive) as packed:
        modes = {i.filename: oct(i.external_attr >> 16) for i in packed.infolist()}
    secret = {n: m for n, m in modes.items() if n.startswith("assignment/")}
    assert secret == {
        "assignment/toy.py": "0o100600",
        "assignment/secret": "0o100600",
    }
    assert modes["setup.sh"] == modes["run_autograder"] == "0o100755"
    for path in (box.source, *box.source.rglob("*")):
        assert not path.stat().st_mode & 0o077, path


@pytest.mark.parametrize(
    "text, total", [(RIGHT, 3), (HALF, 2), (STUBS, 0), ("def square(x", 0), ("", 0)]
)
def test_a_submission_gets_its_score(text, total, box):
    result = box.result({"toy.py": text})
    assert score(result) == total
    assert sum(t["max_score"] for t in result["tests"]) == 3


def test_it_grades_with_the_library_that_came_in_the_zip(box):
    library = box.source / "library" / "scratchnn" / "course" / "grade.py"
    text = library.read_text(encoding="utf-8")
    try:
        library.write_text("raise SystemExit('the copy')\n", encoding="utf-8")
        box.result({"toy.py": RIGHT})
        assert "the copy" in box.said.stderr
    finally:
        library.write_text(text, encoding="utf-8")


def test_nothing_that_a_submission_brings_is_told_or_run(box):
    attack = f"""
import sys
print("{'spam ' * 99}")
open({str(box.folder / 'results' / 'results.json')!r}, "w").write('{{"score": 99}}')
"""
    files = {"toy.py": f"{RIGHT}\n{attack}", "results.json": '{"score": 99}'}
    files |= {"conftest.py": "raise SystemExit", "run_autograder": "exit 1"}
    result = box.result(files)
    assert score(result) == 0 and result.get("score") != 99


def test_a_name_or_an_address_is_nowhere_in_the_result(box):
    about = {"id": 7, "users": [{"name": "Ada L.", "email": "ada@example.org"}]}
    about |= {"created_at": "2026-11-28T20:00:00.000000-08:00"}
    result = box.result({"toy.py": RIGHT}, about)
    assert score(result) == 3
    assert "Ada" not in json.dumps(result) and "ada@" not in json.dumps(result)


# ---- when the grader itself fails -----------------------------------------------
def test_a_run_that_takes_too_long_leaves_a_result_that_says_so(box):
    result = box.result({"toy.py": RIGHT}, SCRATCHNN_SECONDS="0.01")
    assert score(result) == 0 and "took too long" in result["output"]


@pytest.mark.parametrize("lost", ["home/python.path", "source/assignment/toy.py"])
def test_a_grader_that_is_broken_leaves_a_result_that_says_so(lost, box):
    path = box.folder / lost
    path.rename(box.folder / "away")
    try:
        result = box.result({"toy.py": RIGHT})
    finally:
        (box.folder / "away").rename(path)
    assert score(result) == 0 and "not your code. Tell your teacher" in result["output"]


def test_setup_stops_at_a_python_that_cannot_run_it(archive, tmp_path):
    box = Box(tmp_path, archive)
    done = box.run("setup.sh", SCRATCHNN_PYTHON=str(tmp_path / "no-python"))
    assert done.returncode and not (tmp_path / "home" / "python.path").exists()


def test_setup_brings_its_own_python_and_numpy(archive, tmp_path):
    box = Box(tmp_path, archive)
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin" / "curl"
    curl.write_text(CURL.replace("PYTHON ", f"{sys.executable} "))
    curl.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = box.run("setup.sh", PATH=path)
    assert done.returncode == 0, done.stderr
    made, installed = (tmp_path / "home" / "uv" / "said").read_text().splitlines()
    assert made.startswith("uv venv ") and "--python 3.12" in made
    assert installed.startswith("uv pip install ") and "numpy>=2.0" in installed
    assert score(box.result({"toy.py": RIGHT})) == 3
