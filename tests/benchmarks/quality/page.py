"""Write docs/results.md from the figures in results/, without measuring.

    python tests/benchmarks/quality/page.py
"""

import json
import math
import pathlib
import re
import statistics

from common import RESULTS

DOCS = pathlib.Path(__file__).parents[3] / "docs"
PAGE, SHEETS = DOCS / "results.md", DOCS / "results"

HEAD = """# What the models reach

Written by `python tests/benchmarks/quality/page.py`; do not edit.

Each run was trained from the start with the seeds that stand beside its figures; a mean
is over them, and a bar is what was asked beforehand. The command repeats the run and
the time is that of one seed.
"""
BAR = re.compile(r"at (most|least) (-?[\d,.]*\d)")


def met(bar, mean):
    """Whether a mean keeps to a bar such as "at most 106 nats"; None for others."""
    found = BAR.match(bar)
    if not found:
        return None
    limit = float(found[2].replace(",", ""))
    return mean <= limit if found[1] == "most" else mean >= limit


def number(x):
    """Four digits unless it is whole; an exponent if it is tiny; a dash for nan."""
    if not math.isfinite(x):
        return "-"
    if x == int(x):
        return f"{x:,.0f}"
    if 1e-4 <= abs(x) < 1:
        return f"{x:.4f}"
    before = len(str(int(abs(x))))
    return f"{x:,.{max(0, 4 - before)}f}" if abs(x) >= 1 else f"{x:.2e}"


def duration(seconds):
    """Seconds below two minutes, minutes from there on."""
    if seconds < 1:
        return "less than 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def line(row):
    """A row of the table: figure, bar, mean, whether it is met, and each seed."""
    values, seeds = row["values"], row["seeds"]
    mean = statistics.fmean(values)
    result = {True: "met", False: "**not met**", None: ""}[met(row["bar"], mean)]
    each = ", ".join(f"{number(x)} ({s})" for x, s in zip(values, seeds))
    cells = [row["figure"], row["bar"], f"**{number(mean)}**", result, each]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def section(run, rows):
    """One run: its table, and how to repeat it."""
    head = ["figure", "bar", "mean", "", "each seed (seed)"]
    lines = ["| " + " | ".join(head) + " |", "| --- | --- | ---: | --- | --- |"]
    longest = {}  # rows of one command may each have a training of their own
    for row in rows:
        lines.append(line(row))
        place = row["command"], row["machine"], row["date"]
        longest[place] = max(longest.get(place, 0), row["seconds"])
    text = [f"## {run}\n", *lines, ""]
    for (command, machine, date), seconds in longest.items():
        text.append(f"`{command}`: {duration(seconds)} a seed; {machine}; {date}.\n")
    return "\n".join(text)


def page(rows, sheets):
    """The text of docs/results.md: rows of all scripts, names of the sheets' files."""
    runs = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    results = [met(row["bar"], statistics.fmean(row["values"])) for row in rows]
    results = [result for result in results if result is not None]
    count = f"Bars that are met: {sum(results)} of {len(results)}.\n"
    text = [HEAD, count, *(section(run, some) for run, some in runs.items())]
    if sheets:
        text.append("## Pictures\n")
    for sheet in sheets:
        title = pathlib.Path(sheet).stem.replace("_", " ").replace("-", " ")
        text.append(f"**{title}**\n\n![{title}](results/{sheet})\n")
    return "\n".join(text)


def current():
    """The page as it should be now."""
    files = sorted(RESULTS.glob("*.json"))
    rows = [row for f in files for row in json.loads(f.read_text(encoding="utf-8"))]
    sheets = [path.name for kind in ("png", "gif") for path in SHEETS.glob(f"*.{kind}")]
    return page(rows, sorted(sheets))


if __name__ == "__main__":
    PAGE.write_text(current(), encoding="utf-8")
