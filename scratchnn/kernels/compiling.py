"""Tell when numba is at work: compiling a kernel, or loading one from the disk."""

import logging
import threading
import time

from numba.core import event

SLOW = 1  # seconds; what is compiled in less needs no words


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


class _Announcer(event.Listener):
    """Says, once in a process, that kernels are compiled, as soon as it takes SLOW."""

    def __init__(self):
        self.depth, self.left, self.said = 0, SLOW, False

    def on_start(self, event):
        if _is_ours(event) and not self.said:
            if self.depth == 0:
                self.start = time.perf_counter()
                self.timer = threading.Timer(self.left, self.say)
                self.timer.daemon = True
                self.timer.start()
            self.depth += 1  # a kernel may have others compiled, that it calls

    def on_end(self, event):
        if _is_ours(event) and self.depth:
            self.depth -= 1
            if self.depth == 0:
                self.timer.cancel()
                self.left = max(0, self.left + self.start - time.perf_counter())

    def say(self):
        if not self.said:
            self.said = True
            # The only warning here: a reader who set up no logging is to see it, too.
            logging.getLogger("scratchnn").warning(
                "scratchnn: compiling kernels, once (about 20 s); `scratchnn warmup` "
                "does it beforehand"
            )


def _is_ours(event):
    return event.data["dispatcher"].py_func.__module__.startswith("scratchnn.")


_announcer = _Announcer()
event.register("numba:compile", _announcer)


def hush():
    """Say nothing of compiling: who waits was told."""
    _announcer.said = True
