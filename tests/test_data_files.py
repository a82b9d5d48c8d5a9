"""IDX files, whole and damaged; downloads that fail; the published files."""

import gzip
import hashlib
import http.server
import io
import math
import os
import struct
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchnn import data
from scratchnn.data import images
from scratchnn.data.download import RemoteFile, fetch

IDX_TYPES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
real_data = pytest.mark.skipif(
    "SCRATCHNN_DATA" not in os.environ,
    reason="set SCRATCHNN_DATA to a folder with mnist/ and fashion-mnist/",
)


def idx_bytes(array):
    """The IDX file of an array, by the definition of the format."""
    code = IDX_TYPES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


# IDX


@settings(deadline=None)
@given(
    array=st.sampled_from(sorted(IDX_TYPES)).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
    ),
    zipped=st.booleans(),
)
def test_read_idx_inverts_the_format(array, zipped, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.idx"
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if zipped else content)
    result = data.read_idx(path)
    assert result.dtype == array.dtype and result.shape == array.shape
    assert result.tobytes() == array.tobytes()  # NaNs included
    assert result.flags.writeable


WHOLE = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
EXPECTED_MAGIC = (
    "expected 00 00, a type code (08 09 0b 0c 0d 0e) and a rank; "
    "check that this is the right file"
)
AGAIN = "the file is damaged: get it again"
SIZES = (2**32 - 1,) * 3
HUGE = f"{8 * math.prod(SIZES)} for its shape {SIZES}"
DAMAGED = {
    "empty": (
        b"",
        f"is not an IDX file: it starts with the bytes '', {EXPECTED_MAGIC}",
    ),
    "wrong magic": (
        b"\x89PNG" + WHOLE[4:],
        f"is not an IDX file: it starts with the bytes '89 50 4e 47', {EXPECTED_MAGIC}",
    ),
    "unknown type": (
        b"\0\0\x0a\x03" + WHOLE[4:],
        f"is not an IDX file: it starts with the bytes '00 00 0a 03', {EXPECTED_MAGIC}",
    ),
    "short header": (
        WHOLE[:10],
        f"ends inside its header: 10 bytes, expected at least 16 for rank 3; {AGAIN}",
    ),
    "short body": (
        WHOLE[:-5],
        f"has 7 bytes of data, expected 12 for its shape (3, 2, 2) of uint8; {AGAIN}",
    ),
    "extra bytes": (
        WHOLE + b"!",
        f"has 13 bytes of data, expected 12 for its shape (3, 2, 2) of uint8; {AGAIN}",
    ),
    "sizes beyond memory": (
        b"\0\0\x0e\x03" + b"\xff" * 12,
        f"has 0 bytes of data, expected {HUGE} of float64; {AGAIN}",
    ),
}


@pytest.mark.parametrize("fault", DAMAGED)
@pytest.mark.parametrize("zipped", [False, True])
def test_read_idx_says_what_is_wrong(fault, zipped, tmp_path):
    content, message = DAMAGED[fault]
    path = tmp_path / "some.idx"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError) as error:
        data.read_idx(path)
    assert str(error.value) == f"{path} {message}"


def flipped(content):
    """The same gzip stream with one wrong bit in its checksum."""
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


@pytest.mark.parametrize(
    "damage",
    [lambda z: z[:-9], lambda z: z[:6], flipped, lambda z: z + b"tail"],
    ids=["cut in the body", "cut in the header", "wrong checksum", "tail"],
)
def test_read_idx_refuses_a_damaged_gzip(damage, tmp_path):
    path = tmp_path / "some.gz"
    path.write_bytes(damage(gzip.compress(WHOLE)))
    with pytest.raises(ValueError) as error:
        data.read_idx(path)
    assert str(error.value).startswith(f"{path} is a damaged gzip file (")
    assert str(error.value).endswith("); get it again")


def test_read_idx_of_a_missing_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.read_idx(tmp_path / "none")


# Downloads, from a server on this machine

BODY = gzip.compress(WHOLE, mtime=0)
SHA256 = hashlib.sha256(BODY).hexdigest()
WRONG = BODY[:-1] + b"?"


