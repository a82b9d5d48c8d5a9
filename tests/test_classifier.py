"""The classifier that judges samples, its recipe, and the judge of the quality runs."""

import os
import pathlib
import sys

import numpy as np
import pytest

from scratchnn import no_grad, optim, plot
from scratchnn.data import DataLoader, digits, mnist
from scratchnn.models import classifier
from scratchnn.recipes import classifier as recipe

sys.path.append(str(pathlib.Path(__file__).parent / "benchmarks" / "quality"))

import judge as judging  # noqa: E402

N, SHAPE = 6, (8, 12)
RNG = np.random.default_rng


def small(seed=0):
    model = classifier.Classifier(SHAPE, 4, channels=(3, 5), width=7, rng=RNG(seed))
    for p in model.parameters():  # float64, so that equations can be held tightly
        p.data = p.data.astype(np.float64)
    for name, x in model.state_dict().items():  # as if it had seen data
        if "running" in name:
            model.load_state_dict({name: RNG(9).uniform(0.5, 2, x.shape)}, strict=False)
    return model.eval()


def pictures(n=N, seed=1):
    rng = RNG(seed)
    return rng.uniform(0, 1, (n, *SHAPE)), rng.integers(0, 4, n)


# ---- the model ------------------------------------------------------------------
def test_features_are_convolutions_relu_and_pooling_as_scipy_computes_them():
    signal = pytest.importorskip("scipy.signal", reason="the convolution is SciPy's")
    model, (x, _) = small(), pictures(2)
    state = model.state_dict()

    def norm(h, name):  # h (channels, ...)
        weight, bias, mean, var = (
            state[f"body.{name}.{part}"].reshape(-1, *[1] * (h.ndim - 1))
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return np.maximum(weight * (h - mean) / np.sqrt(var + 1e-5) + bias, 0)

    def stage(h, i):  # h (channels, H, W)
        weight = state[f"body.{i}.weight"]
        h = [sum(signal.correlate2d(*p, "same") for p in zip(h, w)) for w in weight]
        h = norm(np.array(h), i + 1)
        c, H, W = h.shape
        return h.reshape(c, H // 2, 2, W // 2, 2).max(axis=(2, 4))

    for picture, logits, features in zip(x, model(x).data, model.features(x).data):
        h = np.ravel(stage(stage([picture], 0), 4))
        h = norm(state["body.9.weight"] @ h, 10)
        np.testing.assert_allclose(features, h, atol=1e-6)  # statistics are float32
        expected = state["head.weight"] @ h + state["head.bias"]
        np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_the_loss_is_the_mean_surprise_and_the_share_of_mistakes():
    model, (x, y) = small(), pictures()
    found = classifier.losses(model, x, y)
    p = classifier.probabilities(model, x)
    surprise = [-np.log(p[n, y[n]]) for n in range(N)]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert float(found.loss) == pytest.approx(np.mean(surprise))
    mistakes = sum(int(np.argmax(p[n])) != y[n] for n in range(N))
    assert found.wrong == mistakes / N == 1 - classifier.accuracy(model, x, y)


def test_blocks_do_not_show():
    model, (x, _) = small(), pictures()
    with no_grad():
        whole = model.features(x).data
    assert whole.shape == (N, 7) and whole.min() >= 0
    np.testing.assert_allclose(classifier.features(model, x, block=4), whole)
    p = classifier.probabilities(model, x)
    np.testing.assert_allclose(classifier.probabilities(model, x, block=1), p)


def test_pictures_are_judged_apart_from_the_others_also_in_training():
    model, (x, _) = small(), pictures()
    whole = classifier.features(model, x)
    model.train()  # in which a batch is normalised by itself
    np.testing.assert_array_equal(classifier.features(model, x), whole)
    np.testing.assert_allclose(classifier.features(model, x[:1]), whole[:1])
    assert model.training and model.body[1].training
    assert abs(model.features(x).data - whole).max() > 0.01


def test_a_shape_that_can_not_be_halved_twice_is_refused():
    with pytest.raises(ValueError, match=r"shape is \(8, 10\), expected .* by 4"):
        classifier.Classifier((8, 10))


# ---- training -------------------------------------------------------------------
def test_moved_pictures_are_those_of_a_slow_loop():
    x, most = pictures(20)[0], 2
    down, right = RNG(3).integers(-most, most + 1, (2, 20))
    expected = np.zeros_like(x)
    for n, i, j in np.ndindex(x.shape):
        if 0 <= i + down[n] < x.shape[1] and 0 <= j + right[n] < x.shape[2]:
            expected[n, i + down[n], j + right[n]] = x[n, i, j]
    np.testing.assert_array_equal(classifier.moved(x, most, RNG(3)), expected)
    assert len({*zip(down, right)}) > 5
    np.testing.assert_array_equal(classifier.moved(x, 0, RNG(3)), x)


def trained(labels, epochs=6, seed=0):
    """The accuracy on the test digits after a short training with these labels."""
    rng, (x, _) = RNG(seed), digits("train")
    model = classifier.Classifier((8, 8), channels=(32, 64), rng=rng)
    loader = DataLoader((x, labels), 32, shuffle=True, rng=rng)
    batches = (batch for _ in range(epochs) for batch in loader)
    adam = optim.Adam(model.parameters(), lr=1e-3)
    steps = list(classifier.train(model, batches, adam, shift=1, rng=rng))
    assert len(steps) == epochs * len(loader)
    assert isinstance(steps[0].loss, float) and isinstance(steps[0].wrong, float)
    return classifier.accuracy(model, *digits("test"))


def test_training_learns_the_digits_and_nothing_from_shuffled_labels():
    y = digits("train").y
    assert trained(y) > 0.85
    assert trained(RNG(0).permutation(y), epochs=1) < 0.3


def test_a_training_step_on_another_device_is_the_step_on_the_cpu(device):
    def steps(put):
        model = classifier.Classifier(SHAPE, 4, (3, 5), 7, rng=RNG(0))
        for p in model.parameters():
            p.data = put(p.data)
        for layer in model.modules():  # and the running statistics
            for name, a in vars(layer).items():
                if isinstance(a, np.ndarray):
                    setattr(layer, name, put(a))
        x, y = pictures()
        batches = [(put(x.astype(np.float32)), put(y))] * 3
        adam = optim.Adam(model.parameters(), lr=0.01)
        losses = list(classifier.train(model, batches, adam, shift=1, rng=RNG(1)))
        return losses, [p.data for p in model.parameters()]

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-5)
    assert all(isinstance(p, device.array) for p in there[1])


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("SCRATCHNN_DATA"), reason="needs MNIST in SCRATCHNN_DATA"
)
def test_one_epoch_of_mnist_is_98_percent():
    rng = RNG(0)
    model = classifier.Classifier(rng=rng)
    loader = DataLoader(mnist("train"), 64, shuffle=True, rng=rng)
    adam = optim.Adam(model.parameters())
    for _ in classifier.train(model, loader, adam):
        pass
    assert classifier.accuracy(model, *mnist("test")) > 0.975


