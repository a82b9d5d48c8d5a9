"""Optimizers, by increasing complexity; then clipping and averaged weights.

Names, defaults and formulae are PyTorch's. Each `update` is the method's algorithm for
one parameter p with gradient g (Adam's is `adam_step`: it takes all parameters at once,
for a kernel to do so, too); s is what the method remembers of that parameter.
Assigning to `p.data` stamps the change, so a graph made before it refuses backward.
"""

import contextlib
import math

import numpy as np

from ..errors import nearest
from ..tensor import Tensor


class Optimizer:
    """What all methods share: parameter groups, `zero_grad`, `step`, saved state.

    params: a list of trainable Tensors (`model.parameters()`), or of dicts
    {"params": list, "lr": ...} whose settings differ from those given for all.
    A parameter whose grad is None is left alone. Raises ValueError for no parameters,
    one given twice, or lr <= 0; TypeError for anything but trainable Tensors.
    """

    def __init__(self, params, **settings):
        if hasattr(params, "parameters") or isinstance(params, (Tensor, dict)):
            raise TypeError(
                f"{type(self).__name__}: params is a {type(params).__name__}; expected "
                "a list of Tensors, such as model.parameters()"
            )
        groups = list(params)
        if not any(isinstance(group, dict) for group in groups):
            groups = [{"params": groups}]
        self.param_groups = [
            {**settings, **group, "params": list(group["params"])} for group in groups
        ]
        for group in self.param_groups:
            self._check(group, settings)
        self.params = [p for group in self.param_groups for p in group["params"]]
        if not self.params:
            raise ValueError(
                f"{type(self).__name__}: got no parameters. A model's parameters are "
                "its Tensors with requires_grad=True"
            )
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(
                f"{type(self).__name__}: a parameter was given twice; it would be "
                "updated twice"
            )
        self.state = [{} for _ in self.params]

    def _check(self, group, settings):
        kind = type(self).__name__
        for k in group.keys() - settings.keys() - {"params"}:
            raise ValueError(f"{kind} has no setting {k!r}{nearest(k, settings)}")
        if not group["lr"] > 0:
            raise ValueError(f"{kind}: lr must be above 0, got {group['lr']}")
        for i, p in enumerate(group["params"]):
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                what = "a Tensor that is not a trainable leaf"
                what = what if isinstance(p, Tensor) else f"a {type(p).__name__}"
                raise TypeError(
                    f"{kind}: params[{i}] is {what}; expected Tensors made with "
                    "requires_grad=True"
                )

    def zero_grad(self):
        """Forget the gradients."""
        for p in self.params:
            if p.grad is not None:  # always None if p was frozen since
                p.grad = None

    def step(self):
        """Update every parameter that has a gradient."""
        states = iter(self.state)
        for group in self.param_groups:
            settings = {k: v for k, v in group.items() if k != "params"}
            pairs = zip(group["params"], states)
            pairs = [(p, s) for p, s in pairs if p.grad is not None]
            self.update_all(pairs, **settings)

    def update_all(self, pairs, **settings):
        """One step for each (parameter, what is remembered of it)."""
        for p, s in pairs:
            self.update(p, p.grad, s, **settings)

    def update(self, p, g, s, lr):
        """One step of the method for parameter p with gradient g and memory s."""
        raise NotImplementedError

    def state_dict(self):
        """All that the next step depends on, as arrays by name: "0.m", "group.0.lr"."""
        state = {}
        for i, s in enumerate(self.state):
            state |= {f"{i}.{k}": np.copy(v) for k, v in s.items()}
        for i, group in enumerate(self.param_groups):
            for k, v in group.items():
                if k != "params":
                    state[f"group.{i}.{k}"] = np.array(v)
        return state

    def load_state_dict(self, state):
        """Go on exactly where `state_dict` was taken, on the same list of parameters.

        Raises ValueError if the state is of another method or other parameters.
        """
        settings = {k for k in self.state_dict() if k.startswith("group.")}
        memory = {k: v for k, v in state.items() if k not in settings}
        faults = [f"{k} is missing" for k in settings if k not in state]
        faults += [
            f"{k} {np.shape(v)}" for k, v in memory.items() if not self._has_place(k, v)
        ]
        if faults:
            raise ValueError(
                f"the state does not fit this {type(self).__name__} of "
                f"{len(self.params)} parameters: {', '.join(sorted(faults))}. Make the "
                "optimizer with the class and the parameters that were saved"
            )
        self.state = [{} for _ in self.params]
        for name, value in memory.items():
            i, _, k = name.partition(".")
            p = self.params[int(i)].data
            is_count = value.dtype.kind == "i"
            self.state[int(i)][k] = int(value) if is_count else np.array(value, like=p)
        for name in settings:
            _, i, k = name.split(".")
            value = np.asarray(state[name]).tolist()
            value = tuple(value) if isinstance(value, list) else value
            self.param_groups[int(i)][k] = value

    def _has_place(self, name, value):
        i = name.partition(".")[0]
        if not i.isdigit() or int(i) >= len(self.params):
            return False
        return np.shape(value) in ((), self.params[int(i)].shape)


