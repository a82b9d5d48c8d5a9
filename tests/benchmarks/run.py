"""The benchmark: ours beside PyTorch and JAX, one table for each part.

    python tests/benchmarks/run.py [PART ...] [--quick] [--write] [--only NAME,...]

Parts, all by default: steps, ops, scaling, memory, compile. --quick: one short round,
small sizes, no torch.compile; only shows that all works. --write keeps the figures in
results.json and writes docs/benchmarks.md and its picture from them. All of it takes
about half an hour of a quiet machine, most of it for torch.compile and JAX to compile.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time

import op_cases
import report
import scaling
from peers import PACKAGES, Peer, installed, race
from tqdm import tqdm

STEPS = (
    "vae",
    "gan",
    "gan_needed",
    "dcgan",
    "ddpm",
    "gpt",
    "seq2seq",
    "gcn",
    "attn1",
)


class Settings:
    """How long to measure, and what."""

    def __init__(self, quick=False, threads=2, only=None):
        self.quick, self.threads, self.only = quick, threads, only
        self.rounds, self.seconds, self.tries = (1, 0.1, 1) if quick else (5, 0.8, 4)
        self.frameworks = [f for f in installed() if f != "compile" or not quick]

    def race(self, peers, case, share=1.0):
        """A race of this length, or a share of it."""
        return race(peers, case, self.rounds, share * self.seconds, self.tries)

    def chosen(self, names):
        """The names that --only leaves, with a bar of progress."""
        names = [n for n in names if not self.only or str(n) in self.only]
        bar = tqdm(names, dynamic_ncols=True)
        for name in bar:
            bar.set_description(str(name))
            yield name

    @contextlib.contextmanager
    def peers(self, *frameworks):
        """Processes of these frameworks, or of all that are installed."""
        with contextlib.ExitStack() as stack:
            wanted = [f for f in self.frameworks if not frameworks or f in frameworks]
            yield [stack.enter_context(Peer(f, self.threads)) for f in wanted]


# ---- the parts: each returns what results.json keeps ----------------------------
def steps(s):
    """Training steps: {step: what `race` returns}."""
    with s.peers() as peers:
        return {name: s.race(peers, ["steps", name]) for name in s.chosen(STEPS)}


def ops(s):
    """{op: {"small" and "large": {"shapes", "forward" and "gradients": a race}}}"""
    results = {}
    with s.peers("scratchnn", "torch") as peers:
        for name in s.chosen(op_cases.OPS):
            results[name] = {}
            for size, specs in zip(op_cases.SIZES, op_cases.OPS[name][1:]):
                case = ["ops", name, size]
                results[name][size] = {
                    "shapes": op_cases.text_of(specs),
                    "forward": s.race(peers, [*case, False], 0.2),
                    "gradients": s.race(peers, [*case, True], 0.2),
                }
    return results


def curves(s):
    """{curve: {size: what `race` returns}}"""
    results = {}
    for curve in s.chosen(scaling.SIZES):
        results[curve] = {}
        for size in scaling.SIZES[curve][: 3 if s.quick else None]:
            with s.peers("scratchnn", "torch") as peers:
                results[curve][size] = s.race(peers, ["scaling", curve, size], 0.5)
    return results


def memory(s):
    """{"steps" and "attention": {case: {framework: {"process", "own"} in bytes}}}"""
    sizes = (1024, 2048) if s.quick else (1024, 2048, 4096, 8192)
    cases = {"steps": STEPS, "attention": sizes}
    results = {}
    for kind, names in cases.items():
        results[kind] = {}
        for name in s.chosen(names):
            is_step = kind == "steps"
            case = ["steps", name] if is_step else ["scaling", "causal", name]
            results[kind][name] = {}
            for framework in ("scratchnn", "torch", "jax")[: 3 if is_step else 2]:
                with s.peers(framework) as peers:
                    for peer in peers:
                        results[kind][name][framework] = peer.ask("memory", case)
    return results


def compiling(s):
    """{"cold": {kernels: seconds of one of the processes that compile at once},
    "together": seconds, "first": {step: {framework: seconds since its start}}}
    """
    with tempfile.TemporaryDirectory() as cache:
        fresh = {"NUMBA_CACHE_DIR": cache}
        with Peer("scratchnn", s.threads, **fresh) as peer:
            start = time.perf_counter()
            results = {"cold": peer.ask("load").get("loaded", {}), "first": {}}
            results["together"] = time.perf_counter() - start
        for name in s.chosen(STEPS[: 2 if s.quick else None]):
            results["first"][name] = {}
            for framework in [f for f in s.frameworks if f != "compile"]:
                seconds = []
                for _ in range(1 if s.quick else 3):
                    with Peer(framework, s.threads, **fresh) as peer:
                        seconds.append(peer.ask("build", ["steps", name]))
                first = [a["since_start"] for a in seconds if "error" not in a]
                results["first"][name][framework] = first
    return results


PARTS = {
    "steps": steps,
    "ops": ops,
    "scaling": curves,
    "memory": memory,
    "compile": compiling,
}


# ---- where and when -------------------------------------------------------------
def about(s):
    """The machine, the versions, the day and the state of the code."""
    packages = ["numpy", "numba", *dict.fromkeys(PACKAGES.values())]
    found = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return {
        "machine": machine(),
        "versions": {"Python": platform.python_version(), **found},
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "threads": s.threads,
        "rounds": s.rounds,
        "quick": s.quick,
    }


def machine():
    """Such as "AMD EPYC 7B13, 2 cores, 25 GB, Linux"."""
    name = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"


def commit():
    """The commit that was measured, with a + if files differed from it."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
    command = [*git, "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--write", action="store_true", help="keep it; write the page")
    parser.add_argument("--only", metavar="NAME,...", help="some of the part's rows")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if args.only and args.write:
        parser.error("--only leaves rows out; --write needs them all")
    s = Settings(args.quick, args.threads, args.only and args.only.split(","))
    missing = [f for f in PACKAGES if f not in s.frameworks]
    if missing:
        print(f"left out: {', '.join(missing)}")
    for part in args.parts or PARTS:
        measured = json.loads(json.dumps({"about": about(s), "rows": PARTS[part](s)}))
        print("\n" + report.SECTIONS[part](measured) + "\n", flush=True)
        if args.write:
            report.write(report.joined(report.read(), part, measured))


if __name__ == "__main__":
    main()
