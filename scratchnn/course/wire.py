"""What crosses between grader and student: framed JSON and .npy, nothing else.

A frame is its length (4 bytes), JSON, then the arrays that the JSON numbers, as .npy
files. Reading one runs no code of the sender's and allocates no more than was sent:
either side may lie. Stands alone, for child.py runs it without scratchnn.
"""

import io
import json
import math
import re
import struct

import numpy as np

MAX_JSON, MAX_ARRAYS = 2**22, 2**26  # bytes in a frame
KINDS = "biuf"  # of dtypes that may cross
WHOLE = 2**63  # no whole number from here: NumPy has none, and float() may fail
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([<>|][biuf]\d{1,2})', 'fortran_order': "
    rb"(True|False), 'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)


class WireError(ValueError):
    """A value that may not cross, or a frame that is none."""


# ---- values ---------------------------------------------------------------------
def pack(x, arrays, functions=None):
    """A value as JSON has it; its arrays are appended to `arrays`.

    Plain numbers, strings, None, tuples, lists, dicts and arrays; also functions, where
    a list for them is given. Exact types: an object of a class of one's own, even one
    derived from these, raises WireError.
    """
    kind = type(x)
    if kind is int and abs(x) >= WHOLE:
        raise WireError("a whole number of more than 64 bits")
    if x is None or kind in (bool, int, float, str):
        return x
    if isinstance(x, np.generic):
        return _scalar(x, arrays)
    if kind is np.ndarray:
        if x.dtype.kind not in KINDS:
            raise WireError(f"an array of dtype {x.dtype}; expected real numbers")
        arrays.append(x)
        return {"array": len(arrays) - 1}
    if kind in (tuple, list):
        return {kind.__name__: [pack(each, arrays, functions) for each in x]}
    if kind is dict:
        return {"dict": [pack(pair, arrays, functions) for pair in x.items()]}
    if functions is not None and callable(x):
        functions.append(x)
        return {"function": len(functions) - 1}
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    raise WireError(f"a {name}; expected arrays, numbers, text, or tuples of these")


def _scalar(x, arrays):
    if x.dtype.kind in "bU" or x.dtype in (np.int64, np.float64):
        return x.item()
    return pack(np.asarray(x), arrays)


def unpack(x, arrays, function=None):
    """The value that `pack` packed. function: makes one of its number."""
    if x is None or type(x) in (bool, float) or (type(x) is int and abs(x) < WHOLE):
        return x
    if type(x) is str:
        return x.encode("utf-8", "replace").decode()  # halves of characters: ?
    if type(x) is dict and len(x) == 1:
        ((kind, content),) = x.items()
        if kind == "array" and type(content) is int and 0 <= content < len(arrays):
            return arrays[content]
        if kind == "function" and function and type(content) is int:
            return function(content)
        if kind in ("tuple", "list", "dict") and type(content) is list:
            content = [unpack(each, arrays, function) for each in content]
            try:
                return {"tuple": tuple, "list": list, "dict": dict}[kind](content)
            except (TypeError, ValueError):
                pass
    raise WireError("a broken frame")


# ---- arrays ---------------------------------------------------------------------
def to_npy(x):
    """An array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, x, allow_pickle=False)
    return file.getvalue()


def from_npy(data):
    """The array in the bytes of a .npy file, which must be as long as it says.

    Its header is matched, not evaluated as NumPy does: a liar's could break that.
    """
    found = HEADER.match(data)
    if not found:
        raise WireError("a broken array")
    size, kind, fortran, shape = found.groups()
    start = 10 + int.from_bytes(size, "little")
    try:
        shape = tuple(int(n) for n in shape.split(b",") if n.strip())
        dtype = np.dtype(kind.decode())
        if (
            start != found.end()
            or math.prod(shape) * dtype.itemsize != len(data) - start
        ):
            raise WireError("an array that is not what its header says")
        x = np.frombuffer(data, dtype, offset=start)
        x = x.reshape(shape, order="F" if fortran == b"True" else "C").astype(dtype)
    except (TypeError, OverflowError, MemoryError) as error:
        raise WireError("a broken array") from error
    except ValueError as error:  # a WireError too, or a shape that NumPy can't have
        raise WireError(str(error)) from error
    return x.view(np.uint8) != 0 if dtype == bool else x


# ---- frames ---------------------------------------------------------------------
def frame(message, arrays=()):
    """The bytes of a frame: `message`, a dict that JSON can hold, and its arrays."""
    if sum(x.nbytes for x in arrays) > MAX_ARRAYS:
        raise WireError(f"arrays of more than {MAX_ARRAYS // 2**20} MB")
    blobs = [to_npy(x) for x in arrays]
    text = json.dumps({**message, "sizes": [len(b) for b in blobs]}).encode()
    if len(text) > MAX_JSON:
        raise WireError(f"text of more than {MAX_JSON // 2**20} MB")
    return struct.pack(">I", len(text)) + text + b"".join(blobs)


def send(file, message, arrays=()):
    """Write a frame."""
    file.write(frame(message, arrays))
    file.flush()


def receive(file):
    """Read a frame: (message, arrays). EOFError where it ends, WireError for lies."""
    (size,) = struct.unpack(">I", _read(file, 4))
    if size > MAX_JSON:
        raise WireError("a frame that is too long")
    try:
        message = json.loads(_read(file, size))
    except (ValueError, RecursionError) as error:
        raise WireError("a frame that is no JSON") from error
    sizes = message.get("sizes") if type(message) is dict else None
    if type(sizes) is not list or any(type(n) is not int or n < 0 for n in sizes):
        raise WireError("a broken frame")
    if sum(sizes) > MAX_ARRAYS + 200 * len(sizes):
        raise WireError("a frame that is too long")
    return message, [from_npy(_read(file, n)) for n in sizes]


def _read(file, size):
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
