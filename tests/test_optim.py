"""Optimizers and schedules, against PyTorch's and against their formulae."""

import gc
import math

import numpy as np
import pytest

from scratchnn import Tensor, checkpoint, nn, optim
from scratchnn.errors import GraphError
from scratchnn.tensor import Node

STEPS = 20
RULES = {
    "SGD": [
        {},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
        {"lr": 0.05, "weight_decay": 0.1},
        {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1, "nesterov": True},
        {"lr": 0.001, "momentum": 0.5, "maximize": True, "weight_decay": 0.1},
    ],
    "RMSprop": [
        {},
        {"lr": 0.05, "alpha": 0.9, "eps": 1e-3},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1},
    ],
    "Adam": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-4},
        {"weight_decay": 0.1},
    ],
    "AdamW": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.3},
        {"weight_decay": 0},
    ],
}
CASES = [
    pytest.param(name, settings, id=f"{name}-{','.join(settings) or 'defaults'}")
    for name, all_settings in RULES.items()
    for settings in all_settings
]


def torch():
    module = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    module.set_num_threads(2)
    return module


def problem(rng, dtype=np.float64):
    """Arrays A (7, 5), b (7), and a start x (5), c (3, 2) for `loss`."""
    shapes = (7, 5), (7,), (5,), (3, 2)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def loss(A, b, x, c):
    """|A x - b|^2 + sum c^4: quadratic in x, not in c."""
    r = A @ x - b
    return (r * r).sum() + (c * c * c * c).sum()


def trained(name, settings, dtype, steps):
    A, b, x, c = problem(np.random.default_rng(0), dtype)
    params = [Tensor(x, requires_grad=True), Tensor(c, requires_grad=True)]
    optimizer = getattr(optim, name)(params, **settings)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(A, b, *params).backward()
        optimizer.step()
    return [p.data for p in params]


def trained_by_torch(name, settings, dtype, steps):
    t = torch()
    A, b, x, c = map(t.tensor, problem(np.random.default_rng(0), dtype))
    params = [x.requires_grad_(), c.requires_grad_()]
    optimizer = getattr(t.optim, name)(params, **settings)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(A, b, *params).backward()
        optimizer.step()
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize("name, settings", CASES)
def test_twenty_steps_equal_those_of_pytorch(name, settings):
    ours = trained(name, settings, np.float64, STEPS)
    theirs = trained_by_torch(name, settings, np.float64, STEPS)
    for x, y in zip(ours, theirs):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name, settings", CASES)
def test_a_float32_step_equals_that_of_pytorch_and_stays_float32(name, settings):
    ours = trained(name, settings, np.float32, 1)
    theirs = trained_by_torch(name, settings, np.float32, 1)
    for x, y in zip(ours, theirs):
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, y, rtol=2e-6, atol=2e-6)


def test_the_first_step_of_adam_is_lr_times_the_sign_of_the_gradient():
    g = np.array([3.0, -1e-3, 200.0, -5.0])
    p = Tensor(np.zeros(4), requires_grad=True)
    p.grad = g
    optim.Adam([p], lr=0.1).step()
    # m_hat = g and sqrt(v_hat) = |g|, so only eps / |g| <= 1e-5 parts them
    np.testing.assert_allclose(p.data, -0.1 * np.sign(g), rtol=1.1e-5)


def test_adamw_decays_the_weights_by_lr_times_weight_decay_whatever_the_gradient():
    p = Tensor(np.array([2.0, -3.0]), requires_grad=True)
    p.grad = np.zeros(2)
    optim.AdamW([p], lr=0.1, weight_decay=0.5).step()
    np.testing.assert_allclose(p.data, [2.0 * 0.95, -3.0 * 0.95], rtol=1e-15)


def test_groups_have_settings_of_their_own_as_in_pytorch():
    t = torch()

    def run(make, adam):
        x, c = make(np.array([1.0, 2.0])), make(np.array([[3.0]]))
        opt = adam([{"params": [x]}, {"params": [c], "lr": 0.5}], lr=0.1)
        for _ in range(5):
            opt.zero_grad()
            ((x * x).sum() + (c * c * c * c).sum()).backward()
            opt.step()
        return x, c

    ours = run(lambda a: Tensor(a, requires_grad=True), optim.Adam)
    theirs = run(lambda a: t.tensor(a, requires_grad=True), t.optim.Adam)
    for x, y in zip(ours, theirs):
        np.testing.assert_allclose(x.data, y.detach().numpy(), rtol=1e-12)


