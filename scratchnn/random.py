"""The library's random number generator: one NumPy Generator, one place to seed it.

Every function that draws numbers takes `rng` and falls back on this generator. Masks of
millions are hashed from one number of it, the seed: they can be made again, in any
order, by several threads.
"""

import math

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


def keep_mask(shape, p, seed, like):
    """Booleans, each False with probability p, beside the array `like`.

    seed: a whole number of at least 0. Entry i is True if a 32-bit hash of i and seed
    is at least p 2^32. The hash is Wellons' triple32 with two words of the seed added
    on the way, not to i: or else masks of two seeds would be pieces of one sequence.
    """
    first, second, least = mask_words(p, seed)
    h = np.arange(math.prod(shape), dtype=np.uint32, like=like)
    h ^= h >> 17
    h *= 0xED5AD4BB
    h += first
    h ^= h >> 11
    h *= 0xAC4C1B51
    h += second
    h ^= h >> 15
    h *= 0x31848BAB
    h ^= h >> 14
    return (h >= least).reshape(shape)


def mask_words(p, seed):
    """What keep_mask takes of its seed and of p: two words, and p 2^32 as a third."""
    first, second = np.random.SeedSequence(seed).generate_state(2).tolist()
    return first, second, min(round(p * 2**32), 2**32 - 1)
