"""A small assignment, and submissions that attack its grader.

Every attack is on task 1.1; task 1.2 is done as it should be and must keep its points.
What the assignment hides holds CANARY, which no result may show.
"""

import json
import os
import sys
from pathlib import Path

CANARY = "canary-7f3a"

ASSIGNMENT = f'''
"""Squares and sums."""
import numpy as np

### BEGIN TESTS
from scratchnn.course import task

### END TESTS


def square(x):
    """x * x."""
    ### BEGIN SOLUTION
    return x * x  # {CANARY}
    ### END SOLUTION


### BEGIN TESTS
SQUARE = task("1.1", "square", points=2, hint="times itself")


@SQUARE.value
def _(rng, n=4):
    """equals x times x"""
    return rng.normal(size=n)


@SQUARE.invariant
def _(square, rng):
    """is as large for -x"""
    x = rng.normal(size=3)
    assert np.array_equal(square(x), square(-x)), "(-x)(-x) is x x"


### END TESTS
### BEGIN HIDDEN TESTS
{CANARY.replace("-", "_")} = "{CANARY}"


@SQUARE.invariant
def _(square, rng):
    """never below 0"""
    assert (square(rng.normal(size=3)) >= 0).all(), "squares are not negative"


@SQUARE.mistake("M1", "twice is not squared")
def _(x):
    return 2 * x
### END HIDDEN TESTS


def add(a, b):
    """a + b."""
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION


### BEGIN TESTS
ADD = task("1.2", "add", points=1, hint="plus")


@ADD.value
def _(rng, n=4):
    """equals a plus b"""
    return rng.normal(size=n), rng.normal(size=n)
### END TESTS
'''

HONEST = """
import numpy as np

def square(x):
    return x * x

def add(a, b):
    return a + b
"""

# Python's own modules, though the file may not import them.
PRY = """
import numpy as np

def add(a, b):
    return a + b

def pry(name):
    for kind in object.__subclasses__():
        names = getattr(kind.__init__, "__globals__", {})
        if "sys" in names:
            modules = names["sys"].modules
            return modules.get(name) or __builtins__["__import__"](name)
"""

