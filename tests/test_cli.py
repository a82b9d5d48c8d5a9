"""The command line: what it says, its exit codes, and no traceback for bad input."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scratchnn import checkpoint, cli, recipes


@pytest.fixture
def scratchnn(tmp_path, monkeypatch, capsys):
    """Run `scratchnn LINE` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")
    monkeypatch.delenv("SCRATCHNN_DATA", raising=False)

    def run(line):
        try:
            code = cli.main(line.split())
        except SystemExit as stop:  # argparse's --help
            code = stop.code
        return code, *capsys.readouterr()

    return run


RUN = "train vae --hidden 16 --steps 4"

BAD = {
    "trian vae": "scratchnn: no command 'trian'; did you mean 'train'?",
    "xyz": "scratchnn: no command 'xyz'; there are train, sample, generate, translate, "
    "animate, models, data, gradcheck, doctor, warmup, docs, "
    "check, release, grade, report",
    "train": "scratchnn train: MODEL is missing; see --help",
    "train vea": "scratchnn train: no model 'vea'; did you mean 'vae'?",
    "train vae --epoch 3": "scratchnn train: unknown option --epoch; did you mean "
    "'--epochs'?",
    "train vae --qq": "scratchnn train: unknown option --qq",
    "train vae more": "scratchnn train: unexpected argument 'more'",
    "train vae --batch -3": "scratchnn train: --batch: expected a whole number of at "
    "least 1, got '-3'",
    "train vae --hidden 12,x": "scratchnn train: --hidden: expected a whole number of "
    "at least 1, got 'x'",
    "train vae --lr nan": "scratchnn train: --lr: expected a number above 0, got 'nan'",
    "train vae --seed -1": "scratchnn train: --seed: expected a whole number of at "
    "least 0, got '-1'",
    "train vae --lr": "scratchnn train: --lr: expected one argument",
    "train vae --steps 3 --epochs 4": "scratchnn train: --epochs: not allowed with "
    "argument --steps",
    "train vae --data digit": "scratchnn train: vae can't train on 'digit'; did you "
    "mean 'digits'?",
    "train vae --data moons": "scratchnn train: vae can't train on 'moons'; it takes "
    "digits, mnist, fashion_mnist",
    "train vae --device tpu": "scratchnn train: --device: expected cpu or gpu, got "
    "'tpu'",
    "train VAE --hidden 3": "scratchnn train: no model 'VAE'; did you mean 'vae'?",
    "train vae --lerning-rate 1": "scratchnn train: unknown option --lerning-rate; did "
    "you mean '--lr'?",
    "train vae --learning_rate=1": "scratchnn train: unknown option --learning_rate; "
    "did you mean '--lr'?",
    "train vae --batch-size 3": "scratchnn train: unknown option --batch-size; did you "
    "mean '--batch'?",
    "train vae --hidden 128 64": "scratchnn train: unexpected argument '64'; write a "
    "list with commas, as 128,64",
    "train vae --steps 99999999999999999999": "scratchnn train: --steps: expected a "
    "whole number of at most 100,000,000, got '99999999999999999999'",
    "train vae --steps \u0663": "scratchnn train: --steps: expected a whole number of "
    "at least 1, got '\u0663'",
    f"train vae --seed 1{'0' * 5000}": "scratchnn train: --seed: expected a whole "
    f"number of at most 1,000,000,000,000,000,000, got '1{'0' * 5000}'",
    "train vae --out=": "scratchnn train: --out: expected a name, got ''",
    f"train vae --out {'x' * 300}": f"scratchnn train: {'x' * 300}/config.json: File "
    "name too long",
    "sample runs/vae -n 1000000": "scratchnn sample: -n: expected a whole number of at "
    "most 1,000, got '1000000'",
    "train vae --resume": "scratchnn train: there is no run in runs/vae to resume; "
    "leave out --resume",
    "sample runs/nix": "scratchnn sample: there is no run in runs/nix; scratchnn train "
    "vae makes one",
    "gradcheck sofmax": "scratchnn gradcheck: no op 'sofmax'; did you mean 'softmax'?",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_gets_one_line_and_exit_code_2(scratchnn, line):
    assert scratchnn(line) == (2, "", BAD[line] + "\n")


def test_a_folder_that_cannot_be_made_is_bad_input(scratchnn):
    Path("file").write_text("")
    code, _, err = scratchnn(f"{RUN} --out file/run")
    why = "can't write there (Not a directory)"
    assert (code, err) == (2, f"scratchnn train: --out file/run: {why}\n")


def test_what_the_disk_refuses_is_said_in_one_line(scratchnn):
    scratchnn(RUN)
    Path("runs/vae/log.csv").unlink()
    Path("runs/vae/log.csv").mkdir()
    code, _, err = scratchnn("train vae --resume --steps 9")
    assert (code, err) == (2, "scratchnn train: runs/vae/log.csv: Is a directory\n")


def shell(line, folder):
    """A line of bash, run in a folder, where `scratchnn` is this one."""
    line = f'scratchnn() {{ "{sys.executable}" -m scratchnn "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "SCRATCHNN_PROGRESS": "0"},
    )  # fmt: skip


