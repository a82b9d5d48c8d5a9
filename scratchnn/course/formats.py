"""Results as the places where courses are graded take them.

One small writer for each: `gradescope`, `classroom50`, `check50` make what becomes the
JSON of one submission; `csv` and `table` the text of a class. What students may read
has the words of public checks only; of hidden ones it says how many passed.
"""

import csv as _csv
import datetime
import io
import math

VISIBLE = "visible", "after_published", "after_due_date", "hidden"
LONGEST = 100_000  # characters: Gradescope cuts longer ones


def final(result, late=None):
    """(score after the late rule, its words)."""
    if late is None:
        return result["score"], ""
    factor, words = late.of(result["when"])
    return round(result["score"] * factor, 2), words


# ---- words for students ---------------------------------------------------------
def words(task):
    """What a student may read on a task: of hidden checks only how many passed."""
    if task["status"] in ("not started", "can't check yet") or not task["outcomes"]:
        return task["text"]
    public = [r for r in task["outcomes"] if not r["hidden"]]
    hidden = [r for r in task["outcomes"] if r["hidden"]]
    lines, told = [], set()
    for r in public:
        if not r["passed"] and r["text"] and r["text"] not in told:
            told.add(r["text"])
            text = r["text"].replace("\n", "\n  ")
            lines.append(f"{r['kind']}, {r['claim']}:\n  {text}")
    if lines:  # the hint for what is wrong there
        last = task["text"].rsplit("\n", 1)[-1]
        lines += [last] if last.startswith(("likely: ", "hint: ")) else []
    elif public:
        lines.append("all public checks passed")
    if hidden:
        passed = sum(r["passed"] for r in hidden)
        lines.append(f"{passed} of {len(hidden)} hidden checks passed")
    return "\n".join(lines)


def _public(task):
    """(score, points) of the public checks alone, as checking.py counts them."""
    ran = [r for r in task["outcomes"] if not r["hidden"]]
    if not ran:
        return 0.0, 0.0
    points = task["points"] * len(ran) / len(task["outcomes"])
    right = all(r["passed"] for r in ran if r["kind"] == "value")
    passed = sum(r["passed"] for r in ran)
    return round(right * points * passed / len(ran), 2), round(points, 2)


# ---- Gradescope -----------------------------------------------------------------
def gradescope(result, late=None, hidden="after_published"):
    """results.json of Gradescope's autograder.

    hidden: when students see the hidden part of a task, one of VISIBLE. Unless that is
    at once, it is a test of its own, and the words say nothing of it.
    """
    score, late_words = final(result, late)
    tests = []
    for task in result["tasks"]:
        split = hidden != "visible" and any(r["hidden"] for r in task["outcomes"])
        if not split:
            tests.append(_test(task, task["score"], task["points"], words(task)))
            continue
        seen = {**task, "outcomes": [r for r in task["outcomes"] if not r["hidden"]]}
        part, points = _public(task)
        if seen["outcomes"]:
            tests.append(_test(task, part, points, words(seen)))
        rest = max(round(task["score"] - part, 2), 0.0)
        text = task["text"] or "all hidden checks passed"
        if task["score"] < part:
            text += f"\nwith it the task gives {task['score']:g} of {task['points']:g}"
        points = round(task["points"] - points, 2)
        test = _test(task, rest, points, text, hidden)
        tests.append({**test, "name": f"{task['function']}, hidden checks"})
    lines = [result["problem"], *result["notes"], late_words]
    lines.append("The grader failed; tell your teacher." if result["fault"] else "")
    return {
        "score": score,
        "execution_time": result["seconds"],
        "output": "\n".join(filter(None, lines))[:LONGEST],
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"late": late_words},
        "tests": tests,
    }


def _test(task, score, points, text, visibility="visible"):
    return {
        "score": score,
        "max_score": points,
        "status": "passed" if score >= points else "failed",
        "name": task["function"],
        "number": task["number"],
        "output": text[:LONGEST],
        "output_format": "text",
        "tags": [],
        "visibility": visibility,
        "extra_data": {"mistake": task["mistake"]} if visibility != "visible" else {},
    }


