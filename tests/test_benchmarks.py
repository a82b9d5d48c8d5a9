"""The benchmark times what it says: right gradients, the same computation as its peers.

Nothing here is timed.
"""

import inspect
import math
import pathlib
import sys
import types

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import Tensor

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE / "benchmarks"))

import bench_conv  # noqa: E402
import op_cases  # noqa: E402
import peers  # noqa: E402
import picture  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
import scaling  # noqa: E402
import scratchnn_steps  # noqa: E402
import worker  # noqa: E402

STEPS = scratchnn_steps.STEPS
EPS = 2.0**-24  # half a unit in the last place of a float32 near 1
# Smaller batches, for speed, but large enough for the kernels to be used.
ROWS = {"vae": 32, "gan": 64, "dcgan": 8, "ddpm": 4, "gpt": 4, "seq2seq": 8}
ROWS["gan_needed"] = 64


# ---- our steps ------------------------------------------------------------------
def variables(step):
    """What a step's function refers to outside of itself."""
    return inspect.getclosurevars(step).nonlocals


def groups(step):
    """The groups of parameters of all its optimizers."""
    found = variables(step)
    optimizers = [found[k] for k in sorted(found) if hasattr(found[k], "param_groups")]
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def parameters(step):
    """All the Tensors that a step trains, in the order of making."""
    if groups(step):
        return [p for group in groups(step) for p in group["params"]]
    return variables(step)["leaves"] + variables(step)["biases"]


class Fewer:
    """A Generator that draws at most so many rows: a smaller batch, the same model."""

    def __init__(self, rows, seed):
        self.rows, self.rng = rows, np.random.default_rng(seed)

    def cut(self, shape):
        first, *rest = shape if isinstance(shape, tuple) else (shape,)
        return (min(first, self.rows), *rest)

    def random(self, shape, dtype):
        return self.rng.random(self.cut(shape), dtype)

    def standard_normal(self, shape, dtype):
        return self.rng.standard_normal(self.cut(shape), dtype)

    def integers(self, low, high, shape):
        return self.rng.integers(low, high, self.cut(shape))

    def choice(self, *args, **kwargs):
        return self.rng.choice(*args, **kwargs)


class Updates:
    """The losses of a step's updates with their gradients; weights stay as they are.

    Data and noise are drawn as float32, the same in each run, and given as `dtype`.
    """

    def __init__(self, name, dtype, rows=10_000):
        self.name, self.dtype, self.rows = name, dtype, rows
        self.found, self.parameters, self.patch = [], [], pytest.MonkeyPatch()

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.patch.undo()
            raise
        return self

    def __exit__(self, *_):
        self.patch.undo()

    def build(self):
        self.seed(5)
        for draw in ("uniform", "normal"):
            self.patch.setattr(scratchnn_steps, draw, self.typed(draw))
        self.patch.setattr(snn.optim.Adam, "step", lambda optimizer: None)
        backward = Tensor.backward

        def watched(loss):
            for p in self.parameters:
                p.grad = None
            backward(loss)
            self.found.append((float(loss), [p.grad for p in self.parameters]))

        self.patch.setattr(Tensor, "backward", watched)
        self.step = STEPS[self.name]()
        self.parameters = parameters(self.step)
        for p in self.parameters:
            p.data = p.data.astype(self.dtype)

    def seed(self, seed):
        snn.manual_seed(seed)
        self.patch.setattr(scratchnn_steps, "RNG", Fewer(self.rows, seed))

    def typed(self, name):
        draw = getattr(scratchnn_steps, name)
        return lambda *shape: draw(*shape).astype(self.dtype)

    def run(self):
        """[(loss, gradients)]; gradients are None where none arrived."""
        self.seed(9)
        self.found = []
        self.step()
        return self.found


def direction(gradients, rng):
    """A random one in which each gradient has a say: far where the loss is flat."""
    norms = [0 if g is None else np.linalg.norm(g) for g in gradients]
    far = [min(max(norms) / norm, 10) if norm else 0 for norm in norms]
    return [
        0 if g is None else f * rng.standard_normal(g.shape) / math.sqrt(g.size)
        for f, g in zip(far, gradients)
    ]


