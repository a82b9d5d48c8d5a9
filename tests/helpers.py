"""What several test files need: kernels on and off, random arrays, other processes."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest

from scratchnn import kernels


def reference(call):
    """What a call returns without kernels."""
    kernels.detach()
    try:
        return call()
    finally:
        kernels.attach()


def both(call):
    """What a call returns with kernels and without."""
    pytest.importorskip("numba", reason="kernels need numba")
    kernels.attach()
    return call(), reference(call)


@contextlib.contextmanager
def watching(*ops):
    """A list that learns of each call of the ops' kernels whether it was declined."""
    declined = []

    def watched(of):
        def call(*args, **params):
            y = of(*args, **params)
            declined.append(y is NotImplemented)
            return y

        return call

    for op in ops:
        op.attach(watched(op.fast), watched(op.fast_rule))
    try:
        yield declined
    finally:
        kernels.attach()


def normal(rng):
    """A function that draws float32 arrays of a shape from a test file's own rng."""
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)


def python(code, timeout=None, **env):
    """A new process that has run `code`."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **env},
    )


def printed(code, timeout=None, **env):
    """(stdout, stderr) of a new process that runs `code` without an error."""
    done = python(code, timeout, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
