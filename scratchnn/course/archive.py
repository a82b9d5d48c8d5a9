"""Zips that are the same bytes for the same files, and files written whole or not."""

import io
import os
import tempfile
import zipfile
from pathlib import Path

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip knows


def packed(files, modes={}):
    """The bytes of a zip of {name: bytes}: sorted, of one time, not compressed.

    modes: {name: rights}, where they are not 0o644. Compression is left out, for its
    bytes change with the version of zlib.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.create_system = 3  # as written on Unix, wherever it is
            entry.external_attr = (0o100000 | modes.get(name, 0o644)) << 16
            archive.writestr(entry, files[name])
    return out.getvalue()


def write_file(path, data):
    """Write a file of bytes whole, or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_folder(path, files):
    """Write a folder of {name: bytes}, whole or not at all; it replaces one there."""
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".release-") as work:
        new, old = Path(work, "new"), Path(work, "old")
        for name, data in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(data)
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
