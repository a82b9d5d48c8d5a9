"""Where the time goes, op by op.

    with snn.profile() as p:
        for x, t in batches:
            step(x, t)
    print(p)                 # a table; p.rows is the same as data
    snn.plot.profile(p)      # a picture

One clock runs, and its time goes to one account at a time: an op's forward pass, an
op's rule, an optimizer's step, the walk of backward, the compiler of kernels, or else
`outside`. So the rows add up to the total. What runs inside an op, a rule or a step
belongs to it: the products in attention's body are attention's time.

Ops are watched by properties of the class Op, which stand before the attributes of all
ops, old and new, while a profile runs. At other times nothing is slower.
"""

import contextlib
import functools
import threading
import time
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from . import backward, kernels
from .op import TABLE, Op
from .optim import Optimizer

NOTE = """\
forward and rule: with all that runs inside them. engine: backward without the rules.
outside: the rest, such as data, your own Python, and recording the ops."""


class Row(NamedTuple):
    """One line of a profile: an op, an optimizer's step, engine, compiling or outside.

    forward, rule: seconds, 0 if it is no op; seconds: all of the row. calls: forward
    passes, steps, or walks of the engine. nbytes: of what the forward passes made; a
    view of an input is none. kernels: how many forward passes a kernel did; None if it
    is no op.
    """

    name: str
    forward: float
    rule: float
    seconds: float
    calls: int
    nbytes: int
    kernels: int | None

    @property
    def by(self):
        """What did the forward passes: "kernel", "reference", "kernel 12 of 20"."""
        if self.kernels is None or not self.calls:
            return ""
        whole = {0: "reference", self.calls: "kernel"}
        return whole.get(self.kernels, f"kernel {self.kernels:,} of {self.calls:,}")


class Profile:
    """What `profile` measured: `rows`, the parts, and `total`; print(p) is a table."""

    def __init__(self):
        self._accounts = defaultdict(_Account)  # by an op, (op, "rule"), or a name
        self._outside = self._accounts["outside"]
        self._engine = self._accounts["engine"]
        self._thread, self._interrupted = threading.get_ident(), []
        self._now, self._since = self._outside, time.perf_counter()

    @property
    def total(self):
        """Seconds from the beginning of the block to its end."""
        return sum(account.seconds for account in self._accounts.values())

    @property
    def rows(self):
        """A Row for each part, those that took longest first."""
        rows = []
        for what, a in list(self._accounts.items()):
            if isinstance(what, Op):
                rule = self._accounts[what, "rule"].seconds
                times = a.seconds, rule, a.seconds + rule
                rows.append(Row(what.name, *times, a.calls, a.nbytes, a.kernels))
            elif isinstance(what, str):
                rows.append(Row(what, 0.0, 0.0, a.seconds, a.calls, 0, None))
        return sorted((row for row in rows if row.seconds), key=lambda r: -r.seconds)

    def __repr__(self):
        head = ("op", "calls", "forward ms", "rule ms", "ms", "share", "MB", "run by")
        last = ("total", "", "", "", f"{1e3 * self.total:,.2f}", "100.0 %", "", "")
        lines = [head, *(self._cells(row) for row in self.rows), last]
        widths = [max(map(len, column)) for column in zip(*lines)]
        table = []
        for name, *numbers, by in lines:
            numbers = [text.rjust(n) for text, n in zip(numbers, widths[1:])]
            table.append("  ".join([name.ljust(widths[0]), *numbers, by]).rstrip())
        return "\n".join([*table, NOTE])

    def _cells(self, row):
        times = (f"{1e3 * t:,.2f}" for t in (row.forward, row.rule))
        return (
            row.name.strip("_"),
            f"{row.calls:,}" if row.calls else "",
            *(("", "") if row.kernels is None else times),
            f"{1e3 * row.seconds:,.2f}",
            f"{100 * row.seconds / self.total:.1f} %",
            "" if row.kernels is None else f"{row.nbytes / 1e6:,.1f}",
            row.by,
        )

    # ---- the clock --------------------------------------------------------------
    def _is_at(self, account):
        """Whether the time of the thread that asks goes to an account just now."""
        return self._now is account and threading.get_ident() == self._thread

    def _switch(self, account):
        now = time.perf_counter()
        self._now.seconds += now - self._since
        self._now, self._since = account, now


class _Account:
    """What is charged: the seconds of an op, of its rule (its own account), ..."""

    __slots__ = ("seconds", "calls", "nbytes", "kernels")

    def __init__(self):
        self.seconds, self.calls, self.nbytes, self.kernels = 0.0, 0, 0, 0

    def count(self, y, inputs):
        """A call that returned y."""
        self.calls += 1
        if isinstance(y, np.ndarray) and y.base is not None:
            arrays = (x for x in inputs if isinstance(x, np.ndarray))
            if any(np.may_share_memory(y, x) for x in arrays):
                return
        self.nbytes += getattr(y, "nbytes", 0)


