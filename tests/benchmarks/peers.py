"""Frameworks side by side: each in its own process, asked in turn, round by round."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time

NAMES = {  # framework: how tables call it
    "scratchnn": "scratchnn",
    "torch": "PyTorch eager",
    "compile": "torch.compile",
    "jax": "JAX jit",
}
PACKAGES = {**{name: name for name in NAMES}, "compile": "torch"}
WORKER = pathlib.Path(__file__).with_name("worker.py")
FOREIGN = 0.08  # of a core that other processes may use in a round
REST = 0.3  # seconds until the threads of the last one no longer spin


def installed():
    """The frameworks that can be run here, ours first."""
    return [f for f in NAMES if importlib.util.find_spec(PACKAGES[f])]


class Peer:
    """A framework in a process; a context that ends it."""

    def __init__(self, framework, threads, **environment):
        self.framework = framework
        self.process = subprocess.Popen(
            [sys.executable, WORKER, framework, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, what, argument=None):
        """The worker's answer, a dict; {"error": ...} if there is none."""
        try:
            self.process.stdin.write(json.dumps({what: argument}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "the process ended"}

    def used(self):
        """Seconds of processor time so far, those of all its threads."""
        return _seconds(f"/proc/{self.process.pid}/stat", 11, 13, after=")")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def _seconds(path, first, last, after=""):
    """The sum of some of the ticks in a file of /proc, in seconds; 0 without /proc."""
    try:
        text = pathlib.Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = text.splitlines()[0].rpartition(after or "cpu")[2].split()
    ticks = [int(field) for field in fields[first:last]]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def machine_used():
    """Seconds of processor time of all processes: all but idle and waiting."""
    return _seconds("/proc/stat", 0, 3) + _seconds("/proc/stat", 5, 8)


def timed(peer, seconds, tries):
    """One round: its ms, and whether others kept the machine busy in every try."""
    for _ in range(tries):
        time.sleep(min(REST, seconds))
        start, all_before, own = time.perf_counter(), machine_used(), peer.used()
        answer = peer.ask("time", seconds)
        wall = time.perf_counter() - start
        foreign = (machine_used() - all_before - (peer.used() - own)) / wall
        if "error" in answer or foreign < FOREIGN:
            return answer, False
    return answer, True


def race(peers, case, rounds, seconds, tries=4):
    """{framework: {"ms": [one per round], "first": s, "noisy": rounds} or {"error": _}}

    Every peer builds the case; then all are timed in turn, `rounds` times. A round in
    which other processes used the processor is repeated, at most `tries` times in all,
    and counted as noisy if none was quiet.
    """
    results = {}
    for peer in peers:
        answer = peer.ask("build", case)
        done = {"ms": [], "first": answer.get("first"), "noisy": 0}
        results[peer.framework] = answer if "error" in answer else done
    for _ in range(rounds):
        for peer in peers:
            result = results[peer.framework]
            if "error" in result:
                continue
            answer, noisy = timed(peer, seconds, tries)
            if "error" in answer:
                results[peer.framework] = answer
            else:
                result["ms"].append(answer["ms"])
                result["noisy"] += noisy
    return results
