"""The engine: order, sums, freeing, refusals, higher orders, memory."""

import gc
import threading
import time

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import GraphError, Tensor, grad, no_grad
from scratchnn.tensor import Leaf, Node, composite, op


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def live_nodes():
    return sum(type(o) in (Node, Leaf) for o in gc.get_objects())


def test_a_node_waits_for_all_its_users_before_it_passes_on():
    # (a+b) + ab + (a+b)ab: 19 if a shared node passes on too early, 25 by hand
    a, b = leaf(2.0), leaf(3.0)
    s, p = a + b, a * b
    (s + p + s * p).sum().backward()
    a_, b_ = 2.0, 3.0
    by_hand = 1 + b_ + (a_ * b_ + (a_ + b_) * b_)
    assert a.grad == by_hand == 25.0


def test_gradients_of_repeated_uses_add_up():
    x = leaf(3.0)
    (x * x + x * x + x).sum().backward()
    assert x.grad == 4 * 3.0 + 1


def test_backward_adds_to_the_gradient_that_is_there():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [5.0, 5.0])


def test_gradients_of_two_leaves_never_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    a.grad *= 10
    np.testing.assert_array_equal(b.grad, [1.0, 1.0])
    a.grad = b.grad = None
    g = np.array([5.0, 7.0])
    (a + b).backward(g)
    a.grad += 1
    np.testing.assert_array_equal(b.grad, g)
    np.testing.assert_array_equal(g, [5.0, 7.0])


def test_a_leaf_gradient_does_not_alias_the_other_input():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    a.reshape(2).backward(b.data)
    a.grad[...] = 0
    np.testing.assert_array_equal(b.data, [3.0, 4.0])


@pytest.mark.parametrize("order", range(1, 6))
def test_every_order_of_derivative_of_a_power(order):
    x = leaf(1.5)
    y = (x * x * x * x * x).sum()
    for _ in range(order):
        y = grad(y, x).sum()
    coefficient = np.prod(np.arange(5, 5 - order, -1.0))
    np.testing.assert_allclose(y.data, coefficient * 1.5 ** (5 - order), rtol=1e-13)


def test_backward_of_a_gradient_gives_the_second_derivative():
    x = leaf(2.0)
    grad((x**3).sum(), x).sum().backward()
    np.testing.assert_allclose(x.grad, 6 * 2.0)


def test_grad_by_an_intermediate_result():
    x = leaf(2.0)
    h = x * 3
    (gh,) = grad((h * h).sum(), [h])
    np.testing.assert_allclose(gh.data, 2 * 6.0)


def test_grad_visits_only_what_leads_to_its_targets():
    calls = []

    @op
    def counted(x):
        """x, and note each time that the rule runs."""
        return x * 1.0

    counted.rules(x=lambda g, _y, _x: calls.append(1) or g)
    try:
        a, b = leaf(1.0), leaf(1.0)
        y = (counted(a) * counted(b)).sum()
        grad(y, a)
        assert len(calls) == 1
    finally:
        del snn.TABLE["counted"]


def test_grad_keeps_the_graph_and_backward_consumes_it():
    x = leaf(2.0)
    y = (x * x).sum()
    grad(y, x)
    grad(y, x)
    y.backward()
    with pytest.raises(GraphError, match="consumed by an earlier backward"):
        y.backward()
    with pytest.raises(GraphError, match="consumed by an earlier backward"):
        grad(y, x)


def test_a_new_result_on_a_consumed_one_is_refused():
    x = leaf(2.0)
    h = x * x
    h.sum().backward()
    with pytest.raises(GraphError, match="the graph behind multiply was consumed"):
        (h * 2).sum().backward()


def test_grad_under_no_grad_gives_plain_values():
    x = leaf(2.0)
    y = (x * x).sum()
    with no_grad():
        g = grad(y, x)
    assert g.node is None and g.data == 4.0


def test_an_independent_input_is_an_error_or_zero():
    x, z = leaf(2.0), leaf(1.0, 1.0)
    y = (x * x).sum()
    with pytest.raises(GraphError, match=r"y does not depend on xs\[1\]"):
        grad(y, [x, z])
    np.testing.assert_array_equal(grad(y, [x, z], allow_unused=True)[1].data, [0, 0])