@pytest.mark.parametrize("name", STEPS)
def test_the_gradients_of_each_step_are_its_slope(name):
    # The central difference errs by eps |loss| / h = 2e-9 |loss| by rounding, and by
    # h for each of the few kinks of a relu that it crosses.
    rng, h = np.random.default_rng(1), 1e-7
    with Updates(name, np.float64, 4 if name in ROWS else 10_000) as updates:
        start = [p.data for p in updates.parameters]
        for i, (loss, gradients) in enumerate(updates.run()):
            steps = direction(gradients, rng)

            def loss_at(distance):
                for p, x, v in zip(updates.parameters, start, steps):
                    p.data = x + distance * v
                return updates.run()[i][0]

            slope = (loss_at(h) - loss_at(-h)) / (2 * h)
            pairs = zip(gradients, steps, strict=True)
            along = sum(np.vdot(g, v) for g, v in pairs if g is not None)
            assert along == pytest.approx(slope, rel=1e-6, abs=1e-9 * abs(loss))


def near(gradients, references):
    """Equal in float32: n roundings of random sign are sqrt(n) eps, 2e-5 for 100,000.

    That of the largest of a gradient, or, as some are 0 in theory, of 1 % of all.
    """
    largest = max((np.abs(e).max() for e in references if e is not None), default=0)
    for g, e in zip(gradients, references, strict=True):
        assert (g is None) == (e is None)
        if g is not None:
            assert g.dtype == np.float32
            scale = max(np.abs(e).max(), 0.01 * largest)
            assert np.abs(g - e).max() <= 2e-5 * scale


@pytest.mark.parametrize("name", STEPS)
def test_float32_with_its_kernels_has_the_gradients_of_float64(name):
    rows = ROWS.get(name, 10_000)
    with Updates(name, np.float32, rows) as updates:
        found = updates.run()
    with Updates(name, np.float64, rows) as updates:
        exact = updates.run()
    for (loss, gradients), (expected, references) in zip(found, exact, strict=True):
        assert loss == pytest.approx(expected, rel=2e-5)
        near(gradients, references)


# ---- the same computation as the peers' -----------------------------------------
def rng_of(name, seed):
    return Fewer(ROWS.get(name, 10_000), seed)


def ours(name, patch):
    """Our step without dropout, and its weights."""
    import graph

    patch.setattr(scratchnn_steps, "cora_like", graph.cora_like)
    patch.setattr(scratchnn_steps.F, "dropout", lambda x, p: x)
    patch.setattr(scratchnn_steps, "RNG", rng_of(name, 5))
    snn.manual_seed(5)
    step = STEPS[name]()
    return step, [p.data.copy() for p in parameters(step)]


def losses(name, step, patch):
    """Of two steps, both with the same noise."""
    for _ in range(2):
        patch.setattr(scratchnn_steps, "RNG", rng_of(name, 6))
        yield float(step())


def draws(rng, convert):
    """A peer's functions for random arrays, with the numbers that ours gets."""
    return {
        "uniform": lambda *shape: convert(rng.random(shape, np.float32)),
        "normal": lambda *shape: convert(rng.standard_normal(shape, np.float32)),
        "integers": lambda high, *shape: convert(rng.integers(0, high, shape)),
    }


def pytorchs(name, weights, patch):
    """PyTorch's step with our weights and data, without dropout."""
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    torch.set_num_threads(2)
    import torch_steps

    patch.setattr(torch_steps.F, "dropout", lambda x, p: x)

    def seed(n):
        for draw, f in draws(rng_of(name, n), torch.from_numpy).items():
            patch.setattr(torch_steps, draw, f)

    seed(5)
    step = torch_steps.STEPS[name]()
    theirs = parameters(step)
    assert [tuple(p.shape) for p in theirs] == [w.shape for w in weights]
    with torch.no_grad():
        for p, w in zip(theirs, weights):
            p.copy_(torch.from_numpy(w))
    return step, seed


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("name", STEPS)
def test_two_steps_from_the_same_weights_lose_as_much_as_pytorch(name, monkeypatch):
    step, weights = ours(name, monkeypatch)
    theirs, seed = pytorchs(name, weights, monkeypatch)
    for loss in losses(name, step, monkeypatch):
        seed(6)
        assert loss == pytest.approx(theirs().item(), rel=2e-5)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("name", [name for name in STEPS if name != "attn1"])
