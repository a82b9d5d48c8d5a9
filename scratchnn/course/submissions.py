"""Submissions as they are handed in: files, folders, archives, notebooks.

`find` lists them, `read` reads one into {name: bytes} of Python files, or says in words
why it can't. Nothing is unpacked to disk and no link is followed; sizes are counted as
they are read, whatever the archive says of itself.
"""

import io
import json
import os
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .session import ALLOWED, plain

KINDS = (".py", ".zip", ".ipynb")
BESIDE = ("submission_metadata", "metadata")  # what systems put beside submissions
MAX_FILE, MAX_ARCHIVE, MAX_FILES = 2**20, 2**25, 1000


class Found(NamedTuple):
    """A submission: id, the name that it is known by, and where it lies."""

    id: str
    path: Path


class Read(NamedTuple):
    """files {name: bytes}; problem, in words, or ""; notes on what was left out.

    notebook: the module was one, so only its definitions count.
    """

    files: dict
    problem: str = ""
    notes: tuple = ()
    notebook: bool = False


class Unreadable(ValueError):
    """A submission that can't be read: why, in words."""


# ---- which there are ------------------------------------------------------------
def find(paths, name, single=False):
    """The submissions of assignment `name` in `paths`, a list of Found.

    A folder is one submission if it holds NAME.py or NAME.ipynb and nothing that could
    be another's, or if `single`; else each of the things in it is one.
    """
    lying = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(2, "there is no such file or folder", str(path))
        if single or not path.is_dir() or _is_one(path, name):
            lying.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if _counts(p))
        if not inside:
            raise FileNotFoundError(2, "there are no submissions in it", str(path))
        lying += inside
    names = [_known(path) for path in lying]
    found = []
    for path, id in zip(lying, names):
        if names.count(id) > 1:
            id = f"{_known(path.resolve().parent)}/{id}"
        same = sum(f.id.partition(" #")[0] == id for f in found)
        found.append(Found(f"{id} #{same + 1}" if same else id, path))
    return found


def _known(path):
    """The name that a path is known by: plain text, whatever its bytes are."""
    return plain(
        os.fsencode(path.name or path.resolve().name).decode("utf-8", "replace")
    )


def _is_one(folder, name):
    """Whether a folder is a student's: what else is in it belongs to NAME.py."""
    own = [p for p in (folder / f"{name}.py", folder / f"{name}.ipynb") if p.is_file()]
    if not own:
        return False
    text = own[0].read_bytes()[:MAX_FILE].decode("utf-8", "replace")
    for path in filter(_counts, folder.iterdir()):
        if path in own:
            continue
        if path.suffix in (".zip", ".ipynb") or path.is_dir() and _holds(path, name):
            return False
        if path.suffix == ".py" and not re.search(rf"\b{re.escape(path.stem)}\b", text):
            return False  # not a module that it imports
    return True


def _holds(folder, name):
    return any((folder / f"{name}{kind}").is_file() for kind in (".py", ".ipynb"))


def _counts(path):
    hidden = path.name.startswith((".", "__"))
    return not hidden and path.stem not in BESIDE


# ---- reading one ----------------------------------------------------------------
def read(path, name):
    """A submission of assignment `name`: NAME.py and what lies beside it, as a Read."""
    path = Path(path)
    notes = []
    try:
        if path.is_symlink():
            raise Unreadable("it is a link, which is not followed")
        if path.is_dir():
            members = _of_folder(path, notes)
        elif path.suffix.lower() == ".zip":
            members = _of_zip(path, notes)
        elif path.suffix.lower() in KINDS:
            members = {name + path.suffix.lower(): _contents(path)}
        else:
            raise Unreadable(f"a {path.suffix or 'file'}, expected {', '.join(KINDS)}")
        return _chosen(members, name, notes)
    except Unreadable as error:
        return Read({}, str(error), tuple(notes))
    except OSError as error:
        return Read({}, f"can't be read: {error.strerror or error}", tuple(notes))


def _contents(path):
    """The bytes of a plain file (a pipe or a device would never end)."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Unreadable(f"{path.name} is no plain file")
    with open(path, "rb") as file:
        return _bounded(file, path.name)


def _bounded(file, name, most=MAX_FILE):
    data = file.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"{name} has more than {most // 2**20} MB")
    return data


def _of_folder(folder, notes):
    members = {}
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        for file in sorted(files):
            path = Path(root, file)
            if path.suffix.lower() not in (".py", ".ipynb"):
                continue
            if path.is_symlink():
                notes.append(f"left out {file}: a link")
                continue
            members[path.relative_to(folder).as_posix()] = _contents(path)
            _count(members)
    return members


def _of_zip(path, notes):
    if path.stat().st_size > MAX_ARCHIVE:
        raise Unreadable(f"more than {MAX_ARCHIVE // 2**20} MB")
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unreadable("no plain file")
    members = {}
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            for info in archive.infolist():
                name = info.filename.replace("\\", "/")
                if not name.lower().endswith((".py", ".ipynb")) or "__MACOSX" in name:
                    continue
                fault = _fault(info, name)
                if fault:
                    notes.append(f"left out {name}: {fault}")
                    continue
                with archive.open(info) as file:
                    members[name] = _bounded(file, name)
                _count(members)
    except Unreadable:
        raise
    except Exception as error:  # zipfile raises many kinds for what is no zip
        raise Unreadable(f"a broken zip file ({error})") from None
    return members


def _fault(info, name):
    """What is wrong with a member of an archive, in words."""
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link"
    if name.startswith("/") or ".." in name.split("/") or ":" in name:
        return "its path leads out of the archive"
    if info.flag_bits & 1:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed in an unusual way"
    return ""


def _count(members):
    if len(members) > MAX_FILES or sum(map(len, members.values())) > MAX_ARCHIVE:
        raise Unreadable("too many files")


# ---- what counts ----------------------------------------------------------------
def _chosen(members, name, notes):
    """The module of the assignment and the files beside it, from {path: bytes}."""
    paths = sorted(map(PurePosixPath, members), key=lambda p: (len(p.parts), str(p)))
    exact = [p for kind in (".py", ".ipynb") for p in paths if p.name == name + kind]
    if exact:
        main = min(exact, key=lambda p: len(p.parts))
    elif len(paths) == 1:
        main = paths[0]
        notes.append(f"{main} was taken for {name}{main.suffix}")
    else:
        there = ", ".join(map(str, paths[:5])) or "no Python file"
        raise Unreadable(f"there is no {name}.py in it, but {there}")
    files = {}
    for path in paths:
        beside = path.parent == main.parent and path.suffix == ".py"
        if beside and path.stem.isidentifier() and path.stem not in ALLOWED:
            files[path.name] = members[str(path)]
    data, notebook = members[str(main)], main.suffix.lower() == ".ipynb"
    files[f"{name}.py"] = script(data) if notebook else data
    return Read(files, "", tuple(notes), notebook)


def script(data):
    """The code cells of a notebook as one script; lines of IPython's as comments."""
    try:
        cells = json.loads(data.decode("utf-8"))["cells"]
        sources = [
            c["source"] if isinstance(c["source"], str) else "".join(c["source"])
            for c in cells
            if c["cell_type"] == "code"
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unreadable("a broken notebook") from None
    parts = []
    for k, source in enumerate(sources, 1):
        if source.startswith("%%"):  # a cell of another language
            source = re.sub(r"^", "# ", source, flags=re.M)
        source = re.sub(r"^(\s*)([%!])", r"\1# \2", source, flags=re.M)
        parts.append(f"# cell {k}\n{source}")
    return "\n".join(parts).encode("utf-8", "replace")