def test_a_parameter_without_gradient_is_left_alone():
    p, q = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    p.grad = np.ones(1, np.float32)
    opt = optim.AdamW([p, q], lr=0.1)
    opt.step()
    assert q.data == 1 and p.data != 1 and opt.state[1] == {}


@pytest.mark.parametrize("name", RULES)
def test_a_parameter_frozen_later_stays_as_it_is(name):
    p, q = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    opt = getattr(optim, name)([p, q], lr=0.1)
    p.requires_grad = False
    opt.zero_grad()
    (p * q).sum().backward()
    opt.step()
    assert p.item() == 1 and q.item() < 1


@pytest.mark.parametrize("name", RULES)
def test_a_scalar_parameter_trains(name):
    p = Tensor(3.0, requires_grad=True)
    opt = getattr(optim, name)([p], lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        (p * p).backward()
        opt.step()
    assert p.shape == () and 0 < p.item() < 3


def test_a_graph_from_before_the_step_refuses_backward():
    p = Tensor([1.0], requires_grad=True)
    opt = optim.SGD([p], lr=0.1)
    y = (p * p).sum()
    (p * p).sum().backward()
    opt.step()
    with pytest.raises(GraphError, match="after the forward"):
        y.backward()


@pytest.mark.parametrize("name, settings", CASES)
def test_a_saved_optimizer_goes_on_bit_for_bit(name, settings, tmp_path):
    A, b, x, c = problem(np.random.default_rng(0), np.float32)

    def run(opt, params, steps):
        for _ in range(steps):
            opt.zero_grad()
            loss(A, b, *params).backward()
            opt.step()

    def fresh(*arrays):
        params = [Tensor(a.copy(), requires_grad=True) for a in arrays]
        return params, getattr(optim, name)(params, **settings)

    params, opt = fresh(x, c)
    run(opt, params, 5)
    checkpoint.save(tmp_path / "opt.safetensors", opt.state_dict())
    params2, opt2 = fresh(*(p.data for p in params))
    opt2.load_state_dict(checkpoint.load(tmp_path / "opt.safetensors")[0])
    run(opt, params, 5)
    run(opt2, params2, 5)
    assert opt2.param_groups[0].keys() == opt.param_groups[0].keys()
    for p, q in zip(params, params2):
        np.testing.assert_array_equal(p.data, q.data)


def test_the_saved_state_is_a_copy():
    p = Tensor([1.0], requires_grad=True)
    opt = optim.Adam([p], lr=0.1)
    p.grad = np.ones(1, np.float32)
    opt.step()
    state = opt.state_dict()
    before = {k: v.copy() for k, v in state.items()}
    opt.load_state_dict(state)
    opt.step()
    assert all(np.array_equal(state[k], before[k]) for k in before)


def test_a_state_of_another_method_or_model_is_refused():
    p, q = Tensor([1.0], requires_grad=True), Tensor([1.0, 2.0], requires_grad=True)
    p.grad = np.ones(1, np.float32)
    opt = optim.Adam([p])
    opt.step()
    with pytest.raises(ValueError) as e:
        optim.SGD([p]).load_state_dict(opt.state_dict())
    assert "group.0.momentum is missing" in str(e.value)
    with pytest.raises(ValueError) as e:
        optim.Adam([q]).load_state_dict(opt.state_dict())
    assert str(e.value) == (
        "the state does not fit this Adam of 1 parameters: 0.m (1,), 0.v (1,). Make "
        "the optimizer with the class and the parameters that were saved"
    )


def test_settings_learned_from_the_saved_state():
    p = Tensor([1.0], requires_grad=True)
    state = optim.SGD([p], lr=0.3, momentum=0.5, nesterov=True).state_dict()
    opt = optim.SGD([p], lr=0.1)
    opt.load_state_dict(state)
    group = opt.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.3, 0.5, True)


