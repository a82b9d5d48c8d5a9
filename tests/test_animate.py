"""scratchnn sample and animate: a model's own options, GIFs, a line for mistakes."""

from pathlib import Path

import duel
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from scratchnn import Tensor, cli, plot


@pytest.fixture
def scratchnn(tmp_path, monkeypatch, capsys):
    """Run `scratchnn LINE` in a folder that holds two runs of a model of points."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")
    duel.install(monkeypatch)

    def run(line):
        try:
            code = cli.main(line.split())
        except SystemExit as stop:  # argparse's --help
            code = stop.code
        return code, *capsys.readouterr()

    return run


def frames(path):
    """(picture, how long it is shown in ms) of each frame of a GIF."""
    with Image.open(path) as gif:
        found = []
        for i in range(gif.n_frames):
            gif.seek(i)
            found.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
    return found


# ---- sample ---------------------------------------------------------------------
def test_sample_takes_the_models_own_options(scratchnn):
    scratchnn("train duel --steps 3 --k 1")
    code, out, err = scratchnn("sample runs/duel --seed 1 --label 3 --two-words on")
    assert (code, err) == (0, "")
    assert out == "runs/duel/sample.png: 2,000 samples, seed 1\n"
    assert scratchnn("sample runs/duel -n 5000")[0] == 0  # points: many fit on a sheet
    text = scratchnn("sample runs/duel --help")[1]
    assert "options of duel" in text and "--label" in text and "--two-words" in text
    assert "--label" not in scratchnn("sample --help")[1]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--label 12", "--label: expected a whole number of at most 9, got '12'"),
        ("--label 7", "--label 7 needs a model with labels"),
        ("--two-words yes", "--two-words: expected on or off, got 'yes'"),
        ("--lable 3", "unknown option --lable; did you mean '--label'?"),
        ("--two_words on", "unknown option --two_words; did you mean '--two-words'?"),
    ],
)
def test_wrong_options_of_a_model_are_said_in_one_line(scratchnn, line, text):
    scratchnn("train duel --steps 3 --k 1")
    said = f"scratchnn sample: {text}\n"
    assert scratchnn(f"sample runs/duel {line}") == (2, "", said)


def test_options_are_not_looked_for_where_there_is_no_run(scratchnn):
    said = "scratchnn sample: there is no run in nix; scratchnn train vae makes one\n"
    assert scratchnn("sample nix --label 3") == (2, "", said)


# ---- animate --------------------------------------------------------------------
def test_a_run_can_be_animated_in_training_and_in_sampling(scratchnn):
    last = scratchnn("train duel --steps 9")[1].splitlines()[-1]
    assert last.endswith("; to see it learn: scratchnn animate runs/duel")
    code, out, err = scratchnn("animate runs/duel")
    assert (code, err) == (0, "")
    assert out.startswith("runs/duel/training.gif: 10 frames, ")
    found = frames("runs/duel/training.gif")
    assert len(found) == 10  # titles differ, or else equal frames would be one
    assert found[0][1] > 10 * found[1][1] < found[-1][1]  # the first and last stay
    code, out, err = scratchnn("animate runs/duel --of sampling --out x.gif --fps 2")
    assert (code, err) == (0, "") and out.startswith("x.gif: 3 frames, ")
    assert [ms for _, ms in frames("x.gif")] == [1500, 500, 1500]
    assert not [p for p in Path().rglob(".*")]


def test_pictures_are_animated_as_a_sheet(scratchnn):
    scratchnn("train duel --data digits --steps 2")
    assert scratchnn("animate runs/duel")[1].startswith("runs/duel/training.gif: 3 fra")
    first = frames("runs/duel/training.gif")[0][0]
    assert first.shape[1] > 300 and len(np.unique(first)) > 5


def test_an_unfinished_run_can_be_animated(scratchnn):
    scratchnn("train duel --steps 3")
    path = Path("runs/duel/config.json")
    path.write_text(path.read_text().replace('"total": 3', '"total": 400'))
    assert scratchnn("animate runs/duel")[0] == 0


WRONG = {
    "animate": "RUN is missing; see --help",
    "animate nix": "there is no run in nix; scratchnn train vae makes one",
    "animate nix --of life": "--of: expected training or sampling, got 'life'",
    "animate nix --out x.mp4": "--out: expected a name that ends in .gif, got 'x.mp4'",
    "animate nix --out=": "--out: expected a name, got ''",
    "animate nix --fps 0": "--fps: expected a whole number of at least 1, got '0'",
    "animate nix --fps 51": "--fps: expected a whole number of at most 50, got '51'",
    "animate nix --fsp 5": "unknown option --fsp; did you mean '--fps'?",
    "animate runs/duel --out no/x.gif": "--out no/x.gif: No such file or directory",
}


@pytest.mark.parametrize("line", WRONG)
def test_animating_says_in_one_line_what_is_wrong(scratchnn, line):
    if "runs/duel" in line:
        scratchnn("train duel --steps 2")
    assert scratchnn(line) == (2, "", f"scratchnn animate: {WRONG[line]}\n")


def test_what_cannot_be_animated_is_said_with_what_can(scratchnn, monkeypatch):
    scratchnn("train duel --steps 2")
    with monkeypatch.context() as patch:
        patch.delattr(duel, "chain")
        assert scratchnn("animate runs/duel --of sampling")[2] == (
            "scratchnn animate: duel samples in one go, there is no way to show; "
            "--of training shows how it learned\n"
        )
    with monkeypatch.context() as patch:
        patch.delattr(duel, "snapshot")
        assert scratchnn("animate runs/duel")[2] == (
            "scratchnn animate: duel keeps no samples while it learns; --of sampling "
            "shows how it samples\n"
        )
    for file in Path("runs/duel/snapshots").iterdir():
        file.unlink()
    assert scratchnn("animate runs/duel")[2] == (
        "scratchnn animate: the run in runs/duel kept no samples while it learned; "
        "train it again: scratchnn train duel --out runs/duel\n"
    )


def test_a_long_way_is_cut_down_to_100_frames_with_both_ends(scratchnn, monkeypatch):
    scratchnn("train duel --steps 2")
    way = [(f"t = {t}", np.full((3, 2), t)) for t in range(1001)]
    monkeypatch.setattr(duel, "chain", lambda *_: iter(way))
    drawn = []

    def animate(frames, titles, path, fps, data, colours):
        drawn.extend(zip(titles, frames))
        path.write_text("")

    monkeypatch.setattr(plot, "animate", animate)
    assert scratchnn("animate runs/duel --of sampling")[0] == 0
    assert len(drawn) == 100
    assert [title for title, _ in drawn[::99]] == ["t = 0", "t = 1000"]


# ---- what is drawn --------------------------------------------------------------
def blue(picture):
    """Rows and columns of the pixels that have the colour of the samples."""
    colour = 255 * np.array(to_rgb(plot.COLOURS[0]))
    near = np.abs(picture - colour).sum(axis=2) < 120
    return np.argwhere(near)


def test_points_have_the_same_axes_in_all_frames(tmp_path):
    corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32)
    clouds = [np.repeat(corners, 50, axis=0) * scale for scale in (1, 0.5, 2)]
    plot.animate(clouds, "abc", tmp_path / "x.gif", fps=5)
    spread = [np.ptp(blue(picture)[:, 1]) for picture, _ in frames(tmp_path / "x.gif")]
    assert spread[1] / spread[0] == pytest.approx(0.5, abs=0.03)
    assert spread[2] / spread[0] == pytest.approx(2, abs=0.06)


def test_a_lost_point_and_what_is_not_finite_do_not_shrink_the_rest(tmp_path):
    x = np.random.default_rng(0).standard_normal((500, 2))
    x[0], x[1], x[2] = 1e6, np.inf, np.nan
    axes = plot.samples(x).axes[0]
    width, height = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    assert width == pytest.approx(height) and width < 8
    plot.animate([x, x * np.nan], "ab", tmp_path / "x.gif")


def test_an_untrained_models_far_points_do_not_shrink_the_data():
    data = np.array([[-1.0, 0], [1, 0], [0, 1]])
    axes = plot.samples(1000 * np.random.default_rng(0).standard_normal((99, 2)), data)
    low, high = axes.axes[0].get_xlim()
    assert -1.7 < low < -1.6 and 1.6 < high < 1.7


def test_data_lie_behind_the_samples_and_inside_of_the_axes():
    data = np.array([[-5.0, 0], [3, 0]])
    axes = plot.samples(np.zeros((9, 2)), data).axes[0]
    assert [line.get_label() for line in axes.lines] == ["data", "samples"]
    low, high = axes.get_xlim()
    assert low < -5 and high > 3


@pytest.mark.parametrize("wrap", [np.asarray, Tensor])
def test_samples_are_drawn_by_their_shape(wrap):
    x = np.random.default_rng(0).uniform(size=(30, 8, 8)).astype(np.float32)
    sheet = plot.samples(wrap(x)).axes[0].images[0].get_array()
    assert np.array_equal(sheet, plot.mosaic(x, 10))
    points = plot.samples(wrap(x[:, 0, :2])).axes[0].lines[-1].get_xydata()
    assert np.allclose(points, x[:, 0, :2])
    with pytest.raises(ValueError, match=r"shape \(30, 64\) can't be drawn; expected"):
        plot.samples(wrap(x.reshape(30, 64)))


def test_a_sheet_of_mnist_in_40_frames_is_a_small_file(tmp_path):
    from scratchnn.data import digits

    x = np.kron(digits("train").x[:100], np.ones((3, 3), np.float32))
    x = np.pad(x[:, :24, :24], ((0, 0), (2, 2), (2, 2)))  # (100, 28, 28)
    rng = np.random.default_rng(0)
    way = [
        np.sqrt(1 - t) * x + np.sqrt(t) * rng.standard_normal(x.shape)
        for t in np.linspace(1, 0, 40)
    ]
    path = tmp_path / "x.gif"
    plot.animate(way, [f"t = {t}" for t in range(40)], path)
    assert path.stat().st_size < 3e6
    assert [p.name for p in tmp_path.iterdir()] == ["x.gif"]


def test_no_half_written_gif_is_left(tmp_path):
    def titles():
        yield "one"
        raise KeyboardInterrupt

    path = tmp_path / "x.gif"
    path.write_text("the one before")
    with pytest.raises(KeyboardInterrupt):
        plot.animate([np.zeros((3, 2))] * 4, titles(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.gif"]
    assert path.read_text() == "the one before"
    with pytest.raises(ValueError, match="no frames to draw"):
        plot.animate([], [], path)
