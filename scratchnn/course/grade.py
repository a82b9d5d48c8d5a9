"""Grading: one result for each submission, whatever is in it.

`grade` runs every submission of a class against an assignment, some at a time, and
yields the results as they are ready. With a folder each is also written there, whole or
not at all and after the student's processes are dead, so a run that was stopped goes on
where it was: what is graded already and has not changed is read back.

A result is a dict that JSON can hold: id, score and points (without the late rule),
tasks (checking.TaskResult as dicts), problem (why it could not be read), notes,
printed, when, and fault (what went wrong in the checks, which is the teacher's).
"""

import concurrent.futures
import datetime
import functools
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
import urllib.parse
from pathlib import Path

import numpy as np

from . import submissions
from .archive import write_file
from .assignment import load
from .checking import TaskResult, public_rng, run_task, run_tasks
from .recorded import load_public
from .session import Session

VERSION = 1  # of results: of another they are graded again


def grade(
    assignment_path, found, out=None, jobs=1, secret=b"", public_only=False, times=None,
    **session,
):  # fmt: skip
    """Grade submissions, a list of submissions.Found: yields results as they are ready.

    assignment_path: the annotated solution; or a folder as students have it, for its
    public checks. out: the folder for results. secret: what inputs are drawn from, with
    the submission's id and the task. times: {id: datetime}, else the file's own.
    session: allowed, seconds, total, memory, walls of a Session.
    """
    grader = _Grader(assignment_path, out, secret, public_only, times or {}, session)
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        work = [pool.submit(grader.result, one) for one in found]
        for future in concurrent.futures.as_completed(work):
            yield future.result()
    finally:  # also when what asks for them is stopped by Ctrl-C
        grader.stop()
        pool.shutdown(cancel_futures=True)


class _Grader:
    """One assignment, and where results go."""

    def __init__(self, path, out, secret, public_only, times, session):
        self.path, self.out, self.secret = Path(path), out, secret
        self.public_only, self.times, self.session = public_only, times, session
        self.assignment = opened(path)
        self.points = sum(t.points for t in self.assignment.tasks.values())
        self._running, self._stopped = set(), threading.Event()

    def stop(self):
        """End what runs; nothing is written from now on."""
        self._stopped.set()
        for session in list(self._running):
            session.abort()

    def result(self, found):
        """The result of one submission, read back if it is there already."""
        try:
            read = submissions.read(found.path, self.assignment.name)
        except Exception as error:  # every submission has its row
            problem = f"can't be read: {type(error).__name__}: {error}"
            read = submissions.Read({}, problem)
        key = self._key(found, read)
        path = None if self.out is None else result_path(self.out, found.id)
        kept = read_result(path)
        if kept and kept["key"] == key and not kept["fault"]:
            return {**kept, "when": self._when(found)}
        start = time.monotonic()
        result = {"version": VERSION, "id": found.id, "key": key, **self._blank(read)}
        result["when"] = self._when(found)
        if not read.problem:
            self._run(found.id, read, result)
        result["seconds"] = round(time.monotonic() - start, 2)
        if path is not None and not self._stopped.is_set():
            write_json(path, result)
        return result

    def _blank(self, read):
        """The result of what gave no answers at all."""
        tasks = self.assignment.tasks.values()
        return {
            "assignment": self.assignment.name,
            "score": 0.0,
            "points": self.points,
            "problem": read.problem,
            "notes": list(read.notes),
            "fault": "",
            "printed": "",
            "tasks": [_failed(task, read.problem)._asdict() for task in tasks],
        }

    def _run(self, id, read, result):
        """Run the checks of each task, in a process for each, into `result`."""
        session = Session(
            read.files, self.assignment.name, notebook=read.notebook, **self.session
        )

        def run(task, *how):
            one = None
            try:
                one = run_task(task, *how)
                return one
            except Exception as error:  # of the check: a student's is StudentError
                words = f"task {task.number}: {type(error).__name__}: {error}"
                result["fault"] = words
                return _failed(task, "its checks failed to run")
            finally:
                # What code that is not right did to its process ends with it.
                session.renew(keep=one is not None and one.status != "failed")

        self._running.add(session)
        try:
            if self._stopped.is_set():
                session.abort()
            rng = functools.partial(self._rng, id)
            how = self.assignment, session, rng, self.public_only
            for k, one in enumerate(run_tasks(*how, run=run)):
                outcomes = [ran._asdict() for ran in one.outcomes]
                result["tasks"][k] = {**one._asdict(), "outcomes": outcomes}
        finally:
            session.close()
            self._running.discard(session)
        result["printed"] = session.output
        result["score"] = round(sum(t["score"] for t in result["tasks"]), 2)

    def _rng(self, id, task):
        """What a task's inputs are drawn from; recorded answers are of fixed ones."""
        if self.path.is_dir():
            return public_rng(task)
        return generator(self.secret, id, task.number)

    def _key(self, found, read):
        """A hash of all that the result depends on."""
        hashed = hashlib.sha256()
        settings = VERSION, found.id, self.public_only, sorted(self.session.items())
        for part in (repr(settings), self.assignment.source, repr(read)):
            hashed.update(part.encode("utf-8", "replace") + b"\0")
        hashed.update(hashlib.sha256(self.secret).digest())
        return hashed.hexdigest()

    def _when(self, found):
        """When it was handed in, ISO 8601: as given, or by the time of its files."""
        when = self.times.get(found.id)
        if when is None:
            paths = [found.path]
            if found.path.is_dir():
                paths = [p for p in found.path.rglob("*") if p.is_file()] or paths
            times = (p.lstat().st_mtime for p in paths if os.path.lexists(p))
            newest = max(times, default=time.time())
            when = datetime.datetime.fromtimestamp(newest).astimezone()
        return when.isoformat()


def _failed(task, text):
    """The TaskResult of a task none of whose checks ran."""
    return TaskResult(task.number, task.function, "failed", 0.0, task.points, [], text)


def opened(path):
    """The Assignment of an annotated solution, or of a folder that students got."""
    return load_public(path) if Path(path).is_dir() else load(path)


def generator(secret, id, number):
    """The random generator of a task for one submission: not to be guessed."""
    words = json.dumps([id, number]).encode()
    digest = hmac.new(secret, words, hashlib.sha256).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


# ---- files ----------------------------------------------------------------------
def result_path(out, id):
    """The file of a submission's result; different for different ids."""
    name = urllib.parse.quote(id, safe=" +,()@")
    if len(name) > 120 or name != id:
        name = f"{name[:120]}-{hashlib.sha256(id.encode()).hexdigest()[:12]}"
    return Path(out) / "results" / f"{name}.json"


def read_result(path):
    """A result, or None where there is none, or a damaged one."""
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
        return result if result["version"] == VERSION and "fault" in result else None
    except (OSError, TypeError, ValueError, LookupError):
        return None


def read_results(out):
    """All results in a folder, by id."""
    found = map(read_result, sorted((Path(out) / "results").glob("*.json")))
    return sorted((r for r in found if r), key=lambda r: r["id"])


def write_json(path, value):
    """Write a JSON file: whole, or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    write_file(path, f"{text}\n".encode())


def read_secret(path):
    """The secret in a file, which only its owner may read; made if it isn't there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with open(os.open(path, flags, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    except FileExistsError:
        pass
    secret = path.read_bytes().strip()
    if len(secret) < 16:
        raise ValueError(f"{path} holds no secret of 16 characters or more")
    return secret