def test_a_parameter_changed_after_use_is_refused():
    p = leaf(1.0, 2.0)
    loss = (p * p).sum()
    p.data -= 0.1
    with pytest.raises(GraphError) as e:
        loss.backward()
    assert str(e.value) == (
        "a parameter of shape (2,) changed, or began to require gradients, after the "
        "forward pass used it in multiply; recompute the loss. (Two optimizers? Step "
        "one, then run the other's forward pass)"
    )
    assert p.grad is None
    (p * p).sum().backward()
    np.testing.assert_allclose(p.grad, 2 * p.data)


def test_the_answer_of_d_reused_after_its_step_is_refused():
    d, g = leaf(0.5), leaf(2.0)
    fake = g * 3
    answer = d * fake
    grad((answer * answer).sum(), d)
    d.data -= 0.1
    with pytest.raises(GraphError, match="after the forward pass used it"):
        grad(answer.sum(), g)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x: x * 2, "backward: needs a scalar, got shape (2,)."),
        (lambda x: x.detach().sum(), "backward: this Tensor was not recorded."),
        (lambda x: (x > 0).sum(), "backward: this Tensor was not recorded."),
    ],
)
def test_backward_refuses_with_a_reason(make, message):
    with pytest.raises(GraphError) as e:
        make(leaf(1.0, 2.0)).backward()
    assert str(e.value).startswith(message)


def test_a_gradient_of_another_shape_is_refused():
    with pytest.raises(GraphError, match=r"g must have y's shape \(2,\), got \(3,\)"):
        (leaf(1.0, 2.0) * 2).backward(np.ones(3))


def test_no_grad_records_nothing_as_context_and_as_decorator():
    x = leaf(1.0)
    with no_grad():
        assert (x * 2).node is None
        with no_grad():
            pass
        assert (x * 2).node is None
    assert (x * 2).node is not None

    @no_grad()
    def countdown(n):
        return countdown(n - 1) if n else x * 2

    assert countdown(3).node is None
    assert snn.is_recording()


def test_no_grad_ends_with_an_error_inside():
    with pytest.raises(ZeroDivisionError), no_grad():
        1 / 0
    assert snn.is_recording()


def test_no_grad_in_one_thread_leaves_another_recording():
    x, inside, done = leaf(1.0), threading.Event(), threading.Event()

    def evaluate():
        with no_grad():
            inside.set()
            done.wait(5)

    thread = threading.Thread(target=evaluate)
    thread.start()
    assert inside.wait(5)
    assert (x * 2).node is not None
    done.set()
    thread.join()


def test_in_place_changes_of_a_recorded_tensor_name_the_alternative():
    x = leaf(1.0, 2.0)
    y = x * 2
    with pytest.raises(GraphError, match=r"use\s+scratchnn.where|scratchnn.where"):
        y[0] = 1.0
    with pytest.raises(GraphError, match="output of multiply.*scratchnn.where"):
        y.data = np.zeros(2)
    with pytest.raises(GraphError, match=r"write `p.data -= ...`"):
        x -= 0.1


def test_requires_grad_is_for_floating_point_leaves():
    with pytest.raises(TypeError, match="got int64. Convert first"):
        Tensor([1, 2], requires_grad=True)
    with pytest.raises(GraphError, match="output of multiply. Use t.detach"):
        (leaf(1.0) * 2).requires_grad = False


def test_freezing_a_leaf_stops_its_gradient():
    x, w = leaf(2.0), leaf(3.0)
    w.requires_grad = False
    (x * w).sum().backward()
    assert w.grad is None and x.grad == 3.0


# ---- size and speed of graphs ---------------------------------------------------
def test_a_chain_of_a_million_ops_builds_runs_backward_and_is_freed():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad == 1.0
    y = x
    for _ in range(1_000_000):  # and one that is dropped unused
        y = y * 1.0
    before = live_nodes()
    del y
    assert live_nodes() < before - 999_000


