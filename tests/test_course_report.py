"""The page of a class: all that happened is on it, and it needs nothing else."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from test_course_formats import RESULT, ran, task

from scratchnn import plot
from scratchnn.cli import main
from scratchnn.course import report
from scratchnn.course.grade import result_path, write_json


def result(id, score, tasks, **more):
    points = sum(t["points"] for t in tasks)
    return {
        **RESULT,
        "id": id,
        "score": score,
        "points": points,
        "tasks": tasks,
        **more,
    }


DIAGNOSIS = "slopes by x: 3 of 3 wrong\ndiagnosis: the factor 2 is missing\nlook at: g"
WRONG = [ran("value", False, True), ran("gradient", False, False, DIAGNOSIS)]
CLASS = [
    result(
        f"s{k}", 2.0 if k < 6 else 5.0,
        [
            task("1.1", "passed", 2.0, 2.0, [ran("value", False, True)]),
            task("1.2", "failed", 0.0, 3.0, WRONG, "gradient:\nlikely: twice", "M17")
            if k < 6
            else task("1.2", "passed", 3.0, 3.0, WRONG[:1]),
        ],
        notes=[], printed="",
    )
    for k in range(9)
]  # fmt: skip
CLASS.append(
    result(
        "<b>eve</b>", 0.0, CLASS[0]["tasks"], problem="a broken zip & more", notes=[]
    )
)


class Page(HTMLParser):
    """The text of each section, its tables' rows, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.rows, self.title = [], [], {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        names = ("src", "href", "xlink:href", "srcset", "data")
        self.loads += [v for k, v in attributes if k in names and not v.startswith("#")]
        self.open.append(tag)
        if tag == "tr":
            self.rows.setdefault(self.title, []).append([])
        if tag == "h2":
            self.title = ""

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "h2" in self.open:
            self.title += data
        elif "tr" in self.open:
            self.rows[self.title][-1].append(data)


@pytest.fixture(scope="module")
def text():
    return report.page(CLASS, [("s1", "s2", 0.93)])


def test_the_page_loads_nothing(text):
    assert Page(text).loads == []
    outside = re.sub(
        r'"http://www\.w3\.org/[^"]*"|"http://[^"]*(dtd|rdf)[^"]*"', "", text
    )
    assert "@import" not in text and "url(http" not in text
    assert "<script" not in text and "src=" not in outside


def test_the_page_says_what_was_hard_and_why(text):
    rows = Page(text).rows
    assert rows["Hardest tasks"][1] == ["1.2 f2", "30 %", "3", "10"]
    assert rows["Hardest tasks"][2][:2] == ["1.1 f1", "100 %"]
    assert rows["Most common mistakes"][1] == ["7", "1.2 f2", "M17", "twice"]
    found = rows["What checks found most often"][1]
    assert found == ["7", "1.2 f2", "gradient", "the factor 2 is missing"]
    assert rows["Nearly the same"][1] == ["s1", "s2", "93 %"]
    assert "10 submissions, 5 points. Mean 2.7, median 2.0; 3 with all points" in text


def test_what_students_wrote_is_text_and_no_html(text):
    assert "<b>eve" not in text and "&lt;b&gt;eve" in text
    problems = Page(text).rows["To look at"]
    assert ["<b>eve</b>", "a broken zip & more"] == problems[1][:2]


def test_every_submission_is_listed(text):
    rows = Page(text).rows["All submissions"]
    assert [r[0] for r in rows[1:]] == [r["id"] for r in CLASS]
    assert rows[1] == ["s0", "2", "2", "0"]


def test_the_same_results_give_the_same_page(text):
    assert report.page(CLASS, [("s1", "s2", 0.93)]) == text


def test_the_histogram_counts_every_submission():
    shares = np.array([0.0, 0.0, 0.05, 0.5, 0.99, 1.0])
    axes = plot.scores(shares).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(heights) == 6 and heights[0] == 3 and heights[-1] == 2
    assert axes.get_title(loc="left") == "half of them have 28 % or more"


def test_a_bar_of_a_task_is_as_long_as_the_class():
    counts = {"1.1 a": [5, 2, 1, 0, 2], "1.2 b": [0, 0, 0, 4, 6]}
    axes = plot.tasks(counts).axes[0]
    ends = {}
    for bar in axes.patches:
        y = round(bar.get_y() + bar.get_height() / 2)
        ends[y] = max(ends.get(y, 0), bar.get_x() + bar.get_width())
    assert ends == {0: 10, 1: 10}


def test_no_tasks_and_no_points_are_no_error():
    page = report.page([result("a", 0.0, [])])
    assert "1 submission, 0 points" in page


def test_the_command_writes_the_page(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "no results in" in capsys.readouterr().err
    for one in CLASS:
        write_json(result_path(tmp_path, one["id"]), one)
    assert main(["report", str(tmp_path)]) == 0
    assert "10 submissions; open" in capsys.readouterr().out
    assert "&lt;b&gt;eve" in (tmp_path / "report.html").read_text(encoding="utf-8")
