"""Errors say what was given, what was expected, and the fix: exact strings."""

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import AnomalyError, Tensor, detect_anomaly

X = Tensor(np.ones((5, 3), np.float32), requires_grad=True)


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (
            lambda: X + np.ones(5),
            snn.ShapeError,
            "add: shapes (5, 3) and (5,) clash at axis -1: 3 against 5; make them "
            "equal, or one of them 1 to broadcast. To meet axis 0, reshape (5,) to "
            "(5, 1)",
        ),
        (
            lambda: X @ np.ones((5, 3)),
            snn.ShapeError,
            "matmul: (5, 3) @ (5, 3) sums axis -1 of a (3) with axis -2 of b (5); the "
            "transpose of b, (3, 5), would fit",
        ),
        (
            lambda: X @ np.ones((5, 2)),
            snn.ShapeError,
            "matmul: (5, 3) @ (5, 2) sums axis -1 of a (3) with axis -2 of b (5); the "
            "transpose of a, (3, 5), would fit",
        ),
        (
            lambda: X @ np.ones(4),
            snn.ShapeError,
            "matmul: (5, 3) @ (4,) sums axis -1 of a (3) with axis 0 of b (4); b needs "
            "3 there",
        ),
        (
            lambda: snn.linear(np.ones((32, 100)), X),
            snn.ShapeError,
            "linear: input (32, 100) needs last axis 3 to match weight (5, 3)",
        ),
        (
            lambda: snn.linear(np.ones((2, 3)), X, np.ones(4)),
            snn.ShapeError,
            "linear: bias (4,) needs shape (5,) to match weight (5, 3)",
        ),
        (
            lambda: X.reshape(4, 4),
            snn.ShapeError,
            "reshape: (5, 3) has 15 elements but (4, 4) needs 16; -1 for one axis "
            "infers it",
        ),
        (
            lambda: X.reshape(4, -1),
            snn.ShapeError,
            "reshape: (5, 3) has 15 elements, not a multiple of the 4 in (4, -1)",
        ),
        (
            lambda: X.sum(axis=2),
            snn.ShapeError,
            "sum: axis 2 does not exist in shape (5, 3); it has axes 0 to 1",
        ),
        (
            lambda: snn.concatenate([X, np.ones((4, 3))], axis=1),
            snn.ShapeError,
            "concatenate: xs[1] has shape (4, 3), xs[0] (5, 3): axis 0 differs; only "
            "axis 1 may",
        ),
        (
            lambda: snn.concatenate([X, np.ones(3)]),
            snn.ShapeError,
            "concatenate: xs[1] has shape (3,), xs[0] (5, 3): they need as many axes",
        ),
        (
            lambda: snn.sum(X, axes=1),
            TypeError,
            "sum(x, axis=None, keepdims=False): got an unexpected keyword argument "
            "'axes'; did you mean 'axis'?",
        ),
        (
            lambda: X[7],
            IndexError,
            "getitem: index 7 is out of bounds for axis 0 with size 5 (given x (5, 3) "
            "float32, index=7)",
        ),
        (
            lambda: snn.split(X, 2),
            ValueError,
            "split: axis 0 of length 5 does not divide into 2 equal parts; give a list "
            "of indices to cut before",
        ),
    ],
)
def test_exact_text(call, kind, text):
    with pytest.raises(kind) as e:
        call()
    assert str(e.value) == text


def test_detect_anomaly_names_the_first_op():
    with pytest.raises(AnomalyError) as e, detect_anomaly():
        snn.exp(snn.log(X - 2.0)).sum()
    assert str(e.value) == (
        "log: made nan at 15 of 15 entries, the first at index (0, 0); its inputs: "
        "(5, 3) from -1 to -1"
    )


def test_detect_anomaly_names_the_rule_of_a_bad_gradient():
    x = Tensor(np.array([4.0, 0.0]), requires_grad=True)
    with pytest.raises(AnomalyError) as e, detect_anomaly():
        snn.sqrt(x).sum().backward()
    assert str(e.value) == (
        "sqrt: made infinity in the gradient by x at 1 of 2 entries, the first at "
        "index (1,); its inputs: (2,) from 1 to 1, (2,) from 0 to 4"
    )


def test_a_mask_of_minus_infinity_is_no_anomaly():
    with detect_anomaly():
        scores = snn.where(np.array([True, False, True]), np.ones(3), -np.inf)
        snn.softmax(scores)


def test_detect_anomaly_leaves_the_table_as_it_was():
    before = [(e.run, e.rules, e.fast_rule) for e in snn.TABLE.values()]
    with pytest.raises(ZeroDivisionError), detect_anomaly():
        1 / 0
    assert before == [(e.run, e.rules, e.fast_rule) for e in snn.TABLE.values()]