# {row of the attack table: {attack: the student's file}}; ASSIGNMENT_PATH, RESULTS and
# PARENT are replaced by where these are.
ATTACKS = {
    "reading tests and answers": {
        "from disk": """
def square(x):
    raise ValueError(open("ASSIGNMENT_PATH").read())
""",
        "from disk, by the system's own calls": """
def square(x):
    c = pry("ctypes").CDLL(None, use_errno=True)
    fd = c.open(b"ASSIGNMENT_PATH", 0)
    data = pry("os").read(fd, 10000)
    raise ValueError(data.decode())
""",
        "from the folders around": """
def square(x):
    os, text = pry("os"), ""
    for top in (".", "..", "/", "/tmp", "/proc", os.path.dirname("ASSIGNMENT_PATH")):
        for root, _, files in os.walk(top):
            text += root + " ".join(files)
            for name in files:
                if name.endswith((".py", ".json")) and "assign" in name:
                    text += open(os.path.join(root, name)).read()
    raise ValueError(text)
""",
        "from the grader's memory": """
def square(x):
    os, found = pry("os"), b""
    for line in open("/proc/PARENT/maps"):
        a, b = (int(n, 16) for n in line.split()[0].split("-"))
        with open("/proc/PARENT/mem", "rb", 0) as memory:
            memory.seek(a)
            data = memory.read(min(b - a, 10**7))
        at = data.find(b"canary" + b"-")
        found += data[at - 50 : at + 50] if at > 0 else b""
    raise ValueError(found.decode("latin1"))
""",
        "with ptrace": """
def square(x):
    c = pry("ctypes").CDLL(None, use_errno=True)
    assert c.ptrace(16, PARENT, 0, 0) == 0, "no"
    return x * x
""",
        "from frames": """
def square(x):
    frame, text = pry("sys")._getframe(), ""
    while frame:
        text += repr(frame.f_locals) + repr(list(frame.f_globals))
        frame = frame.f_back
    print(text)
    raise ValueError(text[-3000:])
""",
        "from gc": """
def square(x):
    text = ""
    for thing in pry("gc").get_objects():
        if isinstance(thing, dict) and any("anary" in str(k) for k in thing):
            text += repr(thing)
    print(text)
    raise ValueError("found: " + text)
""",
        "from the environment and the command line": """
def square(x):
    os = pry("os")
    raise ValueError(repr(os.environ) + open("/proc/PARENT/environ").read())
""",
        "over the network": """
def square(x):
    import socket
    return x * x
""",
        "over the network, by a raw socket": """
def square(x):
    c = pry("ctypes").CDLL(None, use_errno=True)
    assert c.socket(2, 1, 0) >= 0, "no socket"
    return x * x
""",
    },
    "forging the result": {
        "writing it": """
def square(x):
    open("RESULTS", "w").write('{"score": 99}')
""",
        "a daemon that writes it later": """
def square(x):
    os = pry("os")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            pry("time").sleep(1.5)
            open("RESULTS", "w").write('{"score": 99}')
            os._exit(0)
        os._exit(0)
    return x
""",
        "a thread that writes it later": """
def square(x):
    t = pry("_thread")
    t.start_new_thread(lambda: open("RESULTS", "w").write("{}"), ())
    return x
""",
        "another program": """
def square(x):
    pry("os").execv("/bin/sh", ["sh", "-c", "echo 99 > 'RESULTS'"])
""",
        "killing the grader": """
def square(x):
    pry("os").kill(PARENT, 9)
    return x
""",
        "killing everything": """
def square(x):
    pry("os").kill(-1, 9)
    return x
""",
    },
    "ending early": {
        "os._exit(0)": """
def square(x):
    pry("os")._exit(0)
""",
        "sys.exit(0)": """
def square(x):
    raise SystemExit(0)
""",
        "atexit": """
def square(x):
    import atexit
    return x * x
""",
        "exit while the file is run": """
if pry("sys").argv[0] != "x":
    def square(x):
        pry("atexit").register(print, "all tests passed")
        pry("sys").exit(0)
""",
        "closing the pipe": """
def square(x):
    pry("os").closerange(0, 20)
    return x * x
""",
        "closing the pipe and staying": """
def square(x):
    pry("os").closerange(0, 20)
    while True:
        pass
""",
        "killing itself": """
def square(x):
    c = pry("ctypes").CDLL(None)
    c.abort()
""",
        "a crash": """
def square(x):
    pry("ctypes").string_at(0)
""",
    },
    "test tools": {
        "pytest.skip": """
def square(x):
    import pytest
    pytest.skip("nothing to see")
""",
        "unittest's skip": """
def square(x):
    raise pry("unittest").SkipTest("nothing to see")
""",
    },
    "patching": {
        "np.allclose, np.testing, np.array_equal": """
np.allclose = np.array_equal = lambda *args, **kwargs: True
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
np.abs = lambda x: 0 * x
def square(x):
    return x
""",
        "time": """
pry("time").monotonic = pry("time").time = lambda: 0.0
def square(x):
    while True:
        pass
""",
        "what sends the answers": """
def square(x):
    main = pry("__main__")
    for thing in pry("gc").get_objects():
        if type(thing).__name__ == "Child":
            class Wire:
                def __getattr__(self, name):
                    return getattr(pry("wire"), name)
                def pack(self, x, arrays, functions=None):
                    return {"passed": True}
            thing.wire = Wire()
    return x
""",
        "the inputs": """
def square(x):
    x[:] = 1.0
    return x
""",
    },
    "lying objects": {
        "__eq__": """
class Yes(float):
    def __eq__(self, other): return True
    def __abs__(self): return 0.0
    def __sub__(self, other): return 0.0
    def __array__(self, *args, **kwargs): return np.zeros(4)
    shape, dtype, ndim = (4,), np.dtype(float), 1
def square(x):
    return Yes(1.0)
""",
        "__array__": """
class Yes:
    def __array__(self, *args, **kwargs): return np.zeros(4)
    def __abs__(self): return 0.0
def square(x):
    return Yes()
""",
        "a subclass of ndarray": """
class Yes(np.ndarray):
    def __eq__(self, other): return True
    def __sub__(self, other): return np.zeros(self.shape)
def square(x):
    return (x * x).view(Yes)
""",
        "a matrix": """
def square(x):
    return np.matrix(x * x)
""",
        "masked": """
def square(x):
    return np.ma.masked_array(x * x, mask=True)
""",
        "nan": """
def square(x):
    return np.full_like(x, np.nan)
""",
        "float32": """
def square(x):
    return (x * x).astype(np.float32)
""",
        "dtype object": """
def square(x):
    return (x * x).astype(object)
""",
        "records": """
def square(x):
    return (x * x).view([("a", float)])
""",
        "a huge shape": """
def square(x):
    return np.broadcast_to(x.sum(), (10**6, 10**6))
""",
        "a huge list": """
def square(x):
    return [1.0] * 10**7
""",
        "nested too deep": """
def square(x):
    y = []
    for _ in range(10**5):
        y = [y]
    return y
""",
        "within itself": """
def square(x):
    y = []
    y.append(y)
    return y
""",
        "a string without end": """
def square(x):
    raise ValueError("\\ud800 \\x1b[2J" + "x" * 10**7)
""",
        "an error that lies": """
class Error(Exception):
    def __str__(self): raise Error()
def square(x):
    raise Error()
""",
    },
    "lying frames": {
        "an array that claims to be huge": """
def square(x):
    wire, os = pry("wire"), pry("os")
    npy = wire.to_npy(np.zeros(4)).replace(b"(4,)", b"(9" + b"9" * 8 + b",)")[:-9]
    head = b'{"value": {"array": 0}, "written": {"dict": []}, "sizes": [%d]}' % len(npy)
    data = len(head).to_bytes(4, "big") + head + npy
    for fd in range(3, 12):
        try: os.write(fd, data)
        except OSError: pass
    while True: pass
""",
        "a frame that claims to be huge": """
def square(x):
    for fd in range(3, 12):
        try: pry("os").write(fd, b"\\xff" * 100)
        except OSError: pass
    while True: pass
""",
        "JSON nested too deep": """
def square(x):
    data = b"[" * 10**6
    data = len(data).to_bytes(4, "big") + data
    for fd in range(3, 12):
        try: pry("os").write(fd, data)
        except OSError: pass
    while True: pass
""",
        "an array that isn't there": """
def square(x):
    for head in (b'{"value": {"array": 7}, "written": 3, "sizes": []}',
                 b'{"written": {"dict": []}, "sizes": []}', b'{"sizes": [-1]}', b"{}",
                 b'{"callback": -1, "args": 3, "kwargs": {}, "sizes": []}'):
        data = len(head).to_bytes(4, "big") + head
        for fd in range(3, 12):
            try: pry("os").write(fd, data)
            except OSError: pass
    while True: pass
""",
        "a flood of frames": """
def square(x):
    head = b'{"value": 1, "written": {"dict": []}, "sizes": []}'
    data = (len(head).to_bytes(4, "big") + head) * 1000
    while True:
        for fd in range(3, 12):
            try: pry("os").write(fd, data)
            except OSError: pass
""",
    },
    "taking all there is": {
        "an endless loop": """
def square(x):
    while True:
        pass
""",
        "an endless loop that catches everything": """
def square(x):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
        "a loop that ignores signals": """
def square(x):
    signal = pry("_signal")
    for s in range(1, 32):
        try: signal.signal(s, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True:
        pass
""",
        "sleeping": """
def square(x):
    pry("time").sleep(1000)
""",
        "a fork bomb": """
def square(x):
    while True:
        try: pry("os").fork()
        except OSError: return x
""",
        "threads": """
def square(x):
    t = pry("_thread")
    for _ in range(10000):
        t.start_new_thread(lambda: [0 for _ in iter(int, 1)], ())
    return x * x
""",
        "memory": """
def square(x):
    return np.ones(10**10)
""",
        "memory, bit by bit": """
def square(x):
    kept = []
    while True:
        kept.append(np.ones(10**6))
""",
        "a flood of output": """
def square(x):
    while True:
        print("x" * 10**6)
""",
        "a full disk": """
def square(x):
    with open("big", "wb") as file:
        while True:
            file.write(bytes(10**6))
""",
        "a full disk in memory": """
def square(x):
    fd = pry("os").memfd_create("big")
    while True:
        pry("os").write(fd, bytes(10**6))
""",
        "deep recursion": """
def square(x):
    pry("sys").setrecursionlimit(10**9)
    return square(x)
""",
        "deep recursion in C": """
class A:
    def __repr__(self): return repr(self)
    def __getattr__(self, name): return getattr(self, name + "x")
def square(x):
    pry("sys").setrecursionlimit(10**9)
    return A().y
""",
    },
    "imports": {
        "torch": """
import torch
def square(x):
    return (torch.tensor(x) ** 2).numpy()
""",
        "jax within a function": """
def square(x):
    import jax.numpy as jnp
    return jnp.square(x)
""",
        "scratchnn": """
def square(x):
    from scratchnn import square
    return square(x)
""",
        "scratchnn, quietly": """
def square(x):
    try:
        return __import__("scratchnn").square(x)
    except ImportError as error:
        raise RuntimeError(str(error))
""",
        "scratchnn, by importlib": """
def square(x):
    return pry("importlib").import_module("scratchnn").square(x)
""",
        "a relative one": """
def square(x):
    from . import solution
    return solution.square(x)
""",
    },
}
# Imports in the text refuse the whole file: nothing of it counts.
WHOLE_FILE = (
    "over the network", "atexit", "pytest.skip", "torch", "jax within a function",
    "scratchnn", "a relative one",
)  # fmt: skip


def attack(row, name, assignment, results, parent):
    """The file of an attack, as bytes."""
    text = PRY + ATTACKS[row][name]
    for word, value in [
        ("ASSIGNMENT_PATH", assignment), ("RESULTS", results), ("PARENT", parent),
    ]:  # fmt: skip
        text = text.replace(word, str(value))
    return text.encode()


def grade_all(folder, jobs=2):
    """Grade every attack in `folder`: {(row, name): result}."""
    from scratchnn.course.grade import grade, result_path
    from scratchnn.course.submissions import Found

    folder = Path(folder)
    assignment = folder / "assign.py"
    assignment.write_text(ASSIGNMENT)
    names = {}
    for row, attacks in ATTACKS.items():
        for name in attacks:
            id = f"{len(names)}.py"
            path = result_path(folder / "out", id)
            data = attack(row, name, assignment, path, os.getpid())
            (folder / id).write_bytes(data)
            names[id] = row, name
    found = [Found(id, folder / id) for id in names]
    run = grade(assignment, found, folder / "out", jobs, b"secret", seconds=1.0)
    return {names[r["id"]]: r for r in run}


if __name__ == "__main__":  # by test_course_attacks.py, as another user
    results = grade_all(sys.argv[1])
    print(json.dumps([[*key, value] for key, value in results.items()]))
