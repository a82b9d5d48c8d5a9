"""The exercises: solutions pass all, stubs none; each task is fit to be given."""

import ast
import pathlib
import re

import numpy as np
import pytest

from scratchnn.course import load
from scratchnn.course.checking import public_rng, run_tasks
from scratchnn.course.markers import blocks, solution_text, student_text
from scratchnn.course.session import Session

FOLDER = pathlib.Path(__file__).parent.parent / "lessons" / "exercises"
EXERCISES = sorted(FOLDER.glob("*.py"))
NAMES = [path.stem for path in EXERCISES]
TASKS = {
    "engine": "multiply_rule matmul_rule affine_rule pull_back pull_back_sorted",
    "gradcheck": "numeric_gradient relative_error check softmax_rule trust",
    "vae": "sample_z kl bce_with_logits sample_z_rule loss",
    "attention": "softmax single_query_attention masked_attention split_heads "
    "attention_rule causal_attention",
}
NUMBERS = {"engine": 1, "gradcheck": 2, "vae": 3, "attention": 4}


def session_of(path, text):
    files = {path.name: text.encode()}
    return Session(files, path.stem, isolate=False, seconds=20.0, total=600.0)


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_the_solution_passes_every_check_with_any_draw(path):
    assignment = load(path)
    source = path.read_text(encoding="utf-8")
    with session_of(path, solution_text(source, path)) as session:
        for seed in range(3):
            rng = (lambda task: np.random.default_rng(seed)) if seed else public_rng
            for result in run_tasks(assignment, session, rng):
                assert (result.status, result.text) == ("passed", "")
                assert result.score == result.points


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_what_students_get_passes_no_task(path):
    assignment = load(path)
    source = path.read_text(encoding="utf-8")
    with session_of(path, student_text(source, path)) as session:
        for result in run_tasks(assignment, session):
            waits = assignment.tasks[result.number].needs
            assert result.status == ("can't check yet" if waits else "not started")
            assert result.score == 0


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_tasks_have_the_names_that_the_lessons_use(path):
    tasks = load(path).tasks
    assert [t.function for t in tasks.values()] == TASKS[path.stem].split()
    n = NUMBERS[path.stem]
    assert list(tasks) == [f"{n}.{k + 1}" for k in range(len(tasks))]


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_each_task_has_three_kinds_of_check_some_of_them_hidden(path):
    for task in load(path).tasks.values():
        assert {c.kind for c in task.checks} == {"value", "gradient", "invariant"}
        public = {c.kind for c in task.checks if not c.hidden}
        assert "value" in public and len(public) >= 2
        assert any(c.hidden and c.kind == "value" for c in task.checks)
        assert all(c.claim != c.kind for c in task.checks), "a check without a claim"
        assert len(task.mistakes) >= 4


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_each_task_says_what_to_write(path):
    assignment = load(path)
    tree = ast.parse(assignment.source)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    for task in assignment.tasks.values():
        text = ast.get_docstring(functions[task.function])
        assert re.search(r"\(|any shape", text) and "->" in text.replace("\n", " ")
        assert 1 <= task.points <= 5
        assert 10 < len(task.hint) <= 88 and "\n" not in task.hint


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_each_solution_takes_1_to_15_lines(path):
    source = path.read_text(encoding="utf-8")
    solutions = [b for b in blocks(source, path) if b.kind == "solution"]
    assert len(solutions) == len(load(path).tasks)
    for block in solutions:
        assert 1 <= len(block.inner) <= 15


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_students_import_numpy_alone(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(student_text(source, path))
    imports = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(n) for n in imports] == ["import numpy as np"]


# Right answers written otherwise than the solution.
OTHERWISE = {
    "engine": """
def multiply_rule(g, a, b):
    return [np.multiply(b, g), np.multiply(a, g)]

def matmul_rule(g, A, B):
    return np.einsum("nm,dm->nd", g, B), np.einsum("nd,nm->dm", A, g)

def affine_rule(g, x, W, b):
    dx, dWT = matmul_rule(g, x, W.T)
    return dx, dWT.T, np.ones(len(g)) @ g
""",
    "gradcheck": """
def relative_error(analytic, numeric):
    a, n = np.abs(analytic), np.abs(numeric)
    size = np.where(a > n, a, n)
    out = np.zeros_like(size)
    np.divide(np.abs(analytic - numeric), size, out=out, where=size > 0)
    return out.max()

def softmax_rule(g, y):
    return np.array([(np.diag(p) - np.outer(p, p)) @ a for p, a in zip(y, g)])
""",
    "vae": """
def sample_z(mu, logvar, eps):
    return eps * np.sqrt(np.exp(logvar)) + mu

def kl(mu, logvar):
    return -0.5 * np.sum(1 + logvar - np.square(mu) - np.exp(logvar), axis=-1)

def bce_with_logits(logits, x):
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)

def loss(logits, x, mu, logvar):
    return (bce_with_logits(logits, x) + kl(mu, logvar)).mean()
""",
    "attention": """
def softmax(scores):
    e = np.exp(scores - np.max(scores, -1)[..., None])
    return e / np.sum(e, -1)[..., None]

def masked_attention(Q, K, V, mask):
    scores = np.where(mask, Q @ K.T / len(Q[0]) ** 0.5, -1e9)
    return softmax(scores) @ V

def split_heads(X, H):
    return np.stack(np.split(X, H, axis=1))

def causal_attention(Q, K, V):
    return masked_attention(Q, K, V, np.tri(len(Q), dtype=bool))
""",
}


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_right_answers_written_otherwise_pass(path):
    assignment = load(path)
    source = path.read_text(encoding="utf-8")
    text = f"{solution_text(source, path)}\n{OTHERWISE[path.stem]}"
    with session_of(path, text) as session:
        for seed in (5, 6, 7, 8):
            rng = lambda task: np.random.default_rng(seed)
            for result in run_tasks(assignment, session, rng):
                assert (result.status, result.text) == ("passed", "")
