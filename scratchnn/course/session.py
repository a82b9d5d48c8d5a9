"""A student's functions, called in a process that is not ours.

    with Session({"vae.py": text}, "vae") as student:
        kl = student.function("kl")
        kl(mu, logvar)  # an array, or StudentError

The tests, the answers and the result stay here. Arguments go out and answers come back
as bytes (wire.py); whatever the student's code does, it gets no further than its own
answer. A process that ends, hangs or lies is killed with all that it started, and the
next call starts another.
"""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import limits, wire
from .errors import KINDS, StudentError

ALLOWED = (
    "numpy", "math", "typing", "dataclasses", "functools", "itertools", "collections",
)  # fmt: skip
PRELOAD = (
    "numpy.fft", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.testing",
)  # fmt: skip
ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE")
THREADS = ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
WALLS = ("user", "folder", "calls")
START = 60.0  # seconds: that Python and NumPy may take to start
MOST_OUTPUT = 20_000  # characters kept of what the student's code prints
ON_ITS_WAY = 0.02  # seconds: for what was printed just before an answer
MOST_CALLBACKS = 100_000  # in one call


class Session:
    """The functions of one submission, each call in the child process.

    files: {name: bytes} of the submission's .py files. module: the name, without .py,
    of the one to run. allowed: modules it may import besides ALLOWED. isolate: whether
    to put up the walls of limits.py; on the student's own machine there is no need.
    notebook: run only what the module defines. seconds: for one call. total: for all of
    them. memory: bytes.

    output: what was printed, the beginning of it. broken: the StudentError for which
    the module can't be run, or None. calls: how often functions of ours that were
    handed over were called during the last call.
    """

    def __init__(
        self, files, module, allowed=(), isolate=True, notebook=False, seconds=5.0,
        total=60.0, memory=2**30, walls=WALLS,
    ):  # fmt: skip
        self.files, self.module = files, module
        self.isolate, self.notebook = isolate, notebook
        self.seconds, self.total, self.memory = seconds, total, memory
        self.walls = list(walls)
        self.allowed = [*ALLOWED, *allowed]
        self.output, self.protections, self.calls = "", {}, 0
        self._child = self.broken = None
        self._hung, self._used, self._aborted = {}, 0.0, False

    def __enter__(self):
        with contextlib.suppress(StudentError):
            self._start()
        return self

    def __exit__(self, *error):
        self.close()

    def renew(self, keep=False):
        """Give the next calls all the time again, and another child unless `keep`."""
        if not keep:
            self.close()
        self._used = 0.0

    def abort(self):
        """From another thread: end the child now, and start no other."""
        self._aborted = True
        if (child := self._child) is not None:
            child.kill_group()

    def close(self):
        """End the child and all that it started."""
        if self._child is not None:
            self._child.kill()
            self._gather()
            self._child = None

    def take_output(self):
        """What was printed since the last time, the first MOST_OUTPUT characters."""
        if self._child is not None:
            time.sleep(ON_ITS_WAY)
            self._gather()
        text, self.output = self.output, ""
        return text

    def _gather(self):
        self.output = (self.output + self._child.printed())[:MOST_OUTPUT]

    def function(self, name):
        """The student's function: takes and gives plain values, or StudentError.

        Arguments stay as they are whatever it does; `written` of what is returned here
        holds those that the last call wrote into, {their place: as they are then}.
        """

        def call(*args, **kwargs):
            call.written = {}
            value, call.written = self._call(name, args, kwargs)
            return value

        call.__name__, call.written = name, {}
        return call

    # ---- starting ---------------------------------------------------------------
    def _start(self):
        """Start a child and have it run the module; StudentError if that fails."""
        if self.broken is not None:
            raise self.broken
        if self._aborted:
            raise StudentError("died", "stopped")
        if f"{self.module}.py" not in self.files:
            self.broken = StudentError("missing", f"there is no file {self.module}.py")
            raise self.broken
        try:
            setting = self._setting()
            if self.isolate:
                limits.hide_memory()
            self._child = _Child()
            if self._aborted:  # while it was started: abort() saw none to end
                raise StudentError("died", "stopped")
            if self.isolate:
                setting["limits"]["folder"] = self._child.folder
            self._send(setting)
            self.protections = self._receive(START)[0]["protections"]
            self._raise_error(self._receive(self.seconds)[0])
        except StudentError as error:
            self.broken = error
            self.close()
            raise

    def _setting(self):
        files = {}
        for name, text in self.files.items():
            try:
                files[name] = text.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                words = f"{name} is not UTF-8 (byte {error.start}): save it as UTF-8"
                raise StudentError("import", words) from None
        own = [n for n in self.allowed if n not in ALLOWED]
        bounds = {"seconds": int(10 * self.total) + 5, "memory": self.memory}
        bounds |= {"processes": 0, "walls": self.walls}
        return {
            "limits": bounds if self.isolate else None,
            "files": files,
            "module": self.module,
            "notebook": self.notebook,
            "allowed": ["__future__", *self.allowed],
            "preload": [*ALLOWED, *PRELOAD, *own],
        }

    # ---- calling ----------------------------------------------------------------
    def _call(self, name, args, kwargs):
        if name in self._hung:
            raise self._hung[name]
        if self._child is None:
            self._start()
        arrays, functions = [], []
        message = {"call": name, "args": wire.pack(args, arrays, functions)}
        message["kwargs"] = wire.pack(kwargs, arrays, functions)
        self.calls, start = 0, time.monotonic()
        end = start + min(self.seconds, self.total - self._used)
        try:
            self._send(message, arrays)
            value, written = self._answer(functions, end)
        except StudentError as error:
            if error.kind == "time":
                self._hung[name] = error
            raise
        finally:
            self._used += time.monotonic() - start
        places = {id(x): k for k, x in enumerate(args)}
        given = {places[id(x)]: n for n, x in enumerate(arrays) if id(x) in places}
        return value, {k: written[n] for k, n in given.items() if n in written}

    def _answer(self, functions, end):
        """(value, {number of an array: what was written into it}) of a call.

        Before it come the calls of our own functions.
        """
        while True:
            reply, arrays = self._receive(end - time.monotonic())
            self._raise_error(reply)
            try:
                if "callback" not in reply:
                    written = dict(wire.unpack(reply["written"], arrays))
                    return wire.unpack(reply["value"], arrays), written
                function = functions[reply["callback"]]
                args = wire.unpack(reply["args"], arrays)
                kwargs = wire.unpack(reply["kwargs"], arrays)
            except (LookupError, TypeError, ValueError, RecursionError):
                raise self._lost("died", "its answer can't be read") from None
            self.calls += 1
            if self.calls > MOST_CALLBACKS:
                raise self._lost("time", "it calls the function it is given too often")
            self._called_back(function, args, kwargs)

    def _called_back(self, function, args, kwargs):
        """Run a function of ours for the student's code, and send what it gives."""
        out = []
        try:
            reply = {"value": wire.pack(function(*args, **kwargs), out)}
        except Exception as error:  # the student called it with what it can't take
            reply, out = {"error": f"{type(error).__name__}: {error}"}, []
        try:
            self._send(reply, out)
        except wire.WireError as error:
            self._send({"error": f"it is given {error}"})

    # ---- the pipe ---------------------------------------------------------------
    def _send(self, message, arrays=()):
        self._child.outbox.put(wire.frame(message, arrays))

    def _receive(self, seconds):
        """The next frame from the child; StudentError if none comes."""
        self._child.wanted.release()
        try:
            reply = self._child.inbox.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise self._lost("time", f"it took more than {self.seconds:g} s") from None
        if isinstance(reply, Exception):
            raise self._lost(*self._child.fate(reply))
        return reply

    def _lost(self, kind, text):
        """End the child; the StudentError that says why."""
        self.close()
        return StudentError(kind, text)

    def _raise_error(self, reply):
        if "error" not in reply:
            return
        kind, text = reply["error"], reply.get("text")
        kind = kind if kind in list(KINDS) else "raised"
        raise StudentError(kind, plain(text if isinstance(text, str) else ""))


