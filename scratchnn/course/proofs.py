"""What is promised of a release, shown for each before it is given away.

- It is Python, and every public name has the arguments and the docstring that the
  solution gives it.
- The solution passes all checks, with several draws; and the public ones with the
  answers that are recorded, run as a student's file is.
- Each check of a task fails on its stub, as "not started"; where students get code with
  a bug to find, the public checks of the task fail.
- No line of the solution is in any file, however it is wrapped (leaks.py).
- There are no files but those that belong.
"""

import ast
import re
import tempfile
import zlib
from pathlib import Path

import numpy as np

from .archive import write_folder
from .assignment import load
from .checking import public_rng, run_task, run_tasks, streams
from .errors import StudentError, TaskError
from .leaks import leaks
from .markers import DEFINITIONS, LONG, blocks, secret_lines, solution_text
from .recorded import ARRAYS, PUBLIC, TASKS, load_public
from .session import Session
from .submissions import script as script_of

SEEDS = (1, 2)  # draws of the checks besides the public one
STUB = re.compile(r"raise NotImplementedError\('Task ")
SECONDS = 60.0  # for one call: a teacher's machine may be busy


def prove(path, files):
    """Notes for the teacher on {name: bytes}; TaskError names what does not hold."""
    path = Path(path)
    assignment = load(path)
    names = {f"{path.stem}{s}" for s in (".py", ".ipynb")} & set(files)
    allowed = {*names, "README.md", PUBLIC, TASKS, ARRAYS}
    if len(names) != 1 or set(files) != allowed:
        wrong = ", ".join(sorted(set(files) ^ allowed))
        raise TaskError(f"{path}: {wrong}: missing, or not to be released")
    (name,) = names
    script = files[name].decode()
    if name.endswith(".ipynb"):
        script = script_of(files[name]).decode()
    _same_names(path, assignment.source, script, name)
    _no_leaks(path, assignment.source, files)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder) / "release", files)
        load(Path(folder) / "release" / PUBLIC)  # its errors, with their lines
        public = load_public(Path(folder) / "release")
    _nothing_to_learn(path, public)
    _passes(path, assignment, public)
    _fails(path, assignment, public, script)
    return _notes(path, assignment)


# ---- names ----------------------------------------------------------------------
def _same_names(path, source, script, file):
    try:
        new = dict(_public(ast.parse(script)))
    except SyntaxError as error:
        raise TaskError(f"{path}: the release is no Python: {error}") from None
    tests = [b for b in blocks(source, path) if b.kind in ("tests", "hidden tests")]
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not any(b.start <= node.lineno <= b.end for b in tests)
    ]
    for name, (line, *about) in _public(tree):
        if name == "the file" and file.endswith(".ipynb"):
            continue  # its docstring is text there
        if name not in new:
            raise TaskError(
                f"{path}:{line}: {name} is not in the release; give it a stub, or a "
                "name that begins with _"
            )
        for k, what in enumerate(("arguments", "docstring")):
            if about[k] != new[name][1 + k]:
                raise TaskError(
                    f"{path}:{line}: the {what} of {name} would change; leave it "
                    "outside of the marks"
                )


def _public(tree, prefix=""):
    """(name, (line, arguments, docstring)) of a module's functions and classes."""
    if not prefix:
        yield "the file", (1, "", ast.get_docstring(tree))
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            if node.name[0] == "_":
                continue
            name = f"{prefix}{node.name}"
            around = [ast.unparse(d) for d in node.decorator_list]
            if isinstance(node, ast.ClassDef):
                around += [ast.unparse(b) for b in (*node.bases, *node.keywords)]
                yield from _public(node, f"{name}.")
            else:
                returns = node.returns and ast.unparse(node.returns)
                around += [type(node).__name__, ast.unparse(node.args), returns]
            yield name, (node.lineno, around, ast.get_docstring(node))


# ---- leaks ----------------------------------------------------------------------
def _no_leaks(path, source, files):
    secret = secret_lines(source, path)
    for name, line in leaks(files, secret):
        where = name
        if name == PUBLIC:  # it is the source, so the line in it is wanted
            for block in blocks(source, path):
                for n in block.inner if block.kind == "tests" else ():
                    if line in source.split("\n")[n - 1]:
                        where = f"the public tests in line {n}"
        raise TaskError(
            f"{secret[line]}: this line would be released in {where}: {line!r}; put "
            "what needs it into ### BEGIN HIDDEN TESTS"
        )


