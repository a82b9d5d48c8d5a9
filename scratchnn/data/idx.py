"""The IDX file format, in which MNIST is published: a header, then the numbers.

byte 0-1  zero                  byte 3    rank: the number of axes
byte 2    type code             then      one big-endian uint32 per axis: its size
The numbers follow in big-endian and row-major order, to the end of the file.
Source: http://yann.lecun.com/exdb/mnist/ ("the IDX file format").
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path):
    """The array in an IDX file, gzipped or not: any shape, any of the six types.

    The result is writable and in this machine's byte order. Raises ValueError, naming
    the file and what is wrong with it, for a damaged file or one of another kind.
    """
    content = _unzipped(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise ValueError(
            f"{path} is not an IDX file: it starts with the bytes "
            f"'{content[:4].hex(' ')}', expected 00 00, a type code "
            "(08 09 0b 0c 0d 0e) and a rank; check that this is the right file"
        )
    start = 4 + 4 * content[3]  # where the header ends
    if len(content) < start:
        raise ValueError(
            f"{path} ends inside its header: {len(content)} bytes, expected at least "
            f"{start} for rank {content[3]}; the file is damaged: get it again"
        )
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    dtype = np.dtype(TYPES[content[2]])
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - start
    if found != expected:
        raise ValueError(
            f"{path} has {found} bytes of data, expected {expected} for its shape "
            f"{shape} of {dtype.name}; the file is damaged: get it again"
        )
    numbers = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return numbers.astype(dtype.newbyteorder("="))


def _unzipped(path):
    """The bytes of a file, decompressed if they begin like a gzip stream."""
    content = Path(path).read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path} is a damaged gzip file ({error}); get it again"
        ) from error
