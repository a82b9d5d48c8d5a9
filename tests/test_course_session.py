"""A student's functions in a process of their own: what crosses, what is said."""

import io
import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchnn.course import session as sessions
from scratchnn.course import wire
from scratchnn.course.errors import KINDS, StudentError
from scratchnn.course.session import Session, plain

POSIX = os.name == "posix"

CODE = b'''
import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import helper


@dataclass
class Pair:
    a: "float"


def same(x):
    return x


def twice(x):
    return helper.twice(x)


def scalars():
    return [np.float64(1.5), np.float32(1.5), np.int64(2), np.int8(2), np.bool_(True)]


def apply(f, *args, **kwargs):
    return f(*args, **kwargs)


def careful(f):
    try:
        return f("?")
    except ValueError as error:
        return str(error)


def writes(a, x, y):
    x[0] = 7.0
    return x + y


def raises(x):
    y = x + 1
    return y.missing


def through(f):
    return f(1) + 1


def stub(x):
    """Something."""
    raise NotImplementedError("Task 3.2: something")


def unfinished(x):
    raise NotImplementedError


def loop():
    while True:
        pass


def large():
    return np.ones(10**12)


def leaves():
    raise SystemExit("bye")


def complex():
    return np.ones(2) * 1j


def vast():
    return [2**63]


def own():
    return Pair(1.0)


def endless(x):
    return endless(x)


number = 3
'''
FILES = {"vae.py": CODE, "helper.py": b"def twice(x):\n    return 2 * x\n"}


@pytest.fixture(scope="module")
def student():
    with Session(FILES, "vae") as session:
        yield session


def error_of(session, name, *args):
    with pytest.raises(StudentError) as error:
        session.function(name)(*args)
    assert error.value.kind in KINDS
    return error.value


# ---- what crosses ---------------------------------------------------------------
ARRAYS = [
    np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)),
    np.array(2.5), np.arange(10)[::-2], np.float32([1, np.nan, np.inf, -0.0]),
    np.array([True, False]), np.uint8([255]), np.float16([0.5]),
]  # fmt: skip


@pytest.mark.parametrize("x", ARRAYS, ids=lambda x: f"{x.dtype}{x.shape}")
def test_an_array_comes_back_as_it_went(student, x):
    y = student.function("same")(x)
    assert type(y) is np.ndarray and y.dtype == x.dtype and y.shape == x.shape
    assert y.tobytes() == x.tobytes()


@pytest.mark.parametrize(
    "x",
    [
        *(None, True, 3, -(2**62), 2.5, float("inf"), "", "\u00e9\n\u2603"),
        *((), (1, [2.0, (None,)]), [], {"a": (1, 2), 3: []}),
    ],
)
def test_a_plain_value_comes_back_as_it_went(student, x):
    y = student.function("same")(x)
    assert y == x and type(y) is type(x)


def test_numbers_of_numpy_come_back_as_pythons_or_as_arrays_of_their_dtype(student):
    a, b, c, d, e = student.function("scalars")()
    assert (type(a), type(c), type(e)) == (float, int, bool)
    assert (b.dtype, b.shape, d.dtype, d.shape) == (np.float32, (), np.int8, ())


def test_a_function_that_is_handed_over_runs_here(student):
    def f(x, scale=1.0):
        assert os.getpid() == here
        return x * scale

    here = os.getpid()
    y = student.function("apply")(f, np.ones(3), scale=2.0)
    assert (y == 2.0).all() and student.calls == 1


def test_its_errors_reach_the_students_code(student):
    def picky(x):
        raise TypeError("expected an array")

    assert student.function("careful")(picky) == "TypeError: expected an array"
    text = error_of(student, "through", picky).text
    assert "vae.py, line 49, in through:" in text
    assert text.endswith("ValueError: TypeError: expected an array")


def test_a_students_function_can_be_handed_to_another(student):
    twice = student.function("twice")
    assert student.function("apply")(lambda x: twice(x) + 1, 3) == 7


def test_what_is_written_into_is_told_but_not_written_here(student):
    x, y, writes = np.zeros(3), np.ones(3), student.function("writes")
    assert (writes(0, x, y) == [8, 1, 1]).all()
    assert (x == 0).all()
    assert list(writes.written) == [1] and (writes.written[1] == [7, 0, 0]).all()
    student.function("same")(x)
    assert student.function("same").written == {}


