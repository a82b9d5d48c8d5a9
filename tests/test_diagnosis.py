"""The diagnosis: planted mistakes are caught and named, in words for students."""

import numpy as np
import pytest
from planted import ROWS, sigmoid, softmax
from planted_models import attention, attention_rule  # enters its rows, too

import scratchnn as snn
from scratchnn import plot
from scratchnn.gradcheck import GradcheckError, gradcheck
from scratchnn.plot import check

SIZES = [(5, 3, 2), (7, 5, 3), (11, 5, 2), (7, 4, 3)]  # n, d, m
_ids = [f"{row.id}-{row.make.__name__}" for row in ROWS]


def caught(row, seed, **options):
    """The report on a planted mistake; fails if the check is green."""
    f, backward, inputs = row.make(np.random.default_rng(seed), *SIZES[seed])
    rng = np.random.default_rng(seed + 99)
    with pytest.raises(GradcheckError) as e:
        gradcheck(f, *inputs, backward=backward, rng=rng, **options)
    return e.value.report


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_planted_mistake_is_caught(row):
    for seed in (1, 2):
        report = caught(row, seed)
        assert report.diagnosis and report.hint


@pytest.mark.parametrize("row", ROWS, ids=_ids)
def test_planted_mistake_is_caught_by_one_direction(row):
    if row.make.__name__ == "ties_all_take_everything":
        pytest.skip("a random direction breaks ties: mode='coords' sees them")
    caught(row, 1, mode="directional")


def test_at_least_85_percent_of_planted_mistakes_get_their_class():
    misses = {}
    for row in ROWS:
        letters = {caught(row, seed).letter for seed in (0, 3)}
        if letters != {row.letter}:
            misses[row.id, row.make.__name__] = letters, row.letter
    print("missed:", misses)
    assert len(misses) <= 0.15 * len(ROWS), misses


def test_planted_rows_are_many_and_of_every_class_a_check_can_see():
    assert len({row.id for row in ROWS if row.id[0] == "M"}) >= 40
    assert {row.letter for row in ROWS} == set("RSTHZNGIXWB")


# ---- drawn ----------------------------------------------------------------------
def drawn(row):
    return plot.gradcheck(caught(row, 1))


def test_heat_maps_share_one_scale_and_name_the_diagnosis():
    row = next(row for row in ROWS if row.id == "M11" and row.letter == "T")
    figure = drawn(row)
    maps = [axes.images[0] for axes in figure.axes if axes.images]
    titles = [m.axes.get_title("left") for m in maps]
    assert titles == ["numeric (right)", "analytic (yours)", "yours - right"]
    assert len({m.get_clim() for m in maps}) == 1 and maps[0].get_clim()[0] < 0
    difference = maps[1].get_array() - maps[0].get_array()
    np.testing.assert_array_equal(maps[2].get_array(), difference)
    assert "equals the right one transposed" in figure.get_suptitle()
    frames = len(maps[2].axes.patches)
    assert frames == 7 * 7 - 7  # all entries but the diagonal


def test_heat_maps_take_the_error_as_well():
    with pytest.raises(GradcheckError) as e:
        gradcheck(np.sin, normal(3, 2), backward=lambda g, x: g)
    assert len(plot.gradcheck(e.value).axes) == len(plot.gradcheck(e.value.report).axes)


def test_each_wrong_input_has_its_row_and_vectors_can_be_drawn():
    row = next(row for row in ROWS if row.id == "E18")
    figure = drawn(row)
    labels = [axes.get_ylabel().split("\n")[0] for axes in figure.axes]
    assert {name for name in labels if name} == {"W (5, 3)", "b (3,)"}


def test_colours_of_the_heat_maps_tell_the_sign_in_grey():
    rgb = check._SIGNED(np.linspace(0, 1, 33))[:, :3]
    assert (np.diff(rgb @ [0.299, 0.587, 0.114]) > 0).all()


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="nothing to draw: f gives different answers"):
        drawn(next(row for row in ROWS if row.id == "M35"))


