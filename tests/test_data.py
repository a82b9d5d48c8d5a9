"""The bundled sets, the points in the plane, the registry, the default generator."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnn.random
from scratchnn import data

TOY = [name for name, entry in data.DATASETS.items() if entry.kind == "2-D"]
CLASSES = {
    "moons": 2,
    "circles": 2,
    "spirals": 2,
    "swiss_roll": 3,
    "checkerboard": 8,
    "ring": 8,
    "grid": 25,
}
EPS = float(np.finfo(np.float32).eps)  # coordinates reach 4: rounded by at most 2 EPS

over_n = settings(max_examples=40, deadline=None)
sizes = given(n=st.integers(0, 300), seed=st.integers(0, 2**32))


def seeded(seed):
    return np.random.default_rng(seed)


# Bundled sets


def test_digits_are_the_1797_images_of_the_uci_test_file():
    x, y = data.digits()
    assert x.shape == (1797, 8, 8) and x.dtype == np.float32
    assert y.shape == (1797,) and y.dtype == np.int64
    assert x.min() == 0 and x.max() == 1
    assert (x.astype(np.float64) * 16).sum() == 561718
    assert np.bincount(y).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180
    ]  # fmt: skip
    first_zero = [0, 0, 5, 13, 9, 1, 0, 0]
    assert (x[0, 0] * 16).tolist() == first_zero and y[:10].tolist() == list(range(10))


def test_digits_equal_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs, ours = datasets.load_digits(), data.digits()
    assert np.array_equal(ours.x * 16, theirs.images)
    assert np.array_equal(ours.y, theirs.target)


def test_digits_train_and_test_are_the_file_cut_at_1437():
    both, train, test = data.digits(), data.digits("train"), data.digits("test")
    assert len(train.x) == len(train.y) == 1437
    assert len(test.x) == len(test.y) == 360
    assert np.array_equal(np.concatenate([train.x, test.x]), both.x)
    assert np.array_equal(np.concatenate([train.y, test.y]), both.y)


def test_digits_refuses_an_unknown_split():
    with pytest.raises(ValueError) as error:
        data.digits("valid")
    assert str(error.value) == "split is 'valid', expected 'all', 'train' or 'test'"


def test_nearest_training_digit_is_right_for_956_in_1000_test_digits():
    train, test = data.digits("train"), data.digits("test")
    a, b = test.x.reshape(360, 64), train.x.reshape(1437, 64)
    distance = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)  # (360, 1437)
    right = train.y[distance.argmin(axis=1)] == test.y
    assert round(right.mean(), 3) == 0.956  # the figure in the docstring


def test_karate_club_has_zacharys_counts():
    club = data.karate_club()
    x, edge_index, y = club.x, club.edge_index, club.y
    assert edge_index.shape == (2, 156) and edge_index.dtype == np.int64
    assert edge_index.flags.c_contiguous
    assert np.array_equal(x, np.eye(34)) and x.dtype == np.float32
    assert np.bincount(y).tolist() == [17, 17] and y.dtype == np.int64
    degree = np.bincount(edge_index[0], minlength=34)
    assert degree[0] == 16 and degree[33] == 17 and degree[11] == 1
    assert y[0] == 0 and y[33] == 1
    assert y[8] == 0  # member 9 joined the instructor, against the paper's prediction


def test_karate_club_holds_each_friendship_both_ways_and_no_loop():
    source, target = data.karate_club().edge_index
    pairs = set(zip(source.tolist(), target.tolist()))
    assert len(pairs) == 156
    assert all((v, u) in pairs and u != v for u, v in pairs)
    assert (22, 33) in pairs  # the edge that the 77-edge version lacks
    assert sorted(pairs) == list(zip(source.tolist(), target.tolist()))


def test_karate_club_equals_that_of_networkx():
    networkx = pytest.importorskip("networkx")
    theirs, ours = networkx.karate_club_graph(), data.karate_club()
    assert set(map(frozenset, ours.edge_index.T.tolist())) == set(
        map(frozenset, theirs.edges())
    )
    clubs = [theirs.nodes[node]["club"] == "Officer" for node in range(34)]
    assert ours.y.tolist() == clubs


# Points in the plane


@over_n
@sizes
@pytest.mark.parametrize("name", TOY)
def test_points_have_n_rows_float32_and_int64_labels_in_range(name, n, seed):
    x, y = data.load(name, n, rng=seeded(seed))
    assert x.shape == (n, 2) and x.dtype == np.float32
    assert y.shape == (n,) and y.dtype == np.int64
    assert set(y.tolist()) <= set(range(CLASSES[name]))


@pytest.mark.parametrize("name", TOY)
def test_classes_are_equally_likely(name):
    k, n = CLASSES[name], 5000
    counts = np.bincount(data.load(name, n, rng=seeded(0)).y, minlength=k)
    assert np.abs(counts - n / k).max() < 5 * np.sqrt(n / k)  # 5 standard deviations


@over_n
@sizes
def test_moons_lie_on_two_half_circles(n, seed):
    x, y = data.moons(n, noise=0, rng=seeded(seed))
    centre = np.where(y[:, None] == 0, [0, 0], [1, 0.5])
    assert np.allclose(np.hypot(*(x - centre).T), 1, atol=4 * EPS)
    assert (x[y == 0, 1] >= 0).all() and (x[y == 1, 1] <= 0.5).all()


@over_n
@sizes
def test_circles_have_radius_1_and_one_half(n, seed):
    x, y = data.circles(n, noise=0, rng=seeded(seed))
    assert np.allclose(np.hypot(*x.T), np.array([1, 0.5])[y], atol=4 * EPS)


@over_n
@sizes
@pytest.mark.parametrize(
    "draw, centres, sigma",
    [(data.ring, data.ring_centres(), 0.02), (data.grid, data.grid_centres(), 0.05)],
)
def test_gaussians_stay_within_8_sigma_of_their_own_centre(
    draw, centres, sigma, n, seed
):
    x, y = draw(n, rng=seeded(seed))
    # P(|z| > 8) = exp(-32) = 1e-14 for one point
    assert (np.hypot(*(x - centres[y]).T) < 8 * sigma).all()
    assert np.allclose(draw(n, noise=0, rng=seeded(seed)).x, centres[y], atol=2 * EPS)


@pytest.mark.parametrize(
    "draw, centres, sigma",
    [(data.ring, data.ring_centres(), 0.02), (data.grid, data.grid_centres(), 0.05)],
)
def test_gaussians_have_the_stated_sigma(draw, centres, sigma):
    x, y = draw(20_000, rng=seeded(0))
    variance = ((x - centres[y]) ** 2).mean()
    # the mean of 40,000 squares of N(0, sigma^2) is off by sqrt(2 / 40,000) = 0.7 %
    assert abs(variance / sigma**2 - 1) < 5 * np.sqrt(2 / 40_000)


def test_ring_centres_are_8_points_at_radius_2_from_angle_0():
    centres = data.ring_centres()
    assert centres.shape == (8, 2)
    assert np.allclose(np.hypot(*centres.T), 2)
    assert np.allclose(centres[[0, 2, 4, 6]], [[2, 0], [0, 2], [-2, 0], [0, -2]])
    gaps = np.hypot(*(centres - np.roll(centres, 1, axis=0)).T)
    assert np.allclose(gaps, 4 * np.sin(np.pi / 8))


def test_grid_centres_are_the_25_points_2_apart_from_minus_4_to_4():
    steps = [-4, -2, 0, 2, 4]
    assert data.grid_centres().tolist() == [[a, b] for a in steps for b in steps]


@over_n
@sizes
def test_swiss_roll_winds_one_and_a_half_turns(n, seed):
    x, y = data.swiss_roll(n, noise=0, rng=seeded(seed))
    r = np.hypot(*x.T.astype(np.float64))
    t = 4.5 * np.pi * r
    assert ((1 / 3 - EPS <= r) & (r <= 1 + EPS)).all()
    # an error of EPS in r turns t by 14 EPS
    assert np.allclose(x, (r * [np.cos(t), np.sin(t)]).T, atol=20 * EPS)
    half_turn = t / np.pi - 1.5
    assert ((y - 20 * EPS <= half_turn) & (half_turn <= y + 1 + 20 * EPS)).all()


@over_n
@sizes
def test_checkerboard_fills_the_dark_square_that_y_names(n, seed):
    x, y = data.checkerboard(n, rng=seeded(seed))
    dark = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    corner = 2 * np.array(dark)[y] - 4
    assert ((corner <= x) & (x <= corner + 2)).all()


def test_checkerboard_is_uniform_in_each_square():
    x, _ = data.checkerboard(20_000, rng=seeded(0))
    inside = np.mod(x + 4, 2)
    # uniform on [0, 2]: mean 1, variance 1/3
    assert np.abs(inside.mean(axis=0) - 1).max() < 5 * np.sqrt(1 / 3 / 20_000)
    assert np.abs(inside.var(axis=0) - 1 / 3).max() < 0.01


@over_n
@sizes
def test_spirals_have_two_arms_half_a_turn_apart(n, seed):
    x, y = data.spirals(n, noise=0, rng=seeded(seed))
    r = np.hypot(*x.T.astype(np.float64))
    t = np.pi * (3 * r + y)
    assert ((0.1 - EPS <= r) & (r <= 1 + EPS)).all()
    assert np.allclose(x, (r * [np.cos(t), np.sin(t)]).T, atol=20 * EPS)


@pytest.mark.parametrize("name", TOY)
def test_noise_is_a_standard_deviation(name):
    clean = data.load(name, 20_000, noise=0, rng=seeded(3))
    noisy = data.load(name, 20_000, noise=0.3, rng=seeded(3))
    assert np.array_equal(clean.y, noisy.y)
    assert abs((noisy.x - clean.x).std() / 0.3 - 1) < 5 / np.sqrt(2 * 40_000)


@pytest.mark.parametrize("name", TOY)
def test_same_rng_gives_the_same_points_and_another_gives_others(name):
    first, again = (data.load(name, 50, rng=seeded(7)) for _ in range(2))
    assert np.array_equal(first.x, again.x) and np.array_equal(first.y, again.y)
    assert not np.array_equal(first.x, data.load(name, 50, rng=seeded(8)).x)


@pytest.mark.parametrize("name", TOY)
def test_points_without_rng_follow_manual_seed(name):
    draws = []
    for seed in (1, 1, 2):
        scratchnn.random.manual_seed(seed)
        draws.append(data.load(name, 20).x)
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize("name", TOY)
def test_points_refuse_negative_n_and_negative_noise(name):
    with pytest.raises(ValueError) as error:
        data.load(name, -3)
    assert str(error.value) == "n is -3, expected a number of points of at least 0"
    with pytest.raises(ValueError) as error:
        data.load(name, 10, noise=-0.1)
    assert str(error.value) == (
        "noise is -0.1, expected a standard deviation of at least 0"
    )


# The default generator


def test_default_rng_is_the_one_given_or_the_librarys():
    rng = seeded(0)
    assert scratchnn.random.default_rng(rng) is rng
    assert scratchnn.random.default_rng() is scratchnn.random.default_rng(None)


def test_default_rng_refuses_a_bare_seed():
    with pytest.raises(TypeError) as error:
        scratchnn.random.default_rng(0)
    assert str(error.value) == (
        "rng is 0, expected a numpy.random.Generator; "
        "write rng=numpy.random.default_rng(0), with a seed of your choice"
    )


def test_state_survives_json_and_restores_the_draws():
    scratchnn.random.manual_seed(5)
    rng = scratchnn.random.default_rng()
    rng.random(3, dtype=np.float32)  # leaves half a 64-bit word in the state
    saved = json.loads(json.dumps(scratchnn.random.get_state()))
    expected = rng.random(9, dtype=np.float32)
    scratchnn.random.manual_seed(6)
    scratchnn.random.set_state(saved)
    assert np.array_equal(rng.random(9, dtype=np.float32), expected)


def test_manual_seed_is_numpys_generator_with_that_seed():
    scratchnn.random.manual_seed(11)
    ours = scratchnn.random.default_rng().random(4)
    expected = np.random.Generator(np.random.PCG64(11)).random(4)
    assert np.array_equal(ours, expected)


# The registry


def test_registry_names_every_set_and_loads_it_by_name():
    assert sorted(data.DATASETS) == [
        "addition", "checkerboard", "circles", "citeseer", "copying", "cora", "dates",
        "digits", "enzymes", "fashion_mnist", "grid", "karate_club", "mnist",
        "molecules", "moons", "multi30k", "mutag", "names", "proteins", "pubmed",
        "python", "reversing", "ring", "shakespeare", "spirals", "swiss_roll",
    ]  # fmt: skip
    for name, entry in data.DATASETS.items():
        assert entry.name == name and entry.load is getattr(data, name)
        assert entry.kind in ("images", "2-D", "graph", "graphs", "text", "pairs")
        assert entry.counts and entry.licence and entry.source
    assert np.array_equal(data.load("digits", "test").x, data.digits("test").x)


def test_available_knows_what_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.delenv("SCRATCHNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status = data.available()
    assert status["digits"] == status["karate_club"] == "bundled"
    assert {status[name] for name in TOY} == {"generated"}
    assert status["mnist"] == status["fashion_mnist"] == "not downloaded"

    for file in data.DATASETS["mnist"].files:
        path = tmp_path / "scratchnn" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(file.size))
    assert data.available()["mnist"] == "downloaded"
    path.write_bytes(b"half a file")
    assert data.available()["mnist"] == "not downloaded"


def test_unknown_name_suggests_the_nearest():
    listing = (
        "There are: addition, checkerboard, circles, citeseer, copying, cora, dates, "
        "digits, enzymes, fashion_mnist, grid, karate_club, mnist, molecules, moons, "
        "multi30k, mutag, names, proteins, pubmed, python, reversing, ring, "
        "shakespeare, spirals, swiss_roll"
    )
    with pytest.raises(ValueError) as error:
        data.load("mnits")
    assert str(error.value) == (
        f"no data set named 'mnits'; did you mean 'mnist'? {listing}"
    )
    with pytest.raises(ValueError) as error:
        data.load("xyz")
    assert str(error.value) == f"no data set named 'xyz'. {listing}"


# The package


def test_import_is_light():
    heavy = "{'matplotlib', 'numba', 'pooch', 'requests', 'tqdm', 'scipy'}"
    code = f"import sys, scratchnn.data; print({heavy} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"


def test_package_needs_only_generator_errors_and_sparse_matrices_of_the_library():
    for path in Path(data.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert all("scratchnn" not in alias.name for alias in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert "scratchnn" not in (node.module or ""), path
                known = ("random", "errors", "ops.sparse")  # a graph is its matrix
                assert node.level < 2 or node.module in known, (path, node.module)
