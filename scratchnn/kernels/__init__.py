"""numba kernels, attached to ops of the table from outside.

Deleting this folder leaves a slower library with the same meaning: every op has a
readable NumPy body, and every kernel is tested against it. A kernel may decline an
input (too small to pay, another dtype or layout): then body and rules run.

numba is imported when the first kernel is wanted, not before. `SCRATCHNN_JIT=0`, or a
numba that can't be imported, turns kernels off.
"""

import contextlib
import functools
import glob
import hashlib
import importlib
import itertools
import logging
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time

import numpy as np

from ..op import TABLE, Shape
from ..threads import get_num_threads

KERNELS = {  # op: its file in this folder
    "standardize": "norm",
    "_normalize": "norm",
    "_channel_moments": "norm",
    "scatter": "index",
    "_segment_max": "index",
    "linear": "linear",
    "matmul": "linear",
    "attention": "attention",
    "multihead_attention": "attention",
    "conv2d": "conv",
    "conv_transpose2d": "conv",
    "conv2d_weight": "conv",
    "add": "elementwise",
    "exp": "elementwise",
    "tanh": "elementwise",
    "sigmoid": "elementwise",
    "softplus": "elementwise",
    "relu": "elementwise",
    "leaky_relu": "elementwise",
    "silu": "elementwise",
    "_gelu_tanh": "elementwise",
    "where": "elementwise",
    "_dropout": "dropout",
    "max_windows": "pool",
    "sum_windows": "pool",
    "softmax": "softmax",
    "log_softmax": "softmax",
    "_bce": "loss",
    "_surprisal": "loss",
    "sparse_matmul": "sparse",
    "sampled_matmul": "sparse",
}
STEPS = dict.fromkeys(  # functions of optim/optimizers.py
    ("adam_steps", "momentum_step", "ema_step"), "optim"
)
SMALL = 16_384  # elements; below this NumPy is as fast, and nothing is compiled
PASSES = {  # how often ops' bodies go over memory: with more, smaller arrays pay
    "standardize": 16,
    "_normalize": 16,
    "_channel_moments": 16,
    "max_windows": 16,
    "sum_windows": 16,
    "_dropout": 8,
    "softmax": 8,
    "log_softmax": 8,
    "_surprisal": 8,
    "silu": 4,
    "_gelu_tanh": 4,
    "sigmoid": 4,
    "softplus": 4,
    "_bce": 4,
    "adam_steps": 8,
    "add": 1 / 8,  # NumPy's one pass is as fast: only threads gain
}
NO_RULE = {  # ops whose rules are other ops with kernels, or a pass at most
    "_channel_moments",
    "scatter",
    "conv2d_weight",
    "add",
    "exp",
    "where",
}
PRODUCTS = {  # ops of x and a weight: BLAS's multiplications for each row of the latter
    "linear": 1,
    "matmul": 1,
    "conv2d": 100,  # NumPy copies windows
    "conv_transpose2d": 100,
    "conv2d_weight": 100,
    "sparse_matmul": 64,  # NumPy gathers and scatters
    "sampled_matmul": 64,
}

_log = logging.getLogger("scratchnn")
_off = None  # why kernels are off in this process


class Unavailable(Exception):
    """What a kernel file raises on import if this platform lacks what it needs."""


def attach():
    """Put each op's kernel in front of its body; returns whether kernels are on."""
    why = "SCRATCHNN_JIT=0" if os.environ.get("SCRATCHNN_JIT", "1") == "0" else _off
    if why:
        _log.info("kernels are off: %s; NumPy runs instead", why)
        return False
    for name, file in KERNELS.items():
        fast, rule = _lazy(name, file)
        TABLE[name].attach(fast, None if name in NO_RULE else rule)
    _replace_steps(_step)
    return True


def detach():
    """Take all kernels off: bodies and rules run."""
    for name in KERNELS:
        TABLE[name].attach(None, None)
    _replace_steps(lambda body, name: body)


def _replace_steps(make):
    """Put make(body, name) in the place of each function of STEPS."""
    optimizers = importlib.import_module("..optim.optimizers", __name__)
    for name in STEPS:
        now = getattr(optimizers, name)
        setattr(optimizers, name, make(getattr(now, "__wrapped__", now), name))


def _step(body, name):
    """An optimizer's function on arrays with its kernel in front.

    p: a parameter, or a list of tuples that begin with one.
    """

    def suited(p):
        if type(p) is list:
            return sum(row[0].size for row in p) * PASSES[name] >= SMALL
        return suits(p)

    @functools.wraps(body)
    def step(p, *inputs):
        f = _part(name, STEPS[name], "step") if suited(p) else None
        new = NotImplemented if f is None else f(p, *inputs)
        return body(p, *inputs) if new is NotImplemented else new

    return step


def turn_off(why):
    """Take all kernels off for good in this process; `attach` will say why."""
    global _off
    _off = why
    detach()