class SGD(Optimizer):
    """p <- p - lr g; with momentum v <- momentum v + (1 - dampening) g, p <- p - lr v.

    The first v is g. nesterov: g + momentum v in place of v. weight_decay: adds
    weight_decay p to g. maximize: climbs instead.
    Source: Sutskever et al. 2013, eq. 1 to 4, with lr outside of v.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        maximize=False,
    ):
        if nesterov and (not momentum or dampening):
            raise ValueError("SGD: nesterov needs momentum above 0 and dampening 0")
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def update(
        self, p, g, s, lr, momentum, dampening, weight_decay, nesterov, maximize
    ):
        if maximize:
            g = -g
        if weight_decay:
            g = g + weight_decay * p.data
        if momentum and "v" not in s:
            s["v"] = np.zeros_like(p.data) + g
            g = g + momentum * s["v"] if nesterov else g
        elif momentum:
            settings = lr, momentum, dampening, nesterov
            p.data = momentum_step(p.data, g, s["v"], *settings)
            return
        p.data -= lr * g


def momentum_step(p, g, v, lr, momentum, dampening, nesterov):
    """A later step of SGD with momentum on arrays, in place; returns p."""
    v *= momentum
    v += (1 - dampening) * g
    p -= lr * (g + momentum * v if nesterov else v)
    return p


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps).

    centered: v minus the square of the mean gradient m. momentum: b <- momentum b + the
    step, p <- p - lr b. Source: Tieleman & Hinton 2012, lecture 6.5; Graves 2013,
    eq. 38 to 41 (centered).
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
    ):
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def update(self, p, g, s, lr, alpha, eps, weight_decay, momentum, centered):
        if not s:
            s.update({k: np.zeros_like(p.data) for k in "vmb"})
        v, m, b = s["v"], s["m"], s["b"]
        if weight_decay:
            g = g + weight_decay * p.data
        v *= alpha
        v += (1 - alpha) * g * g
        if centered:
            m *= alpha
            m += (1 - alpha) * g
            g = g / (np.sqrt(v - m * m) + eps)
        else:
            g = g / (np.sqrt(v) + eps)
        if momentum:
            b *= momentum
            b += g
            g = b
        p.data -= lr * g


class Adam(Optimizer):
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    p <- p - lr m_hat / (sqrt(v_hat) + eps), m_hat = m / (1 - beta1^t), v_hat likewise.

    The first step is lr sign(g), for g well above eps. weight_decay adds weight_decay p
    to g. Source: Kingma & Ba 2015, algorithm 1.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0
    ):
        super().__init__(
            params, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay
        )

    def update_all(self, pairs, lr, betas, eps, weight_decay, keep=1):
        rows = []
        for p, s in pairs:
            if not s:
                s.update(m=np.zeros_like(p.data), v=np.zeros_like(p.data), t=0)
            s["t"] += 1
            g = p.grad + weight_decay * p.data if weight_decay else p.grad
            rows.append((p.data, g, s["m"], s["v"], s["t"]))
        new = adam_steps(rows, lr, *betas, eps, keep)
        for (p, _), data in zip(pairs, new):
            p.data = data


def adam_steps(rows, lr, beta1, beta2, eps, keep=1):
    """adam_step of each row (p, g, m, v, t); returns all p."""
    return [adam_step(*row, lr, beta1, beta2, eps, keep) for row in rows]


def adam_step(p, g, m, v, t, lr, beta1, beta2, eps, keep=1):
    """Step t of Adam's algorithm from `keep` p on arrays, in place; returns p."""
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    root = np.sqrt(v)
    root *= 1 / math.sqrt(1 - beta2**t)  # sqrt(v_hat)
    root += eps
    change = m / root
    change *= lr / (1 - beta1**t)
    if keep != 1:
        p *= keep
    p -= change
    return p