class Mirrors(http.server.BaseHTTPRequestHandler):
    """/good/, /wrong/ (bytes), /short/, /cut/ (connection), /zipping/; else 404."""

    def do_GET(self):
        self.server.requests.append(self.path)
        kind = self.path.split("/")[1]
        bodies = {"good": BODY, "wrong": WRONG, "short": BODY[:9], "cut": BODY[:9]}
        if kind == "zipping":
            return self.reply_encoded()
        if kind not in bodies:
            return self.send_error(404)
        self.send_response(200)
        length = len(BODY) if kind == "cut" else len(bodies[kind])
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(bodies[kind])

    def reply_encoded(self):
        """A server that labels a .gz file as encoded, unless asked not to."""
        self.send_response(200)
        self.send_header("Content-Length", len(BODY))
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirrors)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, no SCRATCHNN_DATA, no proxy between us and 127.0.0.1."""
    monkeypatch.delenv("SCRATCHNN_DATA", raising=False)
    monkeypatch.delenv("SCRATCHNN_PROGRESS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "scratchnn"


@pytest.fixture
def remote(server, cache):
    """A published file whose mirrors are folders of the server: remote("good")."""
    server.requests = []
    base = f"http://127.0.0.1:{server.server_port}"

    def remote(*folders):
        mirrors = tuple(f"{base}/{folder}/" for folder in folders)
        return RemoteFile("set/a.gz", len(BODY), SHA256, mirrors)

    return remote


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_fetch_downloads_once_then_reads_the_cache(server, remote, cache, capfd):
    path = fetch(remote("good"))
    assert path == cache / "set" / "a.gz" and path.read_bytes() == BODY
    assert fetch(remote("good")) == path
    assert server.requests == ["/good/a.gz"]
    assert files_below(cache) == ["set/a.gz"]
    assert capfd.readouterr() == ("", "")  # the library never prints


@pytest.mark.parametrize("first", ["missing", "wrong", "short", "cut"])
def test_second_mirror_serves_when_the_first_fails(first, server, remote, cache):
    assert fetch(remote(first, "good")).read_bytes() == BODY
    assert server.requests == [f"/{first}/a.gz", "/good/a.gz"]
    assert files_below(cache) == ["set/a.gz"]


def test_second_mirror_serves_when_the_first_refuses_the_connection(remote, cache):
    file = remote("good")
    file = file._replace(mirrors=("http://127.0.0.1:9/", *file.mirrors))
    assert fetch(file).read_bytes() == BODY


def test_a_server_that_would_unzip_is_asked_not_to(remote):
    assert fetch(remote("zipping")).read_bytes() == BODY


def test_damaged_cache_is_downloaded_again(server, remote, cache):
    path = fetch(remote("good"))
    path.write_bytes(WRONG)
    assert fetch(remote("good")).read_bytes() == BODY
    assert server.requests == ["/good/a.gz"] * 2


def test_wrong_bytes_on_both_mirrors_give_one_error_and_leave_nothing(remote, cache):
    file = remote("wrong", "short")
    got, expected = hashlib.sha256(WRONG).hexdigest()[:12], SHA256[:12]
    with pytest.raises(OSError) as error:
        fetch(file)
    assert str(error.value) == (
        "could not download set/a.gz. Tried:\n"
        f"  {file.mirrors[0]}a.gz: sha256 {got}..., expected {expected}...\n"
        f"  {file.mirrors[1]}a.gz: 9 bytes, expected {len(BODY)}\n"
        f"Check the network, or put the file at {cache / 'set' / 'a.gz'} by hand, or "
        "set SCRATCHNN_DATA to a folder that holds set/a.gz"
    )
    assert files_below(cache) == []


def test_interrupted_downloads_leave_nothing(remote, cache):
    with pytest.raises(OSError, match=r"Tried:\n  .*/cut/a.gz: .*\n  .*: 404 Client"):
        fetch(remote("cut", "missing"))
    assert list(cache.rglob("*")) == [cache / "set"]


def test_stopping_a_download_by_hand_leaves_nothing(remote, cache, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchnn.data.download.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch(remote("good"))
    assert list(cache.rglob("*")) == [cache / "set"]


def test_a_cache_that_cannot_be_written_is_named_in_the_error(remote, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="could not download set/a.gz") as error:
        fetch(remote("good"))
    assert str(cache) in str(error.value)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("wish, shown", [("1", True), ("0", False)])
def test_progress_goes_to_a_terminal_unless_unwanted(wish, shown, remote, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("SCRATCHNN_PROGRESS", wish)
    fetch(remote("good"))
    assert ("set/a.gz" in terminal.getvalue()) == shown
    assert bool(terminal.getvalue()) == shown


def test_scratchnn_data_comes_before_cache_and_network(
    server, remote, tmp_path, monkeypatch
):
    own = tmp_path / "own" / "set" / "a.gz"
    own.parent.mkdir(parents=True)
    own.write_bytes(BODY)
    monkeypatch.setenv("SCRATCHNN_DATA", str(tmp_path / "own"))
    assert fetch(remote("missing")) == own
    assert server.requests == []


def test_damaged_file_in_scratchnn_data_is_refused(remote, tmp_path, monkeypatch):
    own = tmp_path / "set" / "a.gz"
    own.parent.mkdir()
    monkeypatch.setenv("SCRATCHNN_DATA", str(tmp_path))
    own.write_bytes(BODY[:9])
    with pytest.raises(ValueError) as error:
        fetch(remote("good"))
    assert str(error.value) == (
        f"{own} is not the published file: 9 bytes, expected {len(BODY)}; replace it, "
        "or unset SCRATCHNN_DATA to download it"
    )
    own.write_bytes(WRONG)
    with pytest.raises(ValueError, match="is not the published file: sha256 "):
        fetch(remote("good"))


def test_file_missing_in_scratchnn_data_is_downloaded_to_the_cache(
    remote, cache, tmp_path, monkeypatch
):
    monkeypatch.setenv("SCRATCHNN_DATA", str(tmp_path / "own"))
    assert fetch(remote("good")) == cache / "set" / "a.gz"


# MNIST and Fashion-MNIST


def test_images_become_floats_and_labels_int64(monkeypatch, tmp_path):
    pixels = np.array([[[0, 51], [102, 255]]], np.uint8)
    parts = {"mnist/images": pixels, "mnist/labels": np.array([7], np.uint8)}
    files = []
    (tmp_path / "mnist").mkdir()
    for name, array in parts.items():
        content = idx_bytes(array)
        (tmp_path / name).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(RemoteFile(name, len(content), sha256, ()))
    monkeypatch.setenv("SCRATCHNN_DATA", str(tmp_path))
    monkeypatch.setitem(images.MNIST, "train", tuple(files))
    x, y = data.mnist()
    assert x.dtype == np.float32 and y.dtype == np.int64
    assert np.allclose(x, [[[0, 0.2], [0.4, 1]]]) and y.tolist() == [7]


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist])
def test_images_refuse_an_unknown_split(load):
    with pytest.raises(ValueError) as error:
        load("valid")
    assert str(error.value) == "split is 'valid', expected 'train' or 'test'"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_each_file_is_named_and_has_two_mirrors(name):
    files = data.DATASETS[name].files
    folder = name.replace("_", "-")
    assert [file.name for file in files] == [
        f"{folder}/train-images-idx3-ubyte.gz",
        f"{folder}/train-labels-idx1-ubyte.gz",
        f"{folder}/t10k-images-idx3-ubyte.gz",
        f"{folder}/t10k-labels-idx1-ubyte.gz",
    ]
    for file in files:
        assert len(file.mirrors) == 2 and len(file.sha256) == 64
        assert all(m.startswith("http") and m.endswith("/") for m in file.mirrors)


@real_data
@pytest.mark.parametrize("load, mean, std", [
    (data.mnist, 0.1307, 0.3081),
    (data.fashion_mnist, 0.2860, 0.3530),
])  # fmt: skip
def test_published_training_images_have_the_known_mean_and_std(load, mean, std):
    x, y = load("train")
    assert x.shape == (60_000, 28, 28) and x.dtype == np.float32
    assert y.shape == (60_000,) and y.dtype == np.int64
    assert x.min() == 0 and x.max() == 1
    mean_x = x.mean(dtype=np.float64)
    variance = np.square(x).mean(dtype=np.float64) - mean_x**2
    assert round(mean_x, 4) == mean and round(np.sqrt(variance), 4) == std


@real_data
def test_published_label_counts():
    counts = {
        (load, split): np.bincount(load(split).y).tolist()
        for load in (data.mnist, data.fashion_mnist)
        for split in ("train", "test")
    }
    assert counts[data.mnist, "train"] == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
    ]  # fmt: skip
    assert sum(counts[data.mnist, "test"]) == 10_000
    assert counts[data.fashion_mnist, "train"] == [6000] * 10
    assert counts[data.fashion_mnist, "test"] == [1000] * 10
    assert data.available()["mnist"] == "downloaded"
