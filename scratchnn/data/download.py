"""Finding a published file on this machine, or fetching it, and proving it is right.

A file is looked for in the folder named by the environment variable SCRATCHNN_DATA,
then in the user's cache ($XDG_CACHE_HOME or ~/.cache, under scratchnn); only then is
it downloaded, into the cache. Its size and sha256 are checked wherever it comes from.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple


class RemoteFile(NamedTuple):
    """A file that others publish: its place, its checksum and where to get it.

    name is "folder/file", below SCRATCHNN_DATA and the cache alike; size in bytes;
    mirrors are folder addresses ending in "/", tried in order.
    """

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


def on_github(repository, commit, folder):
    """The mirrors of a folder in a GitHub repository."""
    return (
        f"https://raw.githubusercontent.com/{repository}/{commit}/{folder}",
        f"https://cdn.jsdelivr.net/gh/{repository}@{commit}/{folder}",
    )


def is_local(file):
    """Whether a file of the right name and size is on this machine (nothing read)."""
    places = [place for place in (_own_copy(file), _cached(file)) if place]
    return any(p.is_file() and p.stat().st_size == file.size for p in places)


def fetch(file):
    """The path of a verified copy of `file`, downloaded if this machine has none.

    Raises ValueError if the copy in SCRATCHNN_DATA is damaged, OSError if no mirror
    delivers the file.
    """
    own = _own_copy(file)
    if own and own.is_file():
        if fault := _fault(own, file):
            raise ValueError(
                f"{own} is not the published file: {fault}; replace it, "
                "or unset SCRATCHNN_DATA to download it"
            )
        return own
    cached = _cached(file)
    if not cached.is_file() or _fault(cached, file):
        _download(file, cached)
    return cached


def _own_copy(file):
    folder = os.environ.get("SCRATCHNN_DATA")
    return Path(folder) / file.name if folder else None


def _cached(file):
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "scratchnn" / file.name


def _fault(path, file):
    """What is wrong with the file at `path`, in words; "" if nothing is."""
    size = path.stat().st_size
    if size != file.size:
        return f"{size} bytes, expected {file.size}"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if sha256 != file.sha256:
        return f"sha256 {sha256[:12]}..., expected {file.sha256[:12]}..."
    return ""


def _download(file, target):
    """Fill `target` from the first mirror that delivers the right bytes."""
    tried = []
    for mirror in file.mirrors:
        url = mirror + target.name
        try:
            return _download_from(url, file, target)
        except (OSError, ValueError) as error:
            tried.append(f"\n  {url}: {error}")
    raise OSError(
        f"could not download {file.name}. Tried:{''.join(tried)}\n"
        f"Check the network, or put the file at {target} by hand, or {_own_fix(file)}"
    )


def _own_fix(file):
    """What to do about SCRATCHNN_DATA, which has no such file."""
    folder = os.environ.get("SCRATCHNN_DATA")
    if not folder:
        return f"set SCRATCHNN_DATA to a folder that holds {file.name}"
    if not Path(folder).is_dir():
        return f"correct SCRATCHNN_DATA: the folder {folder} does not exist"
    return f"in SCRATCHNN_DATA: {folder} does not hold {file.name}"


def _download_from(url, file, target):
    """Fill `target` from `url`: all of it, verified, or not at all."""
    from pooch import HTTPDownloader
    from tqdm import tqdm

    target.parent.mkdir(parents=True, exist_ok=True)
    quiet = os.environ.get("SCRATCHNN_PROGRESS") == "0" or None  # None: no terminal
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        part = Path(folder) / target.name
        with tqdm(
            total=file.size, desc=file.name, unit="B", unit_scale=True, disable=quiet
        ) as bar:
            headers = {"Accept-Encoding": "identity"}  # the bytes as they are stored
            HTTPDownloader(bar, chunk_size=2**16, timeout=30, headers=headers)(
                url, str(part), None
            )
        if fault := _fault(part, file):
            raise ValueError(fault)
        os.replace(part, target)