class AdamW(Adam):
    """Adam, and p <- (1 - lr weight_decay) p: the decay is not scaled by v.

    Source: Loshchilov & Hutter 2019, algorithm 2.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2
    ):
        super().__init__(params, lr, betas, eps, weight_decay)

    def update_all(self, pairs, lr, betas, eps, weight_decay):
        super().update_all(pairs, lr, betas, eps, 0, keep=1 - lr * weight_decay)


# ---- gradients, clipped before the step -----------------------------------------
def clip_grad_norm_(params, max_norm):
    """Scale all gradients so that their joint 2-norm is at most max_norm.

    Returns the norm before. Source: Pascanu et al. 2013, algorithm 1.
    """
    params = [p for p in params if p.grad is not None]
    norm = math.hypot(*(float(np.linalg.norm(p.grad)) for p in params))
    if norm > max_norm:
        for p in params:
            p.grad *= max_norm / (norm + 1e-6)
    return norm


def clip_grad_value_(params, clip_value):
    """Bring every entry of the gradients into [-clip_value, clip_value]."""
    for p in params:
        if p.grad is not None:
            p.grad = np.clip(p.grad, -clip_value, clip_value)


# ---- averaged weights -----------------------------------------------------------
class EMA:
    """Running mean of the weights: e <- decay e + (1 - decay) p after each step.

    params: a list of Tensors, or the model.

        ema = EMA(model, decay=0.999)
        ...optimizer.step(); ema.update()
        with ema.averaged():  # the model has the averages in here
            evaluate(model)
    """

    def __init__(self, params, decay=0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay must be in [0, 1), got {decay}")
        params = params.parameters() if hasattr(params, "parameters") else params
        self.params, self.decay = list(params), decay
        self.averages = [np.copy(p.data) for p in self.params]

    def update(self):
        """Take the present weights into the averages."""
        for e, p in zip(self.averages, self.params):
            ema_step(e, p.data, self.decay)

    @contextlib.contextmanager
    def averaged(self):
        """Within this context the parameters are the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self):
        for i, p in enumerate(self.params):
            p.data, self.averages[i] = self.averages[i], p.data

    def state_dict(self):
        """The averages as arrays by position."""
        return {str(i): np.copy(e) for i, e in enumerate(self.averages)}

    def load_state_dict(self, state):
        """Put the averages back; ValueError if they are of other parameters."""
        shapes = {str(i): p.shape for i, p in enumerate(self.params)}
        given = {k: np.shape(v) for k, v in state.items()}
        if given != shapes:
            raise ValueError(f"EMA: the state has shapes {given}, expected {shapes}")
        self.averages = [
            np.array(state[k], like=p.data) for k, p in zip(shapes, self.params)
        ]


def ema_step(e, p, decay):
    """decay e + (1 - decay) p in the place of e; returns e."""
    e *= decay
    e += (1 - decay) * p
    return e