def test_a_full_disk_is_said_in_one_line(tmp_path):
    done = shell("ulimit -f 100; scratchnn train vae --steps 3 --out full", tmp_path)
    last = done.stderr.splitlines()[-1]  # matplotlib may complain before, of its cache
    assert (done.returncode, last) == (
        2,
        "scratchnn train: cannot write full/model.safetensors: File too large. Choose "
        "a folder that you may write to, with space left",
    )


@pytest.mark.parametrize("line", ["data", "train vae --steps 3"])
def test_output_that_cannot_be_written_is_said_in_one_line(tmp_path, line):
    done = shell(f"scratchnn {line} > /dev/full", tmp_path)
    text = f"scratchnn {line.split()[0]}: No space left on device"
    said = [s for s in done.stderr.splitlines() if "compiling kernels, once" not in s]
    assert (done.returncode, said) == (2, [text])


def test_train_says_once_that_it_compiles_if_it_does(tmp_path):
    pytest.importorskip("numba", reason="kernels need numba")
    line = "NUMBA_CACHE_DIR=cold SCRATCHNN_JIT=1 scratchnn train vae --steps 3"
    for times in (1, 0):
        done = shell(line, tmp_path)
        assert done.returncode == 0
        assert done.stderr.count("`scratchnn warmup` does it beforehand") == times


def test_too_little_memory_is_said_in_one_line(scratchnn, monkeypatch):
    from scratchnn.recipes import vae

    def build(config, rng):
        raise MemoryError("Unable to allocate 23.8 GiB")

    monkeypatch.setattr(vae, "build", build)
    text = "not enough memory; use smaller numbers. Unable to allocate 23.8 GiB"
    assert scratchnn(RUN) == (2, "", f"scratchnn train: {text}\n")


def test_no_gpu_is_said_before_anything_is_written(scratchnn, monkeypatch):
    from scratchnn import device

    none = device.Probe(False, "no NVIDIA driver found")
    monkeypatch.setattr(device, "gpu_probe", lambda: none)
    code, _, err = scratchnn(f"{RUN} --device gpu")
    assert (code, err) == (2, "scratchnn train: --device gpu: no NVIDIA driver found\n")
    assert not Path("runs").exists()


def test_data_that_cannot_be_had_is_said_in_one_line(scratchnn, monkeypatch, tmp_path):
    from scratchnn.data import download

    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr(download, "_download_from", offline)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, _, err = scratchnn("train vae --data mnist")
    assert code == 2 and err.count("\n") == 1
    assert err.startswith(
        "scratchnn train: --data mnist: could not download "
        "mnist/train-images-idx3-ubyte.gz. Check the network, or put the file at "
    )
    monkeypatch.setenv("SCRATCHNN_DATA", "/nonexist")
    _, _, err = scratchnn("train vae --data mnist")
    assert err.endswith(
        "or correct SCRATCHNN_DATA: the folder /nonexist does not exist\n"
    )