def _lazy(name, file):
    """A kernel and its rule that load their file when an input first suits them."""
    each, passes = PRODUCTS.get(name), PASSES.get(name, 1)

    def suited(x, inputs):
        if name == "where":  # x is the condition
            x = next((v for v in inputs if type(v) is np.ndarray), x)
        return suits(x, each * _rows(inputs[0]) if each else 32 * passes)

    def fast(x, *inputs, **params):
        f = _part(name, file, "forward") if suited(x, inputs) else None
        return NotImplemented if f is None else f(x, *inputs, **params)

    def rule(g, y, need, x, *inputs, **params):
        # x is hollow if no rule reads it, and y is None.
        known = next((a for a in (x, y) if type(a) not in (Shape, type(None))), g)
        f = _part(name, file, "rule") if suited(known, inputs) else None
        return NotImplemented if f is None else f(g, y, need, x, *inputs, **params)

    return fast, rule


def _rows(weight):
    return weight.shape[0] if getattr(weight, "shape", ()) else 0


@functools.cache  # importing again costs 7 microseconds
def _part(name, file, part):
    """`forward` or `rule` of a file; of a file for several ops `tanh_forward`, ..."""
    module = load(file)
    own = name if part == "step" else f"{name.strip('_')}_{part}"
    return getattr(module, own, getattr(module, part, None))


def suits(x, multiplications=32):
    """Kernels take large, contiguous float32 arrays of NumPy's own type.

    A product is large if it has 32 SMALL multiplications; given are those for each
    number of x.
    """
    return (
        type(x) is np.ndarray
        and x.size * multiplications // 32 >= SMALL
        and x.dtype == np.float32
        and x.flags.c_contiguous
    )


def cache_folder():
    """Where compiled kernels are kept: in NUMBA_CACHE_DIR, or among the user's caches.

    In a folder for this code: numba asks whether the file that a kernel stands in has
    changed, not whether those have whose functions were compiled into it.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    own = os.path.join(caches, "scratchnn", "numba")
    return os.path.join(os.environ.get("NUMBA_CACHE_DIR") or own, _fingerprint())


@functools.cache
def _fingerprint():
    """A few letters that change with any of the kernel files."""
    files = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]


@contextlib.contextmanager
def _own_cache():
    """Let numba choose our folder, not one beside the installed files.

    There, compiled code would outlive an uninstall, and the folder left behind would
    hide the package from a later `pip install -e .`.
    """
    from numba import config

    before, config.CACHE_DIR = config.CACHE_DIR, cache_folder()
    try:
        yield
    finally:
        config.CACHE_DIR = before


def load(file):
    """The kernel file, or None (and no kernels from then on) if numba is broken."""
    try:
        with _own_cache():
            importlib.import_module(".compiling", __name__)  # says if it takes long
            return importlib.import_module(f".{file}", __name__)
    except Unavailable as e:
        ops = [name for name in KERNELS if KERNELS[name] == file]
        _log.info("no kernel for %s: %s; NumPy runs instead", ", ".join(ops), e)
        for name in ops:
            TABLE[name].attach(None, None)
    except Exception as e:  # numba may fail in many ways; NumPy never does
        why = " ".join(str(e).split())  # on one line
        _log.info("kernels are off: numba can't be used (%s); NumPy runs instead", why)
        detach()


def warmup():
    """Compile every kernel, or load it from disk: a generator of (names, seconds).

    Files that the disk lacks are compiled by several processes at once, then loaded
    here. What these could not do is done here, where an error can be seen.
    """
    files, compiling = {}, load("compiling")
    if compiling is None:
        return
    compiling.hush()
    for name, file in {**KERNELS, **STEPS}.items():
        files.setdefault(file, []).append(name.strip("_"))
    new = [file for file in files if not _is_on_disk(file)]
    old = [(file, 0) for file in files if file not in new]
    rest = ((file, 0) for file in new)  # those that are left by then
    for file, seconds in itertools.chain(old, _compile_beside(new), rest):
        start, names = time.perf_counter(), files.pop(file, None)
        module = load(file) if names else None
        if module is not None:
            module.warmup()
            yield ", ".join(names), seconds + time.perf_counter() - start


def _is_on_disk(file):
    """Whether each loop of a file has compiled code that is not older than the file."""
    module = load(file)
    if module is None:
        return True  # nothing to compile
    changed = os.path.getmtime(module.__file__)
    for name, loop in vars(module).items():
        if getattr(loop, "__module__", None) == module.__name__ and _folder(loop):
            pattern = f"{glob.escape(_folder(loop))}/{file}.{name}-*.nbi"
            if not any(os.path.getmtime(f) >= changed for f in glob.glob(pattern)):
                return False
    return True


def _folder(loop):
    """Where numba keeps a function's compiled code; None if it isn't numba's."""
    return getattr(getattr(loop, "stats", None), "cache_path", None)


def _compile_beside(files):
    """Have files compiled by a process for each core: yields (file, seconds)."""
    count = min(get_num_threads(), len(files))
    if count < 2:
        return
    files, done = iter(files), queue.SimpleQueue()

    def feed(worker):
        for file in files:  # the next that no worker has
            start = time.perf_counter()
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(f"{file}\n")
            if not worker.stdout.readline():
                _log.info("a process could not compile %s; this one does", file)
                break
            done.put((file, time.perf_counter() - start))
        done.put(None)

    workers = [_worker() for _ in range(count)]
    try:
        for worker in workers:
            threading.Thread(target=feed, args=(worker,), daemon=True).start()
        for _ in workers:
            yield from iter(done.get, None)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _worker():
    """A process that compiles the files whose names it is given; see __main__.py."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,  # a line
    )
