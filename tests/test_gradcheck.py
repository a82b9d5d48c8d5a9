"""The checker: right rules pass, also at kinks; wrong ones fail; vacuous is refused."""

import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import scratchnn as snn
from scratchnn.gradcheck import GradcheckError, VacuousCheck, gradcheck, gradcheck_table


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# ---- what it accepts ------------------------------------------------------------
@pytest.mark.parametrize("mode", ["coords", "directional"])
@pytest.mark.parametrize("order", [1, 2])
def test_right_rules_pass_in_both_modes_and_orders(mode, order):
    f = lambda x, w: snn.softmax(snn.tanh(x @ w) * 3)
    assert gradcheck(f, normal(5, 3), normal(3, 2), mode=mode, order=order)


def test_inputs_may_be_tensors_lists_and_float32_and_stay_as_they_are():
    x = snn.Tensor(normal(3, 2).astype(np.float32), requires_grad=True)
    before = x.data.copy()
    assert gradcheck(lambda x, y: x * y, x, [[1.5], [2.5], [3.5]])
    assert x.grad is None and np.array_equal(x.data, before)


def test_integers_and_the_rest_are_constants():
    f = lambda x, k, axis, name: snn.sum(x[k], axis=axis)
    assert gradcheck(f, normal(5, 3), np.array([0, 2, 2]), 1, "name")


def test_backward_may_skip_or_answer_the_constants():
    k = np.array([1, 0, 1])

    def scatter(g, x, k):
        dx = np.zeros_like(x)
        np.add.at(dx, k, g)
        return dx

    forward = lambda x, k: x[k]
    assert gradcheck(forward, normal(2, 3), k, backward=scatter)
    assert gradcheck(forward, normal(2, 3), k, backward=lambda *a: (scatter(*a), None))


def test_directional_check_takes_as_many_calls_at_any_size():
    counts = []
    for n in (3, 300):
        calls = 0

        def f(x):
            nonlocal calls
            calls += 1
            return snn.sin(x)

        assert gradcheck(f, normal(n, n), mode="directional")
        counts.append(calls)
    assert counts[0] == counts[1]


def test_check_repeats_itself_and_leaves_the_library_generator_alone():
    snn.manual_seed(0)
    state = snn.random.get_state()
    texts = set()
    for _ in range(2):
        with pytest.raises(GradcheckError) as e:
            gradcheck(np.sin, normal(3), backward=lambda g, x: g * x)
        texts.add(str(e.value))
    assert len(texts) == 1 and snn.random.get_state() == state


def test_last_digit_may_differ_between_equal_calls():
    """Products of matrices do so where memory is aligned otherwise."""
    flips = iter([0.0, 1e-16] * 1000)
    assert gradcheck(lambda x: snn.sin(x) + next(flips), normal(5))


# ---- kinks ----------------------------------------------------------------------
KINKED = np.array([0.0, 1.0, -1.0, 0.0, 1e-6, 1.0, -3e-7, 2.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: snn.maximum(x, 0.0) * x,
        snn.abs,
        lambda x: snn.clip(x, -1, 1),
        lambda x: snn.maximum(x, snn.flip(x)),
        snn.max,
        lambda x: snn.sort(x) ** 2,
        lambda x: snn.sqrt(snn.abs(x)),
        lambda x: snn.norm(snn.reshape(x, (4, 2)), axis=1),
        lambda x: snn.maximum(x, 0.0) - snn.maximum(-x, 0.0),
        lambda x: snn.where(x > 0, x, 0.1 * x),
    ],
)
@pytest.mark.parametrize("mode", ["coords", "directional"])
@pytest.mark.parametrize("order", [1, 2])
def test_no_right_rule_is_accused_at_kinks(f, mode, order):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert gradcheck(f, KINKED, mode=mode, order=order, rng=rng)


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_any_slope_between_the_sides_of_a_kink_is_right(slope):
    backward = lambda g, x: g * np.where(x == 0, slope, x > 0)
    assert gradcheck(lambda x: np.maximum(x, 0), KINKED, backward=backward)


def test_one_or_all_of_equal_entries_may_carry_the_gradient_but_not_twice():
    x = np.array([[1.0, 1.0, 0.0], [0.5, 2.0, 2.0]])
    top = lambda x: x == x.max(1, keepdims=True)
    forward = lambda x: x.max(1)
    first = lambda g, x: g[:, None] * (np.cumsum(top(x), 1) == 1) * top(x)
    shared = lambda g, x: g[:, None] * top(x) / top(x).sum(1, keepdims=True)
    assert gradcheck(forward, x, backward=first)
    assert gradcheck(forward, x, backward=shared)
    with pytest.raises(GradcheckError, match="ties"):
        gradcheck(forward, x, backward=lambda g, x: g[:, None] * top(x))


def test_million_kinks_do_not_shake_the_directional_check():
    assert gradcheck(snn.abs, normal(1000, 1000), mode="directional")