def test_train_tells_the_loss_in_words_and_leaves_pictures_and_weights(scratchnn):
    code, out, err = scratchnn(RUN)
    assert (code, err) == (0, "")
    assert "1,437 samples to learn from, 360 held out" in out
    assert "4 steps of 32 samples" in out
    last = out.splitlines()[-2]
    assert last.startswith("test:") and "to describe the picture given its code" in last
    files = {p.name for p in Path("runs/vae").iterdir()}
    assert files == {
        *recipes.get("vae").PICTURES, "loss.png", "log.csv", "model.safetensors",
        "checkpoint.safetensors", "config.json", "snapshots",
    }  # fmt: skip
    code, out, err = scratchnn("sample runs/vae -n 7 --seed 5")
    assert (code, out, err) == (0, "runs/vae/sample.png: 7 samples, seed 5\n", "")
    assert Path("runs/vae/sample.png").exists()
    code, out, err = scratchnn("sample runs/vae --out nowhere/x.png")
    assert (code, out) == (2, "")
    assert err == "scratchnn sample: --out nowhere/x.png: No such file or directory\n"


def test_training_again_replaces_and_says_so(scratchnn):
    scratchnn(RUN)
    code, out, err = scratchnn(f"{RUN} --z 3")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "replacing the run that was in runs/vae"


def test_training_again_removes_the_samples_of_the_run_before(scratchnn):
    scratchnn(RUN)
    scratchnn("sample runs/vae")
    scratchnn(RUN)
    assert not Path("runs/vae/sample.png").exists()


def test_resuming_a_finished_run_says_that_it_only_draws(scratchnn):
    scratchnn(RUN)
    Path("runs/vae/loss.png").unlink()
    before = Path("runs/vae/log.csv").read_text()
    code, out, err = scratchnn("train vae --resume")
    assert (code, err) == (0, "") and "4 steps of 32 samples: finished already" in out
    assert Path("runs/vae/loss.png").exists()
    assert Path("runs/vae/log.csv").read_text() == before


def test_ctrl_c_while_drawing_says_that_training_is_saved(scratchnn, monkeypatch):
    from scratchnn import plot

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plot, "save", interrupted)
        code, out, err = scratchnn(RUN)
    assert (code, err) == (130, "")
    assert out.splitlines()[-1] == (
        "stopped while drawing; training is done and saved. To draw: "
        "scratchnn train vae --resume"
    )
    assert scratchnn("train vae --resume")[0] == 0


def test_ctrl_c_at_the_start_gives_no_traceback(scratchnn, monkeypatch):
    from scratchnn import recipes

    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "get", interrupted)
    assert scratchnn(RUN) == (130, "", "\nstopped\n")


def test_warmup_compiles_nothing_if_kernels_are_off(scratchnn, monkeypatch):
    monkeypatch.setenv("SCRATCHNN_JIT", "0")
    text = "kernels are off by SCRATCHNN_JIT=0; NumPy does everything. Nothing to"
    assert scratchnn("warmup") == (0, f"{text} compile\n", "")


def test_warmup_tells_what_it_compiled_and_how_long_all_took(scratchnn, monkeypatch):
    from scratchnn import kernels

    # at once, in two processes: their times don't add up to the whole
    monkeypatch.setattr(kernels, "warmup", lambda: iter([("exp, relu", 70), ("a", 80)]))
    monkeypatch.delenv("SCRATCHNN_JIT", raising=False)
    code, out, err = scratchnn("warmup")
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert [line.split() for line in lines] == [
        ["exp,", "relu", "70.00", "s"],
        ["a", "80.00", "s"],
    ]
    assert last.startswith("in all ") and float(last.split()[2]) < 70


def test_resume_may_lengthen_a_run_but_not_change_it(scratchnn):
    scratchnn(RUN)
    code, out, err = scratchnn("train vae --resume --lr 0.5")
    assert (code, out) == (2, "") and err == (
        "scratchnn train: --lr 0.5 contradicts runs/vae/config.json, where lr is "
        "0.002; leave it out, or train afresh with another --out\n"
    )
    code, _, err = scratchnn("train vae --resume --hidden 17")
    assert code == 2 and "--hidden 17 contradicts" in err and "hidden is 16" in err
    code, _, err = scratchnn("train vae --resume --steps 3")
    assert code == 2 and "is at step 4 already, past the 3 asked for" in err
    code, out, err = scratchnn("train vae --resume --steps 6")
    assert (code, err) == (0, "") and "6 steps of 32 samples, from step 4" in out


def test_an_unfinished_run_is_to_be_resumed(scratchnn):
    scratchnn(RUN)
    path = Path("runs/vae/config.json")
    path.write_text(path.read_text().replace('"total": 4', '"total": 400'))
    code, out, err = scratchnn(RUN)
    assert (code, out) == (2, "") and err == (
        "scratchnn train: runs/vae holds an unfinished run (step 4 of 400): go on with "
        "it by --resume, or name another folder with --out\n"
    )


