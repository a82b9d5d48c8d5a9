"""Everything in table_checks.py is asked of every op in the table, with nothing to
add when an op is added. Then wrong ops are planted, and the checks must catch them.
"""

import numpy as np
import pytest
import strict
from table_checks import (
    check_arrays_and_tensors_agree,
    check_device,
    check_documented,
    check_empty,
    check_first_order,
    check_float32,
    check_inputs_unchanged,
    check_kernel,
    check_layouts,
    check_numbers_do_not_promote,
    check_scalars,
    check_second_order,
    check_unread_inputs,
    plain,
)

import scratchnn
from scratchnn import TABLE, GraphError, Tensor, op
from scratchnn.ops.examples import normal

EXAMPLES = [
    pytest.param(entry, i, id=f"{name}-{i}")
    for name, entry in TABLE.items()
    for i in range(len(entry.examples))
]
of_every_example = pytest.mark.parametrize("entry, i", EXAMPLES)
of_every_op = pytest.mark.parametrize("entry", TABLE.values(), ids=list(TABLE))

# Ops that look at one entry of each input for one entry of the output.
ELEMENTWISE = ("scratchnn.ops.elementwise", "scratchnn.ops.activation")
of_elementwise_examples = pytest.mark.parametrize(
    "entry, i", [p for p in EXAMPLES if p.values[0].body.__module__ in ELEMENTWISE]
)


# ---- asked of the table ---------------------------------------------------------
@of_every_op
def test_op_is_documented_and_has_an_example(entry):
    check_documented(entry)


@of_every_example
def test_first_derivative_equals_differences(entry, i):
    check_first_order(entry, i)


@of_every_example
def test_second_derivative_equals_differences(entry, i, record_property):
    zero = check_second_order(entry, i)
    record_property("second derivative is zero by inputs", zero)


@of_every_example
def test_float32_stays_float32(entry, i, monkeypatch):
    check_float32(entry, i, monkeypatch)


@of_elementwise_examples
def test_numbers_do_not_promote(entry, i):
    check_numbers_do_not_promote(entry, i)


@of_elementwise_examples
def test_empty_inputs_give_empty_outputs_and_gradients(entry, i):
    check_empty(entry, i)


@of_elementwise_examples
def test_0d_inputs_give_0d_outputs_and_gradients(entry, i):
    check_scalars(entry, i)


@of_every_example
def test_strides_change_nothing(entry, i):
    check_layouts(entry, i)


@of_every_example
def test_inputs_are_not_modified(entry, i):
    check_inputs_unchanged(entry, i)


@of_every_example
def test_arrays_and_tensors_agree(entry, i):
    check_arrays_and_tensors_agree(entry, i)


@of_every_example
def test_rules_read_only_what_they_name(entry, i, monkeypatch):
    check_unread_inputs(entry, i, monkeypatch)


@of_every_example
def test_device_equals_cpu(entry, i, device):
    check_device(entry, i, device)


@of_every_op
def test_kernel_equals_body(entry, monkeypatch):
    if entry.fast or entry.fast_rule:
        check_kernel(entry, monkeypatch)


# ---- empty inputs of ops that are not elementwise -------------------------------
EMPTY = {
    "sum over nothing is 0": lambda f, x: f.sum(x, axis=0),
    "prod over nothing is 1": lambda f, x: f.prod(x, axis=0),
    "cumsum": lambda f, x: f.cumsum(x, axis=0),
    "mean of no rows": lambda f, x: f.mean(x, axis=1),
    "var of no rows": lambda f, x: f.var(x, axis=1),
    "max of no rows": lambda f, x: f.max(x, axis=1),
    "logsumexp of no rows": lambda f, x: f.logsumexp(x, axis=1),
    "softmax of no rows": lambda f, x: f.softmax(x),
    "log_softmax of no rows": lambda f, x: f.log_softmax(x),
    "norm": lambda f, x: f.norm(x, axis=1),
    "sort": lambda f, x: f.sort(x, axis=1),
    "reshape": lambda f, x: f.reshape(x, (5, 0)),
    "transpose": lambda f, x: f.transpose(x),
    "broadcast_to": lambda f, x: f.broadcast_to(x, (2, 0, 5)),
    "concatenate": lambda f, x: f.concatenate([x, x], axis=1),
    "stack": lambda f, x: f.stack([x, x]),
    "pad": lambda f, x: f.pad(x, ((1, 0), (0, 2))),
    "flip": lambda f, x: f.flip(x),
    "roll": lambda f, x: f.roll(x, 1, axis=1),
    "tile": lambda f, x: f.tile(x, (2, 1)),
    "repeat": lambda f, x: f.repeat(x, 2, axis=0),
    "tril": lambda f, x: f.tril(x),
    "getitem": lambda f, x: x[:, 1],
    "take": lambda f, x: f.take(x, np.array([4, 0]), axis=1),
    "take no rows": lambda f, x: f.take(x, np.zeros(0, int), axis=1),
    "matmul without rows": lambda f, x: x @ np.ones((5, 2), np.float32),
    "matmul over nothing is 0": lambda f, x: f.transpose(x) @ x,
    "linear": lambda f, x: f.linear(x, np.ones((2, 5), np.float32)),
    "einsum": lambda f, x: f.einsum("ij,kj->ik", x, np.ones((2, 5), np.float32)),
}