# ---- errors ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "params, settings, kind, text",
    [
        (
            lambda p: [],
            {},
            ValueError,
            "SGD: got no parameters. A model's parameters are its Tensors with "
            "requires_grad=True",
        ),
        (lambda p: [p], {"lr": 0}, ValueError, "SGD: lr must be above 0, got 0"),
        (lambda p: [p], {"lr": -1.0}, ValueError, "SGD: lr must be above 0, got -1.0"),
        (
            lambda p: [p, p],
            {},
            ValueError,
            "SGD: a parameter was given twice; it would be updated twice",
        ),
        (
            lambda p: p,
            {},
            TypeError,
            "SGD: params is a Tensor; expected a list of Tensors, such as "
            "model.parameters()",
        ),
        (
            lambda p: [p.data],
            {},
            TypeError,
            "SGD: params[0] is a ndarray; expected Tensors made with "
            "requires_grad=True",
        ),
        (
            lambda p: [p, p * 2],
            {},
            TypeError,
            "SGD: params[1] is a Tensor that is not a trainable leaf; expected Tensors "
            "made with requires_grad=True",
        ),
        (
            lambda p: [{"params": [p], "momentun": 0.9}],
            {},
            ValueError,
            "SGD has no setting 'momentun'; did you mean 'momentum'?",
        ),
        (
            lambda p: [p],
            {"nesterov": True},
            ValueError,
            "SGD: nesterov needs momentum above 0 and dampening 0",
        ),
    ],
)
def test_wrong_arguments_are_named(params, settings, kind, text):
    with pytest.raises(kind) as e:
        optim.SGD(params(Tensor([1.0], requires_grad=True)), **settings)
    assert str(e.value) == text


def test_a_generator_of_parameters_is_taken():
    p = Tensor([1.0], requires_grad=True)
    assert optim.SGD(x for x in [p]).params == [p]


# ---- clipping -------------------------------------------------------------------
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_the_norm_equals_that_of_pytorch(max_norm):
    t = torch()
    grads = [np.random.default_rng(0).normal(size=s) for s in [(3, 5), (7,), ()]]
    ours = [Tensor(np.zeros_like(g), requires_grad=True) for g in grads]
    theirs = [t.zeros(g.shape, dtype=t.float64, requires_grad=True) for g in grads]
    for p, q, g in zip(ours, theirs, grads):
        p.grad, q.grad = g.copy(), t.tensor(g)
    norm = optim.clip_grad_norm_([*ours, Tensor([1.0], requires_grad=True)], max_norm)
    assert norm == pytest.approx(
        t.nn.utils.clip_grad_norm_(theirs, max_norm).item(), rel=1e-14
    )
    assert norm == pytest.approx(math.sqrt(sum((g * g).sum() for g in grads)))
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-14)


def test_clipping_values_bounds_every_entry_and_leaves_the_rest():
    p = Tensor([0.0, 0.0, 0.0], requires_grad=True)
    p.grad = np.array([-3.0, 0.25, 2.0], np.float32)
    optim.clip_grad_value_([p], 0.5)
    assert p.grad.tolist() == [-0.5, 0.25, 0.5]


# ---- averaged weights -----------------------------------------------------------
def test_ema_equals_its_loop_and_gives_the_weights_back():
    rng = np.random.default_rng(0)
    p = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    ema, expected = optim.EMA([p], decay=0.9), p.data.copy()
    for _ in range(10):
        p.data = rng.normal(size=(3, 2))
        ema.update()
        expected = 0.9 * expected + 0.1 * p.data
    now = p.data.copy()
    with pytest.raises(KeyError), ema.averaged():
        np.testing.assert_allclose(p.data, expected, rtol=1e-14)
        raise KeyError
    np.testing.assert_array_equal(p.data, now)
    np.testing.assert_allclose(ema.averages[0], expected, rtol=1e-14)


def test_ema_takes_a_model_as_well():
    net = nn.Sequential(nn.Linear(2, 3))
    assert optim.EMA(net).params == net.parameters()


def test_a_saved_ema_is_restored_and_another_models_refused():
    p, q = Tensor([1.0], requires_grad=True), Tensor([[1.0]], requires_grad=True)
    ema = optim.EMA([p], 0.5)
    p.data = p.data + 2
    ema.update()
    other = optim.EMA([p])
    other.load_state_dict(ema.state_dict())
    assert other.averages[0].tolist() == [2.0]
    with pytest.raises(ValueError, match=r"has shapes .*\(1,\).*expected .*\(1, 1\)"):
        optim.EMA([q]).load_state_dict(ema.state_dict())
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), got 1"):
        optim.EMA([p], 1)


# ---- schedules ------------------------------------------------------------------
SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("StepLR", {"step_size": 4}),
    ("CosineAnnealingLR", {"T_max": 10}),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 8}),
    ("LambdaLR", {"lr_lambda": lambda t: 0.9**t}),
    ("OneCycleLR", {"max_lr": 0.2, "total_steps": 21}),
    (
        "OneCycleLR",
        {
            "max_lr": 0.2,
            "total_steps": 21,
            "pct_start": 0.5,
            "anneal_strategy": "linear",
            "div_factor": 5,
            "final_div_factor": 100,
            "base_momentum": 0.7,
            "max_momentum": 0.9,
        },
    ),
    ("OneCycleLR", {"max_lr": 0.2, "total_steps": 21, "cycle_momentum": False}),
]


