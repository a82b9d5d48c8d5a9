"""Whether ops on trainable Tensors are recorded: yes, but for `with no_grad():`."""

import contextlib
import contextvars
import functools
import inspect

_mode = contextvars.ContextVar("recording", default=True)  # one value per thread
_DONE = object()

is_recording = _mode.get  # is_recording(): are ops being recorded in this thread?


class no_grad(contextlib.ContextDecorator):
    """Record nothing: `with no_grad():`, or `@no_grad()` before a function."""

    def __init__(self):
        self.before = []

    def __enter__(self):
        self.before.append(_mode.set(False))

    def __exit__(self, *exc):
        _mode.reset(self.before.pop())

    def _recreate_cm(self):  # each call of a decorated function has its own
        return no_grad()

    def __call__(self, f):
        if not inspect.isgeneratorfunction(f):
            return super().__call__(f)

        @functools.wraps(f)
        def step_by_step(*args, **kwargs):  # off while f runs, on while it waits
            values = f(*args, **kwargs)
            while True:
                with no_grad():
                    value = next(values, _DONE)
                if value is _DONE:
                    return
                yield value

        return step_by_step