# ---- checks that can't fail are refused -----------------------------------------
@pytest.mark.parametrize(
    "f, inputs",
    [
        (lambda x: x * 0 + 1.0, [normal(3)]),
        (lambda x: snn.sum(x), [np.zeros((0, 3))]),
        (lambda x: x, [np.array([1, 2])]),
        (snn.argmax, [normal(5)]),
        (snn.sign, [normal(5)]),
        (lambda x: x * x, [np.zeros(3)]),
    ],
)
def test_vacuous_check_is_refused(f, inputs):
    for mode in ("coords", "directional"):
        with pytest.raises(VacuousCheck):
            gradcheck(f, *inputs, mode=mode)


def test_g_of_ones_under_a_softmax_is_refused():
    with pytest.raises(VacuousCheck, match="g of ones under a softmax"):
        gradcheck(snn.softmax, normal(5, 3), g=np.ones((5, 3)))


def test_options_are_checked():
    with pytest.raises(ValueError, match="mode is 'fast', expected"):
        gradcheck(snn.exp, normal(3), mode="fast")
    with pytest.raises(ValueError, match="order is 3"):
        gradcheck(snn.exp, normal(3), order=3)
    with pytest.raises(ValueError, match="written in ops"):
        gradcheck(np.exp, normal(3), order=2, backward=lambda g, x: g)
    with pytest.raises(ValueError, match=r"g has shape \(2,\)"):
        gradcheck(snn.exp, normal(3), g=np.ones(2))
    with pytest.raises(TypeError, match="returns 2 things"):
        gradcheck(lambda x: snn.split(x, 2), normal(4))


# ---- wrong rules in the op table ------------------------------------------------
@pytest.fixture
def define():
    """Define ops for one test; they leave the table afterwards."""
    before = set(snn.TABLE)

    def define(body, **rules):
        f = snn.op(body)
        f.rules(**rules)
        return f

    yield define
    for name in set(snn.TABLE) - before:
        del snn.TABLE[name]


def planted_tanh(x):
    """tanh x"""
    return np.tanh(x)


def planted_scale(x, gamma):
    """x * gamma"""
    return x * gamma


WRONG = [
    (planted_tanh, dict(x=lambda g, y, _x: g * (1 - y)), [normal(5, 3)], "X"),
    (planted_tanh, dict(x=lambda g, y, _x: g * (y * y - 1)), [normal(5, 3)], "S"),
    (planted_tanh, dict(x=lambda g, y, _x: 1 - y * y), [normal(5, 3)], "X"),
    (planted_tanh, dict(x=lambda g, y, _x: g * 0), [normal(5, 3)], "Z"),
    (
        planted_scale,
        dict(x=lambda g, _y, x, _g: g, gamma=lambda g, _y, x, _g: g * x),
        [normal(5, 3), np.array([1.5, 0.5, 3.0])],
        "R",
    ),
    (
        planted_scale,
        dict(x=lambda g, _y, x, gamma: g * gamma, gamma=lambda g, _y, x, _g: g),
        [normal(5, 3), np.array([1.5, 0.5, 3.0])],
        "X",
    ),
]


@pytest.mark.parametrize("body, rules, inputs, letter", WRONG)
@pytest.mark.parametrize("mode", ["coords", "directional"])
def test_wrong_rule_in_the_table_is_caught(define, body, rules, inputs, letter, mode):
    with pytest.raises(GradcheckError) as e:
        gradcheck(define(body, **rules), *inputs, mode=mode)
    assert e.value.report.letter == letter


def test_wrong_rule_is_caught_inside_a_composition(define):
    wrong = define(planted_tanh, x=lambda g, y, _x: g * (1 - y))
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: snn.sum(wrong(x * 2) ** 2, axis=1), normal(5, 3))


def test_large_check_by_direction_fails_without_entries(define):
    wrong = define(planted_tanh, x=lambda g, y, _x: g * (1 - y))
    with pytest.raises(GradcheckError, match="along a random direction analytic"):
        gradcheck(wrong, normal(100, 100), mode="directional")


def test_mistake_of_a_millionth_is_caught_and_one_of_1e_10_is_rounding():
    for part, right in ((1e-6, False), (1e-10, True)):
        backward = lambda g, x: g * np.cos(x) * (1 + part)
        if right:
            assert gradcheck(np.sin, normal(5, 3), backward=backward)
        else:
            with pytest.raises(GradcheckError, match="almost right"):
                gradcheck(np.sin, normal(5, 3), backward=backward)


def test_slopes_of_any_size_are_judged_alike():
    for size in (1e-12, 1e12):
        f = lambda x: size * np.sin(x)
        assert gradcheck(f, normal(5), backward=lambda g, x: size * g * np.cos(x))
        with pytest.raises(GradcheckError):
            gradcheck(f, normal(5), backward=lambda g, x: size * g * np.sin(x))


def test_inputs_near_the_edge_of_a_domain_are_measured():
    assert gradcheck(snn.log, np.array([1e-7, 1e-3, 0.5]))
    assert gradcheck(snn.sqrt, np.array([1e-7, 1e-3, 0.5]))