class _Child:
    """The child process, and the threads that write to it and read from it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="scratchnn-")
        os.chmod(self.folder, 0o555)
        environment = {n: os.environ[n] for n in ENVIRONMENT if n in os.environ}
        environment |= {f"{name}_NUM_THREADS": "1" for name in THREADS}
        environment["SCRATCHNN_JIT"] = "0"  # where scratchnn is allowed
        program = Path(__file__).with_name("child.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=environment,
            start_new_session=os.name == "posix",
        )
        self.user = limits.user_of(self.process.pid)
        self.outbox, self.inbox = queue.SimpleQueue(), queue.SimpleQueue()
        self.wanted, self._open = threading.Semaphore(0), True
        self._printed = bytearray()
        work = self._write, self._read, self._drain
        self._threads = [threading.Thread(target=w, daemon=True) for w in work]
        for thread in self._threads:
            thread.start()

    # ---- threads ----------------------------------------------------------------
    def _write(self):
        with contextlib.suppress(OSError), self.process.stdin as file:
            while (data := self.outbox.get()) is not None:
                file.write(data)
                file.flush()

    def _read(self):
        """Read one frame for each that is wanted: none pile up here."""
        with self.process.stdout as file:
            while self.wanted.acquire() and self._open:
                try:
                    self.inbox.put(wire.receive(file))
                except (EOFError, OSError, wire.WireError) as error:
                    self.inbox.put(error)

    def _drain(self):
        """Keep the beginning of what is printed, and read on so that none waits."""
        with self.process.stderr as file:
            while data := file.read1(65536):
                self._printed.extend(data[: max(MOST_OUTPUT - len(self._printed), 0)])

    # ---- its end ----------------------------------------------------------------
    def kill_group(self):
        """End it, and what it started in its process group."""
        if os.name == "posix":
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.process.kill()

    def kill(self):
        """End it and all that it started; returns when they are dead."""
        self.kill_group()
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            kill_user(self.user)
        self.process.wait()
        self._open = False
        self.outbox.put(None)
        self.wanted.release()
        for thread in self._threads:
            thread.join(timeout=1.0)
        with contextlib.suppress(OSError):
            os.chmod(self.folder, 0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    def printed(self):
        """What its code printed since the last time, the beginning of it."""
        text = bytes(self._printed)
        del self._printed[: len(text)]
        return plain(text.decode("utf-8", "replace"))

    def fate(self, error):
        """(kind, text) of why no frame came."""
        if isinstance(error, wire.WireError):
            return "died", f"its answer can't be read: {error}"
        try:
            code = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "died", "it closed the connection before it answered"
        if code == -getattr(signal, "SIGXCPU", 0):
            return "time", "it computed for too long"
        if code == -getattr(signal, "SIGSEGV", 0):
            return "died", "its process crashed: is there a recursion without an end?"
        if code == -getattr(signal, "SIGKILL", 0):
            return "died", "its process was killed: it took too much time or memory"
        return "died", f"its process ended before it answered (exit code {code})"


def kill_user(user):
    """Kill all processes of a user that only a student's code can be; root does it.

    A process of that user has the kernel do it in one go: looking for them one by one
    would miss what forks meanwhile.
    """
    everything = ["/bin/sh", "-c", "kill -9 -1"]
    quiet = dict(stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(everything, user=user, group=user, extra_groups=[], **quiet)
    for _ in range(100):  # until they are dead
        if not any(_is_of(p, user) for p in os.listdir("/proc") if p.isdecimal()):
            return
        time.sleep(0.01)


def _is_of(pid, user):
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    except OSError:  # it has ended
        return False
    return lines["State"][0] != "Z" and int(lines["Uid"].split()[0]) == user


def plain(text):
    """Text without control characters, which could rewrite what stands around it."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def protections():
    """[(name, whether it holds on this machine, words)], found by starting a child."""
    with Session({"empty.py": b""}, "empty") as session:
        held = session.protections
    words = limits.WORDS.items()
    return [(name, held.get(name, False), text) for name, text in words]
