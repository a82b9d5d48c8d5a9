"""Write docs/benchmarks.md and its picture from results.json, without measuring.

    python tests/benchmarks/report.py

A ratio is a peer's time by ours: above 1, ours is faster.
"""

import json
import math
import pathlib
import statistics

import scaling
from peers import NAMES

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
RESULTS, PAGE = HERE / "results.json", DOCS / "benchmarks.md"
PICTURE = DOCS / "benchmarks.png"

HEAD = """# Benchmarks

Written by `python tests/benchmarks/run.py --write`; do not edit.

Training steps, ops alone and how they scale, beside PyTorch and JAX on a CPU, float32.
Times are in milliseconds unless said otherwise. **Ratios are the peer's time by ours:
above 1, scratchnn is faster.**

![Ratios of the steps, and time and memory against size](benchmarks.png)
"""
HOW = """## How it is measured

Each framework runs in a process of its own, with the same number of threads (JAX takes
all cores), and they take turns, round by round, after a rest in which the threads of
the last one stop spinning. A round is the 10th percentile of its calls; tables show the
median of the rounds. A round in which other processes used more than 8 % of a core is
repeated, and kept after the fourth time, with a note. PyTorch has its fused Adam and
`scaled_dot_product_attention`; torch.compile and JAX compile the step as a whole. The
steps are those of `tests/benchmarks/*_steps.py`: same layers, batches, losses and
optimizers, and a test compares the losses of two steps from the same weights.
"""
UNUSED = """

In gan and dcgan, `backward` from G's loss also finds gradients by D's weights, which
nothing uses, in PyTorch and here alike; JAX never computes them. gan_needed is gan with
`grad(loss, parameters of G)` in all three. The means are without it.
"""
QUICK = """
> **Provisional.** Some of this is from `--quick`: a single short round, on a machine
> with other work. It shows that all parts run; don't quote it.
"""


def middle(result):
    """The median over the rounds in ms; nan if it didn't run."""
    rounds = (result or {}).get("ms")
    return statistics.median(rounds) if rounds else math.nan


def geometric_mean(ratios):
    """exp(mean(log)) of those that are numbers; nan of none."""
    logs = [math.log(r) for r in ratios if not math.isnan(r)]
    return math.exp(statistics.fmean(logs)) if logs else math.nan


def number(x, digits=3):
    """At least so many digits, no exponent; a dash for nan."""
    if math.isnan(x):
        return "-"
    before = math.floor(math.log10(abs(x))) + 1 if x else 1
    return f"{x:,.{max(0, digits - before)}f}"