# ---- one claim for each reading -------------------------------------------------
def reading(f, backward, *inputs, **options):
    with pytest.raises(GradcheckError) as e:
        gradcheck(f, *inputs, backward=backward, **options)
    return e.value.report


def normal(*shape):
    return np.random.default_rng(3).normal(size=shape)


@pytest.mark.parametrize(
    "factor, words",
    [
        (7, "n with n = 7: axis 0 of x"),
        (1 / 5, "1/n with n = 5: axis 1 of x"),
        (5**0.5, "sqrt(n) with n = 5"),
        (7**-0.5, "1/sqrt(n) with n = 7"),
        (35, "n with n = 35: all entries of x"),
        (6 / 7, "(n-1)/n with n = 7"),
        (2, "2: the 2 of a square"),
        (-0.5, "-1/2: the 2 of a square"),
        (7 / 5, "n/m with n = 7: axis 0 of x, and m = 5: axis 1 of x"),
        (2 / 3, "2/3: an exponent or other number"),
        (0.6, "1 - p, such as a dropout of p = 0.4"),
        (1 / 0.9, "1/(1 - p), such as a dropout of p = 0.1"),
    ],
)
def test_constant_ratio_is_looked_up(factor, words):
    report = reading(np.sin, lambda g, x: factor * g * np.cos(x), normal(7, 5))
    assert report.letter == "R" and words in report.diagnosis


def test_mean_over_another_axis_is_no_dropout():
    k = np.array([0, 1, 3, 2, 0])

    def loss(x, k):
        return -np.log(softmax(x)[np.arange(5), k]).mean()

    def backward(g, x, k):
        return g * (softmax(x) - (k[:, None] == np.arange(4))) / 4

    text = reading(loss, backward, normal(5, 4), k).diagnosis
    assert "n = 5: axis 0 of x, and m = 4: axis 1 of x" in text
    assert "dropout" not in text


def test_size_as_small_as_an_exponent_gets_both_readings():
    text = reading(lambda x: x**3, lambda g, x: g * x * x, normal(3, 5)).diagnosis
    assert "1/n with n = 3" in text and "1/3: an exponent" in text


def test_number_among_the_inputs_explains_a_ratio():
    report = reading(lambda x, p: x / (1 - p), lambda g, x, p: g, normal(5, 3), 0.25)
    assert report.letter == "R" and "1 - p, p = 0.25" in report.diagnosis


def test_two_numbers_have_no_constant_ratio_without_a_meaning():
    report = reading(np.sin, lambda g, x: 0.7123 * g * np.cos(x), np.asarray(0.4))
    assert report.letter == "X"


@pytest.mark.parametrize(
    "shape, words",
    [
        ((7,), "axis 1 (length 5) is missing"),
        ((7, 5, 2), "axis 2 is one too many"),
        ((5, 7), "the same axes in another order"),
        ((3, 2), "has shape (3, 2), x has (7, 5)"),
    ],
)
def test_wrong_shape_names_both_and_the_axis(shape, words):
    report = reading(np.sin, lambda g, x: np.ones(shape), normal(7, 5))
    assert report.letter == "H" and words in report.diagnosis


def test_missing_unbroadcast_names_the_axis_to_sum():
    report = reading(
        lambda x, b: x * b, lambda g, x, b: (g * b, g * x), normal(7, 5), normal(5)
    )
    assert "axis 0 (length 7) should be summed over" in report.diagnosis


@pytest.mark.parametrize(
    "where, words",
    [
        (lambda x: x < 0, "x < 0"),
        (lambda x: (0 < x) & (x < 1), "0 < x < 1"),
        (lambda x: np.abs(x) > 1, "x outside (-1, 1)"),
        (lambda x: np.arange(5) % 2 == 1, "odd columns"),
        (lambda x: np.arange(7)[:, None] == 6, "the last row"),
        (lambda x: np.arange(7)[:, None] > 0, "all rows but the first"),
        (lambda x: np.arange(5) == 3, "column 3"),
        (lambda x: np.arange(7)[:, None] == np.arange(5), "the diagonal"),
        (lambda x: np.arange(7)[:, None] < np.arange(5), "the upper triangle"),
    ],
)
def test_region_is_named(where, words):
    def backward(g, x):
        return g * np.cos(x) * np.where(where(x), x + 2.5, 1.0)

    report = reading(np.sin, backward, normal(7, 5))
    assert report.letter == "G" and f"only at {words};" in report.diagnosis


