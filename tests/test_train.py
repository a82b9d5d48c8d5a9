"""Training runs: what is on disk, exact resume, stopping, divergence."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from scratchnn import checkpoint, recipes, train

RECIPE = recipes.get("vae")
STEPS = 100  # two epochs of 45 steps, and ten more


def config(**options):
    base = {"model": "vae", "data": "digits", "seed": 3, "device": "cpu"}
    base |= RECIPE.DATA["digits"] | {"hidden": [16], "epochs": None, "steps": STEPS}
    return base | options


def weights(folder):
    return checkpoint.load(folder / "model.safetensors")[0]


def assert_same_run(a, b, tests=True):
    """Weights, optimizer, noise and log of two runs agree in every bit.

    tests: also when they were tested, which depends on how long they were to be.
    """
    (x, about_x), (y, about_y) = (
        checkpoint.load(folder / "checkpoint.safetensors") for folder in (a, b)
    )
    if not tests:
        del about_x["log_size"], about_y["log_size"]
    assert x.keys() == y.keys() and about_x == about_y
    assert all(np.array_equal(x[k], y[k]) for k in x)
    assert all(np.array_equal(v, weights(b)[k]) for k, v in weights(a).items())
    rows, others = ((f / "log.csv").read_text().splitlines() for f in (a, b))
    if not tests:
        rows = [row for row in rows if ",test," not in row]
        others = [row for row in others if ",test," not in row]
    assert rows == others


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    train.train(train.new(config(), folder))
    return folder


class Killed(Exception):
    pass


def killed_at(run, step, saved_at):
    """Train, save for the last time at one step and die at a later one."""
    save, steps = run.save, run.recipe.train

    def dying(*args):
        for losses in steps(*args):
            yield losses
            if run.step == step:
                raise Killed

    run.recipe = SimpleNamespace(**{**vars(run.recipe), "train": dying})
    run.save = lambda: save() if run.step <= saved_at else None
    with pytest.raises(Killed):
        train.train(run, save_every=0)


@pytest.mark.parametrize("saved_at", [0, 1, 20, 45, 63])
def test_a_killed_and_resumed_run_ends_as_if_never_stopped(
    tmp_path, straight, saved_at
):
    killed_at(train.new(config(), tmp_path), step=saved_at + 9, saved_at=saved_at)
    run = train.resumed(tmp_path, {})
    assert run.step == saved_at
    train.train(run)
    assert_same_run(tmp_path, straight)


def test_another_seed_or_a_lost_noise_state_gives_another_run(tmp_path, straight):
    killed_at(train.new(config(), tmp_path), step=30, saved_at=20)
    run = train.resumed(tmp_path, {})
    run.noise = np.random.default_rng(0)
    train.train(run)
    assert not all(
        np.array_equal(v, weights(straight)[k]) for k, v in weights(tmp_path).items()
    )


def test_a_finished_run_can_be_made_longer(tmp_path, straight):
    train.train(train.new(config(steps=70), tmp_path))
    train.train(train.resumed(tmp_path, {"steps": STEPS}))
    assert_same_run(tmp_path, straight)


def test_the_log_has_a_row_for_each_step_and_one_for_each_epoch(straight):
    with open(straight / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["step", "epoch", "split", "loss", "reconstruction", "kl"]
    assert list(rows[0]) == columns
    steps = [int(r["step"]) for r in rows if r["split"] == "train"]
    assert steps == list(range(1, STEPS + 1))
    tests = [(int(r["step"]), int(r["epoch"])) for r in rows if r["split"] == "test"]
    assert tests == [(0, 0), (45, 1), (90, 2), (100, 3)]
    for r in rows:
        parts = float(r["reconstruction"]) + float(r["kl"])
        assert float(r["loss"]) == pytest.approx(parts, rel=1e-4)


def test_held_out_losses_are_found_at_most_100_times(tmp_path):
    run = train.new(config(batch=1437, steps=250), tmp_path)  # a step is an epoch
    assert (run.per_epoch, run.per_test) == (1, 3)
    assert train.Run(config(batch=1437, steps=100), tmp_path).per_test == 1
    train.train(run)
    with open(tmp_path / "log.csv", newline="") as file:
        tests = [int(r["step"]) for r in csv.DictReader(file) if r["split"] == "test"]
    assert tests == [*range(0, 250, 3), 250]


def test_the_config_repeats_the_run(tmp_path, straight):
    found = json.loads((straight / "config.json").read_text())
    assert found["versions"].keys() == {"scratchnn", "numpy", "python"}
    for extra in ("versions", "total"):
        found.pop(extra)
    assert found == config()
    train.train(train.new(found, tmp_path))
    assert_same_run(tmp_path, straight)


def test_every_epoch_shows_every_sample_once_in_a_new_order():
    run = train.Run(config(), "unused")
    run.total = 90
    batches = [x.sum(axis=(1, 2)) for x, _ in run._batches()]
    first, second = np.concatenate(batches[:45]), np.concatenate(batches[45:])
    every = np.sort(run.train_set.x.sum(axis=(1, 2)))
    assert np.array_equal(np.sort(first), every) and not np.array_equal(first, second)
    assert np.array_equal(np.sort(second), every)


def test_pictures_are_drawn_and_nothing_half_written_is_left(tmp_path):
    run = train.new(config(steps=3), tmp_path)
    train.train(run)
    names = run.draw()
    assert names == [*RECIPE.PICTURES, "loss.png"]
    for name in names:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} - {"snapshots"} == {
        *names, "config.json", "log.csv", "model.safetensors", "checkpoint.safetensors",
    }  # fmt: skip


def test_a_finished_run_is_replaced_and_an_unfinished_one_is_not(tmp_path):
    train.train(train.new(config(steps=3), tmp_path))
    run = train.new(config(steps=30), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    killed_at(run, step=20, saved_at=10)
    with pytest.raises(train.RunError, match=r"unfinished run \(step 10 of 30\)"):
        train.new(config(steps=3), tmp_path)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(train.RunError, match="holds files that are not a training run"):
        train.new(config(), tmp_path)


def test_a_diverging_run_stops_names_the_op_and_keeps_the_last_good_step(tmp_path):
    run = train.new(config(lr=1e3), tmp_path)
    with pytest.raises(train.Diverged) as caught:
        train.train(run, save_every=0)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(f"stopped at step {run.step}: ")
    assert "exp: made infinity" in text and "--lr below 1000" in text
    state, meta = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert 0 < int(meta["step"]) < run.step
    assert all(np.isfinite(x).all() for x in state.values())
    train.new(config(lr=1e-3), tmp_path)  # a diverged run need not be resumed


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    killed_at(train.new(config(), tmp_path), step=20, saved_at=10)
    path = tmp_path / "checkpoint.safetensors"
    if damage == "other":
        checkpoint.save(path, {"w": np.ones(3)}, {"step": 10})
    else:
        content = path.read_bytes()
        path.write_bytes({"cut": content[:-99], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(train.RunError) as caught:
        train.resumed(tmp_path, {})
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "vae"')
    with pytest.raises(train.RunError, match="config.json is damaged: it is no JSON"):
        train.resumed(tmp_path, {})


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gnu"}, {"model": []}, {"data": "moons"}, {"batch": 0}, {"lr": "1"},
        {"hidden": [16, -1]}, {"hidden": 16.5}, {"beta": float("nan")}, {"seed": None},
        {"device": "tpu"}, {"shape": [9, 9]}, {"steps": None}, {"likelihood": "x"},
    ],
)  # fmt: skip
def test_a_config_that_no_command_line_gives_is_refused(tmp_path, change):
    (name, value), = change.items()
    text = json.dumps(config(total=STEPS) | change)
    (tmp_path / "config.json").write_text(text)
    fault = f"{name} is {value!r}" if name != "steps" else "epochs is None"
    with pytest.raises(train.RunError, match="config.json is damaged: ") as caught:
        train.read_config(tmp_path)
    assert f": {fault}; delete" in str(caught.value)


@pytest.mark.parametrize("name", ["hidden", "seed", "batch", "total", "shape", "model"])
def test_a_config_that_lacks_an_option_is_refused(tmp_path, name):
    found = config(total=STEPS)
    del found[name]
    (tmp_path / "config.json").write_text(json.dumps(found))
    with pytest.raises(train.RunError, match=f"damaged: {name} is None; delete"):
        train.resumed(tmp_path, {})


def test_a_diverged_run_is_not_blamed_on_the_learning_rate_alone(tmp_path):
    run = train.new(config(beta=1e300), tmp_path)
    with pytest.raises(train.Diverged, match="--lr below 0.002, or with other options"):
        train.train(run)


def start(folder, *options):
    """`scratchnn train vae` in a process of its own, in the middle of training."""
    command = [sys.executable, "-m", "scratchnn", "train", "vae", "--seed", "3"]
    command += ["--hidden", "16", "--out", str(folder), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "SCRATCHNN_PROGRESS": "0"},
    )  # fmt: skip
    log = folder / "log.csv"
    while process.poll() is None and not (log.exists() and log.stat().st_size > 500):
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_says_how_to_resume_and_loses_nothing(tmp_path, number):
    process = start(tmp_path, "--steps", "200000")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and err == ""
    assert f"To go on: scratchnn train vae --out {tmp_path} --resume" in out
    step = train.reached(tmp_path)
    assert step > 0
    train.train(train.resumed(tmp_path, {"steps": step + 5}))
    never = tmp_path / "never stopped"
    train.train(train.new(config(steps=step + 5), never))
    assert_same_run(tmp_path, never, tests=False)
