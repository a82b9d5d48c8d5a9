"""`scratchnn train text_to_image`: stages, exact resume, captions, what is refused."""

from argparse import ArgumentTypeError

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_train import assert_same_run, killed_at

from scratchnn import cli, data, no_grad, recipes, train

RECIPE = recipes.get("text_to_image")
RNG = np.random.default_rng
SHORT = dict(
    steps=9, text_steps=3, picture_steps=3, batch=8, width=8, d_text=8, layers=1, T=20,
    sampling=2,
)  # fmt: skip


def config(**options):
    base = {"model": "text_to_image", "data": "captions", "seed": 3, "device": "cpu"}
    return base | RECIPE.DATA["captions"] | SHORT | options


@pytest.fixture(autouse=True, scope="module")
def few():
    """Fewer pictures, so that runs are quick."""
    kept = RECIPE.TRAIN, RECIPE.TEST
    RECIPE.TRAIN, RECIPE.TEST = 60, 20
    RECIPE._pictures.cache_clear()
    yield
    RECIPE.TRAIN, RECIPE.TEST = kept
    RECIPE._pictures.cache_clear()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run through all three stages that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    train.train(train.new(config(), folder))
    return folder


@pytest.mark.parametrize("saved_at", [2, 3, 7])
def test_a_killed_run_goes_on_in_its_stage_bit_for_bit(tmp_path, straight, saved_at):
    killed_at(train.new(config(), tmp_path), step=saved_at + 1, saved_at=saved_at)
    run = train.resumed(tmp_path, {})
    learnt = [min(saved_at, 3), max(saved_at - 3, 0)]
    assert run.step == saved_at and run.model.learnt.tolist() == learnt
    train.train(run)
    assert_same_run(tmp_path, straight)


def rows(folder):
    lines = (folder / "log.csv").read_text().splitlines()[1:]
    lines = [line.split(",") for line in lines]
    return np.array([[float(v) for v in r[3:]] for r in lines if r[2] == "train"])


def test_words_are_learnt_first_then_pictures(straight):
    total, words, noise = rows(straight).T
    np.testing.assert_allclose(total, words + noise, rtol=1e-4)
    assert (noise[:3] == 1).all() and len(set(noise[3:])) == 6
    assert len(set(words[:3])) == 3 and len(set(words[3:])) == 1


def test_who_trains_the_encoder(tmp_path):
    """untrained: never. frozen: first. fine_tuned: first, and again at the end."""
    states = {}
    for kind in RECIPE.ENCODERS:
        states[kind] = []
        for steps in (1, 3, 9):
            folder = tmp_path / f"{kind}{steps}"
            run = train.new(config(encoder=kind, steps=steps), folder)
            list(run.steps())
            states[kind].append(run.model.network.encoder.state_dict())

    def moved(a, b):
        return any(not np.array_equal(a[k], b[k]) for k in a)

    first, text, end = zip(*(states[kind] for kind in RECIPE.ENCODERS))
    assert [moved(a, b) for a, b in zip(first, text)] == [True, True, False]
    assert [moved(a, b) for a, b in zip(text, end)] == [True, False, False]


# ---- words --------------------------------------------------------------------------
def test_held_out_captions_are_of_parts_that_were_seen():
    seen, held_out = RECIPE.seen_scenes()
    assert (len(seen), len(held_out)) == (120, 30)
    assert not {s.text for s in seen} & {s.text for s in held_out}
    for part in data.Scene._fields:
        assert {getattr(s, part) for s in held_out} <= {getattr(s, part) for s in seen}
    assert {s.digit for s in held_out} == set(range(10))
    ways = {s[1:] for s in held_out}
    assert len(ways) == 15  # no way to draw a digit is left out for all of them
    with_pictures, _, tokenizer = RECIPE.read(config())
    said = {tokenizer.decode(row) for row in with_pictures.y}
    assert said <= {s.text for s in seen}


def test_sentences_are_of_known_words_and_tell_one_number_from_another():
    rng, tokenizer = RNG(1), RECIPE.tokenizer()
    said = list(RECIPE.sentences(300, rng))
    assert {"two, three, four", "zero, one, two"} <= set(said)
    for text in said:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    doubled = [text.split(" are ") for text in said if " are " in text]
    for two, ones in doubled:
        first, second = ones.split(" and ")
        size, digit = first.split()[1:]
        assert first == second == f"a {size} {digit}"
        assert two in (f"two {size} {digit}s", f"two {size} {digit}es")
    assert RECIPE.tokens_of(said).shape == (300, RECIPE.L_MAX)


def test_captions_are_read_and_other_words_refused():
    for scene in data.scenes():
        assert RECIPE.caption(scene.text) == scene.text
    for wrong in ("", "a tiny seven", "7", ", ,"):
        with pytest.raises(ArgumentTypeError, match="expected .*, got "):
            RECIPE.caption(wrong)
    with pytest.raises(ArgumentTypeError, match="at most 12 words"):
        RECIPE.caption("a small " * 7)


def test_a_place_holds_four_pixels_and_gives_them_back():
    x = data.captions(5, rng=RNG(0)).images
    x_0 = RECIPE.to_model(x)
    assert x_0.shape == (5, 4, 8, 8) and x_0.min() == -1 and x_0.max() > 0
    np.testing.assert_allclose(RECIPE.from_model(x_0), x, atol=1e-6)
    np.testing.assert_array_equal(x_0[0, :, 3, 5], 2 * x[0, 6:8, 10:12].ravel() - 1)


# ---- pictures -----------------------------------------------------------------------
def test_sheets_and_snapshots(straight):
    recipe, model, settings = train.trained(straight)
    with no_grad():
        figures = list(recipe.figures(model, settings, None, RNG(0)))
        assert len(figures) == len(recipe.PICTURES)
        assert all(isinstance(f, Figure) for f in figures)
        asked = recipe.sample(model, settings, 3, RNG(0), caption="two small threes")
        labels = [t.get_text() for t in asked.axes[0].get_yticklabels()]
        assert labels == ["two small threes"]
        x = recipe.snapshot(model, settings, RNG(0))
        assert x.shape == (25, 16, 16) and 0 <= x.min() <= x.max() <= 1


@pytest.mark.parametrize(
    "line, text",
    [
        ("--width 12", "take --width 16"),
        ("--d-text 30", "no multiple of 4"),
        ("--sampling 900", "more steps than --T 500"),
        ("--ema 1", "--ema must be below 1"),
        ("--encoder none", "expected fine_tuned or frozen or untrained, got 'none'"),
    ],
)
def test_options_that_do_not_fit_are_refused(line, text, tmp_path, capsys):
    argv = ["train", "text_to_image", *line.split(), "--out", str(tmp_path / "run")]
    assert cli.main(argv) == 2
    assert text in capsys.readouterr().err


def test_more_steps_than_there_are_are_refused(straight):
    recipe, model, settings = train.trained(straight)
    with pytest.raises(recipes.OptionError, match="--steps 30 is more than"):
        recipe.sample(model, settings, 5, RNG(0), steps=30)