def test_region_by_a_boolean_input_is_named():
    mask = np.random.default_rng(0).random((7, 5)) < 0.5
    report = reading(lambda x, m: np.sin(x) * m, lambda g, x, m: g * np.cos(x),
                     normal(7, 5), mask)  # fmt: skip
    assert "the output = 0" in report.diagnosis or "m is False" in report.diagnosis
    assert "there the slope is 0, yours is not" in report.diagnosis


def test_a_list_of_most_places_is_no_region():
    x = normal(4, 5)
    x[1, 2], x[3, 4] = 1e-4, -2e-4  # there tanh x = x nearly
    report = reading(np.tanh, lambda g, x: g * (1 - x * x), x)
    assert report.wrong.pop().sum() == 18
    assert report.letter == "X" and "region" in report.diagnosis
    report = reading(np.sin, lambda g, x: g * np.cos(x) * (1 + (x > -2)), normal(5))
    assert "entry" not in report.diagnosis


def test_agreement_at_one_point_is_an_accident():
    x = np.array([0.5, 1.0, 2.0])
    report = reading(lambda x: x**3, lambda g, x: 3 * g * x, x)
    assert report.letter == "X" and "times 1/(x)" in report.diagnosis


def test_one_entry_that_the_backward_reaches_is_no_accident():
    report = reading(lambda x: x.max(), lambda g, x: g * np.ones(5), normal(5))
    assert report.letter == "G" and "there the slope is 0" in report.diagnosis


def test_nan_at_a_tie_is_named_first():
    report = reading(lambda x: snn.std(x, axis=1), None, np.ones((3, 4)))
    assert report.letter == "N" and "nan at every entry" in report.diagnosis


def test_nan_is_placed():
    x = normal(7, 5)
    x[2, 3] = 0.0

    def backward(g, x):
        return g * x * x / x * 2

    with np.errstate(invalid="ignore"):
        report = reading(lambda x: x * x, backward, x)
    assert report.letter == "N" and "nan at x = 0" in report.diagnosis


def test_transpose_is_found_where_the_sides_differ():
    report = reading(lambda W: normal(7, 5) @ W, lambda g, W: g.T @ normal(7, 5),
                     normal(5, 3))  # fmt: skip
    assert report.letter == "T" and "its transpose is right" in report.diagnosis


def test_factor_of_the_chain_rule_is_named():
    def loss(p, t):
        return -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum()

    p, t = sigmoid(normal(7, 5)), sigmoid(normal(5, 7).T)
    report = reading(loss, lambda g, p, t: (g * (p - t), g * np.log((1 - p) / p)), p, t)
    assert report.letter == "X" and "p * (1 - p)" in report.diagnosis


def test_wrong_inputs_are_named_and_right_ones_are_not():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=s) for s in ((5, 3), (7, 3), (7, 2))]
    report = reading(
        attention, lambda g, *x: attention_rule(g, *x, scale=False), *inputs
    )
    assert "by Q and K" in report.diagnosis and not report.wrong[2].any()


def test_softmax_rule_that_ones_would_hide_is_caught_by_a_drawn_g():
    """Sums over the row, not weighted by s: with g of ones it gives s * (1 - 1) = 0."""

    def wrong(g, x):
        return softmax(x) * (g - g.mean(-1, keepdims=True))

    assert not wrong(np.ones((5, 3)), normal(5, 3)).any()
    assert reading(softmax, wrong, normal(5, 3)).letter == "I"


