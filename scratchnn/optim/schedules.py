"""Learning-rate schedules: lr as a function of the number of steps t.

Names and formulae are PyTorch's. Make one from an optimizer; call its `step()` after
the optimizer's.
"""

import math

import numpy as np


class Schedule:
    """Sets each group's lr from the number of steps t; call `step()` after the update.

    Subclasses give `lr(base)`, base being the lr that the optimizer was made with.
    """

    def __init__(self, optimizer):
        self.optimizer, self.t = optimizer, 0
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self._apply()

    def step(self):
        """Go on to the next lr."""
        self.t += 1
        self._apply()

    def _apply(self):
        for group, base in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = self.lr(base)

    def get_last_lr(self):
        """The present lr of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        """The step count and the base rates, as arrays."""
        return {"t": np.array(self.t), "base_lrs": np.array(self.base_lrs)}

    def load_state_dict(self, state):
        """Go on from the saved step."""
        self.t, self.base_lrs = int(state["t"]), state["base_lrs"].tolist()
        self._apply()


class StepLR(Schedule):
    """base gamma^floor(t / step_size)."""

    def __init__(self, optimizer, step_size, gamma=0.1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def lr(self, base):
        return base * self.gamma ** (self.t // self.step_size)


class LambdaLR(Schedule):
    """base lr_lambda(t), for any schedule of your own.

    Warm-up, then cosine decay, as for transformers (w steps of T):
    lambda t: t / w if t < w else 0.5 + 0.5 * math.cos(math.pi * (t - w) / (T - w))
    """

    def __init__(self, optimizer, lr_lambda):
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def lr(self, base):
        return base * self.lr_lambda(self.t)


class LinearLR(Schedule):
    """Warm-up: base times a factor from start_factor to end_factor in total_iters."""

    def __init__(self, optimizer, start_factor=1 / 3, end_factor=1.0, total_iters=5):
        self.start, self.end, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def lr(self, base):
        part = min(self.t / self.total_iters, 1)
        return base * (self.start + (self.end - self.start) * part)


class CosineAnnealingLR(Schedule):
    """eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2.

    Source: Loshchilov & Hutter 2017, eq. 5, without restarts.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr(self, base):
        return _cosine(base, self.eta_min, self.t / self.T_max)


class OneCycleLR(Schedule):
    """Up from max_lr / div_factor to max_lr, down to 1 / final_div_factor of the start.

    The way up takes pct_start of total_steps; both ways are half cosines, or straight
    with anneal_strategy="linear". Momentum (or beta1) goes the opposite way between
    base_momentum and max_momentum. Source: Smith & Topin 2017.
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
    ):
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy is {anneal_strategy!r}; expected 'cos' or 'linear'"
            )
        group = optimizer.param_groups[0]
        if cycle_momentum and not group.get("momentum", "betas" in group):
            raise ValueError(
                "OneCycleLR: the optimizer has no momentum to cycle; give it one, or "
                "pass cycle_momentum=False"
            )
        self.max_lr, self.total_steps = max_lr, total_steps
        self.first_lr = max_lr / div_factor
        self.last_lr = self.first_lr / final_div_factor
        self.top = pct_start * total_steps - 1  # the step at which lr is max_lr
        self.anneal = _cosine if anneal_strategy == "cos" else _line
        self.cycle_momentum = cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        super().__init__(optimizer)

    def lr(self, base):
        return self._cycle(self.first_lr, self.max_lr, self.last_lr)

    def _cycle(self, first, top, last):
        if self.t < self.top:
            return self.anneal(first, top, self.t / self.top)
        down = (self.t - self.top) / (self.total_steps - 1 - self.top)
        return self.anneal(top, last, min(down, 1))

    def _apply(self):
        super()._apply()
        if not self.cycle_momentum:
            return
        momentum = self._cycle(
            self.max_momentum, self.base_momentum, self.max_momentum
        )
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


def _cosine(start, end, part):
    """From start to end along half a cosine, part of the way."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _line(start, end, part):
    return start + (end - start) * part
