"""The figures that the models reach: how they are kept, and the page made of them."""

import importlib.util
import json
import pathlib
import sys

import pytest

QUALITY = pathlib.Path(__file__).parent / "benchmarks" / "quality"


@pytest.fixture
def modules(monkeypatch, tmp_path):
    """common.py and page.py, writing to an empty folder."""
    monkeypatch.syspath_prepend(str(QUALITY))
    found = []
    for name in ("common", "page"):
        spec = importlib.util.spec_from_file_location(name, QUALITY / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        found.append(module)
    monkeypatch.setattr(found[0], "RESULTS", tmp_path / "results")
    return found


def row(**changes):
    return {
        "run": "VAE, digits", "figure": "loss (nats)", "bar": "at most 20",
        "seeds": [0, 1], "values": [19.0, 20.5], "command": "python vae.py",
        "seconds": [60, 120], **changes,
    }  # fmt: skip


def test_rows_are_kept_with_machine_and_date_and_replaced_by_run_and_figure(modules):
    common, _ = modules
    common.save("vae", [row(), row(figure="bits")])
    common.save("vae", [row(values=[1, 2], seconds=3), row(run="GAN")])
    kept = common.read("vae")
    assert [(r["run"], r["figure"]) for r in kept] == [
        ("VAE, digits", "loss (nats)"), ("VAE, digits", "bits"), ("GAN", "loss (nats)"),
    ]  # fmt: skip
    assert [r["seconds"] for r in kept] == [3, 90, 90]
    assert kept[0]["values"] == [1, 2]
    assert all(r["date"][:2] == "20" and "cores" in r["machine"] for r in kept)
    assert [p.name for p in common.RESULTS.iterdir()] == ["vae.json"]
    assert common.read("nothing") == []


def test_seeds_that_are_added_join_those_that_were_kept(modules):
    common, _ = modules
    common.save("vae", [row(command="python vae.py --seeds 0 1")])
    later = dict(seeds=[1, 2], values=[7, 8], command="python vae.py --seeds 1 2")
    common.save("vae", [row(**later), row(**later, run="GAN")], add=True)
    first, other = common.read("vae")
    assert first["seeds"] == [0, 1, 2] and first["values"] == [19, 7, 8]
    assert first["command"] == "python vae.py --seeds 0 1 2"
    assert other["seeds"] == [1, 2] and other["command"] == "python vae.py --seeds 1 2"


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"values": [1.0]}, "expected one value for each"), ({"bar": ...}, "lacks bar")],
)
def test_a_row_that_does_not_fit_is_refused_and_nothing_is_written(
    modules, changes, text
):
    wrong = {k: v for k, v in row(**changes).items() if v is not ...}
    with pytest.raises(ValueError, match=text):
        modules[0].save("vae", [wrong])
    assert not list(modules[0].RESULTS.iterdir())


def test_scripts_take_seeds_and_runs_and_may_be_quick(modules):
    given = modules[0].arguments("What it does.", ["--seeds", "3", "4", "--quick"])
    assert (given.seeds, given.quick, given.runs) == ([3, 4], True, [])
    assert modules[0].arguments("It.", ["ring"]).runs == ["ring"]
    assert modules[0].arguments("It.", []).seeds == [0, 1, 2]


@pytest.mark.parametrize(
    ("bar", "mean", "met"),
    [
        ("at most 106 nats", 105.9, True), ("at most 106", 106.01, False),
        ("at least 24 of 25", 24, True), ("at least 1,000", 999, False),
        ("at most -0.5", -0.6, True), ("", 3, None), ("beside 225", 3, None),
    ],
)  # fmt: skip
def test_bars_are_read_as_they_are_written(modules, bar, mean, met):
    assert modules[1].met(bar, mean) is met


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (105.93, "105.9"), (12345.6, "12,346"), (0.98761, "0.9876"), (0, "0"),
        (8, "8"), (1.4e-5, "1.40e-05"), (-225.31, "-225.3"), (float("nan"), "-"),
    ],
)  # fmt: skip
def test_figures_keep_four_digits(modules, x, text):
    assert modules[1].number(x) == text


def test_the_page_shows_figure_bar_mean_seeds_command_time_machine_and_date(modules):
    common, page = modules
    common.save("vae", [row(), row(figure="bits", bar="at most 1")])
    text = page.page(common.read("vae"), ["gan-mnist.png"])
    assert (
        "| loss (nats) | at most 20 | **19.75** | met | 19 (0), 20.50 (1) |" in text
    )
    assert "| bits | at most 1 | **19.75** | **not met** |" in text
    assert "\nBars that are met: 1 of 2.\n" in text
    assert text.count("## VAE, digits") == 1
    assert text.count("`python vae.py`: 90 s a seed; ") == 1
    assert "![gan mnist](results/gan-mnist.png)" in text


def test_the_page_of_results_is_up_to_date(modules):
    _, page = modules
    assert page.PAGE.read_text(encoding="utf-8") == page.current(), (
        "run: python tests/benchmarks/quality/page.py"
    )


def test_every_result_file_holds_whole_rows(modules):
    for path in (QUALITY / "results").glob("*.json"):
        for kept in json.loads(path.read_text(encoding="utf-8")):
            modules[0]._check(kept)
            assert kept["machine"] and kept["date"]


def test_sheets_are_small():
    most = {".png": 200_000, ".gif": 1_000_000}
    sheets = (QUALITY.parents[2] / "docs" / "results").glob("*.*")
    assert not [p.name for p in sheets if p.stat().st_size > most[p.suffix]]
