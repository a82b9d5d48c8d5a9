"""Tell when numba is at work: compiling a kernel, or loading one from the disk."""

from numba.core import event


class _Listener(event.Listener):
    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def on_start(self, event):
        self.begin()

    def on_end(self, event):
        self.end()


def listen(begin, end):
    """Call begin() and end() around numba's work; returns a function that stops it.

    numba works under its compiler's lock, which is taken again and again inside: so
    begin and end come in nested pairs.
    """
    listener = _Listener(begin, end)
    event.register("numba:compiler_lock", listener)
    return lambda: event.unregister("numba:compiler_lock", listener)
