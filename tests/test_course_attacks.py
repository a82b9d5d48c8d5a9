"""Whatever a submission does, it gets no more than what it did right.

Each attack of course_toy.py is one on task 1.1, where it must score 0; it leaks
nothing, and task 1.2, done as it should be, keeps its point. All of it once more as an
ordinary user, where the tests run as root.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from course_toy import ASSIGNMENT, ATTACKS, CANARY, HONEST, PRY, WHOLE_FILE, attack

from scratchnn.course import load, wire
from scratchnn.course.checking import run_task
from scratchnn.course.errors import StudentError
from scratchnn.course.grade import grade, read_result, result_path
from scratchnn.course.session import Session, protections
from scratchnn.course.submissions import Found

LINUX = sys.platform == "linux"
ROOT = LINUX and os.geteuid() == 0
HELD = dict(row[:2] for row in protections()) if LINUX else {}
pytestmark = [
    pytest.mark.skipif(not LINUX, reason="the walls are Linux's"),
    pytest.mark.skipif(
        not (HELD.get("calls") or HELD.get("user") and HELD.get("folder")),
        reason="neither users nor a filter of system calls here: grade says so",
    ),
]
EVERY = [(row, name) for row, attacks in ATTACKS.items() for name in attacks]


def withstood(name, result):
    """Assert that an attack came to nothing."""
    assert not result["fault"]
    attacked, honest = result["tasks"]
    assert attacked["score"] == 0.0 and attacked["status"] == "failed"
    assert attacked["text"].count("\n") < 12 and len(attacked["text"]) < 10_000
    assert honest["score"] == (0.0 if name in WHOLE_FILE else 1.0), honest["text"]
    assert result["score"] == honest["score"]
    assert CANARY not in json.dumps(result)
    assert len(result["printed"]) <= 20_000


@pytest.mark.parametrize("row, name", EVERY, ids=[f"{r}: {n}" for r, n in EVERY])
def test_an_attack_comes_to_nothing(row, name, tmp_path):
    assignment, path = tmp_path / "assign.py", result_path(tmp_path / "out", "mallory")
    assignment.write_text(ASSIGNMENT)
    file = tmp_path / "mallory.py"
    file.write_bytes(attack(row, name, assignment, path, os.getpid()))
    found = [Found("mallory", file)]
    (result,) = grade(assignment, found, tmp_path / "out", secret=b"s", seconds=1.0)
    withstood(name, result)
    assert read_result(path) == result
    assert not left_over()


def left_over():
    """Processes of sessions that this one started."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        lines = dict(
            line.split(":\t", 1) for line in text.splitlines() if ":\t" in line
        )
        ours = int(lines["PPid"]) == os.getpid()
        if ours and lines["State"][0] != "Z" and "child.py" in command(pid):
            found.append(pid)
    return found


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