@pytest.mark.parametrize("claim", EMPTY)
def test_ops_accept_an_empty_batch(claim):
    x = Tensor(np.zeros((0, 5), np.float32), requires_grad=True)
    y = EMPTY[claim](scratchnn, x)
    assert y.dtype == np.float32
    y.backward(np.ones(y.shape, np.float32))
    assert x.grad.shape == (0, 5) and x.grad.dtype == np.float32
    if claim.endswith(("is 0", "is 1")):
        assert (y.data == int(claim[-1])).all() and y.size


def test_max_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no identity"):
        scratchnn.max(np.zeros((0, 5)), axis=0)


# ---- the checks catch what they are for -----------------------------------------
@pytest.fixture
def plant():
    """Enter a wrong op into the table, for one test."""
    before = set(TABLE)

    def enter(body, *example, **rules):
        call = op(body)
        if rules:
            call.rules(**rules)
        if example:
            call.example(*example)
        return call.op

    yield enter
    for name in set(TABLE) - before:
        del TABLE[name]


def double(x):
    """2 x"""
    return x * 2


def right(g, _y, _x):
    return g * 2


def fails(check, *args):
    """check refuses these arguments, and says so by an AssertionError or the like."""
    refusals = (AssertionError, ValueError, TypeError, AttributeError, GraphError)
    with pytest.raises(refusals):
        check(*args)
    return True


def test_a_right_op_passes_every_check(plant, monkeypatch):
    entry = plant(double, normal(3, 5), x=right)
    check_documented(entry)
    for check in (
        check_first_order,
        check_second_order,
        check_empty,
        check_scalars,
        check_layouts,
        check_inputs_unchanged,
        check_arrays_and_tensors_agree,
    ):
        check(entry, 0)
    check_float32(entry, 0, monkeypatch)
    check_unread_inputs(entry, 0, monkeypatch)


def test_missing_docstring_is_caught(plant):
    def undocumented(x):
        return x * 2

    assert fails(check_documented, plant(undocumented, normal(3), x=right))


def test_missing_example_is_caught(plant):
    assert fails(check_documented, plant(double, x=right))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g, _y, _x: g * 2.001,
        lambda g, _y, _x: -2 * g,
        lambda g, _y, _x: 0 * g,
        lambda g, _y, _x: g * 2 + 0.001,
        lambda g, _y, _x: 2 * scratchnn.flip(g),
        lambda g, _y, _x: scratchnn.pad(2 * g[1:], ((1, 0), (0, 0))),
    ],
    ids=["ratio", "sign", "zero", "offset", "order", "row"],
)
def test_wrong_rule_is_caught(plant, wrong):
    assert fails(check_first_order, plant(double, normal(3, 5), x=wrong), 0)


def test_missing_rule_is_caught(plant):
    assert fails(check_first_order, plant(double, normal(3, 5), x=None), 0)


def test_stashed_array_in_a_rule_is_caught_at_second_order(plant):
    def squared(x):
        """x^2"""
        return x * x

    entry = plant(squared, normal(3, 5), x=lambda g, _y, x: g * 2 * plain(x))
    check_first_order(entry, 0)
    assert fails(check_second_order, entry, 0)


def test_vacuous_example_is_refused(plant):
    def positive_part(x):
        """max(x, 0)"""
        return np.maximum(x, 0)

    entry = plant(positive_part, -np.ones((3, 5)), x=lambda g, _y, x: g * (x > 0))
    with pytest.raises(AssertionError, match="vacuous"):
        check_first_order(entry, 0)


def test_second_derivative_of_a_linear_op_is_reported_as_zero():
    assert check_second_order(TABLE["negative"], 0) == [0]
    assert check_second_order(TABLE["exp"], 0) == []


def test_float64_leak_in_a_body_is_caught(plant, monkeypatch):
    def leaky(x):
        """2 x"""
        return x * np.float64(2)

    assert fails(check_float32, plant(leaky, normal(3, 5), x=right), 0, monkeypatch)


def test_float64_leak_in_a_rule_is_caught(plant, monkeypatch):
    def leaky(g, _y, _x):
        return g * np.full(_x.shape, 2.0)

    entry = plant(double, normal(3, 5), x=leaky)
    check_first_order(entry, 0)
    assert fails(check_float32, entry, 0, monkeypatch)


