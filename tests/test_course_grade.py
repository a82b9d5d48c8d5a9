"""A class is graded: every submission has its row, and every score is the right one."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import pytest
from course_toy import ASSIGNMENT, CANARY, HONEST, PRY

from scratchnn.cli import main
from scratchnn.course import formats, late, limits, submissions
from scratchnn.course.grade import (
    generator,
    grade,
    read_result,
    read_results,
    read_secret,
    result_path,
)
from scratchnn.course.similar import similar, tokens
from scratchnn.course.submissions import Found

ROOT = Path(__file__).parent.parent
GRADE = [sys.executable, "-m", "scratchnn", "grade"]
STUB = """
def square(x):
    raise NotImplementedError("Task 1.1: square")

def add(a, b):
    raise NotImplementedError("Task 1.2: add")
"""
WRONG = HONEST.replace("x * x", "2 * x").replace("a + b", "a - b")
# Right values, but the invariant that asks for f(x) = f(-x) bit for bit does not hold.
IN_PART = HONEST.replace("x * x", "x * x * (1 + 1e-15 * (x > 0))")


@pytest.fixture
def assignment(tmp_path):
    path = tmp_path / "assign.py"
    path.write_text(ASSIGNMENT)
    return path


def zipped(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def notebook(*sources):
    cells = [{"cell_type": "markdown", "source": ["# Mine"]}]
    cells += [{"cell_type": "code", "source": s.splitlines(True)} for s in sources]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


# ---- reading --------------------------------------------------------------------
def test_a_file_a_zip_a_folder_and_a_notebook_of_the_same_work_score_the_same(
    assignment, tmp_path
):
    there = tmp_path / "all"
    (there / "folder" / "src").mkdir(parents=True)
    (there / "folder" / "src" / "assign.py").write_text(HONEST)
    (there / "file.py").write_text(HONEST)
    (there / "bom.py").write_bytes(
        b"\xef\xbb\xbf" + HONEST.replace("\n", "\r\n").encode()
    )
    (there / "a.zip").write_bytes(
        zipped(
            {"x/assign.py": HONEST, "__MACOSX/x/._assign.py": b"\0\1", "x/b.txt": ""}
        )
    )
    (there / "n.ipynb").write_bytes(
        notebook("%matplotlib inline\n" + HONEST, "square(np.ones(2))[5]", "%%bash\nls")
    )
    found = submissions.find([there], "assign")
    results = {r["id"]: r for r in grade(assignment, found, jobs=2)}
    assert set(results) == {"folder", "file.py", "bom.py", "a.zip", "n.ipynb"}
    for result in results.values():
        assert (result["score"], result["problem"]) == (3.0, ""), result


def link(data, name):
    """A zip whose member is a symbolic link."""
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


def bomb():
    return zipped({"assign.py": b"#" * (10**7)})


def lying():
    """A zip that says its member is small: 3 bytes, it is 10 MB."""
    data = bomb()
    return data.replace((10**7).to_bytes(4, "little"), (3).to_bytes(4, "little"))


BROKEN = {
    "no-zip.zip": (b"hello", "a broken zip file"),
    "cut.zip": (zipped({"assign.py": HONEST})[:-30], "a broken zip file"),
    "changed.zip": (
        zipped({"assign.py": HONEST}).replace(b"assign.py", b"assigm.py", 1),
        "a broken zip file",
    ),
    "empty.zip": (zipped({}), "there is no assign.py in it, but no Python file"),
    "traversal.zip": (
        zipped({"../../assign.py": HONEST, "/tmp/assign.py": HONEST}),
        "left out ../../assign.py: its path leads out of the archive",
    ),
    "link.zip": (link(zipped({}), "assign.py"), "left out assign.py: a link"),
    "bomb.zip": (bomb(), "assign.py has more than 1 MB"),
    "lying.zip": (lying(), "a broken zip file"),
    "many.zip": (zipped({f"{k}.py": "" for k in range(1100)}), "too many files"),
    "other.zip": (
        zipped({"a.py": HONEST, "b.py": HONEST}),
        "there is no assign.py in it, but a.py, b.py",
    ),
    "text.txt": (b"hello", "a .txt, expected .py, .zip, .ipynb"),
    "broken.ipynb": (b"{", "a broken notebook"),
    "other.ipynb": (b'{"cells": [3]}', "a broken notebook"),
    "deep.ipynb": (b"[" * 10**5, "a broken notebook"),
    "long.py": (b"#" * (2 * 10**6), "long.py has more than 1 MB"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_can_not_be_read_is_said(name, assignment, tmp_path):
    data, words = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    (result,) = grade(assignment, [Found(name, tmp_path / name)])
    assert words in formats.problem(result)
    assert result["score"] == 0 and len(result["tasks"]) == 2
    assert CANARY not in json.dumps(result) and "root:" not in json.dumps(result)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_links_pipes_and_devices_are_not_read(assignment, tmp_path):
    there = tmp_path / "all"
    (there / "folder").mkdir(parents=True)
    os.symlink(assignment, there / "link.py")
    os.symlink(assignment, there / "folder" / "assign.py")
    os.symlink("nowhere", there / "dangling.py")
    os.mkfifo(there / "pipe.py")
    os.mkfifo(there / "pipe.zip")
    found = submissions.find([there], "assign")
    results = list(grade(assignment, found))
    assert len(results) == 5
    for result in results:
        assert result["score"] == 0 and result["problem"], result


def test_a_missing_function_and_an_error_in_one_leave_the_others_their_points(
    assignment, tmp_path
):
    (tmp_path / "a.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "b.py").write_text(HONEST.replace("x * x", "x.foo"))
    found = [Found(n, tmp_path / n) for n in ("a.py", "b.py")]
    a, b = sorted(grade(assignment, found), key=lambda r: r["id"])
    assert (
        [t["score"] for t in a["tasks"]] == [t["score"] for t in b["tasks"]] == [0, 1]
    )
    assert "assign.py has no function square" in a["tasks"][0]["text"]
    assert "return x.foo" in b["tasks"][0]["text"]


def test_a_folder_is_one_submission_if_it_holds_the_file_or_if_so_asked(tmp_path):
    one = tmp_path / "one"
    one.mkdir()
    (one / "other.py").write_text(HONEST)
    (one / ".DS_Store").write_text("")
    (one / "submission_metadata.yml").write_text("")
    assert [f.id for f in submissions.find([one], "assign")] == ["other.py"]
    assert [f.id for f in submissions.find([one], "assign", single=True)] == ["one"]
    (one / "other.py").rename(one / "assign.py")
    assert [f.id for f in submissions.find([one], "assign")] == ["one"]


def test_a_class_is_a_class_though_one_of_it_kept_the_files_name(tmp_path):
    def ids(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(HONEST if path.stem != "assign" else "import helper")
        return [f.id for f in submissions.find([tmp_path], "assign")]

    whole = [tmp_path.name]
    assert ids("assign.py", "helper.py", "data.csv", "README.md") == whole
    assert ids("notes.d/a.txt") == whole
    for other in ("ada.py", "bob.zip", "bob.ipynb", "cleo/assign.py"):
        found = ids(other)
        assert other.split("/")[0] in found and "assign.py" in found, other
        (tmp_path / other).unlink()


def test_no_two_submissions_share_an_id(tmp_path):
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ada.py").write_text(HONEST)
    paths = [tmp_path / "monday", tmp_path / "tuesday", tmp_path / "monday" / "ada.py"]
    ids = [f.id for f in submissions.find(paths, "assign")]
    assert ids == ["monday/ada.py", "tuesday/ada.py", "monday/ada.py #2"]
    files = {result_path(tmp_path, id) for id in [*ids, "monday%2Fada.py", "m" * 300]}
    assert len(files) == 5 and all(len(f.name) < 200 for f in files)
    assert all(f.parent == tmp_path / "results" for f in files)


# ---- a class --------------------------------------------------------------------
SLOW = PRY + "def square(x):\n    while True:\n        pass\n"
DIES = PRY + 'def square(x):\n    pry("os")._exit(0)\n'
KINDS = [  # (its content, its scores)
    ("right.py", HONEST.encode(), (2.0, 1.0)),
    ("part.py", IN_PART.encode(), (1.33, 1.0)),
    ("half.py", HONEST.replace("a + b", "a").encode(), (2.0, 0.0)),
    ("wrong.py", WRONG.encode(), (0.0, 0.0)),
    ("stub.py", STUB.encode(), (0.0, 0.0)),
    ("syntax.py", b"def square(x)\n", (0.0, 0.0)),
    ("dies.py", DIES.encode(), (0.0, 1.0)),
    ("loops.py", SLOW.encode(), (0.0, 1.0)),
    ("broken.zip", b"PK\x03\x04", (0.0, 0.0)),
    ("zipped.zip", zipped({"assign.py": HONEST}), (2.0, 1.0)),
]


def make_class(folder, n):
    """n submissions; {id: scores}."""
    folder.mkdir()
    expected = {}
    for k in range(n):
        name, data, scores = KINDS[k % len(KINDS)]
        (folder / f"{k:03d}-{name}").write_bytes(data)
        expected[f"{k:03d}-{name}"] = scores
    return expected


def scores_of(results):
    return {r["id"]: tuple(t["score"] for t in r["tasks"]) for r in results}


SIZES = [30, pytest.param(200, marks=pytest.mark.slow)]


@pytest.mark.skipif(sys.platform != "linux", reason="attacks are held off on Linux")
@pytest.mark.parametrize("n", SIZES)
def test_a_class_killed_half_way_is_graded_to_the_end_and_every_score_is_exact(
    n, assignment, tmp_path
):
    expected, out = make_class(tmp_path / "class", n), tmp_path / "out"
    command = [*GRADE, assignment, tmp_path / "class"]
    command += ["--jobs", "2", "--out", out, "--seconds", "1"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    grader = subprocess.Popen([*map(str, command)], **quiet)
    while grader.poll() is None and len(list(out.glob("results/*.json"))) < n // 3:
        time.sleep(0.05)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    done = {p.name: p.stat().st_mtime_ns for p in out.glob("results/*.json")}
    assert n // 3 <= len(done) < n
    again = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert scores_of(read_results(out)) == expected
    for name, when in done.items():  # not graded again
        assert (out / "results" / name).stat().st_mtime_ns == when
    rows = (out / "grades.csv").read_text().splitlines()
    assert len(rows) == n + 1
    assert not [p for p in (out / "results").iterdir() if p.suffix != ".json"]


@pytest.mark.skipif(os.name != "posix", reason="SIGINT")
def test_ctrl_c_says_how_far_it_came_and_ends_what_runs(assignment, tmp_path):
    make_class(tmp_path / "class", 10)
    (tmp_path / "class" / "000-loops.py").write_text(SLOW)
    (tmp_path / "class" / "zzz-loops.py").write_text(SLOW)
    out = tmp_path / "out"
    command = [*GRADE, assignment, tmp_path / "class"]
    command += ["--out", out, "--seconds", "50", "--jobs", "2"]
    grader = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,  # and with SIGINT: jobs in the background have none
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not list(out.glob("results/*.json")):
        assert grader.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    grader.send_signal(signal.SIGINT)
    _, errors = grader.communicate(timeout=30)
    assert grader.returncode == 130
    assert "stopped after" in errors and "the same command goes on" in errors
    assert "Traceback" not in errors


def test_a_result_is_read_back_unless_something_has_changed(assignment, tmp_path):
    (tmp_path / "a.py").write_text(HONEST)
    found, out = [Found("a.py", tmp_path / "a.py")], tmp_path / "out"
    path = result_path(out, "a.py")

    def graded(**options):
        before = path.stat().st_mtime_ns if path.exists() else None
        (result,) = grade(assignment, found, out, **options)
        assert result == read_result(path)
        return path.stat().st_mtime_ns != before

    assert graded() and not graded()
    assert graded(secret=b"other") and not graded(secret=b"other")
    assert graded(public_only=True)
    (tmp_path / "a.py").write_text(WRONG)
    assert graded() and not graded()
    assignment.write_text(ASSIGNMENT.replace("points=1", "points=5"))
    assert graded()
    path.write_text(path.read_text()[:100])
    assert graded()


def test_when_it_was_handed_in_can_be_given_afterwards(assignment, tmp_path):
    (tmp_path / "a.py").write_text(HONEST)
    found, out = [Found("a.py", tmp_path / "a.py")], tmp_path / "out"
    (first,) = grade(assignment, found, out)
    written = result_path(out, "a.py").stat().st_mtime_ns
    (second,) = grade(assignment, found, out, times={"a.py": DUE})
    assert second == {**first, "when": DUE.isoformat()} != first
    assert result_path(out, "a.py").stat().st_mtime_ns == written


def test_a_fault_of_the_checks_is_the_teachers_and_is_tried_again(assignment, tmp_path):
    broken = ASSIGNMENT.replace("x = rng.normal(size=3)", "x = rng.normal(size='x')")
    assignment.write_text(broken.replace("@SQUARE.invariant\n", "@SQUARE.value\n", 1))
    (tmp_path / "a.py").write_text(HONEST)
    found = [Found("a.py", tmp_path / "a.py")]
    for _ in range(2):
        (result,) = grade(assignment, found, tmp_path / "out")
        assert result["fault"].startswith("task 1.1: ")
        assert [t["score"] for t in result["tasks"]] == [0.0, 1.0]


# ---- secrets, seeds, lateness ---------------------------------------------------
def test_inputs_follow_from_secret_submission_and_task_alone():
    draws = {
        generator(*key).normal().hex()
        for key in [
            (b"a", "x", "1.1"), (b"b", "x", "1.1"), (b"a", "y", "1.1"),
            (b"a", "x", "1.2"), (b"a", "x1", ".1"),
        ]
    }  # fmt: skip
    assert len(draws) == 5
    assert generator(b"a", "x", "1.1").normal() == generator(b"a", "x", "1.1").normal()


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "new" / "secret"
    secret = read_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(secret) == 64
    assert read_secret(path) == secret
    assert read_secret(tmp_path / "other") != secret
    (tmp_path / "short").write_text("abc")
    with pytest.raises(ValueError, match="no secret of 16"):
        read_secret(tmp_path / "short")


DUE = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "rule, when, factor, words",
    [
        ("10% per day", "2026-11-28T11:00:00+00:00", 1.0, ""),
        ("10% per day", "2026-11-28T12:00:59Z", 1.0, ""),
        ("10% per day", "2026-11-28T12:30:00Z", 0.9, "1 day late: -10 %"),
        ("10% per day", "2026-11-29T12:01:00Z", 0.9, "1 day late: -10 %"),
        ("10% per day", "2026-11-29T12:01:01Z", 0.8, "2 days late: -20 %"),
        ("10% per day", "2027-11-29T12:00:00Z", 0.0, "366 days late: -100 %"),
        (
            "10 % per day, at most 50%",
            "2027-01-01T12:00:00Z",
            0.5,
            "34 days late: -50 %",
        ),
        ("2.5% per hour", "2026-11-28T15:30:00+02:00", 0.95, "2 hours late: -5 %"),
    ],
)
def test_late_work_loses_what_the_rule_says(rule, when, factor, words):
    of = late.rule(rule, DUE).of(when)
    assert (pytest.approx(of[0]), of[1]) == (factor, words)


@pytest.mark.parametrize("text", ["10 per day", "10% per week", "-10% per day", ""])
def test_a_rule_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected as in"):
        late.rule(text, DUE)


# ---- alike ----------------------------------------------------------------------
LONG = '''
import numpy as np

def softmax(scores):
    """Rows sum to 1."""
    highest = scores.max(axis=-1, keepdims=True)
    lifted = np.exp(scores - highest)
    total = lifted.sum(axis=-1, keepdims=True)
    return lifted / total

def attend(Q, K, V, mask):
    d = Q.shape[-1]
    scores = np.einsum("qd,kd->qk", Q, K)  # all pairs
    for row in range(scores.shape[0]):
        for column in range(scores.shape[1]):
            if not mask[row, column]:
                scores[row, column] = -1e30
    weights = softmax(scores / d ** 0.5)
    return np.dot(weights, V)
'''
COPY = (
    LONG.replace("scores", "energy").replace("lifted", "z").replace("  # all pairs", "")
    .replace("softmax", "normalise").replace("row", "i").replace("column", "jj")
    .replace("Rows sum to 1.", "My own work.").replace("\n\n", "\n\n\n# mine\n")
)  # fmt: skip
INDEPENDENT = [
    HONEST,
    "def square(x):\n    return x ** 2\n\ndef add(a, b):\n    return a + b\n",
    "import numpy as np\ndef square(x):\n    return np.square(x)\n"
    "def add(a, b):\n    return np.add(a, b)\n",
    "def square(z):\n    y = z * z\n    return y\ndef add(p, q):\n    return q + p\n",
    "import numpy as np\n\ndef square(x):\n    x = np.asarray(x)\n    return x * x\n\n"
    "def add(a, b):\n    total = a + b\n    return total\n",
]


def test_a_renamed_copy_is_found_and_independent_answers_to_short_tasks_are_not():
    texts = {f"s{k}": text for k, text in enumerate(INDEPENDENT * 4)}
    assert similar(texts, [ASSIGNMENT]) == []
    texts |= {"ada": LONG, "bob": COPY}
    pairs = similar(texts, [ASSIGNMENT])
    assert [(p.first, p.second) for p in pairs] == [("ada", "bob")]
    assert pairs[0].shared == 1.0


def test_what_the_release_or_the_solution_holds_is_no_copy():
    assert similar({"ada": LONG, "bob": COPY}, [LONG]) == []


@pytest.mark.parametrize(
    "text", ["(" * 99, "'''", "\0", "x = 'a\n", "  x\n y", "\ud800"]
)
def test_what_is_no_python_has_the_tokens_up_to_there(text):
    assert isinstance(tokens(text), list)


# ---- the command ----------------------------------------------------------------

def test_an_assignment_of_the_lessons_is_known_by_its_name(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    (tmp_path / "vae.py").write_text("def kl(:")
    assert main(["grade", "vae", str(tmp_path / "vae.py"), "--out", str(tmp_path)]) == 0
    assert "0 / 15" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing.py", "s"], "there is no assignment nothing.py"),
        (["empty", "s"], "there is no .checks with an assignment's checks in"),
        (["assign.py", "nobody"], "nobody: there is no such file or folder"),
        (["assign.py", "empty"], "empty: there are no submissions in it"),
        (["assign.py"], "SUBMISSION is missing"),
        (["assign.py", "s", "--format", "tabel"], "no format 'tabel'; did you mean"),
        (["assign.py", "s", "--jobs", "0"], "--jobs: expected a whole number from 1"),
        (["assign.py", "s", "--seconds", "-1"], "--seconds: expected a number above 0"),
        (["assign.py", "s", "--late", "10% per day"], "--late needs --due"),
        (["assign.py", "s", "--due", "2026-01-01"], "--due needs --late"),
        (["assign.py", "s", "--late", "10%", "--due", "2026-01-01"], "expected as in"),
        (
            ["assign.py", "s", "--late", "1% per day", "--due", "x"],
            "expected a time as",
        ),
        (["assign.py", "s", "--hidden", "never"], "--hidden: expected one of visible"),
        (
            ["assign.py", "s", "--times", "assign.py"],
            "expected columns submission,time",
        ),
        (["assign.py", "s", "--metadata", "assign.py"], "no JSON of Gradescope's"),
        (["bad.py", "s"], "bad.py"),
        (["unmarked.py", "s"], "unmarked.py"),
    ],
)
def test_wrong_input_is_answered_in_one_line(
    arguments, words, assignment, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "s" / "a.py").write_text(HONEST)
    (tmp_path / "bad.py").write_text("def f(x)\n")
    (tmp_path / "unmarked.py").write_text("### BEGIN SOLUTION\n")
    assert main(["grade", *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and not out


@pytest.mark.parametrize(
    "held, words",
    [
        ([], "can read what you can: grade as root, on Linux"),
        (["user", "processes", "resources"], "can read what you can"),
        (
            ["calls", "processes", "resources"],
            "even so a submission's code can read no",
        ),
        (["user", "folder", "resources"], "even so a submission's code can read no"),
    ],
)
def test_what_protects_is_said_before_grading_if_something_is_missing(
    held, words, assignment, tmp_path, monkeypatch, capsys
):
    found = [(name, name in held, text) for name, text in limits.WORDS.items()]
    monkeypatch.setattr("scratchnn.course.session.protections", lambda: found)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    assert main(["grade", "assign.py", "notes.txt"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("this machine lacks ") and words in err
    for name, text in limits.WORDS.items():
        assert (text in err) == (name not in held)


def test_one_submission_is_shown_as_asked(assignment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ada.py").write_text(HONEST)
    assert main(["grade", "assign.py", "ada.py"]) == 0
    assert "ada.py      3 / 3    2    1" in capsys.readouterr().out
    assert Path("grades/assign/secret").exists()
    assert main(["grade", "assign.py", "ada.py", "--format", "check50"]) == 0
    assert json.loads(capsys.readouterr().out)["slug"] == "assign"


def test_gradescopes_folder_is_graded_by_its_metadata(
    assignment, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "mine.py").write_text(HONEST)
    metadata = {
        "id": 123, "created_at": "2026-11-30T10:00:00.365935-08:00",
        "assignment": {"due_date": "2026-11-29T10:00:00.000000-08:00"},
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(metadata))
    command = (
        "grade assign.py submission --single --format gradescope --metadata m.json"
    )
    command = [*command.split(), "--output", "results.json", "--late", "10% per day"]
    assert main(command) == 0
    result = json.loads((tmp_path / "results.json").read_text())
    assert result["score"] == 2.7
    assert "1 day late: -10 %" in result["output"]
    assert "mine.py was taken for assign.py" in result["output"]
    assert not (tmp_path / "grades").exists()


def test_a_students_folder_grades_by_its_public_checks(
    assignment, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["release", "assign.py", "out"]) == 0
    (tmp_path / "out" / "assign.py").write_text(HONEST.replace("a + b", "a - b"))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("GITHUB_REPOSITORY_OWNER", "ada")
    capsys.readouterr()
    assert main(["grade", "out", "out", "--single", "--format", "classroom50"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["score"], result["max-score"], result["owner"]) == (2, 3, "ada")
    assert main(["grade", "empty", "out"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_times_can_be_given(assignment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ada.py").write_text(HONEST)
    (tmp_path / "t.csv").write_text("submission,time\nada.py,2026-11-30T13:00\n")
    command = "grade assign.py ada.py --format csv --due 2026-11-30T12:00 --times t.csv"
    assert main([*command.split(), "--late", "50% per hour"]) == 0
    assert "ada.py,1.5,3,1 hour late: -50 %,2.0,1.0,," in capsys.readouterr().out