@pytest.mark.parametrize("method", ["SGD", "Adam"])
@pytest.mark.parametrize("name, settings", SCHEDULES)
def test_schedules_give_the_rates_of_pytorch(name, settings, method):
    t = torch()
    momentum = {"momentum": 0.9} if method == "SGD" else {}

    def rates(library, p):
        groups = [{"params": [p[0]]}, {"params": [p[1]], "lr": 0.4}]
        opt = getattr(library, method)(groups, lr=0.1, **momentum)
        module = getattr(library, "lr_scheduler", library)
        schedule = getattr(module, name)(opt, **settings)
        for p in p:
            p.grad = p.detach() if library is t.optim else p.data
        for _ in range(20):
            for group in opt.param_groups:
                yield group["lr"], group.get("momentum"), group.get("betas")
            assert schedule.get_last_lr() == [g["lr"] for g in opt.param_groups]
            opt.step()
            schedule.step()

    ours = [Tensor(np.zeros(1), requires_grad=True) for _ in range(2)]
    theirs = [t.zeros(1, requires_grad=True) for _ in range(2)]
    for (a, m, b), (c, n, d) in zip(
        rates(optim, ours), rates(t.optim, theirs), strict=True
    ):
        assert a == pytest.approx(c, rel=1e-9, abs=1e-15)
        assert m == pytest.approx(n) and b == pytest.approx(d)


def test_a_saved_schedule_goes_on():
    p = Tensor([1.0], requires_grad=True)

    def fresh():
        opt = optim.SGD([p], lr=0.1)
        return opt, optim.CosineAnnealingLR(opt, T_max=10)

    opt, schedule = fresh()
    for _ in range(4):
        schedule.step()
    opt2, schedule2 = fresh()
    opt2.load_state_dict(opt.state_dict())
    schedule2.load_state_dict(schedule.state_dict())
    schedule.step(), schedule2.step()
    assert opt.param_groups[0]["lr"] == opt2.param_groups[0]["lr"] < 0.1


def test_one_cycle_refuses_an_unknown_shape():
    opt = optim.SGD([Tensor([1.0], requires_grad=True)], momentum=0.9)
    with pytest.raises(ValueError, match="'cubic'; expected 'cos' or 'linear'"):
        optim.OneCycleLR(opt, 0.1, 10, anneal_strategy="cubic")
    with pytest.raises(ValueError, match="no momentum"):
        optim.OneCycleLR(optim.SGD([Tensor([1.0], requires_grad=True)]), 0.1, 10)


# ---- memory and devices ---------------------------------------------------------
def test_a_thousand_steps_leave_no_live_node():
    A, b, x, c = problem(np.random.default_rng(0))
    params = [Tensor(x, requires_grad=True), Tensor(c, requires_grad=True)]
    opt = optim.Adam(params)
    schedule, ema = optim.StepLR(opt, 100), optim.EMA(params)

    def live():
        return sum(type(o) is Node for o in gc.get_objects())

    before = live()
    gc.disable()
    try:
        for _ in range(1000):
            opt.zero_grad()
            loss(A, b, *params).backward()
            optim.clip_grad_norm_(params, 1.0)
            opt.step()
            schedule.step()
            ema.update()
        assert live() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("name, settings", CASES)
def test_steps_run_where_the_parameters_are(name, settings, device):
    A, b, x, c = problem(np.random.default_rng(0), np.float32)
    host = trained(name, settings, np.float32, 3)
    params = [Tensor(device.put(a), requires_grad=True) for a in (x, c)]
    opt = getattr(optim, name)(params, **settings)
    ema = optim.EMA(params)
    for _ in range(3):
        opt.zero_grad()
        loss(Tensor(device.put(A)), Tensor(device.put(b)), *params).backward()
        optim.clip_grad_norm_(params, 1e6)
        optim.clip_grad_value_(params, 1e6)
        opt.step()
        ema.update()
        opt.load_state_dict(opt.state_dict())
        ema.load_state_dict(ema.state_dict())
    for p, expected in zip(params, host):
        assert isinstance(p.data, device.array)
        np.testing.assert_allclose(p.data.get(), expected, rtol=1e-5, atol=1e-6)