def test_from_the_same_weights_gradients_are_pytorchs(name, monkeypatch):
    step, weights = ours(name, monkeypatch)
    theirs, seed = pytorchs(name, weights, monkeypatch)
    for group in groups(step) + groups(theirs):
        group["lr"] = 0  # else D's kinks move between its update and G's
    next(losses(name, step, monkeypatch))
    seed(6)
    theirs()
    expected = [None if p.grad is None else p.grad.numpy() for p in parameters(theirs)]
    near([p.grad for p in parameters(step)], expected)


QUICK_TO_COMPILE = {"vae", "attn1"}
IN_TURN = [
    pytest.param(name, marks=[] if name in QUICK_TO_COMPILE else [pytest.mark.slow])
    for name in STEPS
]


@pytest.mark.parametrize("name", IN_TURN)
def test_two_steps_from_the_same_weights_lose_as_much_as_jax(name, monkeypatch):
    jax = pytest.importorskip("jax", reason="parity with JAX needs jax")
    import jax_steps

    step, weights = ours(name, monkeypatch)

    def seed(n):
        for draw, f in draws(rng_of(name, n), jax.numpy.asarray).items():
            keyless = lambda key, *shape, f=f: f(*shape)
            monkeypatch.setattr(jax_steps, draw, keyless)

    monkeypatch.setattr(jax_steps, "dropout", lambda key, x: x)
    seed(5)
    theirs = jax_steps.STEPS[name]()
    if hasattr(theirs, "state"):  # attn1 draws its weights: they are the same
        carry(jax, theirs.state, weights)
    seed(6)  # the noise becomes a constant of the compiled step
    for loss in losses(name, step, monkeypatch):
        assert loss == pytest.approx(float(theirs()), rel=2e-5)


def carry(jax, state, weights):
    """Put weights in the state's parameters; JAX's linear weights are (in, out)."""
    weights = iter(weights)

    def taken(p):
        w = next(weights)
        square = w.ndim == 2 and w.shape[0] == w.shape[1]
        new = w.T if square or w.shape != p.shape else w
        assert new.shape == p.shape
        return jax.numpy.asarray(new)

    for i in range(1, len(state), 2):  # state: key, parameters, moments, ...
        state[i] = jax.tree.map(taken, state[i])
    assert next(weights, None) is None


# ---- ops alone, and curves ------------------------------------------------------
@pytest.mark.parametrize("name", sorted(op_cases.OPS.keys() - {"dropout"}))
def test_each_timed_op_is_pytorchs(name):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    torch.set_num_threads(2)
    ours = worker.Scratchnn.tensor.__get__(types.SimpleNamespace(library=snn))
    theirs = worker.Torch.tensor.__get__(types.SimpleNamespace(library=torch))
    y = op_cases.build(snn, ours, name, "small", False)()
    expected = op_cases.build(torch, theirs, name, "small", False)()
    close(y.data, expected)
    gradients = op_cases.build(snn, ours, name, "small", True)()
    for g, e in zip(
        gradients, op_cases.build(torch, theirs, name, "small", True)(), strict=True
    ):
        close(g, e)


@pytest.mark.parametrize("product", bench_conv.PRODUCTS)
@pytest.mark.parametrize("number", range(len(bench_conv.SHAPES) - 1))
def test_each_timed_convolution_is_pytorchs(number, product):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    if snn.kernels.load("conv") is None or snn.TABLE["conv2d"].fast_rule is None:
        pytest.skip("no convolution kernels here")
    case, found = (number, product), {}
    for library, make in (snn, None), (torch, lambda x, learn: torch.from_numpy(x)):
        y = bench_conv.build(library, make, *case)()
        found[library] = y if isinstance(y, tuple) else (y,)
    for a, b in zip(found[snn], found[torch], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            # n <= 4,096 terms: sqrt(n) roundings of sums of size sqrt(n), so each side
            # is off by 0.4 n EPS; the largest of 10,000 errors is 4 times the usual.
            np.testing.assert_allclose(a, b.numpy(), rtol=0, atol=4 * 4096 * EPS)


def close(ours, theirs):
    """Equal but for the rounding of sums of at most 1,000 terms near the largest."""
    theirs = theirs.numpy()
    assert ours.dtype == np.float32 and ours.shape == theirs.shape
    scale = max(1, np.abs(theirs).max())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1000**0.5 * EPS * scale)