# ---- the table ------------------------------------------------------------------
def test_table_check_reports_right_wrong_and_skipped_ops(define):
    wrong = define(planted_tanh, x=lambda g, y, _x: g * (1 - y))
    wrong.example(lambda rng: rng.normal(size=(3, 5)))
    names = ["planted_tanh", "argmax", "one_hot", "concatenate", "stack", "split"]
    rows = list(gradcheck_table(np.random.default_rng(0), names))
    bad = [r for r in rows if r.ok is False]
    assert {(r.op, r.order) for r in bad} == {("planted_tanh", 1), ("planted_tanh", 2)}
    assert "Diagnosis X" in bad[0].message
    skipped = {r.op: r.message for r in rows if r.ok is None}
    assert skipped == {"argmax": "has no derivative", "one_hot": "has no float input"}
    assert {r.op for r in rows if r.ok} == {"concatenate", "stack", "split"}


# ---- no right rule is ever accused ----------------------------------------------
SAME = [  # shape-keeping ops, kinks included
    snn.sin,
    snn.tanh,
    snn.sigmoid,
    snn.softplus,
    lambda x: snn.exp(snn.tanh(x)),
    lambda x: snn.log(x * x + 1),
    lambda x: snn.sqrt(x * x + 0.5),
    lambda x: x * x,
    lambda x: x / (1 + snn.abs(x)),
    snn.abs,
    lambda x: snn.maximum(x, 0.0),
    lambda x: snn.minimum(x, 0.25),
    lambda x: snn.clip(x, -0.5, 1.0),
    lambda x: snn.where(x > 0, x, 0.1 * x),
    lambda x: snn.softmax(x, axis=-1),
    lambda x: snn.log_softmax(x, axis=0),
    lambda x: snn.flip(x, 0),
    lambda x: snn.roll(x, 1, axis=-1),
    lambda x: snn.cumsum(x, axis=0),
    lambda x: snn.sort(x, axis=-1),
    lambda x: snn.tril(x),
    lambda x: x - snn.mean(x, axis=0, keepdims=True),
    lambda x: x * snn.max(x, axis=-1, keepdims=True),
    lambda x: x / (1 + snn.norm(x, axis=-1, keepdims=True)),
    lambda x: x @ (snn.transpose(x) @ x) * 0.2,
]
LAST = [
    snn.sum,
    snn.mean,
    snn.logsumexp,
    lambda x: snn.sum(x, axis=0),
    lambda x: snn.var(x, axis=1),
    lambda x: snn.max(x, axis=1),
    lambda x: snn.min(x, axis=0),
    lambda x: snn.prod(x, axis=1),
    lambda x: snn.norm(x),
    snn.transpose,
    lambda x: x[::-1, None],
    lambda x: x[np.array([0, 1, 0])],
    lambda x: snn.reshape(x, (-1,)),
    lambda x: snn.concatenate([x, x * x], axis=1),
    lambda x: snn.pad(x, ((1, 0), (0, 2))),
]


def values(kind, shape, rng):
    """Ordinary numbers, numbers full of zeros and ties, or badly scaled ones."""
    x = rng.normal(size=shape)
    if kind == "ties":
        return np.round(x * 2) / 2
    return x * 10.0 ** rng.integers(-3, 2, shape) if kind == "scaled" else x


def words(f):
    """The name of an op, the source of a lambda."""
    return f.__name__ if f.__name__ in snn.TABLE else inspect.getsource(f).strip()


@settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,  # the same functions in every run, also of CI
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(st.sampled_from(SAME), min_size=1, max_size=2),
    st.sampled_from(LAST),
    st.sampled_from(["x", "x + w", "x * w", "max(x, w)"]),
    st.tuples(st.integers(2, 3), st.integers(1, 4)),
    st.sampled_from(["normal", "ties", "scaled"]),
    st.sampled_from(["coords", "directional", "directional"]),
    st.sampled_from([1, 1, 2]),
    st.integers(0, 10**6),
)
def test_no_right_rule_is_ever_accused(chain, last, mix, shape, kind, mode, order, at):
    rng = np.random.default_rng(at)
    x, w = values(kind, shape, rng), values(kind, shape[1:], rng)
    mixed = {
        "x": lambda x, w: x,
        "x + w": lambda x, w: x + w,
        "x * w": lambda x, w: x * w,
        "max(x, w)": snn.maximum,
    }[mix]

    def f(x, w):
        y = mixed(x, w)
        for step in chain:
            y = step(y)
        return last(y)

    note(f"of {mix}: {', '.join(words(step) for step in (*chain, last))}")
    note(f"x = {x!r}, w = {w!r}")
    try:
        assert gradcheck(f, x, w, mode=mode, order=order, rng=rng)
    except VacuousCheck:
        pass  # such as the sum of a softmax


def test_a_rule_that_reads_what_it_says_it_does_not_is_caught_on_small_inputs():
    @snn.op
    def squared(x):
        """x^2"""
        return x * x

    squared.rules(x=lambda g, _y, _x: 2 * g * _x)
    try:
        with pytest.raises(snn.GraphError, match="to read it, drop the _"):
            gradcheck(squared, np.ones(3))
    finally:
        del snn.TABLE["squared"]
