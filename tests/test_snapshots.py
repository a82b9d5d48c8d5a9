"""Several optimizers, averaged weights, and the samples kept while a model learns."""

import csv
from types import SimpleNamespace

import duel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import checkpoint, cli, no_grad, recipes, train
from scratchnn.train import snapshots
from test_train import assert_same_run, killed_at, weights

TOTAL = 60


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")
    duel.install(monkeypatch)


def config(**options):
    base = {"model": "duel", "data": "moons", "seed": 4, "device": "cpu"}
    return base | {"epochs": None} | duel.DATA["moons"] | options


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        duel.install(patch)
        train.train(train.new(config(), folder))
    return folder


def assert_same_snapshots(a, b):
    x, y = snapshots.read(a), snapshots.read(b)
    assert list(x) == list(y) and all(np.array_equal(x[k], y[k]) for k in x)


# ---- optimizers and averages ----------------------------------------------------
@pytest.mark.parametrize("saved_at", [0, 1, 13, 40])
def test_two_optimizers_and_averages_resume_bit_for_bit(tmp_path, straight, saved_at):
    killed_at(train.new(config(), tmp_path), step=saved_at + 9, saved_at=saved_at)
    run = train.resumed(tmp_path, {})
    assert run.step == saved_at
    train.train(run)
    assert_same_run(tmp_path, straight)
    assert_same_snapshots(tmp_path, straight)


@pytest.mark.parametrize("name", ["G.0.m", "D.0.v", "ema.0"])
def test_what_each_optimizer_remembers_is_needed_to_resume(tmp_path, straight, name):
    killed_at(train.new(config(), tmp_path), step=30, saved_at=20)
    path = tmp_path / "checkpoint.safetensors"
    state, meta = checkpoint.load(path)
    state[f"optimizer.{name}"] += 1
    checkpoint.save(path, state, meta)
    train.train(train.resumed(tmp_path, {}))
    assert not all(
        np.array_equal(v, weights(straight)[k]) for k, v in weights(tmp_path).items()
    )


def test_a_checkpoint_that_lacks_an_optimizer_is_refused(tmp_path):
    killed_at(train.new(config(), tmp_path), step=30, saved_at=20)
    path = tmp_path / "checkpoint.safetensors"
    state, meta = checkpoint.load(path)
    state = {k: x for k, x in state.items() if "ema" not in k}
    checkpoint.save(path, state, meta)
    with pytest.raises(train.RunError, match="does not belong to the run"):
        train.resumed(tmp_path, {})


def test_the_weights_that_are_kept_to_be_used_are_the_averages(straight):
    state, _ = checkpoint.load(straight / "checkpoint.safetensors")
    kept = weights(straight)
    for i, name in enumerate(["G.weight", "G.bias"]):
        assert np.array_equal(kept[name], state[f"optimizer.ema.{i}"])
        assert not np.array_equal(kept[name], state[f"model.{name}"])
    assert np.array_equal(kept["D.0.weight"], state["model.D.0.weight"])
    recipe, model, _ = train.trained(straight)
    assert np.array_equal(model.G.weight.data, kept["G.weight"])
    assert recipe is duel and not model.training


def test_held_out_losses_and_snapshots_are_those_of_the_averages(straight):
    _, model, found = train.trained(straight)
    run = train.resumed(straight, {})
    last = snapshots.read(straight)[TOTAL]
    with no_grad():
        again = duel.snapshot(model, found, run._rng(5))
        np.testing.assert_array_equal(last, again.astype(np.float16))
        loss, n, rng = 0, 0, run._rng(3)
        for x, y in run._loader(run.test_set):
            loss += float(duel.losses(model, (x, y), found, rng).loss) * len(x)
            n += len(x)
    with open(straight / "log.csv", newline="") as file:
        logged = [r for r in csv.DictReader(file) if r["split"] == "test"][-1]
    assert logged["step"] == str(TOTAL)
    assert float(logged["loss"]) == pytest.approx(loss / n, rel=1e-5)


