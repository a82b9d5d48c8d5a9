"""Whether lines that must stay secret are anywhere in a set of files.

Looked for as text, without regard to spaces and line ends: in the file itself, in the
strings of JSON and of Python code, in members of zips (an .npz is one), in what gzip,
zlib and base64 hold, and in text of two or four bytes a letter.
"""

import ast
import base64
import binascii
import gzip
import io
import json
import re
import zipfile
import zlib

DEEP = 4  # wrappings within wrappings
ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{24,}")


def leaks(files, secret):
    """Yield (file, line) for each of the lines `secret` in files {name: bytes}."""
    wanted = {squeezed(line): line for line in secret}
    for name in sorted(files):
        texts = [squeezed(text) for text in _texts(files[name], name)]
        for short, line in wanted.items():
            if any(short in text for text in texts):
                yield name, line


def squeezed(text):
    """A text without its spaces and line ends."""
    return "".join(text.split())


def _texts(data, name="", depth=0):
    """All that a file says, as texts: its own, and of what it wraps."""
    kind = name.rpartition(".")[2]
    text = data.decode("utf-8", "ignore")
    if kind in ("json", "ipynb"):
        yield from _strings(json.loads(text))
    else:
        yield text
    if b"\0" in data:
        yield data.replace(b"\0", b"").decode("utf-8", "ignore")
    if depth < DEEP:
        for inner, member in _wrapped(data, kind):
            yield from _texts(inner, member, depth + 1)


def _strings(x):
    """The strings of a JSON value, those of a list also as one."""
    if isinstance(x, str):
        yield x
    elif isinstance(x, list):
        if all(isinstance(each, str) for each in x):
            yield "".join(x)
        for each in x:
            yield from _strings(each)
    elif isinstance(x, dict):
        for key, value in x.items():
            yield key
            yield from _strings(value)


def _wrapped(data, kind):
    """(bytes, name) of what is packed or encoded in a file."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield archive.read(member), member
    for unpack, start in ((gzip.decompress, b"\x1f\x8b"), (zlib.decompress, b"x")):
        if data.startswith(start):
            try:
                yield unpack(data), ""
            except (OSError, EOFError, zlib.error):
                pass
    if kind == "py":
        for node in ast.walk(ast.parse(data)):
            value = getattr(node, "value", None) if _is_text(node) else None
            if value is not None:
                yield value if isinstance(value, bytes) else value.encode(), ""
    for run in ENCODED.findall(data.replace(b"\n", b"")):
        for start in range(4):
            part = run[start:].replace(b"-", b"+").replace(b"_", b"/")
            try:
                yield base64.b64decode(part + b"=" * (-len(part) % 4)), ""
            except binascii.Error:
                pass


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