# ---- what is said ---------------------------------------------------------------
@pytest.mark.parametrize(
    "name, args, kind, words",
    [
        ("raises", (1.0,), "raised", "'float' object has no attribute 'missing'"),
        ("raises", (), "raised", "missing 1 required positional argument: 'x'"),
        ("stub", (1,), "not started", "Task 3.2: something"),
        ("unfinished", (1,), "raised", "NotImplementedError"),
        ("nothing", (), "missing", "vae.py has no function nothing"),
        ("number", (), "missing", "vae.py has no function number"),
        ("large", (), "memory", "Unable to allocate"),
        ("leaves", (), "died", "it called sys.exit"),
        ("own", (), "answer", "it returned a vae.Pair; expected arrays"),
        ("complex", (), "answer", "it returned an array of dtype complex128"),
        ("vast", (), "answer", "it returned a whole number of more than 64 bits"),
        ("endless", (1,), "raised", "RecursionError: maximum recursion depth"),
    ],
)
def test_an_error_is_of_a_kind_and_in_words(student, name, args, kind, words):
    error = error_of(student, name, *args)
    assert (error.kind, words in error.text) == (kind, True), error.text
    assert error.text.count("\n") <= 6
    assert "scratchnn" not in error.text and "child" not in error.text


def test_an_error_shows_the_students_own_line(student):
    text = error_of(student, "raises", 1.0).text
    assert text.startswith("vae.py, line 45, in raises:\n    return y.missing\n")


def test_after_an_endless_loop_the_rest_goes_on_and_the_loop_is_not_run_again():
    with Session(FILES, "vae", seconds=1.0) as session:
        assert error_of(session, "loop").kind == "time"
        assert session.function("twice")(2) == 4
        start = time.monotonic()
        assert error_of(session, "loop").text == "it took more than 1 s"
        assert time.monotonic() - start < 1.0


def test_all_calls_together_have_a_limit_until_the_next_task():
    code = b"import numpy as np\ndef wait(f):\n    return f()"
    with Session({"a.py": code}, "a", seconds=50.0, total=2.0) as session:
        wait = session.function("wait")
        wait(lambda: time.sleep(1.2))
        assert error_of(session, "wait", lambda: time.sleep(1.2)).kind == "time"
        session.renew()
        session._hung.clear()
        wait(lambda: None)


@pytest.mark.parametrize(
    "text, kind, words",
    [
        (b"def f(x)\n    pass", "import", "a.py, line 1:\n    def f(x)\nSyntaxError"),
        (b"x = 1 / 0", "import", "a.py, line 1:\n    x = 1 / 0\nZeroDivisionError"),
        (b"import os", "refused", "a.py, line 1: import of 'os' is not allowed here"),
        (b"def f():\n import scratchnn.nn", "refused", "line 2: import of 'scratchnn"),
        (b"from .b import c", "refused", "import of '.' is not allowed"),
        (b"x = '\xe9'", "import", "a.py is not UTF-8 (byte 5): save it as UTF-8"),
        (b"x = 1\0", "import", "null"),
        (b"x = " + b"(" * 3000, "import", "SyntaxError"),
        (b"x = " + b"-" * 300_000 + b"1", "", ""),
        (b"while True: pass", "time", "more than"),
        (b"raise SystemExit", "died", "it called sys.exit"),
    ],
)
def test_a_file_that_does_not_run_says_so_at_every_call(text, kind, words):
    with Session({"a.py": text}, "a", seconds=2.0) as session:
        for _ in range(2):
            error = error_of(session, "f")
            assert kind in ("", error.kind) and words in error.text, error.text


def test_a_missing_file_is_said():
    with Session({}, "a") as session:
        assert error_of(session, "f").text == "there is no file a.py"


def test_a_module_that_is_allowed_can_be_imported():
    code = b"import fractions\ndef f():\n    return float(fractions.Fraction(1, 2))"
    with Session({"a.py": code}, "a", allowed=["fractions"]) as session:
        assert session.function("f")() == 0.5


def test_the_library_can_be_used_where_the_assignment_allows_it():
    code = b"""
import scratchnn as snn
def f(x):
    x = snn.Tensor(x, requires_grad=True)
    snn.softmax(x @ x.T).sum().backward()
    return x.grad
"""
    with Session({"a.py": code}, "a", allowed=["scratchnn"]) as session:
        assert session.function("f")(np.ones((3, 3))).shape == (3, 3)


def test_of_a_notebook_only_definitions_run():
    code = b"""
import numpy as np, math
import matplotlib.pyplot as plt
half = 0.5
def f(x):
    return half * x
plt.plot(f(1))
assert f(1) == 2
while True: pass
"""
    with Session({"a.py": code}, "a", notebook=True) as session:
        assert session.function("f")(2.0) == 1.0
    with Session({"a.py": code}, "a") as session:
        assert error_of(session, "f").kind == "refused"