@pytest.mark.parametrize("curve", scaling.SIZES)
def test_each_curve_can_be_drawn(curve):
    assert scaling.WHAT[curve] and scaling.UNITS[curve] and picture.TITLES[curve]
    smallest = scaling.SIZES[curve][0]
    scaling.scratchnn()[curve](smallest)()


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("curve", scaling.SIZES)
def test_each_curve_can_be_drawn_for_pytorch(curve):
    pytest.importorskip("torch", reason="curves beside PyTorch need torch")
    scaling.torch()[curve](scaling.SIZES[curve][0])()


# ---- the runner -----------------------------------------------------------------
class Canned:
    """A peer whose answers are known."""

    def __init__(self, framework, *answers):
        self.framework, self.answers, self.asked = framework, list(answers), []

    def ask(self, what, argument=None):
        self.asked.append(what)
        return self.answers.pop(0)

    def used(self):
        return 0.0


def test_a_race_takes_turns_and_leaves_out_who_fails(monkeypatch):
    monkeypatch.setattr(peers, "machine_used", lambda: 0.0)
    ours = Canned("scratchnn", {"first": 0.5}, {"ms": 2.0}, {"ms": 4.0})
    torch = Canned("torch", {"first": 0.1}, {"ms": 3.0}, {"error": "no memory"})
    jax = Canned("jax", {"error": "no such step"})
    results = peers.race([ours, torch, jax], ["steps", "vae"], rounds=2, seconds=0)
    assert results == {
        "scratchnn": {"ms": [2.0, 4.0], "first": 0.5, "noisy": 0},
        "torch": {"error": "no memory"},
        "jax": {"error": "no such step"},
    }
    assert jax.asked == ["build"]


def test_a_round_beside_other_work_is_repeated_then_kept_with_a_note(monkeypatch):
    clock = iter(range(100))  # each look at it finds another second of others' work
    monkeypatch.setattr(peers, "machine_used", lambda: float(next(clock)))
    ours = Canned("scratchnn", {"first": 0.5}, *({"ms": 1.0 + i} for i in range(3)))
    results = peers.race([ours], ["steps", "vae"], rounds=1, seconds=0, tries=3)
    assert results["scratchnn"] == {"ms": [3.0], "first": 0.5, "noisy": 1}


def test_a_worker_answers_line_by_line_and_tells_what_went_wrong():
    with peers.Peer("scratchnn", 1) as peer:
        assert "KeyError" in peer.ask("build", ["steps", "vea"])["error"]
        answer = peer.ask("build", ["ops", "add", "small", False])
        assert 0 < answer["first"] < answer["since_start"]
        assert peer.ask("time", 0)["ms"] > 0
        assert peer.used() >= 0


def test_a_percentile_is_of_a_single_call():
    clock = iter(np.cumsum([0, 1e-4, 0, 0, 2e-4, 0, 2e-4, 0, 6e-4, 9]).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.time, "perf_counter", lambda: next(clock, 1e3))
        calls = []
        ms = worker.percentile(lambda: calls.append(1), 0)
    assert len(calls) == 1 + 3 * 2 and ms == pytest.approx(0.1)


# ---- the page -------------------------------------------------------------------
ABOUT = {
    "machine": "An abacus, 2 cores",
    "versions": {"Python": "3.12"},
    "date": "2026-11-23",
    "commit": "abc",
    "threads": 2,
    "rounds": 3,
    "quick": False,
}
STEPS_MEASURED = {
    "about": ABOUT,
    "rows": {
        "vae": {
            "scratchnn": {"ms": [2.0, 1.0, 30.0], "first": 1, "noisy": 1},
            "torch": {"ms": [4.0, 8.0, 16.0], "first": 1, "noisy": 0},
            "jax": {"ms": [6.0], "first": 1, "noisy": 0},
        },
        "gan": {
            "scratchnn": {"ms": [2.0], "first": 1, "noisy": 0},
            "torch": {"ms": [2.0], "first": 1, "noisy": 0},
            "jax": {"error": "ValueError: no"},
        },
    },
}


