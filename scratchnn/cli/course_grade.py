"""scratchnn grade and report: a class's submissions, and what came of them."""

import csv
import json
import os
import sys
from argparse import ArgumentTypeError
from pathlib import Path

from ..errors import nearest
from .course_release import assignment_path
from .parser import Parser, UsageError, path

FORMATS = ("table", "csv", "gradescope", "classroom50", "check50")
OF_ONE = FORMATS[2:]  # of one submission each


def grade(argv):
    """Grade submissions of an assignment, one or hundreds."""
    options = _options(argv)
    from ..course import TaskError, submissions
    from ..course.grade import opened, read_secret

    try:
        name = opened(options.assignment).name
        found = submissions.find(options.submissions, name, options.single)
        if options.output and len(found) > 1 and options.format in OF_ONE:
            raise UsageError(
                f"scratchnn grade: --output is one file, and there are {len(found)} "
                f"submissions; {options.format} writes one for each into --out"
            )
        out = options.out or (None if options.single else Path("grades") / name)
        if options.secret or out:
            secret = read_secret(options.secret or out / "secret")
        else:
            secret = os.urandom(32)
        metadata = _metadata(options, found)
        late = _late(options, metadata)
        _say_what_is_missing()
        results = _grade(options, found, out, secret, _times(options, found, metadata))
    except (TaskError, ValueError, SyntaxError) as error:
        words = " ".join(str(error).split())
        raise UsageError(f"scratchnn grade: {words}") from None
    return _show(options, results, found, out, late)


def _options(argv):
    parser = Parser("grade", description=grade.__doc__)
    add = parser.add_argument
    text = "the annotated solution, NAME.py or the name of one in lessons/exercises; "
    text += "or a folder as students have it, for its public checks"
    add("assignment", metavar="ASSIGNMENT", type=path, help=text)
    text = "files (.py, .ipynb, .zip), folders, or a folder of these"
    add("submissions", metavar="SUBMISSION", nargs="+", type=path, help=text)
    text = f"{', '.join(FORMATS)} [table]"
    add("--format", metavar="F", type=_format, default="table", help=text)
    text = "how many at a time [1]"
    add("--jobs", metavar="N", type=_whole, default=1, help=text)
    text = "folder of the results, where a stopped run goes on [grades/NAME]"
    add("--out", metavar="DIR", type=path, help=text)
    text = "write what is shown to a file instead"
    add("--output", metavar="FILE", type=path, help=text)
    text = "a folder is one submission, whatever is in it"
    add("--single", action="store_true", help=text)
    text = "what inputs are drawn from; made if it isn't there [OUT/secret]"
    add("--secret", metavar="FILE", type=path, help=text)
    text = "only the checks that students have"
    add("--public", action="store_true", help=text)
    text = "when students see hidden checks: visible, after_published, "
    text += "after_due_date, hidden (for gradescope) [after_published]"
    add("--hidden", metavar="WHEN", type=_visibility, help=text)
    late = parser.add_argument_group("late submissions")
    text = "as 2026-11-28T23:59; local time unless it names a zone"
    late.add_argument("--due", metavar="TIME", help=text)
    text = 'what is lost, as "10%% per day, at most 50%%"'
    late.add_argument("--late", metavar="RULE", help=text)
    text = "a csv of `submission,time`; else the times of the files"
    late.add_argument("--times", metavar="FILE", type=path, help=text)
    text = "Gradescope's submission_metadata.json: id, time, due date"
    late.add_argument("--metadata", metavar="FILE", type=path, help=text)
    limits = parser.add_argument_group("limits")
    text = "for one call of a student's function [5]"
    limits.add_argument(
        "--seconds", metavar="S", type=_positive, default=5.0, help=text
    )
    text = "for one task [60]"
    limits.add_argument("--total", metavar="S", type=_positive, default=60.0, help=text)
    text = "in MB [1024]"
    limits.add_argument("--memory", metavar="MB", type=_whole, default=1024, help=text)
    text = "a module that may be imported besides NumPy; may be given again"
    limits.add_argument("--allow", metavar="M", action="append", default=[], help=text)
    options = parser.parse_args(argv)
    options.hidden = options.hidden or "after_published"
    options.public = options.public or options.format == "classroom50"
    if not options.assignment.is_dir():
        options.assignment = assignment_path(f"{options.assignment}", "grade")
    return options