def test_damaged_weights_are_refused(scratchnn):
    scratchnn(RUN)
    path = Path("runs/vae/model.safetensors")
    checkpoint.save(path, {}, {})
    code, _, err = scratchnn("sample runs/vae")
    assert code == 2 and err.startswith(f"scratchnn sample: {path} does not fit config")
    path.write_bytes(b"no weights")
    code, _, err = scratchnn("sample runs/vae")
    assert code == 2 and err.count("\n") == 1 and str(path) in err


def test_profile_ends_with_a_table_and_a_picture(scratchnn):
    code, out, err = scratchnn(f"{RUN} --profile")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert any(line[:2] == ["Adam.step", "4"] for line in lines)
    assert "The same as a picture: runs/vae/profile.png" in out
    assert Path("runs/vae/profile.png").exists()
    code, out, _ = scratchnn("train vae --resume --profile --steps 7")
    assert code == 0
    assert any(line.split()[:2] == ["Adam.step", "3"] for line in out.splitlines())
    code, out, err = scratchnn("train vae --resume --profile")
    assert (code, out) == (2, "") and err == (
        "scratchnn train: --profile: the run in runs/vae is finished, there is no step "
        "to measure; leave it out, or lengthen the run with --steps\n"
    )
    scratchnn(RUN)
    assert not Path("runs/vae/profile.png").exists()  # it was of the run before


def test_ctrl_c_saves_and_shows_the_profile_so_far(scratchnn, monkeypatch):
    from scratchnn.recipes import vae

    train = vae.train

    def interrupted(*args):
        for losses in train(*args):
            os.kill(os.getpid(), signal.SIGINT)
            yield losses

    with monkeypatch.context() as patch:
        patch.setattr(vae, "train", interrupted)
        code, out, err = scratchnn(f"{RUN} --profile")
    assert (code, err) == (130, "")
    assert "stopped after step 1 and saved" in out
    assert "\nAdam.step" in out
    assert Path("runs/vae/profile.png").exists()
    assert scratchnn("train vae --resume")[0] == 0


def test_divergence_exits_1_with_one_line(scratchnn):
    code, _, err = scratchnn("train vae --hidden 16 --steps 100 --lr 1000")
    assert code == 1 and err.count("\n") == 1
    assert err.startswith("scratchnn train: stopped at step ")


def test_gradcheck_exits_0_if_all_rules_are_right_and_1_if_not(scratchnn, monkeypatch):
    code, out, err = scratchnn("gradcheck exp tanh")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "4 right, 0 wrong, 0 without a check"
    from scratchnn.op import TABLE

    monkeypatch.setattr(TABLE["exp"], "rules", (lambda g, y, x: -g * y,))
    code, out, _ = scratchnn("gradcheck exp")
    assert code == 1 and "WRONG" in out and out.splitlines()[-1].startswith("0 right")


@pytest.mark.parametrize("line", ["models", "data", "doctor", "--version", "", "-h"])
def test_lists_are_printed(scratchnn, line):
    code, out, err = scratchnn(line)
    assert (code, err) == (0, "") and out


def test_what_the_lists_hold(scratchnn):
    assert "vae " in scratchnn("models")[1]
    assert "digits         bundled" in scratchnn("data")[1]
    doctor = scratchnn("doctor")[1]
    for name in "scratchnn numpy BLAS cores kernels GPU SCRATCHNN_JIT".split():
        assert f"\n{name} " in "\n" + doctor


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(scratchnn, command):
    code, out, err = scratchnn(f"{command} --help")
    assert (code, err) == (0, "") and out.startswith(f"usage: scratchnn {command}")


def test_help_of_train_lists_the_models_own_options(scratchnn):
    out = scratchnn("train vae --help")[1]
    assert all(option in out for option in ("--beta", "--hidden", "--likelihood"))
    assert "[128,64]" in out and "[bernoulli]" in out  # the defaults, as they are typed


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from scratchnn import cli; cli.main([]); "
        "heavy = {'numba', 'matplotlib', 'pooch', 'tqdm', 'safetensors'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "scratchnn", "data"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == "" and done.returncode == 141
