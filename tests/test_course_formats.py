"""Results are written as the systems that take them say, key by key."""

import csv
import io
import json
from datetime import datetime, timezone

import pytest

from scratchnn.course import formats, late

TEXT, NUMBER, WHOLE = str, (int, float), int


def ran(kind, hidden, passed, text=""):
    claim = f"claim of {kind}"
    return dict(kind=kind, claim=claim, hidden=hidden, passed=passed, text=text)


def task(number, status, score, points, outcomes=(), text="", mistake=""):
    return dict(
        number=number,
        function=f"f{number[-1]}",
        status=status,
        score=score,
        points=points,
        outcomes=list(outcomes),
        text=text,
        mistake=mistake,
    )


SECRET = "the hidden check saw 3.25"
HIDDEN = [ran("value", True, False, SECRET), ran("invariant", True, True)]
RESULT = {
    "version": 1,
    "id": "=ada",
    "key": "k",
    "assignment": "vae",
    "score": 3.75,
    "points": 8.0,
    "problem": "",
    "notes": ["vae.zip was taken for vae.py"],
    "fault": "",
    "printed": SECRET,
    "seconds": 1.5,
    "when": "2026-11-28T13:30:00+01:00",
    "tasks": [
        task("1.1", "passed", 3.0, 3, [ran("value", False, True)]),
        task(
            "1.2",
            "failed",
            0.0,
            2,
            [
                ran("value", False, True),
                ran("gradient", False, False, "slopes"),
                *HIDDEN,
            ],
            f"gradient, claim of gradient:\n  slopes\n  {SECRET}\nlikely: times g",
            "M17",
        ),
        task(
            "1.3",
            "failed",
            0.75,
            1.5,
            [ran("value", False, True), ran("invariant", True, False, SECRET)],
            f"invariant (hidden), claim of invariant:\n  {SECRET}\nhint: look again",
        ),
        task(
            "1.4", "can't check yet", 0.0, 1, (), "it uses task 1.2: finish that first"
        ),
        task("1.5", "not started", 0.0, 0.5, (), "Task 1.5: find it"),
    ],
}
DUE = late.rule("10% per day", datetime(2026, 11, 28, 12, tzinfo=timezone.utc))


def fits(value, schema):
    """Whether JSON has these keys, all of them and no others, of these types."""
    if isinstance(schema, dict):
        assert list(value) == list(schema), (list(value), list(schema))
        for key, kind in schema.items():
            fits(value[key], kind)
    elif isinstance(schema, list) and len(schema) == 1:
        for each in value:
            fits(each, schema[0])
    elif isinstance(schema, set):
        assert value in schema
    else:
        assert isinstance(value, schema) and not (
            isinstance(value, bool) and schema is not bool
        ), (value, schema)


VISIBILITY = {"hidden", "after_due_date", "after_published", "visible"}
KIND = {"text", "html", "simple_format", "md", "ansi"}
GRADESCOPE = {
    "score": NUMBER,
    "execution_time": NUMBER,
    "output": TEXT,
    "output_format": KIND,
    "visibility": VISIBILITY,
    "stdout_visibility": VISIBILITY,
    "extra_data": dict,
    "tests": [
        {
            "score": NUMBER,
            "max_score": NUMBER,
            "status": {"passed", "failed"},
            "name": TEXT,
            "number": TEXT,
            "output": TEXT,
            "output_format": KIND,
            "tags": list,
            "visibility": VISIBILITY,
            "extra_data": dict,
        }
    ],
}
CLASSROOM50 = {
    "schema": {"classroom50/result/v1"},
    "classroom": TEXT,
    "assignment": TEXT,
    "assignment_type": {"individual", "group"},
    "owner": TEXT,
    "submission": TEXT,
    "commit": TEXT,
    "release": TEXT,
    "review": TEXT,
    "datetime": TEXT,
    "score": WHOLE,
    "max-score": WHOLE,
    "tests": [{"test-name": TEXT, "passed": bool, "score": WHOLE, "max-score": WHOLE}],
}
CHECK50 = {
    "slug": TEXT,
    "results": [
        {
            "name": TEXT,
            "description": TEXT,
            "passed": {True, False, None},
            "log": [TEXT],
            "cause": (dict, type(None)),
            "dependency": (str, type(None)),
        }
    ],
    "version": TEXT,
}


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("hidden", formats.VISIBLE)
def test_gradescopes_results_have_its_keys(hidden):
    value = through_json(formats.gradescope(RESULT, DUE, hidden))
    fits(value, GRADESCOPE)
    assert sum(t["max_score"] for t in value["tests"]) == pytest.approx(8.0)
    assert value["score"] == round(0.9 * 3.75, 2)
    assert "1 day late: -10 %" in value["output"]


