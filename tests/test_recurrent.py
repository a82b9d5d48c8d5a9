"""Recurrent layers and the recurrent translator, beside PyTorch and slow loops."""

import numpy as np
import pytest

from scratchnn import Tensor, grad, nn
from scratchnn.nn.recurrent import _steps

KINDS = ["RNN", "GRU", "LSTM"]
RNG = np.random.default_rng
B, T, D, H = 4, 7, 3, 5


def in_float64(model):
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    return model


def layer(kind, **options):
    return in_float64(getattr(nn, kind)(D, H, batch_first=True, rng=RNG(0), **options))


def numbers(*shape, seed=1):
    return RNG(seed).standard_normal(shape)


def seen_of(lengths):
    return np.arange(max(lengths)) < np.array(lengths)[:, None]


def flat(output, state):
    """Output and last states, h or (h, c), as a list."""
    return [output, *(state if isinstance(state, tuple) else [state])]


# Equations


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_the_slow_loop(kind, model, x):
    """The equations of the docstrings, one sequence and one token at a time."""
    W, U, b_i, b_h = (
        getattr(model, name + "_l0").data
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    output = np.zeros((len(x), x.shape[1], H))
    for b, sequence in enumerate(x):
        h, c = np.zeros(H), np.zeros(H)
        for t, x_t in enumerate(sequence):
            u, v = (a.reshape(-1, H) for a in (W @ x_t + b_i, U @ h + b_h))
            if kind == "RNN":
                h = np.tanh(u[0] + v[0])
            elif kind == "GRU":
                r, z = sigmoid(u[0] + v[0]), sigmoid(u[1] + v[1])
                h = (1 - z) * np.tanh(u[2] + r * v[2]) + z * h
            else:
                i, f, g, o = (a + b for a, b in zip(u, v))
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            output[b, t] = h
    return output, h, c


@pytest.mark.parametrize("kind", KINDS)
def test_each_layer_is_its_equation_in_a_slow_loop(kind):
    model, x = layer(kind), numbers(B, T, D)
    output, h, c = by_the_slow_loop(kind, model, x)
    found = flat(*model(x))
    np.testing.assert_allclose(found[0].data, output, rtol=1e-12)
    np.testing.assert_allclose(found[1].data[0, -1], h, rtol=1e-12)
    if kind == "LSTM":
        np.testing.assert_allclose(found[2].data[0, -1], c, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_at_a_time_gives_what_all_at_once_gives(kind):
    model, x = layer(kind, num_layers=2), numbers(B, T, D)
    output, *last = flat(*model(x))
    zero = np.zeros((B, H))
    states = [[zero, zero] if kind == "LSTM" else [zero]] * 2
    for t in range(T):
        states = model.step(x[:, t], states)
        np.testing.assert_allclose(states[-1][0].data, output.data[:, t], rtol=1e-10)
    for i, part in enumerate(last):  # h, and c
        found = [state[i].data for state in states]
        np.testing.assert_allclose(found, part.data, rtol=1e-10)


# PyTorch

OPTIONS = [
    {},
    {"num_layers": 3, "bias": False},
    {"num_layers": 2, "bidirectional": True},
    {"batch_first": True, "bidirectional": True},
]


def beside_torch(kind, options):
    torch = pytest.importorskip("torch", reason="the same layer by PyTorch")
    ours = in_float64(getattr(nn, kind)(D, H, rng=RNG(0), **options))
    theirs = getattr(torch.nn, kind)(D, H, dtype=torch.float64, **options)
    state = {k: torch.tensor(v) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)  # strict: names and shapes are PyTorch's
    assert list(state) == list(theirs.state_dict())
    return torch, ours, theirs


def with_gradients(out, parameters, by):
    """Outputs, and the gradients of a sum of them by parameters and inputs."""
    loss = sum((w * y).sum() for w, y in out)
    loss.backward()
    return [y for _, y in out], [p.grad for p in [*parameters, *by]]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", [*KINDS, "relu"])
def test_outputs_and_gradients_are_those_of_pytorch(kind, options):
    if kind == "relu":
        kind, options = "RNN", {**options, "nonlinearity": "relu"}
    torch, ours, theirs = beside_torch(kind, options)
    n = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    inputs = [numbers(T, B, D), numbers(n, B, H, seed=2), numbers(n, B, H, seed=3)]
    if options.get("batch_first"):
        inputs[0] = inputs[0].swapaxes(0, 1).copy()
    inputs = inputs if kind == "LSTM" else inputs[:2]

    def run(model, tensor):
        x, *hx = [tensor(a) for a in inputs]
        out = flat(*model(x, tuple(hx) if kind == "LSTM" else hx[0]))
        weights = [tensor(numbers(*y.shape, seed=4)) for y in out]
        names = list(ours.state_dict())
        parameters = [getattr(model, name) for name in names]
        return with_gradients(list(zip(weights, out)), parameters, [x, *hx])

    mine = run(ours, lambda a: Tensor(a, requires_grad=True))
    their = run(theirs, lambda a: torch.tensor(a, requires_grad=True))
    for y, expected in zip(mine[0], their[0]):
        np.testing.assert_allclose(y.data, expected.detach().numpy(), atol=1e-12)
    for g, expected in zip(mine[1], their[1]):
        np.testing.assert_allclose(g, expected.numpy(), atol=1e-10)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_passed_over_as_in_pytorchs_packed_sequences(kind, bidirectional):
    options = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": True}
    torch, ours, theirs = beside_torch(kind, options)
    x, lengths = numbers(B, T, D), [T, 5, 5, 1]
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(torch.tensor(x), lengths, batch_first=True)
    output, state = theirs(packed)
    output, _ = rnn.pad_packed_sequence(output, batch_first=True)
    seen = seen_of(lengths)
    mine, expected = flat(*ours(x, seen=seen)), flat(output, state)
    np.testing.assert_allclose(mine[0].data[seen], output.detach().numpy()[seen])
    for y, e in zip(mine[1:], expected[1:]):
        np.testing.assert_allclose(y.data, e.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_at_padding_changes_nothing(kind):
    model, x = layer(kind, bidirectional=True), numbers(B, T, D)
    seen = seen_of([T, 5, 5, 1])
    other = np.where(seen[..., None], x, 1e6)
    for a, b in zip(flat(*model(x, seen=seen)), flat(*model(other, seen=seen))):
        a, b = (y.data[seen] if y.shape[:2] == seen.shape else y.data for y in (a, b))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_are_within_one_over_the_root_of_hidden(kind):
    torch = pytest.importorskip("torch", reason="PyTorch's initial values")
    ours, theirs = (m(10, 64, 2) for m in (getattr(nn, kind), getattr(torch.nn, kind)))
    for name, p in theirs.state_dict().items():
        mine = getattr(ours, name).data
        assert abs(mine).max() <= 1 / 8 and mine.dtype == np.float32
        spread = 5 * mine.std() / np.sqrt(2 * mine.size)
        assert abs(mine.std() - float(p.std())) < 2 * spread


# Derivatives


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_differences_of_first_ones(kind):
    model, x, u = layer(kind), Tensor(numbers(B, T, D), True), numbers(B, T, D, seed=5)

    def slope(x):
        y = (model(x)[0] ** 2).sum()
        return (grad(y, x) * u).sum()

    second = grad(slope(x), x).data
    e, v = 1e-5, numbers(B, T, D, seed=6)
    ahead, behind = (float(slope(Tensor(x.data + s * e * v, True))) for s in (1, -1))
    assert (second * v).sum() == pytest.approx((ahead - behind) / (2 * e), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_output_depends_on_later_tokens(kind):
    model, x = layer(kind), Tensor(numbers(1, T, D), True)
    for t in range(T):
        g = grad(model(x)[0][:, t].sum(), x).data
        assert g[:, : t + 1].all() and not g[:, t + 1 :].any()


def test_steps_are_the_rows_of_an_array():
    for n in (1, 2, 5, 8):
        x = Tensor(numbers(n, 2, 3), True)
        parts = _steps(x)
        assert [p.data.tolist() for p in parts] == x.data.tolist()
        sum((i + 1) * p.sum() for i, p in enumerate(parts)).backward()
        assert (x.grad == np.arange(1, n + 1)[:, None, None]).all()


# What a reader sees


def test_a_layer_of_many_parameters_is_shown_in_one_short_row():
    shown = repr(nn.ModuleList([nn.LSTM(D, H, 2, bidirectional=True)])).splitlines()
    count = 2 * (20 * 3 + 20 * 5 + 40) + 2 * (20 * 10 + 20 * 5 + 40)
    assert shown[1].endswith(f"  weight_ih_l0 (20, 3), ... 16 in all  {count:,}")


# What is refused


def test_wrong_shapes_are_refused_with_the_right_ones():
    model = nn.GRU(D, H, batch_first=True)
    with pytest.raises(ValueError, match=r"GRU: input \(4, 7, 2\) needs to be \(B, T"):
        model(np.zeros((4, 7, 2), np.float32))
    with pytest.raises(ValueError, match=r"needs to be \(T, B, 3\)"):
        nn.GRU(D, H)(np.zeros((7, 2), np.float32))
    with pytest.raises(ValueError, match=r"hx \(1, 3, 5\) needs to be \(1, 4, 5\)"):
        model(np.zeros((4, 7, 3), np.float32), np.zeros((1, 3, 5), np.float32))
    with pytest.raises(ValueError, match="num_layers is 0, expected at least 1"):
        nn.LSTM(D, H, 0)
    with pytest.raises(ValueError, match="nonlinearity is 'sin', expected 'tanh' or"):
        nn.RNN(D, H, nonlinearity="sin")