# ---- as an ordinary user --------------------------------------------------------
# Python may lie where only root looks (/root, a private folder of /tmp). In a mount
# namespace of its own the test puts what it needs of such folders where all can see it.
REACHABLE = """
set -e
stage=$1; shift; n=0
for path in $PATHS; do
  mkdir -p $stage/$n; mount --bind $path $stage/$n; n=$((n + 1))
done
for hidden in $HIDDEN; do mount -t tmpfs -o mode=755 none $hidden; done
n=0
for path in $PATHS; do
  [ -e $path ] || { mkdir -p $path; mount --bind $stage/$n $path; }
  n=$((n + 1))
done
cd /
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""


@pytest.fixture(scope="session")
def as_nobody():
    """Runs `python ...` as an ordinary user, in a folder of his."""
    if not ROOT:
        pytest.skip("these tests run as an ordinary user already")
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("no unshare or setpriv to become an ordinary user with")
    here = Path(__file__).resolve().parent.parent
    paths = sorted({Path(p).resolve() for p in (sys.base_prefix, sys.prefix, here)})
    paths = [p for p in paths if not any(o in p.parents for o in paths)]
    hidden = []
    for path in paths:
        closed = [p for p in reversed(path.parents) if not p.stat().st_mode & 0o001]
        hidden += closed[:1]
    stage = tempfile.mkdtemp(prefix="scratchnn-stage-")
    home = tempfile.mkdtemp(prefix="scratchnn-nobody-")
    os.chmod(stage, 0o755)
    os.chown(home, 65534, 65534)
    environment = {
        "PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home,
        "PYTHONDONTWRITEBYTECODE": "1", "SCRATCHNN_JIT": "0",
        "PATHS": " ".join(map(str, paths)), "HIDDEN": " ".join(map(str, set(hidden))),
    }  # fmt: skip

    def run(*arguments):
        command = ["unshare", "-m", "sh", "-c", REACHABLE, "sh", stage, sys.executable]
        done = subprocess.run(
            [*command, *map(str, arguments)], env=environment, capture_output=True,
            text=True,
        )  # fmt: skip
        if any(w in done.stderr for w in ("unshare:", "mount:", "Permission denied")):
            pytest.skip(f"can't become an ordinary user here: {done.stderr.strip()}")
        return done

    yield run, Path(home)
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(stage, ignore_errors=True)


def test_the_attacks_of_an_ordinary_users_students_come_to_nothing(as_nobody):
    run, home = as_nobody
    done = run(Path(__file__).with_name("course_toy.py"), home)
    assert done.returncode == 0, done.stderr
    results = {(row, name): r for row, name, r in json.loads(done.stdout)}
    assert list(results) and set(results) == set(EVERY)
    for (_, name), result in results.items():
        withstood(name, result)


def test_an_ordinary_user_is_told_what_he_lacks(as_nobody):
    run, _ = as_nobody
    code = "from scratchnn.course.session import protections; print(protections())"
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    held = {name: ok for name, ok, _ in eval(done.stdout)}
    assert not held["user"] and not held["folder"]
    assert held["calls"] == HELD["calls"] and held["processes"] and held["resources"]


# ---- each wall alone ------------------------------------------------------------
WALLS = [w for w in (["user", "folder"], ["calls"]) if all(HELD.get(n) for n in w)]
SYSTEM = [
    ("reading tests and answers", "from disk"),
    ("reading tests and answers", "from disk, by the system's own calls"),
    ("reading tests and answers", "from the grader's memory"),
    ("forging the result", "writing it"),
    ("forging the result", "a daemon that writes it later"),
    ("forging the result", "killing the grader"),
    ("taking all there is", "a full disk"),
    ("taking all there is", "threads"),
]


@pytest.mark.parametrize("walls", WALLS, ids="+".join)
def test_each_wall_alone_keeps_a_submission_in(walls, tmp_path):
    assignment, found = tmp_path / "assign.py", []
    assignment.write_text(ASSIGNMENT)
    for k, (row, name) in enumerate(SYSTEM):
        path = result_path(tmp_path / "out", name)
        (tmp_path / f"{k}.py").write_bytes(
            attack(row, name, assignment, path, os.getpid())
        )
        found.append(Found(name, tmp_path / f"{k}.py"))
    run = grade(assignment, found, tmp_path / "out", 2, b"s", seconds=1.0, walls=walls)
    results = list(run)
    assert len(results) == len(SYSTEM)
    for result in results:
        withstood(result["id"], result)
        assert read_result(result_path(tmp_path / "out", result["id"])) == result


@pytest.mark.skipif(not HELD.get("user"), reason="a user of its own needs root")
def test_a_submission_runs_as_a_user_that_no_one_has():
    pry = attack("ending early", "a crash", "", "", 0).decode()
    code = (
        f"{pry}\ndef who():\n    os = pry('os')\n    return os.getuid(), os.getgroups()"
    )
    users = set()
    for _ in range(2):
        session = Session({"a.py": code.encode()}, "a", walls=["user"])
        with session:
            user, groups = session.function("who")()
        users.add(user)
        assert user != 0 and groups == []
    assert len(users) == 2


@pytest.mark.skipif(not HELD.get("user"), reason="a user of its own needs root")
def test_what_a_submission_started_ends_with_it_even_where_it_may_start_something(
    monkeypatch,
):
    code = f"""{PRY}
def start():
    os = pry("os")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            pry("time").sleep(600)
        os._exit(0)
    return os.getuid()
