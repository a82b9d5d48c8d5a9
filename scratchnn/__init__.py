"""Deep learning from scratch in NumPy: read it, run it, check it.

import scratchnn as snn
x = snn.Tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
x.grad            # array([2., 4.], dtype=float32)
"""

from . import data, kernels, nn, ops, optim, threads
from .anomaly import detect_anomaly
from .backward import grad
from .device import gpu_probe, to_device
from .errors import AnomalyError, GraphError, ShapeError, nearest
from .gradcheck import GradcheckError, VacuousCheck, gradcheck
from .methods import from_dlpack
from .op import TABLE
from .opgraph import graph_of
from .ops import *  # noqa: F403
from .ops.sparse import Pattern, SparseMatrix
from .profiler import profile
from .random import manual_seed
from .recording import is_recording, no_grad
from .tensor import Tensor, composite, op
from .threads import get_num_threads, set_num_threads

kernels.attach()
threads.keep_freed_memory()


def __getattr__(name):
    """Parts that need heavier libraries are imported at their first use."""
    import importlib

    if name in ("checkpoint", "models", "plot", "symmetry", "train"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(
        f"scratchnn has no {name!r}{nearest(name, globals())}", name=name
    )