def test_a_place_in_a_notebook_is_a_cell_and_a_line():
    code = b"# cell 1\nhalf = 0.5\n# cell 2\n\ndef f(x):\n    return y"
    with Session({"a.py": code}, "a", notebook=True) as session:
        assert "a.ipynb, code cell 2, line 3, in f:" in error_of(session, "f", 1).text
        assert error_of(session, "g").text == "a.ipynb has no function g"
    with Session({"a.py": code}, "a") as session:
        assert "a.py, line 6, in f:" in error_of(session, "f", 1).text
    for wrong in (b"def f(:", b"def f():\n    import os"):
        code = b"# cell 1\nhalf = 0.5\n# cell 2\n" + wrong
        with Session({"a.py": code}, "a", notebook=True) as session:
            assert "a.ipynb, code cell 2, line " in error_of(session, "f").text


def test_what_is_printed_is_kept_to_a_limit():
    code = b"def f():\n    for _ in range(10**5): print('hello')"
    with Session({"a.py": code}, "a") as session:
        session.function("f")()
    assert session.output.startswith("hello\nhello\n") and len(session.output) == 20_000


def test_control_characters_and_halves_of_characters_do_not_pass():
    assert plain("a\x1b[2J\u202eb\n\tc\r") == "a[2Jb\n\tc"
    code = b"def f():\n    return '\\ud800a'"
    with Session({"a.py": code}, "a") as session:
        session.function("f")().encode()


# ---- on the student's own machine -----------------------------------------------
def test_without_walls_the_same_child_serves():
    code = """
from scratchnn.course.session import Session
text = b"def f(x):\\n    print('seen', x)\\n    return open('/dev/null').read()"
with Session({"a.py": text}, "a", isolate=False) as session:
    session.function("f")(1)
    assert session.protections == {} and session.take_output() == "seen 1\\n"
    assert session.take_output() == session.output == ""
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not POSIX, reason="SIGKILL")
def test_a_child_ends_when_the_grader_is_killed():
    code = """
from scratchnn.course.session import Session
text = b"def f():\\n    while True: pass"
with Session({"a.py": text}, "a", seconds=100, total=100) as session:
    print(session._child.process.pid, flush=True)
    session.function("f")()
"""
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(grader.stdout.readline())
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    grader.stdout.close()
    for _ in range(500):
        if not runs(pid):
            return
        time.sleep(0.01)
    raise AssertionError("the child goes on")


def runs(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            return "State:\tZ" not in file.read()
    except FileNotFoundError:
        return False


# ---- frames ---------------------------------------------------------------------
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats()
    | st.text(),
    lambda inner: st.lists(inner)
    | st.lists(inner).map(tuple)
    | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_any_plain_value_crosses(value):
    arrays = []
    frame = wire.frame({"value": wire.pack(value, arrays)}, arrays)
    message, arrays = wire.receive(io.BytesIO(frame))
    assert repr(wire.unpack(message["value"], arrays)) == repr(value)


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_a_broken_frame(data):
    for start in (b"", struct.pack(">I", len(data))):
        with pytest.raises((EOFError, wire.WireError)):
            message, arrays = wire.receive(io.BytesIO(start + data))
            raise wire.WireError(f"read {message}")


@given(st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_no_change_of_an_arrays_bytes_makes_another_kind_of_thing(place, change):
    data = bytearray(wire.to_npy(np.arange(6.0).reshape(2, 3)))
    place %= len(data)
    data[place : place + len(change)] = change
    try:
        x = wire.from_npy(bytes(data))
    except wire.WireError:
        return
    assert type(x) is np.ndarray and x.dtype.kind in "biuf" and x.nbytes <= 48


def npy(header, data=b""):
    header = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }",
        "__import__('os').system('true')",
        "[" * 5000,
        "{'descr': '<f8', 'fortran_order': False, 'shape': "
        + "(" * 90
        + ")" * 90
        + "}",
    ],
)
def test_an_array_that_lies_is_refused(header):
    with pytest.raises(wire.WireError):
        wire.from_npy(npy(header, bytes(8)))


def test_a_bool_is_0_or_1_whatever_its_bytes():
    header = "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }"
    x = wire.from_npy(npy(header, b"\x07\x00"))
    assert x.dtype == bool and x.tobytes() == b"\x01\x00"


def test_a_child_that_was_being_started_ends_when_the_session_is_stopped(monkeypatch):
    begun = []

    class Stopped(sessions._Child):
        def __init__(self, *how):
            super().__init__(*how)
            begun.append(self.process)
            student.abort()  # as Ctrl-C does from another thread

    monkeypatch.setattr(sessions, "_Child", Stopped)
    student = Session({"a.py": b"def f():\n    return 1"}, "a")
    with pytest.raises(StudentError, match="stopped"):
        student.function("f")()
    assert [process.poll() is not None for process in begun] == [True]
