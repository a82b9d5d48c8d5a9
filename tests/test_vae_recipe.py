"""`scratchnn train vae` with its options: what is built, said, drawn and refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from scratchnn import cli, data, no_grad, recipes
from scratchnn.models import vae

RECIPE = recipes.get("vae")
RNG = np.random.default_rng


def config(**options):
    base = {"model": "vae", "data": "digits", "seed": 0, "device": "cpu"}
    return base | RECIPE.DATA["digits"] | {"hidden": [16], "steps": None} | options


def built(**options):
    return RECIPE.build(config(**options), RNG(0))[0]


def losses(model, **options):
    batch = data.load("digits", "test")
    return RECIPE.losses(model, batch, config(**options), RNG(7))


@pytest.fixture
def scratchnn(tmp_path, monkeypatch, capsys):
    """Run `scratchnn LINE` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")

    def run(line):
        code = cli.main(line.split())
        return code, *capsys.readouterr()

    return run


# ---- what is built ------------------------------------------------------------------
@pytest.mark.parametrize("name", RECIPE.DATA)
def test_the_defaults_are_readable_options_and_fit_their_pictures(name):
    defaults = RECIPE.DATA[name]
    assert defaults.keys() == {"shape", "epochs", "batch", "lr", *RECIPE.OPTIONS}
    for net in ("mlp", "conv"):
        model, _ = RECIPE.build({**defaults, "data": name, "net": net}, RNG(0))
        x = np.zeros((2, np.prod(defaults["shape"])), np.float32)
        assert vae.reconstruct(model, x).shape == x.shape


def test_the_default_model_is_the_papers_with_its_seeds_weights():
    by_hand = vae.VAE(64, [16], 2, rng=RNG(0)).state_dict()
    for name, x in built().state_dict().items():
        assert np.array_equal(x, by_hand[name])


def test_the_sizes_of_the_data_sets_are_known_before_they_are_read():
    assert RECIPE.PICTURES_IN.keys() == RECIPE.DATA.keys()
    assert len(data.load("digits", "train").x) == RECIPE.PICTURES_IN["digits"]


# ---- what is said -------------------------------------------------------------------
def test_binarised_held_out_pictures_are_the_same_at_each_call():
    model = built(binarise=True)
    first, again = (losses(model, binarise=True) for _ in range(2))
    assert [float(a) for a in first] == [float(a) for a in again]
    assert float(first.loss) != float(losses(model).loss)


def test_held_out_losses_leave_free_bits_out():
    model = built()
    a, b = losses(model, free_bits=2.0), losses(model)
    assert [float(part) for part in a] == [float(part) for part in b]


def test_the_words_say_what_adds_up():
    loss = vae.Loss(30.0, 20.0, 10.0)
    assert RECIPE.words(loss, config()) == (
        "30.0 nats per image = 20.0 to describe the picture given its code + 10.0 to "
        "describe the code"
    )
    assert "= 20.0 to describe the picture given its code + 4 x 10.0" in RECIPE.words(
        loss, config(beta=4.0)
    )
    assert "a density" in RECIPE.words(loss, config(likelihood="gaussian_learnt"))
    assert RECIPE.words(vae.Loss(28.0, 20.0, 10.0), config(k=5)) == (
        "28.0 nats per image by the bound of 5 draws; by one draw: 20.0 to describe "
        "the picture given its code + 10.0 to describe the code"
    )


# ---- what is drawn ------------------------------------------------------------------
VARIANTS = [
    dict(),
    dict(z=4),
    dict(z=1),
    dict(conditional=True),
    dict(net="conv", channels=[4, 4], z=3, binarise=True, k=2),
    dict(likelihood="gaussian_pixel", z=3),
]


@pytest.mark.parametrize("options", VARIANTS)
def test_every_variant_has_its_pictures_and_snapshots(options):
    full = config(**options)
    model, test = built(**options).eval(), data.load("digits", "test")
    with no_grad():
        drawn = list(RECIPE.figures(model, full, test, RNG(0)))
        a, b = (RECIPE.snapshot(model, full, RNG(1)) for _ in range(2))
    assert len(drawn) == len(RECIPE.PICTURES)
    assert a.shape[1:] == (8, 8) and np.array_equal(a, b)


def test_all_options_at_once_train_resume_and_sample_a_class(scratchnn):
    line = (
        "train vae --net conv --channels 4,4 --hidden 16 --z 3 --likelihood "
        "gaussian_learnt --conditional on --binarise on --free-bits 0.1 --beta 2 "
    )
    assert scratchnn(line + "--steps 3")[0] == 0
    first = json.loads(Path("runs/vae/config.json").read_text())
    assert first["conditional"] is True and first["free_bits"] == 0.1
    assert scratchnn("train vae --resume --steps 5")[0] == 0
    assert scratchnn("sample runs/vae -n 5 --seed 0 --label 3 --out three.png")[0] == 0
    assert Path("three.png").exists()


BAD = {
    "train vae --k 3 --beta 2": "--k 3 trains on the bound of 3 draws, which has no "
    "--beta and no --free-bits; leave those out, or --k",
    "train vae --net conv --channels 4,4,4,4": "--channels: 4 layers halve a picture 4 "
    "times: channels=[4, 4, 4, 4] needs sides divisible by 16, the picture is 8x8; "
    "name fewer channels",
    "train vae --net conv --batch 4": "--batch 4 makes a batch of one picture, and "
    "--net conv normalises over the batch; take --batch 5",
    "train vae --net cnn": "--net: expected mlp or conv, got 'cnn'",
    "train vae --conditional yes": "--conditional: expected on or off, got 'yes'",
    "train vae --free-bits -1": "--free-bits: expected a number of at least 0, got "
    "'-1'",
    "train vae --k 0": "--k: expected a whole number of at least 1, got '0'",
}


@pytest.mark.parametrize("line", BAD)
def test_options_that_cannot_be_are_refused_in_one_line(scratchnn, line):
    assert scratchnn(line) == (2, "", f"scratchnn train: {BAD[line]}\n")


def test_a_label_for_a_model_that_knows_none_is_refused(scratchnn):
    scratchnn("train vae --hidden 4 --steps 1")
    code, _, err = scratchnn("sample runs/vae --label 3")
    assert code == 2 and "--label 3: this model knows no classes; train one" in err
    code, _, err = scratchnn("sample runs/vae --label 10")
    assert code == 2 and "--label: expected a whole number of at most 9" in err