# ---- what options mean ----------------------------------------------------------
def _format(text):
    if text not in FORMATS:
        hint = nearest(text, FORMATS) or f"; there are {', '.join(FORMATS)}"
        raise ArgumentTypeError(f"no format {text!r}{hint}")
    return text


def _visibility(text):
    from ..course.formats import VISIBLE

    if text not in VISIBLE:
        raise ArgumentTypeError(f"expected one of {', '.join(VISIBLE)}, got {text!r}")
    return text


def _whole(text):
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _positive(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _metadata(options, found):
    """Gradescope's metadata of the submission; {} without."""
    if not options.metadata:
        return {}
    if len(found) != 1:
        raise ValueError(f"--metadata is of one submission, there are {len(found)}")
    try:
        metadata = json.loads(options.metadata.read_text(encoding="utf-8"))
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise ValueError(f"{options.metadata} is no JSON of Gradescope's")
    if "id" in metadata:
        found[0] = found[0]._replace(id=str(metadata["id"]))
    return metadata


def _late(options, metadata):
    from ..course import late

    due = options.due
    if not due and options.late:
        due = (metadata.get("assignment") or {}).get("due_date")
        if not due:
            raise ValueError("--late needs --due, when the assignment was due")
    if due and not options.late:
        raise ValueError('--due needs --late, what is lost, as "10% per day"')
    return late.rule(options.late, late.moment(due)) if options.late else None


def _times(options, found, metadata):
    """{id: datetime} as the teacher gives them."""
    from ..course.late import moment

    if metadata.get("created_at"):
        return {found[0].id: moment(metadata["created_at"])}
    if not options.times:
        return {}
    with open(options.times, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"submission", "time"} <= set(rows[0]):
        raise ValueError(f"{options.times}: expected columns submission,time")
    return {row["submission"]: moment(row["time"]) for row in rows}


def _say_what_is_missing():
    """Say on stderr which protections this machine lacks."""
    from ..course.session import protections

    found = protections()
    missing = [text for _, ok, text in found if not ok]
    if not missing:
        return
    held = {name for name, ok, _ in found if ok}
    if "calls" in held or {"user", "folder"} <= held:
        so = "even so a submission's code can read no file and start no process"
    else:
        so = "a submission's code can read what you can: grade as root, on Linux"
    print(f"this machine lacks {'; '.join(missing)}.\n{so}", file=sys.stderr)


# ---- running --------------------------------------------------------------------
def _grade(options, found, out, secret, times):
    """The results in the order of the submissions, with a bar as they come."""
    from tqdm import tqdm

    from ..course import grade as grading

    limits = {name: getattr(options, name) for name in ("seconds", "total")}
    limits |= {"memory": options.memory * 2**20, "allowed": tuple(options.allow)}
    run = grading.grade(
        options.assignment, found, out, options.jobs, secret, options.public, times,
        **limits,
    )  # fmt: skip
    quiet = os.environ.get("SCRATCHNN_PROGRESS") == "0" or None  # None: no terminal
    results = {}
    try:
        with tqdm(total=len(found), unit="submission", disable=quiet) as bar:
            for result in run:
                results[result["id"]] = result
                bar.update()
    except KeyboardInterrupt:
        run.close()
        kept = "" if out is None else "; the same command goes on from there"
        print(f"\nstopped after {len(results)} of {len(found)}{kept}", file=sys.stderr)
        raise
    return [results[one.id] for one in found]


def _show(options, results, found, out, late):
    """Write the results as asked for; the exit code."""
    from ..course import formats
    from ..course.archive import write_file

    texts = {}
    if options.format in OF_ONE:
        values = [_of_one(options, result, late) for result in results]
        texts = [json.dumps(value, indent=2) + "\n" for value in values]
    else:
        texts = [getattr(formats, options.format)(results, late)]
    if out is not None:
        write_file(out / "grades.csv", formats.csv(results, late).encode())
    if options.output:
        write_file(options.output, texts[0].encode())
    elif len(texts) == 1:
        sys.stdout.write(texts[0])
    else:
        from ..course.grade import result_path

        for result, text in zip(results, texts):
            name = result_path(out, result["id"]).name
            write_file(out / options.format / name, text.encode())
        print(f"{len(texts)} results in {out / options.format}")
    if out is not None and len(results) > 1:
        pairs = _similar(options.assignment, found, out)
        more = f"; {pairs} to look at for being alike" if pairs else ""
        print(
            f"{len(results)} graded, in {out}{more}; `scratchnn report {out}` shows "
            "how the class did",
            file=sys.stderr,
        )
    faults = [r["fault"] for r in results if r["fault"]]
    for fault in sorted(set(faults)):
        print(f"scratchnn grade: the checks failed to run: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _of_one(options, result, late):
    from ..course import formats
    from ..course.grade import opened
    from .about import version

    if options.format == "gradescope":
        return formats.gradescope(result, late, options.hidden)
    if options.format == "classroom50":
        return formats.classroom50(result, late, _of_workflow())
    tasks = opened(options.assignment).tasks
    needs = {number: task.needs for number, task in tasks.items()}
    return formats.check50(result, needs, version("scratchnn"))


def _of_workflow():
    """What a GitHub workflow knows of a submission."""
    names = {"owner": "GITHUB_REPOSITORY_OWNER", "commit": "GITHUB_SHA"}
    names |= {"release": "GITHUB_REF_NAME"}
    names |= {k: f"CLASSROOM50_{k.upper()}" for k in ("classroom", "assignment")}
    names["assignment_type"] = "CLASSROOM50_ASSIGNMENT_TYPE"
    return {k: os.environ[name] for k, name in names.items() if os.environ.get(name)}


def _similar(assignment, found, out):
    """Write the pairs of submissions that are nearly the same; how many."""
    from ..course import markers, similar, submissions
    from ..course.grade import opened, write_json

    name, texts, known = opened(assignment).name, {}, []
    for one in found:
        files = submissions.read(one.path, name).files
        if files:
            texts[one.id] = files[f"{name}.py"].decode("utf-8", "replace")
    if assignment.is_file():
        source = assignment.read_text(encoding="utf-8")
        known = [source, markers.student_text(source, str(assignment))]
    pairs = similar.similar(texts, known)
    write_json(out / "similar.json", [pair._asdict() for pair in pairs])
    return len(pairs)


def report(argv):
    """Show how a class did: a page from the results of `grade`."""
    parser = Parser("report", description=report.__doc__)
    text = "the folder that `scratchnn grade` wrote"
    parser.add_argument("folder", metavar="DIR", type=path, help=text)
    text = "the page [DIR/report.html]"
    parser.add_argument("--output", metavar="FILE", type=path, help=text)
    options = parser.parse_args(argv)
    from ..course import report as pages
    from ..course.archive import write_file
    from ..course.grade import read_results

    results = read_results(options.folder)
    if not results:
        raise UsageError(
            f"scratchnn report: no results in {options.folder}; `scratchnn grade "
            f"ASSIGNMENT SUBMISSION... --out {options.folder}` writes them"
        )
    target = options.output or options.folder / "report.html"
    page = pages.page(results, pages.read_pairs(options.folder))
    write_file(target, page.encode())
    print(f"{len(results)} submissions; open {target}")
