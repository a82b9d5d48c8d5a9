"""State on disk: arrays by name in one safetensors file, which PyTorch reads too.

    save("model.safetensors", model.state_dict(), meta={"epoch": "3"})
    state, meta = load("model.safetensors")
"""

import contextlib
import os
from pathlib import Path

import numpy as np


class CheckpointError(RuntimeError):
    """A checkpoint can't be written or read. The message names file and fix."""


def save(path, state, meta=None):
    """Write {name: array} and metadata {str: str} to a safetensors file.

    The file appears complete or not at all: it is written beside its place, under a
    temporary name, and renamed. Raises CheckpointError.
    """
    import safetensors.numpy

    path = Path(path)
    arrays = {name: _in_order(x) for name, x in state.items()}
    meta = {str(k): str(v) for k, v in (meta or {}).items()} or None
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(safetensors.numpy.save(arrays, meta))
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CheckpointError(
            f"cannot write {path}: {error.strerror}. Choose a folder that you may "
            "write to, with space left"
        ) from None


def _in_order(x):
    """x on the CPU with its entries in order: safetensors would mix up x.T."""
    x = x.get() if hasattr(x, "get") else x  # from a GPU
    return np.asarray(x, order="C")


def load(path):
    """(state, meta) of a safetensors file: {name: array} and {str: str}.

    Raises CheckpointError if the file is missing, cut short, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            for name, x in state.items():
                if x.dtype.kind == "V":  # some library taught NumPy bfloat16
                    raise TypeError(f"NumPy has no {x.dtype}, the type of {name}")
            return state, file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no file {path}; check the path, or train first to make one"
        ) from None
    except (OSError, SafetensorError, TypeError) as error:
        raise CheckpointError(
            f"{path} is no readable safetensors file, or was cut short ({error}). Take "
            "an earlier checkpoint or train again; to read a .pt file, convert it in "
            "PyTorch with safetensors.torch.save_file(state_dict, path)"
        ) from None