def test_a_sum_of_16000_terms_runs_backward_in_linear_time():
    def seconds(n):
        x, total = leaf(1.0), 0.0
        for _ in range(n):
            total = total + x * 1.0
        start = time.process_time()
        total.sum().backward()
        assert x.grad == n
        return time.process_time() - start

    seconds(500)
    # 16 times the terms: 16 times the work if linear, 256 if each push sorts
    assert seconds(16_000) < 80 * max(seconds(1_000), 1e-3)


def test_no_live_node_is_left_after_1000_steps_without_the_garbage_collector():
    w, b = leaf(0.5, -0.5), leaf(0.1)
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    gc.collect()
    gc.disable()
    try:
        before = live_nodes()
        for _ in range(1000):
            loss = ((snn.tanh(x @ w + b) - 1) ** 2).mean()
            loss.backward()
            for p in (w, b):
                p.data -= 0.01 * p.grad
                p.grad = None
        del loss
        assert live_nodes() == before
    finally:
        gc.enable()


def test_backward_frees_each_node_as_it_passes():
    x = leaf(*range(1000))
    h = x * 2
    y = (h * h).sum()
    y.backward()
    assert h.node.inputs is None and y.node.inputs is None


def test_large_inputs_that_no_rule_reads_are_not_kept():
    x = Tensor(np.ones(100_000), requires_grad=True)
    h = x * 2.0
    node = (h + 1.0).node  # the rule of add reads neither input
    assert not isinstance(node.inputs[0]._data, np.ndarray)
    assert node.inputs[0].shape == (100_000,)
    assert (h * h).node.inputs[0] is h  # the rule of multiply reads both


# ---- ops ------------------------------------------------------------------------
def test_an_op_on_arrays_computes_and_on_tensors_records():
    a = np.array([1.0, 2.0])
    assert type(snn.exp(a)) is np.ndarray
    assert type(snn.exp(Tensor(a))) is Tensor and snn.exp(Tensor(a)).node is None
    assert snn.exp(Tensor(a, requires_grad=True)).node.op.name == "exp"


def test_a_composite_is_entered_in_the_table_and_is_still_a_function():
    @composite
    def cube(x):
        """x * x * x"""
        return x * x * x

    try:
        assert snn.TABLE["cube"].is_composite
        x = leaf(2.0)
        assert grad(cube(x).sum(), x).data == 12.0
    finally:
        del snn.TABLE["cube"]


def own_op(body, **rules):
    call = op(body)
    if rules:
        call.rules(**rules)
    return call


def test_an_op_may_be_defined_again_but_does_not_take_the_librarys_place():
    def cube(x):
        """x^3"""
        return x * x * x

    try:
        own_op(cube, x=None)
        again = own_op(cube, x=lambda g, _y, x: 3 * g * x * x)
        assert snn.TABLE["cube"] is again.op
    finally:
        del snn.TABLE["cube"]

    def exp(x):
        """Another."""
        return x

    own_op(exp)
    assert snn.TABLE["exp"] is snn.exp.op


@pytest.fixture
def table():
    before = dict(snn.TABLE)
    yield snn.TABLE
    for name in snn.TABLE.keys() - before.keys():
        del snn.TABLE[name]


def fails(call, *inputs):
    with pytest.raises(GraphError) as e:
        call(*inputs).sum().backward()
    return str(e.value)


def test_a_mistake_in_a_rule_is_named(table):
    def f(x):
        """x * x"""
        return x * x

    big = Tensor(np.ones(1000), requires_grad=True)
    assert fails(own_op(f), big) == (
        "f has no rules: give it f.rules(...), one for each input (None for an input "
        "without a derivative)"
    )
    reads_what_is_not_kept = own_op(f, x=lambda g, _y, _x: 2 * g * _x)
    assert "An argument that begins with _ is not kept: to read it, drop the _" in (
        fails(reads_what_is_not_kept, big)
    )
    assert "to read it, call it y" in fails(own_op(f, x=lambda g, _y, x: g * _y), big)
    assert "Is `return` missing?" in fails(own_op(f, x=lambda g, _y, x: None), big)
    wrong_shape = own_op(f, x=lambda g, _y, x: g.reshape(10, 100))
    assert fails(wrong_shape, big) == (
        "the rule of f by x failed: it returned shape (10, 100), the input has (1000,)"
    )