def test_evaluating_and_drawing_leave_the_run_as_it_was(tmp_path):
    run = train.new(config(steps=5), tmp_path)
    train.train(run)
    run.model.D[1].eval()  # as in a part that a recipe has frozen
    before, modes = run.model.state_dict(), [m.training for m in run.model.modules()]
    run.evaluate()
    run.keep_samples()
    run.draw()
    assert modes == [m.training for m in run.model.modules()] and False in modes
    after = run.model.state_dict()
    assert all(np.array_equal(x, after[k]) for k, x in before.items())


def test_a_step_may_take_several_batches_and_an_epoch_counts_them(straight):
    run = train.resumed(straight, {})
    assert (run.loads, run.per_step, run.per_epoch) == (10, 2, 5)
    run.step, run.total = 0, 5
    every = np.concatenate([x for x, _ in run._batches()])
    assert len(every) == 10_000  # one epoch: every point once
    assert len(np.unique(every, axis=0)) == len(np.unique(run.train_set.x, axis=0))


def nothing(**changes):
    """The recipe without optimizers: it looks at the data, and that is all."""

    def look(model, optimizers, batches, config, rng):
        assert optimizers == {}
        for x, _ in batches:
            model.D[1](x @ np.ones((2, 5), np.float32))
            yield duel.Loss(float(x.mean()), -1.0)

    def build(config, rng):
        return duel.Duel(2, rng), {}

    new = {"train": look, "build": build, "batches": lambda c: 1, **changes}
    return SimpleNamespace(**{**vars(duel), **new})


def test_a_model_without_optimizers_or_batches_sees_all_data_in_a_step(
    tmp_path, monkeypatch
):
    data = {"moons": {"shape": [2], "steps": 3, "k": 1, "decay": 0.9, "far": None}}
    recipe = nothing(DATA=data)
    monkeypatch.setattr(recipes, "get", lambda name: recipe)
    asked = config(**data["moons"])
    del asked["batch"], asked["lr"]
    run = train.new(asked, tmp_path)
    assert (run.batch, run.per_epoch, run.total) == (10_000, 1, 3)
    killed_at(run, step=2, saved_at=1)
    train.train(train.resumed(tmp_path, {}))
    never = tmp_path / "never stopped"
    train.train(train.new(asked, never))
    assert_same_run(tmp_path, never)
    assert weights(never)["D.1.running_mean"].any()


def test_a_recipe_that_ends_too_early_is_a_bug_and_is_named(tmp_path, monkeypatch):
    recipe = nothing(train=lambda *_: iter([duel.Loss(1.0, 2.0)]))
    monkeypatch.setattr(recipes, "get", lambda name: recipe)
    with pytest.raises(RuntimeError, match="duel ended at step 1 of 60"):
        train.train(train.new(config(), tmp_path))


def test_any_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    recipe = nothing(train=lambda *_: iter([duel.Loss(-3.0, float("nan"))]))
    monkeypatch.setattr(recipes, "get", lambda name: recipe)
    with pytest.raises(train.Diverged, match=r"step 1: the loss \(d\) is nan\. "):
        train.train(train.new(config(), tmp_path))


def test_points_of_a_name_are_always_the_same_and_not_those_held_out():
    a, b = recipes.load("moons"), recipes.load("moons")
    assert [len(part.x) for part in a] == [10_000, 2_500]
    assert all(np.array_equal(x, y) for s, t in zip(a, b) for x, y in zip(s, t))
    assert not np.array_equal(a[0].x[:2500], a[1].x)
    assert [part.x.shape for part in recipes.load("digits")] == [
        (1437, 8, 8), (360, 8, 8),
    ]  # fmt: skip


# ---- when samples are kept ------------------------------------------------------
def test_about_40_snapshots_are_kept_with_the_first_and_the_last(straight):
    kept = snapshots.read(straight)
    assert list(kept) == sorted(snapshots.marks(TOTAL)) and len(kept) == 41
    assert {0, TOTAL} <= kept.keys()
    assert all(x.shape == (30, 2) for x in kept.values())
    assert not np.array_equal(kept[0], kept[TOTAL])