def _nothing_to_learn(path, public):
    for task in public.tasks.values():
        if task.mistakes:
            raise TaskError(
                f"{path}: mistake {task.mistakes[0].id} of task {task.number} stands "
                "in public tests, which are released; move it into ### BEGIN HIDDEN "
                "TESTS"
            )


# ---- solution and stubs ---------------------------------------------------------
def _passes(path, assignment, public):
    """The solution passes all checks; and the public ones as a student runs them."""
    names = _Here(assignment.answers.names)
    draws = [public_rng, *map(_drawn, SEEDS)]
    runs = [("its checks", run_tasks(assignment, names, rng)) for rng in draws]
    with _session(path, solution_text(assignment.source, path)) as session:
        runs += [("the checks as released", run_tasks(public, session))]
        for what, results in runs:
            for result in results:
                if result.status != "passed":
                    raise TaskError(
                        f"{path}: the solution of task {result.number} fails {what}: "
                        f"{result.text or result.status}"
                    )


class _Here:
    """The solution's functions as a Session has them, but called here: it is ours."""

    def __init__(self, names):
        self.names = names

    def function(self, name):
        """The function; what it raises is a StudentError."""

        def call(*args, **kwargs):
            try:
                return self.names[name](*args, **kwargs)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                raise StudentError("raised", text) from error

        return call


def _fails(path, assignment, public, script):
    """No check passes on a stub, and no task with a bug to find."""
    stubs = _stubs(script)
    with _session(path, script) as session:
        for number, task in assignment.tasks.items():
            for check, rng in streams(task, public_rng(task)):
                if task.function in stubs:
                    _not_started(path, check, session, assignment, rng)
    buggy = [t for t in public.tasks.values() if t.function not in stubs]
    nodes = [n for n in ast.parse(script).body if isinstance(n, DEFINITIONS)]
    own = {node.name: ast.unparse(node) for node in nodes}
    for task in buggy:  # with all the rest right, as a student has it who comes to it
        text = f"{solution_text(assignment.source, path)}\n\n{own[task.function]}\n"
        with _session(path, text) as session:
            result = run_task(task, public, session, public_rng(task), True)
        if result.status == "passed":
            raise TaskError(
                f"{path}: task {task.number} passes its public checks as it is "
                "released; mark what students write, or give them a bug that a public "
                "check finds"
            )


def _not_started(path, check, session, assignment, rng):
    """A check that does not meet the stub checks nothing."""
    function = session.function(check.task.function)
    try:
        outcome = check.run(function, assignment.answers, rng)
        text = "it passes" if outcome.passed else outcome.text
    except StudentError as error:
        if error.kind == "not started":
            return
        text = error.text
    raise TaskError(
        f"{path}:{check.line}: on the stub of task {check.task.number}, which raises "
        f"NotImplementedError, this {check.kind} check must end as \"not started\", "
        f"but: {text}"
    )


def _stubs(script):
    """Names of the functions and classes with a stub in them."""
    return {
        node.name
        for node in ast.parse(script).body
        if isinstance(node, DEFINITIONS)
        and any(isinstance(n, ast.Raise) and _is_stub(n) for n in ast.walk(node))
    }


def _is_stub(node):
    return bool(STUB.match(ast.unparse(node)))


def _session(path, script):
    files = {f"{path.stem}.py": script.encode()}
    return Session(files, path.stem, isolate=False, seconds=SECONDS, total=10 * SECONDS)


def _drawn(seed):
    """Generators of tasks as in a student's grading: other inputs than the public."""
    return lambda task: np.random.default_rng([seed, zlib.crc32(task.number.encode())])


# ---- notes ----------------------------------------------------------------------
def _notes(path, assignment):
    """What a teacher should know that is no mistake."""
    notes = []
    for task in assignment.tasks.values():
        kinds = {check.kind for check in task.checks if not check.hidden}
        missing = [k for k in ("value", "gradient", "invariant") if k not in kinds]
        if missing:
            notes.append(
                f"task {task.number} has no public {' and no '.join(missing)} check: "
                "each kind finds mistakes that the others miss"
            )
    secret = secret_lines(assignment.source, path)
    lines = assignment.source.split("\n")
    for block in blocks(assignment.source, path):
        if block.kind == "solution" and block.stub:
            long = [s for n in block.inner if len(s := lines[n - 1].strip()) >= LONG]
            given = [line for line in long if line not in secret]
            if given and len(given) * 2 >= len(long):
                notes.append(
                    f"line {block.start}: {len(given)} of {len(long)} lines of this "
                    "solution stand elsewhere in what students get"
                )
    return notes
