"""`scratchnn train rlhf`: its stages, exact resume, the taste, and what is refused."""

import os

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_train import assert_same_run, killed_at

from scratchnn import cli, data, no_grad, plot, recipes, train
from scratchnn.models import rl

RECIPE = recipes.get("rlhf")
RNG = np.random.default_rng
SHORT = dict(
    steps=14, gpt_steps=5, judge_steps=4, batch=8, prompt=4, answer=8, length=16,
    width=16, layers=1, heads=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A short text, as a file."""
    path = tmp_path_factory.mktemp("book") / "book.txt"
    path.write_text(data.text("python")[:6000], encoding="utf-8")
    return str(path)


def config(book, **options):
    base = {"model": "rlhf", "data": book, "seed": 3, "device": "cpu"}
    return base | RECIPE.DATA["python"] | SHORT | options


@pytest.fixture(scope="module")
def straight(book, tmp_path_factory):
    """A run through all three stages that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    train.train(train.new(config(book), folder))
    return folder


def rows(folder, split="train"):
    lines = (folder / "log.csv").read_text().splitlines()[1:]
    lines = [line.split(",") for line in lines]
    return np.array([[float(v) for v in r[3:]] for r in lines if r[2] == split])


@pytest.mark.parametrize("saved_at", [3, 5, 7, 11])
def test_a_killed_run_goes_on_in_its_stage_bit_for_bit(
    tmp_path, book, straight, saved_at
):
    killed_at(train.new(config(book), tmp_path), step=saved_at + 2, saved_at=saved_at)
    run = train.resumed(tmp_path, {})
    assert run.step == saved_at == int(run.model.step)
    train.train(run)
    assert_same_run(tmp_path, straight)


def test_a_run_writes_then_judges_then_pleases(straight):
    total, text, reward, taste, kl = rows(straight).T
    beta = RECIPE.DATA["python"]["beta"]
    np.testing.assert_allclose(total, text + beta * kl - reward, rtol=1e-4, atol=1e-4)
    assert not reward[:9].any() and not kl[:9].any()
    assert kl[9] == 0 and (kl[10:] > 0).all()  # it starts where the GPT was
    assert len(set(text[:5])) == 5 and reward[9:].all()
    _, model, _ = train.trained(straight)
    assert (model.scale[:, 1] > 0).all() and int(model.step) == 14


def test_only_the_policy_learns_in_the_last_stage_and_rho_is_what_it_was(
    book, tmp_path
):
    states = []
    for steps in (5, 9, 14):
        run = train.new(config(book, steps=steps), tmp_path / str(steps))
        train.train(run)
        states.append(run.model.state_dict())

    def same(a, b, part):
        return all(np.array_equal(a[k], b[k]) for k in a if k.startswith(part))

    first, second, last = states
    assert same(first, second, "policy.") and not same(first, second, "judge.")
    assert same(second, last, "rho.") and same(second, last, "judge.")
    assert not same(second, last, "policy.")
    for k in (k for k in second if k.startswith("rho.")):
        assert np.array_equal(last[k], first[k.replace("rho.", "policy.")])


@pytest.mark.parametrize("options", [{"marks": "taste"}, {"method": "reinforce"}])
def test_other_ways_to_learn(book, tmp_path, options):
    train.train(train.new(config(book, judge="letters", **options), tmp_path))
    total, text, reward, taste, kl = rows(tmp_path).T
    if "marks" in options:
        np.testing.assert_allclose(reward[5:], taste[5:], rtol=1e-4)
        assert (kl[6:] > 0).all()  # there is no stage of judging
    assert np.isfinite(total).all()


# ---- the taste ----------------------------------------------------------------------
def test_easy_to_say_is_the_share_of_a_vowel_beside_a_consonant():
    tokenizer = data.CharTokenizer.train("banxyz 1tree", specials=())
    said = RECIPE.easy_to_say(tokenizer, 4)

    def of(answer):
        return float(said(tokenizer.encode("tt" + answer)[None], None)[0])

    assert of("bana") == 1 and of("eree") == pytest.approx(2 / 3)
    assert of("a a ") == of("bbnt") == of("1a1e") == 0 and of("ban1") == of("nabb")


def test_letters_is_the_sum_of_a_number_for_each():
    model = RECIPE.Letters(5)
    x, value = RNG(1).integers(0, 5, (3, 7)), model.value.weight.data[:, 0]
    value[:] = RNG(0).normal(size=5)
    found = model(x).data[..., 0]
    for t in range(7):
        np.testing.assert_allclose(found[:, t], value[x[:, : t + 1]].sum(1), rtol=1e-5)


def test_the_best_there_is_has_its_closed_form_for_normal_marks():
    """exp(r / beta) moves N(0, 1) to N(1 / beta, 1), at KL = 1 / (2 beta^2)."""
    r = RNG(0).normal(size=20_000)
    kl, reward = RECIPE.best_of(r)
    early = kl < 2
    np.testing.assert_allclose(reward[early], np.sqrt(2 * kl[early]), atol=0.1)
    assert (np.diff(kl) > 0).all() and (np.diff(reward) > 0).all()


# ---- words and pictures -------------------------------------------------------------
def test_words_name_marks_and_their_price(book):
    words = RECIPE.words(RECIPE.Loss(1.0, 2.0, 3.1, -0.5, 4.0), config(book))
    assert "+3.1 standard deviations" in words and "own -0.5" in words
    assert "4.0 nats from the GPT" in words and "2.000 nats per character" in words
    assert "no answers yet" in RECIPE.words(RECIPE.Loss(2, 2, 0, 0, 0), config(book))


def test_figures_and_texts_of_a_run(straight):
    recipe, model, settings = train.trained(straight)
    _, test, _ = recipe.read(settings)
    with no_grad():
        figures = list(recipe.figures(model, settings, test, RNG(0), n=40))
        assert len(figures) == len(recipe.PICTURES)
        assert all(isinstance(f, Figure) for f in figures)
        lines = list(recipe.texts(model, settings, test, RNG(0)))
        assert [line.split()[0] for line in lines] == ["before", "after"] * 3
        how = dict(temperature=0, frozen=True)
        a = "".join(recipe.write(model, settings, "the ", 8, RNG(0), **how))
        model.policy.W_u.weight.data[:] = 0
        assert a == "".join(recipe.write(model, settings, "the ", 8, RNG(0), **how))


@pytest.mark.parametrize(
    "line, text",
    [
        ("--prompt 40 --answer 40", "have 80 characters together"),
        ("--batch 1", "take at least 2"),
        ("--method dpo", "expected ppo or reinforce, got 'dpo'"),
        ("--heads 5", "do not divide --width"),
    ],
)
def test_options_that_do_not_fit_are_refused(line, text, tmp_path, capsys):
    argv = ["train", "rlhf", *line.split(), "--out", str(tmp_path / "run")]
    assert cli.main(argv) == 2
    assert text in capsys.readouterr().err


def test_bars_of_policies_have_a_name_each():
    p = np.full(4, 0.25)
    axes = plot.policies(["aa", "ab", "ba", "bb"], p, p, p, "all").axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["aa", "ab", "ba", "bb"]
    assert len(axes.patches) == 12


# ---- learning -----------------------------------------------------------------------
@pytest.mark.slow
def test_marks_rise_by_a_deviation_within_ten_nats(tmp_path):
    """On the way to the long run's bar of two, with the taste as marks."""
    os.environ.setdefault("SCRATCHNN_PROGRESS", "0")
    short = dict(gpt_steps=250, steps=310, width=32)
    short |= dict(policy_lr=1e-4, beta=0.15, prompt=16)  # in few steps larger ones
    base = {"model": "rlhf", "data": "python", "seed": 0, "device": "cpu"}
    settings = base | RECIPE.DATA["python"] | short | {"marks": "taste"}
    run = train.new(settings, tmp_path)
    list(run.steps())
    starts = RNG(0).integers(10_000, size=256)
    prompts = run.test_set.tokens[starts[:, None] + np.arange(16)]
    marks = RECIPE.marks_of(run.model, run.config)
    found = rl.play(run.model.policy, run.model.rho, prompts, 32, marks, rng=RNG(1))
    assert found.reward.mean() > 1 and 0.3 < found.kl.mean() < 10