def test_snapshots_come_from_the_same_noise(tmp_path):
    train.train(train.new(config(lr=1e-12, decay=0.0, steps=40), tmp_path))
    kept = snapshots.read(tmp_path)
    assert all(np.allclose(x, kept[0], atol=1e-3) for x in kept.values())


@given(total=st.integers(1, 10**6))
def test_snapshots_are_evenly_spaced(total):
    marks = sorted(snapshots.marks(total))
    gaps = np.diff(marks)
    assert marks[0] == 0 and marks[-1] == total
    assert len(marks) == min(total, 40) + 1 and gaps.max() - gaps.min() <= 1


@settings(max_examples=30)
@given(short=st.integers(1, 300), long=st.integers(1, 3000))
def test_a_longer_run_thins_the_snapshots_it_has(tmp_path_factory, short, long):
    folder = tmp_path_factory.mktemp("run")
    for step in snapshots.marks(short):
        snapshots.write(folder, step, np.zeros((1, 2)))
    total = short + long
    snapshots.thin(folder, short, total)
    kept = list(snapshots.read(folder))
    due = [m for m in snapshots.marks(total) if m <= short]
    assert kept[0] == 0 and len(kept) <= len(due)
    assert all(min(abs(k - m) for k in kept) <= short / 80 + 1 for m in due)
    snapshots.thin(folder, short, total)
    assert list(snapshots.read(folder)) == kept


def test_resuming_a_run_removes_snapshots_of_steps_that_are_to_come(tmp_path):
    killed_at(train.new(config(), tmp_path), step=30, saved_at=20)
    assert max(snapshots.read(tmp_path)) > 20
    run = train.resumed(tmp_path, {"steps": 1000})
    run.total = 21  # as if it were stopped there
    train.train(run)
    assert max(snapshots.read(tmp_path)) <= 21


def test_a_new_run_removes_those_of_the_run_before(tmp_path):
    train.train(train.new(config(), tmp_path))
    (tmp_path / "training.gif").write_text("")
    train.new(config(steps=3), tmp_path)
    assert not (tmp_path / "snapshots").exists()
    assert not (tmp_path / "training.gif").exists()


def test_no_half_written_file_is_left(straight):
    assert not [p for p in straight.rglob("*") if p.name.startswith(".")]
    assert all(p.suffix == ".safetensors" for p in (straight / "snapshots").iterdir())


# ---- how options reach a run ----------------------------------------------------
@pytest.fixture
def scratchnn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(line):
        return cli.main(line.split()), *capsys.readouterr()

    return run


def test_a_data_set_may_be_trained_for_steps_unless_epochs_are_asked_for(scratchnn):
    assert "60 steps of 2 x 1,000 samples" in scratchnn("train duel")[1]
    assert " 5 steps of 2 x " in scratchnn("train duel --epochs 1")[1]
    assert " 3 steps of 1,000 " in scratchnn("train duel --steps 3 --k 1")[1]
    assert " 3 steps of 500 " in scratchnn("train duel --data digits")[1]


def test_options_that_do_not_go_together_are_said_in_one_line(scratchnn):
    said = "scratchnn train: --k 13 brings bad luck; take --k 12\n"
    assert scratchnn("train duel --k 13") == (2, "", said)


def test_an_option_without_default_is_kept_as_it_was_asked_for(scratchnn, tmp_path):
    for line, value in [("train duel --steps 3", None), ("train duel --far 2.5", 2.5)]:
        assert scratchnn(line)[0] == 0
        assert train.read_config(tmp_path / "runs/duel")["far"] == value


def test_the_name_of_a_folder_is_not_taken_for_the_model(scratchnn, tmp_path):
    code, out, _ = scratchnn("train --out vae duel --steps 3")
    assert code == 0 and out.startswith("duel on moons")