# ---- the recipe -----------------------------------------------------------------
def texts(figure):
    return [t.get_text() for t in figure.axes[0].texts]


def test_the_recipe_draws_what_the_classifier_says():
    config, test = dict(recipe.DATA["digits"], data="digits"), digits("test")
    model, _ = recipe.build(config, RNG(0))
    confusion, mistakes = recipe.figures(model, config, test, RNG(0))
    assert sum(map(int, texts(confusion))) == len(test.y) == 360
    right = classifier.accuracy(model, *test)
    assert f"{100 * right:.1f} % right" in confusion.axes[0].get_title(loc="left")
    assert len(texts(mistakes)) == 20 and "\nis " in texts(mistakes)[0]
    assert len(texts(recipe.sample(model, config, 7, RNG(0)))) == 7
    loss = recipe.losses(model.eval(), test, config, None)
    assert f"{100 * right:.1f} % of pictures" in recipe.words(loss, config)


def test_a_guess_says_the_class_and_the_truth_if_it_differs():
    p = np.array([[0.1, 0.9], [0.1, 0.9]])
    figure = plot.guesses(np.zeros((2, 8, 8)), [1, 0], p, ["bag", "coat"])
    assert texts(figure) == ["coat: 90 %", "coat: 90 %\nis bag"]


# ---- the judge ------------------------------------------------------------------
@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The judge of the digits, in a folder of its own."""
    return judging.judge("digits", tmp_path_factory.mktemp("judge"))


def test_the_judge_knows_its_digits_and_reports_on_real_ones(judge):
    assert judge.accuracy > 0.96
    found = judging.report(judge.test.x, by=judge)
    assert found["samples"] == found["held_out"] == 360
    assert found["frechet"] < 1e-6 and found["precision"] == found["recall"] == 1
    assert found["factor"] < 1.5 and sum(found["shares"]) == pytest.approx(1)
    fresh = judging.report(judge.train.x, by=judge)
    assert min(fresh["precision"], fresh["recall"]) > 0.6


def test_the_judge_sees_a_collapse_and_noise(judge):
    x, y = judge.train
    fair = judging.report(x[:360], by=judge)
    collapsed = judging.report(x[y == 3], by=judge)
    assert collapsed["factor"] > 10 and collapsed["entropy"] < 0.3
    assert collapsed["recall"] < 0.3 < 0.7 < collapsed["precision"]
    noise = judging.report(RNG(0).random((360, 8, 8)), by=judge)
    assert min(noise["frechet"], collapsed["frechet"]) > 10 * fair["frechet"]
    assert noise["precision"] < 0.5 and noise["recall"] < 0.1


def test_the_judge_refuses_samples_of_another_shape_or_range(judge):
    with pytest.raises(ValueError, match=r"shape \(5, 64\), expected \(N, 8, 8\)"):
        judge.features(np.zeros((5, 64)))
    with pytest.raises(ValueError, match=r"lie in \[-1, -1\], expected \[0, 1\]"):
        judge.probabilities(-np.ones((5, 8, 8)))


def test_the_judge_is_trained_once_and_again_if_its_recipe_changes(
    tmp_path, monkeypatch
):
    trained = []

    def training(model, name, config):
        trained.append(name)
        model.head.bias.data += len(trained)
        return []

    monkeypatch.setattr(judging, "training", training)

    def bias():
        judging.judge.cache_clear()
        return judging.judge("digits", tmp_path).model.head.bias.data[0]

    assert bias() == bias() and trained == ["digits"]
    monkeypatch.setitem(recipe.DATA["digits"], "shift", 2)
    assert bias() == bias() and trained == ["digits", "digits"]