@contextlib.contextmanager
def profile():
    """Measure where the time of a with block goes: a Profile, complete at its end.

    Run one step before it, or numba loads or compiles kernels meanwhile; that has a row
    of its own. Measuring takes some microseconds for each op. Profiles may be nested:
    each measures its whole block. Only the thread that began it is measured. A GPU goes
    on working when a call has returned: whatever waits for it then is charged.
    """
    global _running
    with _lock:
        if not _running:
            _install()
        p = Profile()
        _running = (*_running, p)
    try:
        yield p
    finally:
        p._switch(None)
        with _lock:
            _running = tuple(other for other in _running if other is not p)
            if not _running:
                _installed.close()


# ---- what is watched -------------------------------------------------------------
_running, _lock = (), threading.Lock()
_installed = contextlib.ExitStack()  # closing it takes the watchers away


def _install():
    for name, watch in _WATCHES.items():
        setattr(Op, name, _Watching(name, watch))
        _installed.callback(delattr, Op, name)
    for owner, name, watched in [
        (backward, "_walk", _watch_calls(backward._walk, lambda *_: "engine")),
        (Optimizer, "step", _watch_calls(Optimizer.step, _step_of)),
        (kernels, "load", _watch_load(kernels.load)),
    ]:
        _installed.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, watched)
    if any(entry.fast for entry in TABLE.values()):
        numba = kernels.load("compiling")
        if numba is not None:
            _installed.callback(numba.listen(_begin_compiling, _end_compiling))


class _Watching:
    """A property of Op that stands before the attribute `name` which each op has."""

    def __init__(self, name, watch):
        self.name, self.watch, self.made = name, watch, {}

    def __get__(self, entry, _):
        f = vars(entry)[self.name]
        if f is None:
            return None
        made = self.made.get(entry)  # (f, for which profiles, what it became)
        if made is None or made[0] is not f or made[1] is not _running:
            watched = f
            for p in _running:
                watched = self.watch(watched, p, entry)
            made = self.made[entry] = f, _running, watched
        return made[2]

    def __set__(self, entry, f):
        while hasattr(f, "unwatched"):  # it was read here and is put back
            f = f.unwatched
        vars(entry)[self.name] = f


def _watched(f, p, account, at):
    """f, with its time going to an account if the clock stands at another."""

    def call(*args, **params):
        if not p._is_at(at):
            return f(*args, **params)
        p._switch(account)
        try:
            y = f(*args, **params)
        finally:
            p._switch(at)
        if at is p._outside:
            account.count(y, args)
        return y

    call.unwatched = f
    return call


def _watched_run(run, p, entry):
    return _watched(run, p, p._accounts[entry], p._outside)


def _watched_rule(rule, p, entry):
    return _watched(rule, p, p._accounts[entry, "rule"], p._engine)


class _WatchedRules:
    def __init__(self, rules, p, entry):
        self.unwatched, self.p, self.entry, self.made = rules, p, entry, {}

    def __getitem__(self, i):
        if not self.p._is_at(self.p._engine):
            return self.unwatched[i]
        if i not in self.made:
            rule = self.unwatched[i]
            self.made[i] = rule and _watched_rule(rule, self.p, self.entry)
        return self.made[i]


def _counted(fast, p, entry):
    """A kernel, with a count of how often it did not decline."""
    account = p._accounts[entry]

    def call(*args, **params):
        y = fast(*args, **params)
        if p._is_at(account):
            account.kernels += y is not NotImplemented
        return y

    call.unwatched = fast
    return call


_WATCHES = {  # attributes of an op
    "run": _watched_run,
    "rules": _WatchedRules,
    "fast": _counted,
    "fast_rule": _watched_rule,
}


def _watch_calls(f, what):
    """A function of the library, its time going to the account what(*args)."""

    @functools.wraps(f)
    def call(*args, **params):
        g = f
        for p in _running:
            g = _watched(g, p, p._accounts[what(*args)], p._outside)
        return g(*args, **params)

    return call


def _step_of(optimizer):
    return f"{type(optimizer).__name__}.step"


def _watch_load(load):
    @functools.wraps(load)
    def call(file):
        _begin_compiling()
        try:
            return load(file)
        finally:
            _end_compiling()

    return call


def _begin_compiling():
    for p in _running:
        if p._is_at(p._now):
            p._interrupted.append(p._now)
            p._switch(p._accounts["compiling"])


def _end_compiling():
    for p in _running:
        if p._is_at(p._accounts["compiling"]):
            p._switch(p._interrupted.pop())
