"""Recurrent layers: a state that reads a sequence token by token, with PyTorch's names.

    output, h_n = GRU(8, 16, batch_first=True)(x)     # x (B, T, 8), output (B, T, 16)

Each is one or several layers, the next reading the states of the one before; and with
bidirectional=True each layer is two, of which the second reads from the end.
"""

import math

import numpy as np

from ..device import beside
from ..errors import ShapeError
from ..ops import concatenate, reshape, stack, swapaxes, where
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module


class RNN(Module):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)

    weight_ih_l0 (G hidden, input), weight_hh_l0 (G hidden, hidden), bias_ih_l0 and
    bias_hh_l0 (G hidden), then those of layer 1, and of the other direction with the
    ending _reverse; G = 1 here, 3 in GRU, 4 in LSTM. All are U(-b, b), b = 1 /
    sqrt(hidden).

    batch_first: x and output are (B, T, ...), or else (T, B, ...). dropout: its p on
    what the layers but the last hand on. rng draws the first values and dropout's.
    Elman, "Finding Structure in Time", Cognitive Science 14, 1990.
    """

    GATES = 1

    def __init__(
        self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True,
        batch_first=False, dropout=0.0, bidirectional=False, rng=None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'"
            )
        self.nonlinearity = nonlinearity
        self._layers(
            input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, rng,
        )  # fmt: skip

    def _layers(
        self, input_size, hidden_size, num_layers, bias, batch_first, dropout,
        bidirectional, rng,
    ):  # fmt: skip
        for name, n in (("hidden_size", hidden_size), ("num_layers", num_layers)):
            if n < 1:
                raise ValueError(f"{name} is {n}, expected at least 1")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.batch_first = num_layers, batch_first
        self.dropout, self.bidirectional, self.rng = dropout, bidirectional, rng
        rows, b = self.GATES * hidden_size, 1 / math.sqrt(hidden_size)
        directions = len(self._endings(0))
        for layer in range(num_layers):
            width = input_size if layer == 0 else directions * hidden_size
            for end in self._endings(layer):
                shapes = {"weight_ih": (rows, width), "weight_hh": (rows, hidden_size)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for name, shape in shapes.items():
                    p = Tensor(np.zeros(shape, np.float32), requires_grad=True)
                    setattr(self, name + end, init.uniform_(p, -b, b, rng))

    def _endings(self, layer):
        """How the names of a layer's parameters end, for each direction."""
        forward = f"_l{layer}"
        return [forward, forward + "_reverse"] if self.bidirectional else [forward]

    def _parameters(self, end):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [vars(self).get(name + end) for name in names]

    # ---- all times --------------------------------------------------------------
    def forward(self, x, hx=None, seen=None):
        """The states of the last layer, and all layers' last ones: output, h_n.

        x (B, T, input), output (B, T, D hidden), D = 2 if bidirectional else 1, axes 0
        and 1 exchanged unless batch_first. hx, the state before the first token, and
        h_n are (layers D, B, hidden); LSTM has a pair of them, (h, c). hx None: zeros.

        seen (B, T), True where a token is no padding: at padding the state stays as it
        is, so h_n is the state after the last token of each sequence.
        """
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            axes = "(B, T, " if self.batch_first else "(T, B, "
            raise ShapeError(
                type(self).__name__,
                f"input {x.shape} needs to be {axes}{self.input_size})",
            )
        x = swapaxes(x, 0, 1) if self.batch_first else x  # (T, B, input)
        before = self._unpacked(hx, x)
        if seen is not None:
            seen = beside(np.swapaxes(seen, 0, 1)[..., None], x)  # (T, B, 1)
        after = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training, self.rng)
            outputs = []
            for end in self._endings(layer):
                start = before[len(after)]
                output, state = self._read(x, start, seen, end)
                outputs.append(output)
                after.append(state)
            x = outputs[0] if len(outputs) == 1 else concatenate(outputs, axis=-1)
        output = swapaxes(x, 0, 1) if self.batch_first else x
        return output, self._packed(after)

    def _read(self, x, state, seen, end):
        """One layer, one direction: x (T, B, input) -> (T, B, hidden), last state."""
        W_ih, W_hh, b_ih, b_hh = self._parameters(end)
        inputs = _steps(F.linear(x, W_ih, b_ih))  # one product for all times
        times = range(len(inputs))
        states = [None] * len(inputs)
        for t in reversed(times) if end.endswith("_reverse") else times:
            new = self._step(inputs[t], state, W_hh, b_hh)
            if seen is not None:
                new = [where(seen[t], a, b) for a, b in zip(new, state)]
            state = new
            states[t] = state[0]
        return stack(states), state

    # ---- one time ---------------------------------------------------------------
    def step(self, x, states):
        """One token further: x (B, input), states -> states, a list of each layer's.

        A layer's state is a list: [h], LSTM's [h, c], each (B, hidden). The output is
        states[-1][0]. Not for bidirectional layers, which need the end first.
        """
        after = []
        for layer, state in enumerate(states):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training, self.rng)
            W_ih, W_hh, b_ih, b_hh = self._parameters(f"_l{layer}")
            state = self._step(F.linear(x, W_ih, b_ih), state, W_hh, b_hh)
            x = state[0]
            after.append(state)
        return after

    def _step(self, u, state, W_hh, b_hh):
        """u = W_ih x_t + b_ih (B, G hidden), state before -> state after."""
        y = u + F.linear(state[0], W_hh, b_hh)
        return [F.tanh(y) if self.nonlinearity == "tanh" else F.relu(y)]

    # ---- states -----------------------------------------------------------------
    def _unpacked(self, hx, x):
        """The state of each layer and direction, from hx as PyTorch has it."""
        n, B = self.num_layers * len(self._endings(0)), x.shape[1]
        if hx is None:
            zero = beside(np.zeros((B, self.hidden_size), x.dtype), x)
            return [self._zero(zero)] * n
        parts = hx if isinstance(hx, (tuple, list)) else [hx]
        for part in parts:
            if part.shape != (n, B, self.hidden_size):
                raise ShapeError(
                    type(self).__name__,
                    f"hx {part.shape} needs to be {(n, B, self.hidden_size)}: one for "
                    "each layer and direction",
                )
        return [[part[i] for part in parts] for i in range(n)]

    def _zero(self, zero):
        return [zero]

    def _packed(self, states):
        """One array (layers D, B, hidden) for h, and one for c."""
        parts = tuple(stack(part) for part in zip(*states))
        return parts if len(parts) > 1 else parts[0]