"""
    session = Session({"a.py": code.encode()}, "a", walls=["user"])
    monkeypatch.setattr(
        session, "_setting", lambda: unlimited(Session._setting(session))
    )
    with session:
        user = session.function("start")()
        assert processes_of(user)
    assert not processes_of(user)


def unlimited(setting):
    """As on a machine that lets a user have any number of processes."""
    setting["limits"]["processes"] = 50
    return setting


def processes_of(user):
    return [
        pid
        for pid in filter(str.isdecimal, os.listdir("/proc"))
        if f"\nUid:\t{user}\t" in status(pid) and "\nState:\tZ" not in status(pid)
    ]


def status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


# ---- other rows -----------------------------------------------------------------
PLANTED = {
    "conftest.py": "raise SystemExit(0)",
    "sitecustomize.py": "import os; os._exit(0)",
    "numpy.py": "raise ImportError('not numpy')",
    "math.py": "raise ImportError('not math')",
    "pytest.ini": "[pytest]\naddopts = --co",
    "wire.py": "raise SystemExit(1)",
    "limits.py": "raise SystemExit(1)",
}


def test_planted_files_are_not_used(tmp_path):
    folder = tmp_path / "mallory"
    folder.mkdir()
    for name, text in PLANTED.items():
        (folder / name).write_text(text)
    (folder / "assign.py").write_text(HONEST.replace("x * x", "2 * x"))
    (tmp_path / "assign.py").write_text(ASSIGNMENT)
    found = [Found("mallory", folder)]
    (result,) = grade(tmp_path / "assign.py", found, seconds=5.0)
    assert [t["score"] for t in result["tasks"]] == [0.0, 1.0]
    assert result["tasks"][0]["mistake"] == "M1"


def test_answers_that_were_right_for_another_are_wrong(tmp_path):
    (tmp_path / "assign.py").write_text(ASSIGNMENT)
    (tmp_path / "a.py").write_text(
        HONEST.replace("return x * x", "print(x); return x * x")
    )
    printed = []
    for id, secret in [("a", b"s"), ("b", b"s"), ("a", b"other"), ("a", b"s")]:
        found = [Found(id, tmp_path / "a.py")]
        (result,) = grade(tmp_path / "assign.py", found, secret=secret)
        assert result["score"] == 3.0
        printed.append(result["printed"])
    assert printed[0] == printed[3]
    assert len(set(printed)) == 3


def test_calls_of_a_function_that_is_handed_over_are_counted():
    code = b"def f(g, x):\n    return [g(x) for _ in range(7)][0]"
    with Session({"a.py": code}, "a") as session:
        session.function("f")(np.sin, np.ones(2))
        assert session.calls == 7


def test_a_function_that_is_handed_over_can_be_called_only_so_often():
    code = b"def f(g):\n    while True:\n        g()"
    with Session({"a.py": code}, "a", seconds=1.0) as session:
        with pytest.raises(StudentError) as error:
            session.function("f")(lambda: None)
    assert error.value.kind == "time"


# ---- odd answers ----------------------------------------------------------------
ODD = [
    *(None, True, 0, 2**62, -1.5, float("nan"), float("inf"), "x", "", (), [], {}),
    *({"a": 1}, [1, [2, 3]], (None, None), (np.ones(3),) * 2, (np.ones(3),) * 3),
    *(
        np.ones(0),
        np.ones((0, 3)),
        np.ones((2, 3, 4, 5)),
        np.array(1.0),
        np.array(True),
    ),
    *(
        np.ones(3, bool),
        np.ones(3, np.uint8),
        np.ones(3, np.float16),
        np.ones((1,) * 32),
    ),
    *(np.full(3, np.inf), [np.nan] * 3, np.ones((10**4, 0)), np.ones(3, np.longdouble)),
    *(np.array(np.nan), np.ones((5, 3), ">f8"), np.full((3, 3), 1e308), np.ones(10**5)),
]
EXERCISE = Path(__file__).parent.parent / "lessons" / "exercises" / "engine.py"


class Answers:
    """A session whose functions all answer the same."""

    def __init__(self, value):
        self.value = value

    def function(self, name):
        def answer(*args, **kwargs):
            return self.value

        answer.__name__ = name
        return answer


@pytest.mark.parametrize(
    "value", ODD, ids=lambda v: f"{type(v).__name__}-{str(v)[:20]}"
)
def test_an_odd_answer_is_a_wrong_one_and_no_fault_of_the_checks(value):
    assignment, arrays = load(EXERCISE), []
    message = wire.receive(
        io.BytesIO(wire.frame({"v": wire.pack(value, arrays)}, arrays))
    )
    session = Answers(wire.unpack(message[0]["v"], message[1]))
    for task in assignment.tasks.values():
        result = run_task(task, assignment, session, np.random.default_rng(0))
        assert result.score == 0 and result.status == "failed"