def test_ratios_are_of_medians_and_their_means_geometric():
    assert report.step_ratios(STEPS_MEASURED["rows"])["vae"] == {"torch": 4, "jax": 3}
    text = report.steps(STEPS_MEASURED)
    assert "| vae | 2.00 (1.00) | 8.00 (4.00) | 6.00 (6.00) | 4.00 | 3.00 |" in text
    assert "| gan | 2.00 (2.00) | 2.00 (2.00) | - | 1.00 | 1.00 |" in text
    assert "**2.00** | **1.73** |" in text  # the roots of 4 * 1 and of 3 * 1
    assert "gan, JAX jit: ValueError: no" in text and "- 1 round was kept" in text


def test_the_gan_that_is_timed_twice_counts_once_in_the_means():
    rows = STEPS_MEASURED["rows"]
    twice = {**STEPS_MEASURED, "rows": {**rows, "gan_needed": rows["vae"]}}
    once, text = report.steps(STEPS_MEASURED), report.steps(twice)
    mean = [line for line in once.splitlines() if line.startswith("| geometric")]
    assert mean[0] in text.splitlines() and "gan_needed is gan with" in text


def test_gan_needed_leaves_out_only_what_nothing_uses():
    def gradients(name, optimizer):
        with Updates(name, np.float32) as updates:
            updates.run()
            return [p.grad for p in variables(updates.step)[optimizer].params]

    for g, needed in zip(gradients("gan", "of_G"), gradients("gan_needed", "of_G")):
        np.testing.assert_array_equal(g, needed)
    # What D's weights have is from its own update, not from G's.
    for g, needed in zip(gradients("gan", "of_D"), gradients("gan_needed", "of_D")):
        assert not np.array_equal(g, needed)


@pytest.mark.parametrize(
    "x, text",
    [(0.0123456, "0.0123"), (1, "1.00"), (12.34, "12.3"), (1234.5, "1,234"),
     (999.6, "1,000"), (0, "0.00"), (math.nan, "-")],
)  # fmt: skip
def test_numbers_have_three_digits(x, text):
    assert report.number(x) == text


def test_a_page_says_where_when_and_that_a_quick_run_is_provisional():
    page = report.page({"steps": STEPS_MEASURED})
    assert "An abacus, 2 cores. Python 3.12." in page and "2026-11-23" in page
    assert "Provisional" not in page
    quick = {**STEPS_MEASURED, "about": {**ABOUT, "quick": True}}
    assert "Provisional" in report.page({"steps": quick})


def test_steps_of_another_machine_stay_on_the_page():
    here = {**STEPS_MEASURED, "about": {**ABOUT, "machine": "A slide rule"}}
    results = report.joined({"steps": STEPS_MEASURED}, "steps", here)
    results = report.joined(results, "steps", here)  # its own old ones do not
    page = report.page(results)
    first, second = page.split("### The eight steps on another machine")
    assert "A slide rule" in first and "An abacus" not in first
    assert "An abacus" in second and "A slide rule" not in second
    assert page.count("| geometric mean") == 2
    back = report.joined(results, "steps", STEPS_MEASURED)
    assert list(back["elsewhere"]) == ["A slide rule"]


def test_the_page_of_benchmarks_is_what_was_measured():
    page = report.PAGE.read_text(encoding="utf-8")
    assert page == report.page(report.read()), "run: python tests/benchmarks/report.py"


def test_the_figure_is_drawn_even_if_parts_were_not_measured(tmp_path):
    picture.draw({"steps": STEPS_MEASURED}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_command_names_parts_that_it_has(capsys):
    with pytest.raises(SystemExit):
        run.main(["step"])
    assert "no part step; there are steps, ops" in capsys.readouterr().err
