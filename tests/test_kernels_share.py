"""share gives each thread its rows: all rows once, whatever the number of threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="kernels need numba")
kernel = pytest.importorskip("scratchnn.kernels.share", reason="needs numba")


@numba.njit
def scaled_rows(x, y, total, scale):
    """y = scale x; total: a row of sums for each thread."""
    for i in range(len(x)):
        for j in range(x.shape[1]):
            y[i, j] = scale * x[i, j]
            total[0, j] += x[i, j]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
def test_every_row_is_done_once_by_any_number_of_threads(n, threads):
    x = np.arange(5 * n, dtype=np.float32).reshape(n, 5)
    y, totals = np.full_like(x, -1), np.zeros((threads, 5), np.float32)
    kernel.share(scaled_rows, (x, y, totals), (np.float32(3),), threads)
    np.testing.assert_array_equal(y, 3 * x)
    np.testing.assert_array_equal(totals.sum(0), x.sum(0))  # integers below 2^24
    assert n < threads or totals.any(axis=1).all()  # none was idle


@numba.njit
def fill_rows(rows, y):
    for i in rows:
        y[i] = i


def test_what_is_whole_goes_to_all_threads():
    rows, y = np.arange(10), np.zeros(10, np.float32)
    kernel.share(fill_rows, (rows,), (y,), threads=2)
    np.testing.assert_array_equal(y, rows)


def test_room_begins_with_a_line_of_the_cache():
    rooms = [kernel.room(n, 3) for n in range(1, 40)]
    assert all(x.ctypes.data % kernel.LINE == 0 for x in rooms)
    assert all(x.shape == (n, 3) for n, x in enumerate(rooms, 1))
    zeros = kernel.room(40, 48, of=np.zeros)
    assert zeros.dtype == np.float32 and not zeros.any() and zeros.flags.c_contiguous


def test_a_read_only_array_is_served_by_the_same_code():
    x = np.ones((4, 5), np.float32)
    x.flags.writeable = False
    y, totals = np.empty((4, 5), np.float32), np.zeros((2, 5), np.float32)
    kernel.share(scaled_rows, (x, y, totals), (np.float32(2),), threads=2)
    assert (y == 2).all()


def test_an_array_that_is_not_contiguous_is_refused():
    x = np.ones((5, 4), np.float32).T
    with pytest.raises(ValueError, match=r"share: an array of shape \(4, 5\) is not"):
        kernel.share(scaled_rows, (x, x, x), (np.float32(1),))


def test_python_threads_may_share_at_once():
    x = np.ones((3000, 5), np.float32)
    wrong = []

    def work(scale):
        for _ in range(200):
            y, totals = np.empty_like(x), np.zeros((2, 5), np.float32)
            kernel.share(scaled_rows, (x, y, totals), (np.float32(scale),), threads=2)
            if not (y == scale).all() or not (totals.sum(0) == 3000).all():
                wrong.append(scale)

    at_once = [threading.Thread(target=work, args=(k,)) for k in (2, 3)]
    for t in at_once:
        t.start()
    for t in at_once:
        t.join()
    assert not wrong


def test_without_a_pool_of_threads_loops_run_on_the_calling_one():
    code = (
        "import numpy as np, scratchnn as snn\n"
        "x = np.ones((1000, 1000), np.float32)\n"
        "y = snn.sigmoid(x)\n"
        "from scratchnn.kernels import share\n"
        "print(share._pool, share.team(x, 1), abs(y - 0.7310586).max() < 1e-6)"
    )
    env = {**os.environ, "OMP_THREAD_LIMIT": "4", "SCRATCHNN_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env)
    assert done.stdout.split() == [b"None", b"1", b"True"], done.stderr


ONES = "import numpy as np, scratchnn as snn; x = np.ones((200, 200), np.float32)\n"
FIRST = ONES + """
import subprocess, sys
from numba.core.caching import IndexDataCacheFile as File
save = File._save_data

def late(file, name, data):  # between this one's index and its code
    if "_run" in name:
        File._save_data = save
        subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
    save(file, name, data)

File._save_data = late
snn.relu(x)
"""
SECOND = ONES + """
from numba.core.caching import IndexDataCacheFile as File
load = File._load_index
# It read the index before the first wrote it.
File._load_index = lambda file: {} if "_run" in file._index_name else load(file)
snn.where(x > 0, x, x)
"""
BOTH = ONES + "print(snn.relu(x).sum(), snn.where(x > 0, x, x).sum())"


def test_processes_that_compile_at_once_do_not_mix_up_their_code(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "SCRATCHNN_JIT": "1"}
    for code in ([FIRST, SECOND], [BOTH], [BOTH]):
        command = [sys.executable, "-c", *code]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "40000.0 40000.0\n"