def test_promotion_by_a_number_is_caught(plant):
    def wrapping(a, b):
        """a + b"""
        return np.asarray(a) + np.asarray(b)

    one = lambda g, _y, _a, _b: g
    entry = plant(wrapping, normal(3), normal(3), a=one, b=one)
    assert not fails_numbers(TABLE["add"])
    assert fails_numbers(entry)


def fails_numbers(entry):
    try:
        check_numbers_do_not_promote(entry, 0)
    except AssertionError:
        return True
    return False


def test_body_that_writes_to_its_input_is_caught(plant):
    def writing(x):
        """2 x"""
        x *= 2
        return x

    assert fails(check_inputs_unchanged, plant(writing, normal(3, 5), x=right), 0)


@pytest.mark.parametrize("victim", ["g", "y", "x"])
def test_rule_that_writes_to_what_it_is_given_is_caught(plant, victim):
    def rule(g, y, x):
        array = plain({"g": g, "y": y, "x": x}[victim])
        array *= 2
        return g * 2

    assert fails(check_inputs_unchanged, plant(double, normal(3, 5), x=rule), 0)


def test_rule_that_reads_an_underscored_input_is_caught(plant, monkeypatch):
    def squared(x):
        """x^2"""
        return x * x

    entry = plant(squared, normal(3, 5), x=lambda g, _y, _x: g * 2 * _x)
    check_first_order(entry, 0)
    assert fails(check_unread_inputs, entry, 0, monkeypatch)


def test_body_that_depends_on_strides_is_caught(plant):
    def in_memory_order(x):
        """x, flattened"""
        return x.ravel(order="K")

    rule = lambda g, _y, _x: scratchnn.reshape(g, _x.shape)
    entry = plant(in_memory_order, normal(3, 5), x=rule)
    check_first_order(entry, 0)
    assert fails(check_layouts, entry, 0)


def test_op_that_needs_an_axis_or_an_entry_is_caught(plant):
    def shifted(x):
        """x - x_0 + x_0"""
        return x - x[..., :1] + x[..., -1:].max()

    entry = plant(shifted, normal(3, 5), x=right)
    assert fails(check_empty, entry, 0)
    with pytest.raises(IndexError):
        check_scalars(entry, 0)


def test_rule_that_differs_on_tensors_is_caught(plant):
    def rule(g, _y, _x):
        return g * (2 if isinstance(g, Tensor) else 3)

    assert fails(
        check_arrays_and_tensors_agree, plant(double, normal(3, 5), x=rule), 0
    )


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x * np.full(x.shape, 2.0),
        lambda x: np.asarray(x) * 2,
        lambda x: x[np.arange(len(x))] * 2,
        lambda x: np.add.reduce([x, x]),
        lambda x: np.multiply(x, 2, where=True),
    ],
    ids=["mixing", "conversion", "index", "reduce", "where"],
)
def test_body_that_would_break_on_a_gpu_is_caught(plant, body):
    def to_cpu(x):
        """2 x"""
        return body(x)

    entry = plant(to_cpu, normal(3, 5), x=right)
    check_first_order(entry, 0)
    assert fails(check_device, entry, 0, StandIn)


def test_rule_that_would_break_on_a_gpu_is_caught(plant):
    rule = lambda g, _y, _x: g * np.full(_x.shape, 2.0)
    entry = plant(double, normal(3, 5), x=rule)
    check_first_order(entry, 0)
    assert fails(check_device, entry, 0, StandIn)


class StandIn:
    put, array = staticmethod(strict.put), strict.StrictArray


@pytest.mark.parametrize(
    "fast, rule, passes",
    [
        (lambda x: x + x, lambda g, y, need, x: [g + g], True),
        (lambda x: x + 1, None, False),
        (None, lambda g, y, need, x: [g], False),
        (lambda x: (x + x).astype(np.float64), None, False),
        (lambda x: NotImplemented, None, False),
        (None, lambda *a: NotImplemented, False),
    ],
    ids=["right", "body", "rule", "dtype", "body declines", "rule declines"],
)
def test_kernel_check_tells_right_from_wrong(plant, monkeypatch, fast, rule, passes):
    entry = plant(double, normal(3, 5), x=right)
    entry.attach(fast, rule)
    if passes:
        check_kernel(entry, monkeypatch)
    else:
        assert fails(check_kernel, entry, monkeypatch)


def test_kernel_that_ignores_the_mask_is_caught(plant, monkeypatch):
    def sums(a, b):
        """a + b"""
        return a + b

    one = lambda g, _y, _a, _b: g
    entry = plant(sums, normal(3), normal(3), a=one, b=one)
    entry.attach(None, lambda g, y, need, a, b: [g.copy(), g.copy()])
    assert fails(check_kernel, entry, monkeypatch)