def test_batch_norm_far_from_0_keeps_its_sum_rule():
    """The columns of dx times x_hat sum to 0; times x, the mean of x drowns it."""

    def norm(x):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    def variance_constant(g, x):
        return (g - g.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    report = reading(norm, variance_constant, 2 * normal(7, 4) + 100)
    assert report.letter == "I" and "times (x - its mean)" in report.diagnosis


@pytest.mark.parametrize(
    "f, slope",
    [
        (np.tanh, lambda x: 1 + np.tanh(x) ** 2),
        (sigmoid, lambda x: sigmoid(x) * (1 + sigmoid(x))),
        (lambda x: x**3, lambda x: 2 * x),
    ],
)
def test_wrong_formula_of_a_slope_is_to_be_tested_at_one_number(f, slope):
    report = reading(f, lambda g, x: g * slope(x), normal(5, 3))
    assert report.letter == "X" and "factor of its own" in report.hint


def test_wrong_formula_is_not_blamed_where_entries_mix():
    report = reading(lambda x: x @ x, lambda g, x: g @ x.T, normal(3, 3))
    assert report.letter == "X" and "factor of its own" not in report.hint


def test_constant_in_the_rule_is_asked_for():
    report = reading(np.sin, lambda g, x: g * np.cos(x) + 1e-5, normal(5, 3))
    assert "something added that does not depend on g" in report.hint


def test_rough_f_may_subtract_nearly_equal_numbers():
    flat = lambda x: snn.std(x * 1e-6 + 1, axis=1)
    report = reading(flat, None, 1e-4 * normal(5, 3))
    assert report.letter == "W" and "subtracts nearly equal" in report.hint


# ---- errors of a hand-written backward ------------------------------------------
def missing(g, x, w):
    g * w, g * x


@pytest.mark.parametrize(
    "backward, words",
    [
        (missing, "backward returned None"),
        (lambda g, x, w: g * w, "returned 1 gradient, expected 2: by x and w"),
        (lambda g, x, w: (g, g, g), "returned 3 gradients, expected 2: by x and w"),
        (lambda g, x: (g, g), "TypeError: <lambda>() takes 2 positional arguments"),
        (lambda g, x, w: {}["dx"], "KeyError: 'dx'"),
        (lambda g, x, w: (g.by(x), g), "AttributeError: 'numpy.ndarray' object has"),
        (lambda g, x, w: (g * y, g), "NameError: name 'y' is not"),  # noqa: F821
    ],
)
def test_error_of_a_backward_is_named(backward, words):
    report = reading(lambda x, w: x * w, backward, normal(5), normal(5))
    assert report.letter == "H" and words in report.diagnosis
    assert "called as backward(g, x, w)" in report.hint
    assert ("is `return` missing?" in report.hint) is (backward is missing)


def test_error_inside_f_stays_as_it_is():
    with pytest.raises(NameError):
        gradcheck(lambda x: x * unknown, normal(3))  # noqa: F821


def test_second_order_mistake_says_so():
    @snn.op
    def planted_cube(x):
        """x^3, with a rule that cuts its own slope."""
        return x * x * x

    square = planted_cube.rules(x=lambda g, _y, x: g * 3 * _value(x) * x)
    del snn.TABLE["planted_cube"]
    assert square is None and gradcheck(planted_cube, normal(5))
    report = reading(planted_cube, None, normal(5), order=2)
    assert report.order == 2 and "(order 2)" in str(report)
    assert report.letter == "R"  # 3x for 6x


def _value(x):
    return x.data if isinstance(x, snn.Tensor) else x


MESSAGE = """\
gradcheck of lambda failed; these are slopes of <g, f> for a random g:
  gradient by W (5, 3): 15 of 15 entries wrong, most at [4, 2]: analytic 0.722125, \
numeric 5.05488, relative error 8.6e-01
Diagnosis R (constant ratio): in the gradient by W, every entry is 0.142857 times the \
right one (1/n with n = 7: axis 0 of x, axis 0 of the output).
Look at: a mean where a sum belongs, a scale applied once more, or only one of several \
uses counted (gradients of all uses add up)."""


def test_the_whole_message():
    report = reading(
        lambda x, W: x @ W,
        lambda g, x, W: (g @ W.T, x.T @ g / len(x)),
        normal(7, 5),
        normal(5, 3),
        rng=np.random.default_rng(0),
    )
    assert str(report) == MESSAGE
