"""How a class did, on one page that needs nothing else: no network, no other file."""

import html
import json
import statistics
from collections import Counter
from pathlib import Path

from . import formats

MOST = 12  # rows of what is common

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 62rem; margin: 0 auto; padding: 1rem; }}
h1 {{ line-height: 1.2; margin: 0.5rem 0; }}
h2 {{ margin: 2.5rem 0 0.5rem; font-size: 1.25rem; }}
p {{ max-width: 44rem; }}
.figures {{ display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }}
figure {{ margin: 0; flex: 1 1 20rem; max-width: 30rem; }}
figure svg {{ width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: 0.25rem 0.9rem 0.25rem 0; vertical-align: top;
  border-bottom: 1px solid #ddd; }}
th {{ font-weight: 600; white-space: nowrap; }}
.n {{ text-align: right; white-space: nowrap; }}
.id {{ overflow-wrap: anywhere; min-width: 6rem; }}
.text {{ min-width: 13rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5;
  padding: 0.5rem; margin: 0.25rem 0; font-size: 0.85rem; }}
@media (max-width: 30rem) {{
  th, td {{ padding-right: 0.5rem; }}
  .text {{ min-width: 9rem; }}
}}
summary {{ cursor: pointer; }}
.pale {{ color: #666; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def page(results, pairs=()):
    """The page of a class, as text. results: of grade.py. pairs: of similar.py."""
    title = ", ".join(sorted({r["assignment"] for r in results}))
    parts = [
        _summary(results),
        _figures(results),
        _section("Hardest tasks", _hardest(results)),
        _section("Most common mistakes", _mistakes(results)),
        _section("What checks found most often", _diagnoses(results)),
        _section("To look at", _problems(results)),
        _section("Nearly the same", _pairs(pairs)),
        _section("All submissions", _all(results)),
    ]
    return PAGE.format(title=_e(title), body="\n".join(filter(None, parts)))


def read_pairs(folder):
    """The pairs that `grade` wrote, or none."""
    try:
        text = (Path(folder) / "similar.json").read_text(encoding="utf-8")
        return [(p["first"], p["second"], p["shared"]) for p in json.loads(text)]
    except (OSError, ValueError, TypeError, LookupError):
        return []


# ---- the parts ------------------------------------------------------------------
def _summary(results):
    scores = [r["score"] for r in results]
    points = max(r["points"] for r in results)
    full = sum(r["score"] >= r["points"] for r in results)
    mean, median = statistics.mean(scores), statistics.median(scores)
    plural = "s" * (len(results) != 1)
    return (
        f"<p>{len(results)} submission{plural}, {points:g} points. Mean {mean:.1f}, "
        f"median {median:.1f}; {full} with all points. Scores are those of the work, "
        "before any late rule.</p>"
    )


def _figures(results):
    from .. import plot

    shares = [r["score"] / r["points"] if r["points"] else 0.0 for r in results]
    counts = {}
    for task in _tasks(results):
        found = Counter(_outcome(t) for t in _of_task(results, task))
        counts[task] = [found[name] for name in plot.OUTCOMES]
    figures = {"How many submissions have which score": plot.scores(shares)}
    if counts:
        figures["What became of each task"] = plot.tasks(counts)
    parts = []
    for name, figure in figures.items():
        svg = plot.as_svg(figure)
        svg = svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
        parts.append(f"<figure>{svg}</figure>")
    return f'<div class="figures">{"".join(parts)}</div>'


def _hardest(results):
    rows = []
    for task in _tasks(results):
        ones = _of_task(results, task)
        tried = [t for t in ones if t["outcomes"] and t["status"] != "not started"]
        mean = sum(t["score"] for t in ones) / max(sum(t["points"] for t in ones), 1e-9)
        passed = sum(t["status"] == "passed" for t in ones)
        rows.append((mean, task, passed, len(tried)))
    rows.sort(key=lambda row: row[0])
    return _table(
        ["task", "#mean score", "#passed", "#tried"],
        [(task, f"{100 * mean:.0f} %", n, tried) for mean, task, n, tried in rows],
    )


def _mistakes(results):
    count, hints = Counter(), {}
    for task in _tasks(results):
        for t in _of_task(results, task):
            if t["mistake"]:
                count[task, t["mistake"]] += 1
                hints[task, t["mistake"]] = t["text"].rsplit("\n", 1)[-1]
    rows = [
        (n, task, id, hints[task, id].removeprefix("likely: "))
        for (task, id), n in _most(count)
    ]
    return _table(["#n", "task", "mistake", "~hint"], rows)


def _diagnoses(results):
    """Failed checks by what they say first, without the numbers of one submission."""
    count = Counter()
    for task in _tasks(results):
        for t in _of_task(results, task):
            if t["status"] == "failed":
                count.update({(task, *finding) for finding in _findings(t)})
    rows = [(n, task, kind, text) for (task, kind, text), n in _most(count)]
    return _table(["#n", "task", "check", "~what it says"], rows)


def _findings(task):
    for ran in task["outcomes"]:
        if ran["passed"] or not ran["text"]:
            continue
        lines = ran["text"].split("\n")
        told = [s for s in lines if s.startswith("diagnosis: ")] or lines[-1:]
        if ran["kind"] == "invariant":
            told = [ran["claim"]]
        elif ran["kind"] == "value":
            told = ["other values than the solution's: " + ran["claim"]]
            told = lines[-1:] if "Error" in lines[-1].split(":")[0] else told
        yield ran["kind"], told[0].removeprefix("diagnosis: ")[:120]


def _problems(results):
    rows = [(r["id"], formats.problem(r)) for r in results if formats.problem(r)]
    return _table(["@submission", "~what there is"], rows)


def _pairs(pairs):
    rows = [(a, b, f"{100 * shared:.0f} %") for a, b, shared in pairs]
    text = (
        "<p>Of the runs of tokens that few others have, these pairs share most, names "
        "and comments aside. It is a reason to look, not a verdict.</p>"
    )
    return rows and text + _table(["@submission", "@and", "#of the rarer runs"], rows)


def _all(results):
    tasks = _tasks(results)
    rows = []
    for r in results:
        own = {_name(t): t for t in r["tasks"]}
        scores = [f"{own[t]['score']:g}" if t in own else "" for t in tasks]
        rows.append((r["id"], f"{r['score']:g}", *scores))
    names = [f"#{t.split(' ')[0]}" for t in tasks]
    details = "".join(_details(r) for r in results)
    return _table(["@submission", "#score", *names], rows) + (
        "<h2>Each in words</h2><p>With what hidden checks say: for teachers.</p>"
        f"{details}"
    )


def _details(result):
    texts = [
        f"{_name(t)}: {t['status']}, {t['score']:g} of {t['points']:g}\n{t['text']}"
        for t in result["tasks"]
    ]
    if result["printed"]:
        texts.append(f"printed:\n{result['printed'][:2000]}")
    return (
        f"<details><summary>{_e(result['id'])}</summary>"
        + "".join(f"<pre>{_e(text.strip())}</pre>" for text in texts)
        + "</details>"
    )


# ---- helpers --------------------------------------------------------------------
def _name(task):
    return f"{task['number']} {task['function']}"


def _tasks(results):
    """Names of all tasks, in order."""
    return list(dict.fromkeys(_name(t) for r in results for t in r["tasks"]))


def _of_task(results, name):
    return [t for r in results for t in r["tasks"] if _name(t) == name]


def _outcome(task):
    if task["status"] == "failed" and task["score"] > 0:
        return "in part"
    return task["status"]


def _most(count):
    return sorted(count.items(), key=lambda item: (-item[1], item[0]))[:MOST]


def _section(title, content):
    return f"<h2>{title}</h2>\n{content}" if content else ""


COLUMNS = {"#": "n", "@": "id", "~": "text"}  # numbers, names of files, sentences


def _table(names, rows):
    """A table; the first letter of a column's name may say what it holds."""
    if not rows:
        return ""
    kinds = [f' class="{COLUMNS.get(name[0], "")}"' for name in names]
    names = [name.lstrip("".join(COLUMNS)) for name in names]
    head = "".join(f"<th{k}>{_e(n)}</th>" for k, n in zip(kinds, names))
    body = "\n".join(
        f"<tr>{''.join(f'<td{k}>{_e(cell)}</td>' for k, cell in zip(kinds, row))}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}\n</table></div>'


def _e(x):
    return html.escape(str(x))