class GRU(RNN):
    """h_t = (1 - z_t) n_t + z_t h_(t-1): keeps the state where z is 1, else replaces it

    r_t = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr)
    z_t = sigmoid(W_iz x_t + b_iz + W_hz h_(t-1) + b_hz)
    n_t = tanh(W_in x_t + b_in + r_t (W_hn h_(t-1) + b_hn))

    Arguments, parameters and shapes as RNN's; the rows of the weights are r, z, n.
    Cho et al., "Learning Phrase Representations", arXiv:1406.1078, with PyTorch's r_t
    behind the product.
    """

    GATES = 3

    def __init__(
        self, input_size, hidden_size, num_layers=1, bias=True, batch_first=False,
        dropout=0.0, bidirectional=False, rng=None,
    ):  # fmt: skip
        self._layers(
            input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, rng,
        )  # fmt: skip

    def _step(self, u, state, W_hh, b_hh):
        h, n = state[0], self.hidden_size
        v = F.linear(h, W_hh, b_hh)
        r_z = F.sigmoid(u[:, : 2 * n] + v[:, : 2 * n])
        r, z = r_z[:, :n], r_z[:, n:]
        new = F.tanh(u[:, 2 * n :] + r * v[:, 2 * n :])
        return [new + z * (h - new)]


class LSTM(RNN):
    """c_t = f_t c_(t-1) + i_t g_t,  h_t = o_t tanh(c_t): a memory c behind gates

    i_t = sigmoid(W_ii x_t + b_ii + W_hi h_(t-1) + b_hi), f_t and o_t likewise
    g_t = tanh(W_ig x_t + b_ig + W_hg h_(t-1) + b_hg)

    Arguments, parameters and shapes as RNN's, but hx and the last state are pairs (h,
    c); the rows of the weights are i, f, g, o. Hochreiter and Schmidhuber, Neural
    Computation 9(8), 1997; f_t is of Gers, Schmidhuber and Cummins, 2000.
    """

    GATES = 4
    __init__ = GRU.__init__

    def _zero(self, zero):
        return [zero, zero]

    def _step(self, u, state, W_hh, b_hh):
        (h, c), n = state, self.hidden_size
        y = u + F.linear(h, W_hh, b_hh)
        i_f, g = F.sigmoid(y[:, : 2 * n]), F.tanh(y[:, 2 * n : 3 * n])
        o = F.sigmoid(y[:, 3 * n :])
        c = i_f[:, n:] * c + i_f[:, :n] * g
        return [o * F.tanh(c), c]


def _steps(x):
    """x[0], x[1], ... as a list, by halves.

    The gradient of x[t] is as large as x: T of them would cost T^2, halves T log T.
    """
    if len(x) == 1:
        return [reshape(x, x.shape[1:])]
    half = len(x) // 2
    return _steps(x[:half]) + _steps(x[half:])