# ---- Classroom 50 ---------------------------------------------------------------
def classroom50(result, late=None, about=None):
    """result.json of Classroom 50, `classroom50/result/v1`: whole numbers only.

    about: classroom, owner, submission, commit, release, review, datetime and the like,
    which the workflow knows. Points with a fraction are all multiplied to be whole; of
    a score the fraction is dropped.
    """
    about = about or {}
    factor = _whole([t["points"] for t in result["tasks"]])
    tests = [
        {
            "test-name": f"{task['number']} {task['function']}",
            "passed": task["status"] == "passed",
            "score": math.floor(task["score"] * factor + 1e-9),
            "max-score": round(task["points"] * factor),
        }
        for task in result["tasks"]
    ]
    kept = final(result, late)[0] / result["score"] if result["score"] else 1.0
    return {
        "schema": "classroom50/result/v1",
        "classroom": about.get("classroom", ""),
        "assignment": about.get("assignment", result["assignment"]),
        "assignment_type": about.get("assignment_type", "individual"),
        "owner": about.get("owner", ""),
        "submission": about.get("submission", result["id"]),
        "commit": about.get("commit", ""),
        "release": about.get("release", ""),
        "review": about.get("review", ""),
        "datetime": about["datetime"] if "datetime" in about else _utc(result["when"]),
        "score": math.floor(kept * sum(t["score"] for t in tests) + 1e-9),
        "max-score": sum(t["max-score"] for t in tests),
        "tests": tests,
    }


def _whole(points):
    """The least factor of 1, 2, 4, 5, 10, 20, 100 that makes all points whole."""
    for factor in (1, 2, 4, 5, 10, 20):
        if all(abs(p * factor - round(p * factor)) < 1e-9 for p in points):
            return factor
    return 100


def _utc(when):
    moment = datetime.datetime.fromisoformat(when).astimezone(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- check50 --------------------------------------------------------------------
def check50(result, needs, version):
    """The JSON of check50. needs: {task: numbers of those it needs}."""
    return {
        "slug": result["assignment"],
        "results": [_check(task, needs) for task in result["tasks"]],
        "version": version,
    }


def _check(task, needs):
    passed = {"passed": True, "can't check yet": None}.get(task["status"], False)
    text = words(task)
    cause = None
    if not passed:
        rationale, _, help = text.partition("\n")
        cause = {"rationale": rationale or "it failed", "help": help or None}
    before = needs.get(task["number"], ())
    return {
        "name": task["number"],
        "description": f"{task['function']} is right",
        "passed": passed,
        "log": [] if passed else text.split("\n"),
        "cause": cause,
        "dependency": before[0] if before else None,
    }


# ---- a class --------------------------------------------------------------------
def csv(results, late=None):
    """One row for each submission: a spreadsheet's text."""
    file = io.StringIO()
    writer = _csv.writer(file, lineterminator="\n")
    numbers = _numbers(results)
    names = ["submission", "score", "points", "late", *numbers, "mistakes", "problem"]
    writer.writerow(names)
    for result in results:
        score, late_words = final(result, late)
        tasks = {t["number"]: t for t in result["tasks"]}
        scores = [tasks[n]["score"] if n in tasks else "" for n in numbers]
        mistakes = [f"{n}: {t['mistake']}" for n, t in tasks.items() if t["mistake"]]
        row = [result["id"], score, result["points"], late_words, *scores]
        row += ["; ".join(mistakes), problem(result)]
        writer.writerow([_cell(x) for x in row])
    return file.getvalue()


def _cell(x):
    """A cell that no spreadsheet takes for a formula: names come from students."""
    risky = isinstance(x, str) and x[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{x}" if risky else x


def table(results, late=None):
    """The same to be read on a terminal."""
    numbers = _numbers(results)
    rows = [["submission", "score", *numbers, ""]]
    for result in results:
        score, late_words = final(result, late)
        tasks = {t["number"]: t for t in result["tasks"]}
        scores = [_short(tasks.get(n)) for n in numbers]
        notes = "; ".join(filter(None, [late_words, problem(result)]))
        of = f"{score:g} / {result['points']:g}"
        rows.append([result["id"], of, *scores, notes.replace("\n", " ")])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells, row[-1]]).rstrip())
    return "\n".join(lines) + "\n"


def _short(task):
    if task is None:
        return ""
    signs = {"not started": "-", "can't check yet": "?"}
    return signs.get(task["status"]) or f"{task['score']:g}"


def problem(result):
    """What a teacher should look at, in words; "" if nothing."""
    fault = f"the checks failed to run: {result['fault']}" if result["fault"] else ""
    return "; ".join(filter(None, [result["problem"], *result["notes"], fault]))


def _numbers(results):
    return list(dict.fromkeys(t["number"] for r in results for t in r["tasks"]))