@pytest.mark.parametrize("hidden", formats.VISIBLE)
def test_what_students_see_at_once_says_nothing_of_hidden_checks(hidden):
    value = formats.gradescope(RESULT, None, hidden)
    shown = [t for t in value["tests"] if t["visibility"] == "visible"]
    later = [t for t in value["tests"] if t["visibility"] != "visible"]
    assert SECRET not in json.dumps([shown, value["output"]])
    if hidden == "visible":
        assert not later and len(shown) == 5
        assert "1 of 2 hidden checks passed" in shown[1]["output"]
        assert [t["score"] for t in shown] == [3.0, 0.0, 0.75, 0.0, 0.0]
    else:
        assert {t["visibility"] for t in later} == {hidden}
        assert [t["number"] for t in later] == ["1.2", "1.3"]
        assert "hidden" not in json.dumps([t["output"] for t in shown])
        by_public = {t["number"]: (t["score"], t["max_score"]) for t in shown}
        assert by_public["1.2"] == (0.5, 1.0)  # one of its two public checks
        assert by_public["1.3"] == (0.75, 0.75)
        assert "with it the task gives 0 of 2" in later[0]["output"]


def test_a_hint_is_shown_for_a_public_check_that_failed():
    shown = formats.words(RESULT["tasks"][1]).split("\n")
    assert shown[0] == "gradient, claim of gradient:"
    assert "likely: times g" in shown
    assert formats.words(RESULT["tasks"][2]).startswith("all public checks passed")


def test_outputs_are_cut_where_gradescope_would():
    long = {**RESULT, "problem": "x" * 200_000}
    assert len(formats.gradescope(long)["output"]) == 100_000


def test_what_could_not_be_read_has_a_score_of_0_and_the_reason():
    tasks = [task("1.1", "failed", 0.0, 3, text="a broken zip file")]
    result = {**RESULT, "problem": "a broken zip file", "tasks": tasks, "score": 0.0}
    value = formats.gradescope(result)
    fits(through_json(value), GRADESCOPE)
    assert value["tests"][0]["output"] == "a broken zip file"
    assert value["tests"][0]["max_score"] == 3 and value["score"] == 0


def test_classroom_50s_result_has_its_keys_and_whole_numbers():
    about = {"classroom": "dl", "owner": "ada", "commit": "abc"}
    value = through_json(formats.classroom50(RESULT, None, about))
    fits(value, CLASSROOM50)
    assert value["datetime"] == "2026-11-28T12:30:00Z"
    assert value["classroom"] == "dl" and value["assignment"] == "vae"
    # 1.5 and 0.5 points: all are counted twice; of 0.75 points, twice, 1 is whole.
    assert [t["max-score"] for t in value["tests"]] == [6, 4, 3, 2, 1]
    assert [t["score"] for t in value["tests"]] == [6, 0, 1, 0, 0]
    assert (value["score"], value["max-score"]) == (7, 16)
    assert formats.classroom50(RESULT, DUE)["score"] == 6  # 0.9 of 7, the fraction lost


def test_a_task_that_is_not_right_never_has_all_its_whole_points():
    tasks = [task("1.1", "failed", 2.99, 3)]
    value = formats.classroom50({**RESULT, "tasks": tasks, "score": 2.99})
    assert value["tests"][0]["score"] == 2 and not value["tests"][0]["passed"]


def test_check50s_results_have_its_keys():
    needs = {"1.4": ("1.2",)}
    value = through_json(formats.check50(RESULT, needs, "0.1.0"))
    fits(value, CHECK50)
    found = {r["name"]: r for r in value["results"]}
    assert found["1.1"]["passed"] is True and found["1.1"]["cause"] is None
    assert found["1.2"]["passed"] is False
    assert set(found["1.2"]["cause"]) == {"rationale", "help"}
    assert found["1.4"]["passed"] is None and found["1.4"]["dependency"] == "1.2"
    assert SECRET not in json.dumps(value)


def test_a_csv_has_a_row_for_each_and_no_formulas():
    other = {**RESULT, "id": "bob, jr", "problem": "a broken\nzip", "tasks": []}
    rows = list(csv.DictReader(io.StringIO(formats.csv([RESULT, other], DUE))))
    assert [r["submission"] for r in rows] == ["'=ada", "bob, jr"]
    assert rows[0]["score"] == "3.38" and rows[0]["1.3"] == "0.75"
    assert rows[0]["mistakes"] == "1.2: M17" and rows[0]["late"] == "1 day late: -10 %"
    assert rows[1]["1.1"] == "" and "a broken" in rows[1]["problem"]


def test_a_table_is_aligned_and_marks_what_was_not_tried():
    other = {**RESULT, "id": "bob", "fault": "task 1.1: oops", "score": 0.0}
    head, ada, bob = formats.table([RESULT, other]).splitlines()
    assert [head.index(n) for n in ("1.4", "1.5")] == [
        ada.index("  ?") + 0, ada.index("  -"),
    ]  # fmt: skip
    assert "the checks failed to run: task 1.1: oops" in bob
