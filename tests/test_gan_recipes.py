"""`scratchnn train gan` and `dcgan`: what they train, say and draw."""

import numpy as np
import pytest

from scratchnn import Tensor, data, plot, recipes, train
from scratchnn.models import games, gan
from scratchnn.recipes import dcgan, gan as recipe

RNG = np.random.default_rng
PLAIN = dict(model="gan", device="cpu", seed=0)


def config(name="gan", data="ring", **how):
    defaults = recipes.get(name).DATA[data]
    small = dict(channels=4) if name == "dcgan" else dict(hidden=[16])
    own = {"steps": None, "epochs": None} | defaults | small
    return {**PLAIN, "model": name, "data": data, **own, **how}


def trained(tmp_path, **how):
    how = dict(steps=6, epochs=None) | how
    run = train.new(config(**how), tmp_path / "run")
    return run, train.train(run)


CASES = {
    "plain": dict(),
    "digits": dict(data="digits"),
    "critic": dict(loss="wgan_gp", batch=64),
    "squares": dict(loss="least_squares", data="moons"),
    "minimax": dict(loss="minimax", optimizer="sgd", lr=0.1, k=2),
    "packs": dict(pack=3, batch=100, data="grid"),
    "regular": dict(r1=1.0, ema=0.99, spectral=True, decay=True),
    "labels": dict(conditional=True, data="digits", pack=2),
    "labelled points": dict(conditional=True),
    "maps": dict(name="dcgan", data="digits", batch=16),
    "labelled maps": dict(name="dcgan", data="digits", conditional=True, ema=0.9),
    "critic of maps": dict(
        name="dcgan", data="digits", loss="wgan_gp", norm="none", batch=8
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_way_to_train_moves_both_players_and_ends_with_words(tmp_path, case):
    run = train.new(config(steps=3, **CASES[case]), tmp_path / "run")
    before = [p.data.copy() for p in run.model.parameters()]
    losses = list(run.steps())
    assert len(losses) == 3 and np.isfinite(losses).all()
    for p, q in zip(run.model.parameters(), before):
        is_moved = not np.array_equal(p.data, q)
        assert is_moved or p.size == 1  # a critic's last bias changes no value
    assert len(recipe.words(run.evaluate(), run.config)) < 300


@pytest.mark.parametrize("case", ["packs", "critic of maps"])
def test_a_run_ends_with_pictures(tmp_path, case):
    run, _ = trained(tmp_path, **CASES[case])
    assert set(run.draw()) == {"samples.png", "discriminator.png", "loss.png"}
    model, *_ = train.trained(run.folder)[1:]
    sheet = run.recipe.sample(model, run.config, 20, RNG(0))
    plot.save(sheet, tmp_path / "sheet.png")
    a, b = (run.recipe.snapshot(model, run.config, RNG(0)) for _ in range(2))
    assert a.shape[1:] == tuple(run.config["shape"]) and np.array_equal(a, b)


@pytest.mark.parametrize("case", ["critic", "regular", "maps"])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, case):
    how = config(steps=4, **CASES[case])
    whole, half = (train.new(how, tmp_path / name) for name in ("whole", "half"))
    for _ in whole.steps():
        pass
    for _ in zip(range(2), half.steps()):
        pass
    half.save()
    again = train.resumed(tmp_path / "half", {})
    assert again.step == 2 and len(list(again.steps())) == 2
    for a, b in zip(whole.model.parameters(), again.model.parameters()):
        np.testing.assert_array_equal(a.data, b.data)
    for name, ours in whole.optimizers.items():
        theirs = again.optimizers[name].state_dict()
        for k, x in ours.state_dict().items():
            np.testing.assert_array_equal(x, theirs[k])


def test_wgan_gp_takes_five_batches_a_step_and_the_others_one():
    assert recipe.batches(config(loss="wgan_gp")) == 5
    assert recipe.batches(config(loss="wgan_gp", k=2)) == 2
    assert recipe.batches(config()) == dcgan.batches(config("dcgan", "digits")) == 1


def test_modes_are_counted_of_what_G_makes():
    model, _ = recipe.build(config(), RNG(0))
    centres = data.ring_centres().astype(np.float32)
    model.generate = lambda z, y=None: Tensor(centres[np.arange(len(z)) % 4])
    step = recipe.losses(model, data.ring(100, rng=RNG(0)), config(), RNG(0))
    assert step.modes == 4 and step.high_quality == 1
    assert "4 of 8 modes, 100 %" in recipe.words(step, config())


def test_where_D_cant_tell_the_words_and_the_losses_agree():
    for loss, rest in (("minimax", "-0.693"), ("non_saturating", " 0.693")):
        half = gan.GAMES[loss].generator(np.zeros(3))
        step = gan.Step(2 * np.log(2), half, -2 * np.log(2), 0.5, 0.5)
        text = recipe.words(step, config(data="moons", loss=loss))
        assert text.count("1.386") == 2 and text.count(rest.strip()) == 2
    V, G = gan.GAMES["least_squares"][:2]
    half = np.full(3, 0.5)
    assert -V(half, half) == 0.25 and G(half) == 0.125


@pytest.mark.parametrize(
    "how, text",
    [
        (dict(pack=300), "--pack 300 needs a --batch of at least 300, not 256"),
        (dict(ema=1.0), "--ema must be below 1"),
        (dict(beta1=1.0), "--beta1 must be below 1"),
        (dict(name="dcgan", data="digits", r1=1.0), "add --norm none"),
        (dict(name="dcgan", data="digits", loss="wgan_gp"), "add --norm none"),
    ],
)
def test_options_that_do_not_go_together_name_the_fix(how, text):
    made = config(**how)
    with pytest.raises(recipes.OptionError, match=text):
        recipes.get(made["model"]).build(made, RNG(0))


def test_labels_are_for_runs_that_know_them():
    plain, _ = recipe.build(config(), RNG(0))
    with pytest.raises(recipes.OptionError, match="--conditional on"):
        recipe.sample(plain, config(), 4, RNG(0), label=1)
    made = config(conditional=True)
    model, _ = recipe.build(made, RNG(0))
    with pytest.raises(recipes.OptionError, match="--label 8: the classes are 0 to 7"):
        recipe.sample(model, made, 4, RNG(0), label=8)
    recipe.sample(model, made, 4, RNG(0), label=7)


# ---- figures of games and modes ----------------------------------------------------
def test_games_are_drawn_on_one_scale_or_on_their_own():
    paths = {m: [p[:2] for p in games.play(games.bilinear, method=m)]
             for m in games.METHODS}  # fmt: skip
    slopes = {m: lambda x, y: (y, x) for m in paths}
    for alike, number in ((True, 1), (False, 3)):
        figure = plot.games(paths, slopes, alike)
        assert len({axes.get_xlim() for axes in figure.axes}) == number


def test_the_slopes_that_are_drawn_are_those_of_the_losses():
    minimax, steep = plot.generator_slopes().axes[0].lines
    D = minimax.get_xdata()[1:-1]
    a = Tensor(np.log(D / (1 - D)), requires_grad=True)
    for line, loss in ((minimax, gan.minimax), (steep, gan.non_saturating)):
        a.grad = None
        (len(D) * loss(a)).backward()
        np.testing.assert_allclose(abs(a.grad), line.get_ydata()[1:-1], rtol=1e-6)


def test_other_figures_show_what_they_are_given(tmp_path):
    leads = [games.Lead(0.5, 1.0, 1.0), games.Lead(0.1, 0.1, 2.0)]
    above, below = plot.early_win(leads).axes
    np.testing.assert_array_equal(above.lines[0].get_ydata(), [0.5, 0.1])
    np.testing.assert_array_equal(below.lines[1].get_ydata(), [1.0, 0.1])
    x = np.linspace(-1, 1, 5)
    figure = plot.best_discriminator(x, x + 1, 1 - x, (x + 1) / 2, (x + 1) / 2)
    plot.save(figure, tmp_path / "best.png")
    run = [100, 200], [3, 8], [0.1, 0.9]
    above, below = plot.modes({"a": run, "b": run}, 8).axes
    np.testing.assert_array_equal(above.lines[0].get_ydata(), [3, 8])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [10, 90])