def test_both_inputs_of_a_binary_op_need_a_rule(table):
    def f(a, b):
        """a * b"""
        return a * b

    with pytest.raises(ValueError, match="f has the inputs a and b: give a rule for"):
        own_op(f, a=lambda g, _y, _a, b: g * b)


def test_a_trainable_tensor_for_a_parameter_is_refused():
    with pytest.raises(TypeError, match="clip: min has no rule, so no gradient would"):
        snn.clip(leaf(-1.0), leaf(0.0))
    assert snn.clip(leaf(-1.0), Tensor(0.0)).item() == 0.0


def test_an_op_whose_rules_are_none_is_a_constant():
    x = leaf(-2.0, 3.0)
    assert snn.sign(x).node is None
    (x * snn.sign(x)).sum().backward()
    np.testing.assert_array_equal(x.grad, [-1, 1])


def test_a_rule_for_an_unknown_argument_is_refused():
    with pytest.raises(ValueError, match="exp has no argument 'z' to give a rule"):
        snn.TABLE["exp"].set_rules(z=None)


def test_parameters_by_position_and_by_keyword_mean_the_same():
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(snn.sum(x, 1), snn.sum(x, axis=1))
    np.testing.assert_array_equal(snn.sum(x, 1, True), x.sum(1, keepdims=True))
    np.testing.assert_array_equal(snn.reshape(x, (3, 2)), snn.reshape(x, shape=(3, 2)))
    weight, bias = np.ones((4, 3)), np.ones(4)
    np.testing.assert_array_equal(
        snn.linear(x, weight, bias=bias), snn.linear(x, weight, bias)
    )


def test_max_shares_the_gradient_among_ties():
    x = leaf(1.0, 3.0, 3.0, 2.0)
    x.max().backward()
    np.testing.assert_array_equal(x.grad, [0, 0.5, 0.5, 0])


def test_a_python_number_keeps_float32():
    x = Tensor(np.float32([1, 2]), requires_grad=True)
    y = (2.0 * x / 3 - 1) ** 2 + np.float64(1.0).item()
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_a_float32_parameter_gets_a_float32_gradient_from_float64_data():
    p = Tensor(np.float32([1, 2]), requires_grad=True)
    (p * np.array([3.0, 4.0])).sum().backward()
    assert p.grad.dtype == np.float32


# ---- found by a reviewer --------------------------------------------------------
def test_one_no_grad_may_be_entered_twice_and_wraps_generators():
    off, x = no_grad(), leaf(1.0)
    with off, off:
        pass
    assert snn.is_recording()

    @no_grad()
    def values():
        yield x * 2
        yield x * 3

    for value in values():
        assert value.node is None
        assert snn.is_recording()  # in between, the caller records


def test_the_array_of_an_output_is_read_only():
    p = leaf(1.0, 2.0)
    y = snn.exp(p)
    with pytest.raises((ValueError, GraphError)):
        y.data += 5
    y.sum().backward()
    np.testing.assert_allclose(p.grad, np.exp([1.0, 2.0]))


def test_a_list_takes_the_type_of_the_tensor_it_meets():
    t32, t64 = Tensor([1.0, 2.0]), Tensor(np.array([1.0, 2.0]))
    for y in (t32 * [3.0, 4.0], [3.0, 4.0] * t32, snn.concatenate([t32, [2.0, 3.0]])):
        assert y.dtype == np.float32
    assert (t64 * [0.1, 0.2]).data[0] == 0.1


def test_backward_takes_a_list_and_refuses_what_is_no_tensor():
    x = leaf(1.0, 2.0)
    (x * 2).backward([1.0, 3.0])
    np.testing.assert_array_equal(x.grad, [2.0, 6.0])
    with pytest.raises(TypeError, match="y must be a Tensor, got float"):
        grad(2.0, x)


def test_a_copied_or_unpickled_leaf_trains_on_its_own():
    import copy
    import pickle

    x = leaf(1.0, 2.0)
    x.node.tick += 10**9  # as if made in a process that had run for long
    for other in (copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert other.node is not x.node
        (other * 2).sum().backward()
        np.testing.assert_array_equal(other.grad, [2.0, 2.0])
    assert x.grad is None
    with pytest.raises(TypeError, match="output of multiply can't be copied"):
        copy.copy(x * 2)
