"""What the quality runs share: their options, the clock, and the figures they keep.

A script measures the figures of some runs and hands them to `save` as rows:

    run      what was trained, such as "VAE, MNIST, 784-400-20, 10 epochs"
    figure   what was measured, with its unit: "test loss, grey (nats)"
    bar      what it must reach: "at most 106", "at least 24", or "" if it is reported
    seeds    a list of numbers
    values   a list, the figure for each seed
    command  how to repeat it
    seconds  how long one seed takes, or a list with one for each

`save` adds machine and date. `python tests/benchmarks/quality/page.py` then writes
docs/results.md.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import time

RESULTS = pathlib.Path(__file__).parent / "results"
NEEDED = {"run", "figure", "bar", "seeds", "values", "command", "seconds"}


def arguments(text, argv=None, seeds=(0, 1, 2)):
    """The options of a script: `seeds`, a list; `quick`, be short; `add`, see save."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(seeds))
    parser.add_argument("--quick", action="store_true", help="short, keeps nothing")
    parser.add_argument("--add", action="store_true", help="keep other seeds' figures")
    parser.add_argument("runs", nargs="*", help="which of its runs; all")
    return parser.parse_args(argv)


@contextlib.contextmanager
def clock():
    """A list that holds the seconds that the block took, once it is left."""
    seconds, start = [], time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)


def save(name, rows, add=False):
    """Keep rows in results/NAME.json, in place of those of the same run and figure.

    add: with the values of seeds that were kept earlier and are not run again, for runs
    that take too long for all seeds in one go. The file is written whole or not at all.
    Raises ValueError for a row that lacks something, or whose values are not one for
    each seed.
    """
    RESULTS.mkdir(exist_ok=True)
    kept = {(row["run"], row["figure"]): row for row in read(name)}
    for row in rows:
        _check(row)
        seconds = row["seconds"]
        seconds = statistics.fmean(seconds) if isinstance(seconds, list) else seconds
        if add and (row["run"], row["figure"]) in kept:
            row = _joined(kept[row["run"], row["figure"]], row)
        kept[row["run"], row["figure"]] = {
            **row,
            "values": [float(x) for x in row["values"]],
            "seconds": round(float(seconds), 1),
            "machine": row.get("machine", machine()),
            "date": row.get("date", datetime.date.today().isoformat()),
        }
    path = RESULTS / f"{name}.json"
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(list(kept.values()), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _joined(old, new):
    """The new row with the values of the old one's other seeds."""
    values = dict(zip(old["seeds"], old["values"])) | dict(
        zip(new["seeds"], new["values"])
    )
    seeds = sorted(values)
    all_of_them = f"--seeds {' '.join(map(str, seeds))}"
    command = re.sub("--seeds .*", all_of_them, new["command"])
    return {
        **new, "seeds": seeds, "values": [values[s] for s in seeds], "command": command
    }  # fmt: skip


def _check(row):
    lacks = NEEDED - row.keys()
    if lacks:
        raise ValueError(f"the row {row} lacks {', '.join(sorted(lacks))}")
    if len(row["seeds"]) != len(row["values"]) or not row["seeds"]:
        raise ValueError(
            f"{row['figure']} of {row['run']} has seeds {row['seeds']} and values "
            f"{row['values']}; expected one value for each seed"
        )


def read(name):
    """The rows of results/NAME.json; [] if there are none yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def machine():
    """Processor and number of cores, in words."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(s.split(": ")[1] for s in lines if s.startswith("model name"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return f"{cpu}, {cores or os.cpu_count()} cores"
