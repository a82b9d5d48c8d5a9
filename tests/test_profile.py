"""The profiler: whose time it is, what is counted, and that nothing is left behind."""

import contextlib
import os
import threading
import time

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import TABLE, Tensor, backward, grad, kernels, optim, plot
from scratchnn.models import vae
from scratchnn.op import Op

RNG = np.random.default_rng(0)
with_kernels = pytest.mark.skipif(
    os.environ.get("SCRATCHNN_JIT") == "0", reason="kernels are off by SCRATCHNN_JIT=0"
)


def float32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def leaf(*shape):
    return Tensor(float32(*shape), requires_grad=True)


def rows(p):
    return {row.name: row for row in p.rows}


def own_op(body):
    """An op of a test, which leaves the table again."""
    call = snn.op(body)
    if TABLE.get(call.op.name) is call.op:
        del TABLE[call.op.name]
    return call


class Slept:
    """Sleeps, and knows how long it slept in truth."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self, seconds):
        start = time.perf_counter()
        time.sleep(seconds)
        self.seconds += time.perf_counter() - start


@pytest.fixture
def sleepy():
    """An op that sleeps 20 ms, and 30 in its rule; the clocks of both."""
    forward, rule = Slept(), Slept()

    @own_op
    def sleepy(x):
        forward(0.02)
        return x + 1

    def by_x(g, _y, _x):
        rule(0.03)
        return g

    sleepy.rules(x=by_x)
    return sleepy, forward, rule


def mlp():
    """A step of training: 2 layers, 1 activation, 1 loss."""
    layers = snn.nn.Linear(64, 128), snn.nn.ReLU(), snn.nn.Linear(128, 7)
    net = snn.nn.Sequential(*layers)
    adam = optim.Adam(net.parameters())
    x, t = float32(256, 64), RNG.integers(0, 7, 256)

    def step():
        adam.zero_grad()
        snn.cross_entropy(net(x), t).backward()
        adam.step()

    return step


def vae_step():
    model = vae.VAE(64, [128], 2, "bernoulli", 10.0, rng=RNG)
    adam = optim.Adam(model.parameters())
    batches = [RNG.random((128, 64), dtype=np.float32)]
    return lambda: list(vae.train(model, batches, adam, 1.0, RNG))


@contextlib.contextmanager
def table_unchanged():
    """Nothing that a profile or its user replaced is still replaced afterwards."""

    def now():
        library = backward._walk, optim.Optimizer.step, kernels.load, dict(vars(Op))
        return library, {k: dict(vars(entry)) for k, entry in TABLE.items()}

    before = now()
    yield
    assert now() == before


# ---- whose time it is -----------------------------------------------------------
def test_an_op_is_charged_the_time_of_its_body_and_of_its_rule(sleepy):
    op, forward, rule = sleepy
    outside, x = Slept(), leaf(3)
    with snn.profile() as p:
        start = time.perf_counter()
        y = op(op(x))
        end_of_forward = time.perf_counter()
        outside(0.01)
        start_of_backward = time.perf_counter()
        snn.sum(y).backward()
        end = time.perf_counter()
    row = rows(p)["sleepy"]
    assert forward.seconds <= row.forward <= end_of_forward - start
    assert rule.seconds <= row.rule <= end - start_of_backward
    assert outside.seconds <= rows(p)["outside"].seconds
    assert row.seconds == row.forward + row.rule and row.calls == 2
    assert p.rows[0] == row  # the longest is first


@pytest.mark.parametrize("make", [mlp, vae_step])
def test_the_rows_add_up_to_the_time_of_the_block_within_5_percent(make):
    step = make()
    step()
    with snn.profile() as p:
        start = time.perf_counter()
        for _ in range(20):
            step()
        seconds = time.perf_counter() - start
    assert sum(row.seconds for row in p.rows) == pytest.approx(p.total)
    assert seconds <= p.total <= 1.05 * seconds


def test_what_runs_inside_an_op_belongs_to_it(sleepy):
    op, forward, rule = sleepy
    slow = own_op(lambda x: op(x))
    slow.op.name = "slow"
    slow.rules(x=lambda g, _y, _x: op(g))
    with snn.profile() as p:
        snn.sum(slow(leaf(3))).backward()
    assert "sleepy" not in rows(p)
    assert rows(p)["slow"].forward + rows(p)["slow"].rule >= forward.seconds >= 0.04


def test_of_attention_its_products_are_no_rows():
    q = leaf(2, 5, 3)
    with snn.profile() as p:
        snn.sum(snn.attention(q, q, q)).backward()
    assert set(rows(p)) == {"attention", "sum", "engine", "outside"}


@pytest.mark.parametrize("context", [contextlib.nullcontext, snn.no_grad])
def test_grad_of_an_op_is_its_rule_and_no_call_of_other_ops(sleepy, context):
    op, _, rule = sleepy
    x = leaf(3)
    with snn.profile() as p:
        y = snn.sum(op(x) + op(x))
        with context():
            grad(y, x)
    assert rule.seconds <= rows(p)["sleepy"].rule
    calls = {row.name: row.calls for row in p.rows if row.kernels is not None}
    assert calls == {"sleepy": 2, "add": 1, "sum": 1}


def test_a_step_is_named_after_its_optimizer():
    w = leaf(3)
    w.grad = np.ones(3, np.float32)
    with snn.profile() as p:
        optim.SGD([w]).step()
        optim.AdamW([w]).step()
    assert {"SGD.step", "AdamW.step", "outside"} == set(rows(p))


@with_kernels
def test_compiling_is_not_charged_to_the_op_that_waits_for_it():
    numba = pytest.importorskip("numba", reason="compiling needs numba")

    before, after = Slept(), Slept()

    @own_op
    def compiled(x):
        before(0.005)
        y = numba.njit(lambda x: x * 2 + 1)(x)
        after(0.005)
        return y

    compiled.rules(x=None)
    with snn.profile() as p:
        start = time.perf_counter()
        compiled(np.float32(1))
        seconds = time.perf_counter() - start
    compiling, forward = rows(p)["compiling"].seconds, rows(p)["compiled"].forward
    assert compiling > forward >= before.seconds + after.seconds
    assert compiling + forward <= seconds


# ---- what is counted ------------------------------------------------------------
def test_calls_are_counted_exactly():
    step = mlp()
    with snn.profile() as p:
        for _ in range(3):
            step()
    calls = {name: row.calls for name, row in rows(p).items()}
    assert calls["linear"] == 6 and calls["relu"] == 3
    assert calls["Adam.step"] == calls["engine"] == 3


def test_bytes_are_those_of_new_outputs_and_views_have_none():
    x = float32(5, 7)
    with snn.profile() as p:
        snn.add(x, x), snn.add(x, x)
        snn.reshape(x, (7, 5)), snn.broadcast_to(x, (1000, 5, 7))
        snn.reshape(x.T, (35,))  # must copy
    assert rows(p)["add"].nbytes == 2 * x.nbytes
    assert rows(p)["reshape"].nbytes == x.nbytes
    assert rows(p)["broadcast_to"].nbytes == 0


def test_an_op_that_fails_is_charged_but_not_counted(sleepy):
    op, forward, _ = sleepy
    op.op.run = lambda x: op.op.body(x) @ np.ones((4, 4))
    with snn.profile() as p, pytest.raises(ValueError):
        op(np.ones(3))
    assert rows(p)["sleepy"].calls == 0
    assert rows(p)["sleepy"].forward >= forward.seconds


def test_kernel_and_reference_are_told_apart():
    @own_op
    def twice(x):
        return 2 * x

    twice.rules(x=lambda g, _y, _x: 2 * g)
    with snn.profile() as p:
        twice(np.ones(3))
    assert rows(p)["twice"].by == "reference"
    twice.op.attach(lambda x: x + x if x.size > 3 else NotImplemented, None)
    with snn.profile() as p:
        for n in (2, 3, 4, 5, 6):
            twice(np.ones(n))
    assert (rows(p)["twice"].calls, rows(p)["twice"].kernels) == (5, 3)
    assert rows(p)["twice"].by == "kernel 3 of 5"
    with snn.profile() as p:
        twice(np.ones(4))
    assert rows(p)["twice"].by == "kernel"


@with_kernels
def test_the_librarys_kernels_are_recognized_and_switched_off_midway():
    pytest.importorskip("numba", reason="kernels need numba")
    x = float32(300, 300)
    try:
        with snn.profile() as p:
            snn.relu(x), snn.relu(x)
            kernels.detach()
            snn.relu(x)
        assert rows(p)["relu"].by == "kernel 2 of 3"
        assert all(entry.fast is None for entry in TABLE.values())
        assert all(entry.run is entry.body for entry in TABLE.values())
        with snn.profile() as p:
            snn.relu(x)
            kernels.attach()
            snn.relu(x)
        assert rows(p)["relu"].by == "kernel 1 of 2"
    finally:
        kernels.attach()
    with snn.profile() as p:
        snn.relu(x)
    assert rows(p)["relu"].by == "kernel"


def test_an_op_made_inside_the_block_is_measured():
    with snn.profile() as p:

        @own_op
        def triple(x):
            return 3 * x

        triple.rules(x=lambda g, _y, _x: 3 * g)
        x = leaf(3)
        snn.sum(triple(x)).backward()
    assert rows(p)["triple"].calls == 1 and rows(p)["triple"].rule > 0
    np.testing.assert_array_equal(x.grad, [3, 3, 3])
    assert triple.op.run is triple.op.body and not triple.op.keeps_y


# ---- nothing is left behind -----------------------------------------------------
def test_ops_are_as_they_were_after_the_block():
    with table_unchanged(), snn.profile():
        mlp()()
        assert "run" in vars(Op)


def test_a_profile_is_complete_at_the_end_of_its_block():
    with snn.profile() as p:
        run = TABLE["exp"].run  # as it is watched
    total = p.total
    run(np.ones(3))
    assert p.total == total and "exp" not in rows(p)


def test_ops_are_as_they_were_after_an_error_in_the_block():
    with table_unchanged(), pytest.raises(ZeroDivisionError):
        with snn.profile() as p:
            snn.exp(np.ones(3))
            raise ZeroDivisionError
    assert rows(p)["exp"].calls == 1


def test_detect_anomaly_works_in_a_profile_and_around_one():
    x = leaf(3)
    with table_unchanged():
        with snn.profile() as p, snn.detect_anomaly():
            snn.sum(snn.exp(x)).backward()
            with pytest.raises(snn.AnomalyError):
                snn.log(-snn.exp(x))
        assert rows(p)["exp"].calls == 2 and rows(p)["exp"].rule > 0
        with snn.detect_anomaly(), snn.profile() as p:
            snn.sum(snn.exp(x)).backward()
            with pytest.raises(snn.AnomalyError):
                snn.log(-snn.exp(x))
        assert rows(p)["exp"].calls == 2 and rows(p)["exp"].rule > 0


def test_profiles_within_profiles_each_measure_their_whole_block(sleepy):
    op, forward, rule = sleepy
    with table_unchanged():
        with snn.profile() as outer:
            op(np.ones(3))
            before = forward.seconds
            with snn.profile() as inner:
                snn.sum(op(leaf(3))).backward()
            op(np.ones(3))
    assert rows(outer)["sleepy"].calls == 3 and rows(inner)["sleepy"].calls == 1
    assert rows(outer)["sleepy"].forward >= forward.seconds
    assert rows(inner)["sleepy"].forward < forward.seconds - before
    assert min(rows(p)["sleepy"].rule for p in (outer, inner)) >= rule.seconds
    assert inner.total < outer.total


def test_the_profile_begun_first_may_end_first():
    with table_unchanged():
        with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
            a = first.enter_context(snn.profile())
            b = second.enter_context(snn.profile())
            first.close()
            snn.exp(np.ones(3))
    assert "exp" not in rows(a) and rows(b)["exp"].calls == 1


def test_other_threads_work_unmeasured_and_may_profile_themselves(sleepy):
    op, found = sleepy[0], {}

    def work():
        with snn.profile() as p:
            x = leaf(3)
            snn.sum(op(x)).backward()
        found["grad"], found["profile"] = x.grad, p

    with table_unchanged(), snn.profile() as p:
        thread = threading.Thread(target=work)
        thread.start()
        snn.exp(np.ones(3))
        thread.join()
    np.testing.assert_array_equal(found["grad"], [1, 1, 1])
    assert set(rows(p)) == {"exp", "outside"}
    assert rows(found["profile"])["sleepy"].calls == 1
    assert rows(found["profile"])["sleepy"].rule >= 0.03


def test_training_ends_with_the_same_numbers_profiled_or_not():
    def trained(context):
        model = vae.VAE(16, [8], 2, "bernoulli", 10.0, rng=np.random.default_rng(1))
        adam = optim.Adam(model.parameters())
        batches = [np.random.default_rng(2).random((8, 16), dtype=np.float32)] * 5
        with context:
            losses = vae.train(model, batches, adam, 1.0, np.random.default_rng(3))
            return [loss.loss for loss in losses]

    assert trained(snn.profile()) == trained(contextlib.nullcontext())


# ---- how it is shown ------------------------------------------------------------
def test_the_table_has_a_line_for_each_row_and_the_total():
    with snn.profile() as p:
        mlp()()
    head, *lines, total, _, _ = str(p).splitlines()
    assert head.split()[:3] == ["op", "calls", "forward"]
    assert [line.split()[0] for line in lines] == [r.name.strip("_") for r in p.rows]
    assert total.split() == ["total", f"{1000 * p.total:,.2f}", "100.0", "%"]
    assert all(len(line) <= 88 for line in str(p).splitlines())
    linear = next(line for line in lines if line.startswith("linear"))
    row = rows(p)["linear"]
    assert linear.split()[1:4] == [
        str(row.calls), f"{1000 * row.forward:.2f}", f"{1000 * row.rule:.2f}",
    ]  # fmt: skip


def test_the_picture_has_a_bar_for_each_row_and_the_rest_in_one():
    ops = [snn.exp, snn.tanh, snn.sin, snn.cos, snn.relu, snn.sigmoid]
    with snn.profile() as p:
        for op in ops:
            op(np.ones(3))
    axes = plot.profile(p).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == [r.name for r in p.rows]
    axes = plot.profile(p, most=4).axes[0]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == [*(r.name for r in p.rows[:3]), "4 others"]
    widths = sum(bar.get_width() for bar in axes.patches)
    assert widths == pytest.approx(1000 * p.total)