def table(head, rows):
    """A table in Markdown; all columns but the first are aligned to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def notes(races):
    """What failed, and which rounds were noisy: {label: race} -> lines, or ""."""
    lines, noisy = [], 0
    for label, race in races.items():
        for framework, result in race.items():
            noisy += result.get("noisy", 0)
            if "error" in result:
                lines.append(f"- {label}, {NAMES[framework]}: {result['error']}")
    if noisy:
        was = "round was" if noisy == 1 else "rounds were"
        lines.append(f"- {noisy} {was} kept in which other processes ran.")
    return "\n\n" + "\n".join(lines) if lines else ""


# ---- the sections: each from what `run.py` measured -----------------------------
def peers_of(rows):
    """The frameworks other than ours that appear in these races, in order."""
    return [f for f in NAMES if f != "scratchnn" and any(f in r for r in rows.values())]


def step_ratios(rows):
    """{step: {framework: its median by ours}}"""
    peers = peers_of(rows)
    return {
        step: {f: middle(race.get(f)) / middle(race["scratchnn"]) for f in peers}
        for step, race in rows.items()
    }


def fastest(ratios):
    """The ratio of the fastest peer; nan if none ran."""
    return min((r for r in ratios.values() if not math.isnan(r)), default=math.nan)


def steps(measured):
    return (
        "## The eight steps\n\nForward, backward and one Adam update; median of the "
        f"rounds, and the best of them in brackets.{source(measured)}\n\n"
        + table_of_steps(measured)
        + (UNUSED if "gan_needed" in measured["rows"] else "")
        + notes(measured["rows"])
    )


def steps_elsewhere(measured):
    """The same from another machine, as it was when that was the one at hand."""
    return (
        f"### The eight steps on another machine\n\n{where(measured)}"
        f"{source(measured)}\n\n" + table_of_steps(measured) + notes(measured["rows"])
    )


def table_of_steps(measured):
    rows, ratios = measured["rows"], step_ratios(measured["rows"])
    peers, lines = peers_of(rows), []
    for step, race in rows.items():
        ms = [with_best(race.get(f)) for f in ("scratchnn", *peers)]
        by = [ratios[step].get("torch", math.nan), fastest(ratios[step])]
        lines.append([step, *ms, *(number(r) for r in by)])
    eight = [r for step, r in ratios.items() if step != "gan_needed"]
    eager = geometric_mean(r.get("torch", math.nan) for r in eight)
    best = geometric_mean(map(fastest, eight))
    blank = [""] * (len(peers) + 1)
    means = [f"**{number(mean)}**" for mean in (eager, best)]
    lines.append(["geometric mean", *blank, *means])
    head = ["step", *(NAMES[f] for f in ("scratchnn", *peers))]
    return table([*head, "eager / ours", "fastest peer / ours"], lines)


def with_best(result):
    if not result or not result.get("ms"):
        return "-"
    return f"{number(middle(result))} ({number(min(result['ms']))})"


def ops(measured):
    parts, races = [], {}
    for size, unit, scale in ("small", "microseconds", 1000), ("large", "ms", 1):
        lines, ratios = [], []
        for name, sizes in measured["rows"].items():
            line = [name, sizes[size]["shapes"]]
            for which in ("forward", "gradients"):
                race = sizes[size][which]
                races[f"{name}, {size}, {which}"] = race
                ours, theirs = middle(race.get("scratchnn")), middle(race.get("torch"))
                line += [number(scale * ours), number(scale * theirs)]
                line.append(number(theirs / ours))
                ratios.append(theirs / ours)
            lines.append(line)
        head = ["op", "inputs", "ours", "PyTorch", "ratio"]
        head += ["ours, with gradients", "PyTorch, with gradients", "ratio"]
        mean = number(geometric_mean(ratios))
        title = f"**{size.title()}**, {unit}; geometric mean of the ratios {mean}"
        parts.append(f"{title}\n\n{table(head, lines)}")
    return (
        "## Ops alone\n\nPyTorch eager. At small shapes the time is that of the way to "
        f"the op.{source(measured)}\n\n" + "\n\n".join(parts) + notes(races)
    )


def curves(measured):
    parts, races = [], {}
    for curve, sizes in measured["rows"].items():
        lines = []
        for size, race in sizes.items():
            races[f"{curve} {size}"] = race
            ours, theirs = middle(race.get("scratchnn")), middle(race.get("torch"))
            line = [f"{int(size):,}", number(ours), number(theirs)]
            lines.append([*line, number(theirs / ours)])
        head = [scaling.UNITS[curve], "ours", "PyTorch", "ratio"]
        parts.append(f"**{scaling.WHAT[curve]}**\n\n{table(head, lines)}")
    return (
        f"## How time grows\n\nPyTorch eager.{source(measured)}\n\n"
        + "\n\n".join(parts)
        + notes(races)
    )


def memory(measured):
    rows, lines, races = measured["rows"], [], {}
    peers = peers_of(rows["steps"])
    labelled = {**rows["steps"]}
    for size, race in rows["attention"].items():
        labelled[f"causal attention, T = {int(size):,}"] = race
    for label, race in labelled.items():
        races[label] = race
        own = [megabytes(race.get(f), "own") for f in ("scratchnn", *peers)]
        process = [megabytes(race.get(f), "process") for f in ("scratchnn", *peers)]
        lines.append([label, *own, *process])
    names = [NAMES[f] for f in ("scratchnn", *peers)]
    head = ["what", *names, *(f"{name}, process" for name in names)]
    return (
        "## Peak memory\n\nIn MB, of a fresh process in three calls: the highest "
        "resident memory above that of the framework's loaded code (for ours with all "
        "kernels), and that of the whole process. Ours keeps freed memory: see "
        f"[the kernels](kernels.md).{source(measured)}\n\n"
        + table(head, lines)
        + notes(races)
    )


def megabytes(result, key):
    return number((result or {}).get(key, math.nan) / 1e6)


def compiling(measured):
    rows = measured["rows"]
    names = [f for f in NAMES if any(f in race for race in rows["first"].values())]
    cold = [[name, number(s)] for name, s in rows["cold"].items()]
    cold.append(["all, start of Python included", f"**{number(rows['together'])}**"])
    first = [
        [step, *(number(median_of(race.get(f))) for f in names)]
        for step, race in rows["first"].items()
    ]
    return (
        "## Compiling, and the first step\n\nKernels from cold, in seconds, by as many "
        "processes at once as there are threads."
        f"{source(measured)}\n\n{table(['kernels of', 'seconds'], cold)}\n\n"
        "Seconds from the start of Python, before any import, to the end of the first "
        "step; our kernels come from the cache.\n\n"
        + table(["step", *(NAMES[f] for f in names)], first)
    )


def median_of(values):
    return statistics.median(values) if values else math.nan


SECTIONS = {
    "steps": steps,
    "ops": ops,
    "scaling": curves,
    "memory": memory,
    "compile": compiling,
}


# ---- the page -------------------------------------------------------------------
def source(measured):
    """When, where from and how thoroughly a part was measured: a sentence."""
    a = measured["about"]
    rounds = f"{a['rounds']} round{'s' if a['rounds'] > 1 else ''}"
    return f" {a['date']}, commit {a['commit']}, {a['threads']} threads, {rounds}."


def where(measured):
    """The machine and the versions: two sentences."""
    a = measured["about"]
    versions = ", ".join(f"{k} {v}" for k, v in a["versions"].items())
    return f"{a['machine']}. {versions}."


def places(results):
    """The machines and versions of all parts; one paragraph if they are the same."""
    lines = {}
    for part, measured in results.items():
        lines.setdefault(where(measured), []).append(part)
    if len(lines) == 1:
        return f"\n{next(iter(lines))}\n"
    return "".join(f"\n{', '.join(parts)}: {line}\n" for line, parts in lines.items())


def page(results):
    """The text of docs/benchmarks.md."""
    known = {part: results[part] for part in SECTIONS if part in results}
    quick = any(measured["about"]["quick"] for measured in known.values())
    sections = []
    for part, measured in known.items():
        sections.append(SECTIONS[part](measured))
        if part == "steps":
            sections += map(steps_elsewhere, results.get("elsewhere", {}).values())
    head = HEAD + places(known) + (QUICK if quick else "")
    return "\n".join([head, *(f"{s}\n" for s in sections), HOW])


def read():
    """What was measured, by part; {} before the first time."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def joined(results, part, measured):
    """The results with a part measured anew.

    The steps of each other machine are kept under "elsewhere".
    """
    elsewhere = dict(results.get("elsewhere", {}))
    if part == "steps":
        if part in results:
            elsewhere[results[part]["about"]["machine"]] = results[part]
        elsewhere.pop(measured["about"]["machine"], None)
    return {**results, part: measured, "elsewhere": elsewhere}


def write(results):
    """Keep the results; write the page and the picture."""
    import picture

    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")
    picture.draw(results, PICTURE)


if __name__ == "__main__":
    write(read())
