"""The library's random number generator: one NumPy Generator, one place to seed it.

Every function that draws numbers takes `rng` and falls back on this generator.
"""

import numpy as np

_generator = np.random.Generator(np.random.PCG64())  # seeded by the operating system


def default_rng(rng=None):
    """`rng` itself if it is given, else the library's generator.

    Raises TypeError for anything but a numpy.random.Generator (a bare seed, say).
    """
    if rng is None:
        return _generator
    if isinstance(rng, np.random.Generator):
        return rng
    raise TypeError(
        f"rng is {rng!r}, expected a numpy.random.Generator; "
        "write rng=numpy.random.default_rng(0), with a seed of your choice"
    )


def manual_seed(seed):
    """Restart the library's generator from `seed`, a whole number of at least 0."""
    set_state(np.random.PCG64(seed).state)


def get_state():
    """The state of the library's generator: a dict of int and str, fit for JSON."""
    return _generator.bit_generator.state


def set_state(state):
    """Put the library's generator back where `get_state` found it."""
    _generator.bit_generator.state = state
