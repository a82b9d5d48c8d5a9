"""`scratchnn train gpt`, bert and seq2seq; generate and translate; what is refused."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from test_train import assert_same_run, killed_at

from scratchnn import cli, data, no_grad, recipes, train
from scratchnn.cli.training import _config
from scratchnn.models import transformer_training as training
from scratchnn.recipes import text
from scratchnn.train import samples

RNG = np.random.default_rng
TEXT = "the cat sat on the mat; the dog sat on the log.\n" * 40
PAIRS = "".join(f"{i} + {j}\t{i + j}\n" for i in range(8) for j in range(8))
SIZES = "--width 8 --heads 2 --layers 1 --batch 4 --warmup 2 "


@pytest.fixture
def scratchnn(tmp_path, monkeypatch, capsys):
    """Run `scratchnn LINE` in a folder with two texts: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")
    Path("cats.txt").write_text(TEXT)
    Path("sums.tsv").write_text(PAIRS)
    Path("short.txt").write_text("too short")
    Path("untabbed.tsv").write_text("1 2\n" * 30)
    Path("bytes.txt").write_bytes(b"\xff\xfe\x00")

    def run(*line):
        line = line[0].split() if len(line) == 1 else line
        code = cli.main(list(line))
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The folder of a run of GPT, trained once for all tests."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "cats.txt").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(recipes.get("gpt"), "WRITTEN", 20)
        patch.setenv("SCRATCHNN_PROGRESS", "0")
        assert cli.main(GPT.split()) == 0
    return folder / "runs" / "gpt"


@pytest.fixture
def gpt(scratchnn, once):
    """A copy of that run in runs/gpt."""
    shutil.copytree(once, "runs/gpt")
    config = Path("runs/gpt/config.json")
    here = config.read_text().replace(str(once.parents[1]), str(Path.cwd()))
    config.write_text(here)


GPT = f"train gpt --data cats.txt --length 16 --steps 12 {SIZES}"
BERT = f"train bert --data cats.txt --tokens word --length 8 --steps 4 {SIZES}"
SUMS = f"train seq2seq --data sums.tsv --length 8 --steps 4 {SIZES}"


# ---- a run --------------------------------------------------------------------------
def test_a_run_leaves_its_tokenizer_and_what_it_wrote(scratchnn):
    code, out, err = scratchnn(GPT)
    assert (code, err) == (0, "")
    assert "1,728 tokens to learn from, 192 held out to test on" in out
    assert "12 steps of 4 samples" in out
    config = json.loads(Path("runs/gpt/config.json").read_text())
    assert config["data"] == str(Path("cats.txt").resolve())
    assert "tokenizer" not in config and "shape" not in config
    tokenizer = data.tokenizer("runs/gpt/tokenizer.json")
    assert "".join(tokenizer.vocabulary) == "".join(sorted(set(TEXT)))
    written = Path("runs/gpt/samples.txt").read_text()
    steps = [line for line in written.splitlines() if line.startswith("step ")]
    assert steps == [f"step {s}" for s in sorted(samples.marks(12))]
    assert written in out  # it was shown as it was written
    assert "scratchnn generate runs/gpt" in out.splitlines()[-1]


def test_the_default_data_sets_need_no_download():
    assert next(iter(recipes.get("gpt").DATA)) == "python"
    assert next(iter(recipes.get("bert").DATA)) == "python"
    assert next(iter(recipes.get("seq2seq").DATA)) == "dates"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gpt", dict(dropout=0.3)),
        ("bert", dict(dropout=0.3)),
        ("seq2seq", dict(dropout=0.3, label_smoothing=0.1, schedule="vaswani")),
        ("seq2seq", dict(net="lstm", dropout=0.3, layers=2)),
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, monkeypatch, name, options):
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")
    monkeypatch.setattr(recipes.get("gpt"), "WRITTEN", 20)
    file = tmp_path / "text"
    file.write_text(PAIRS if name == "seq2seq" else TEXT)
    asked = dict(data=str(file), width=8, heads=2, layers=1, batch=4, warmup=2, steps=9)
    asked["length"] = 12
    config = _config(name, recipes.get(name), asked | options)
    train.train(train.new(config, tmp_path / "straight"))
    killed_at(train.new(config, tmp_path / "killed"), step=7, saved_at=4)
    run = train.resumed(tmp_path / "killed", {})
    assert run.step == 4
    train.train(run)
    assert_same_run(tmp_path / "killed", tmp_path / "straight")
    a, b = ((tmp_path / k / "samples.txt").read_text() for k in ("killed", "straight"))
    assert a == b and a.count("step ") == 10


def test_samples_are_cut_back_to_a_step(tmp_path):
    first = samples.write(tmp_path, 0, ["a text\nof two lines"])
    samples.write(tmp_path, 1200, ["step 5"])  # what is written can look like a step
    before = (tmp_path / "samples.txt").read_text()
    samples.write(tmp_path, 1400, ["late"])
    samples.cut(tmp_path, 1200)
    assert (tmp_path / "samples.txt").read_text() == before
    samples.cut(tmp_path, 0)
    assert (tmp_path / "samples.txt").read_text() == first + "\n"
    assert first == "step 0\n    a text\n    of two lines"


def test_held_out_loss_is_the_mean_over_all_held_out_tokens(tmp_path):
    file = tmp_path / "text"
    for name, content in (("gpt", TEXT), ("seq2seq", PAIRS)):
        file.write_text(content)
        asked = dict(data=str(file), width=8, heads=2, layers=1, batch=3, steps=1)
        run = train.Run(_config(name, recipes.get(name), asked), "unused")
        model, pad = run.model.eval(), run.config["tokenizer"].pad
        total, n = 0.0, 0
        with no_grad():
            if name == "gpt":
                tokens, length = run.test_set.tokens, run.config["length"]
                for i in range(0, len(tokens) - length, length):
                    x = tokens[None, i : i + length + 1]
                    total += float(training.d_loss(model, x).loss) * length
                    n += length
            else:
                for z, x in zip(*run.test_set):  # one at a time, without its padding
                    z, x = (a[a != pad][None] for a in (z, x))
                    total += float(training.ed_loss(model, z, x).loss) * (x.size - 1)
                    n += x.size - 1
        assert run.evaluate().loss == pytest.approx(total / n, rel=1e-5)


# ---- batches ------------------------------------------------------------------------
def test_batches_by_length_hold_every_pair_once_and_little_padding():
    rng = RNG(0)
    lengths = rng.integers(1, 28, (1000, 1)) + rng.integers(0, 3, (1000, 2))
    places = np.arange(30)
    z, x = (
        np.where(places < n[:, None], np.arange(1, 1001)[:, None], 0)
        for n in lengths.T
    )
    pad = {"tokenizer": type("Tokenizer", (), {"pad": 0})}
    batches = list(text.loader(text.Pairs(z, x), 16, pad, RNG(1)))
    again = list(text.loader(text.Pairs(z, x), 16, pad, RNG(1)))
    assert len(batches) == len(text.loader(text.Pairs(z, x), 16, pad)) == 63
    assert all(np.array_equal(a.x, b.x) for a, b in zip(batches, again))
    rows = np.concatenate([b.z[:, 0] for b in batches])
    assert sorted(rows) == list(range(1, 1001)) and list(rows) != sorted(rows)
    for b in batches:
        assert (b.z[:, 0] == b.x[:, 0]).all()
        assert (b.z != 0).any(axis=0).all() and (b.x != 0).any(axis=0).all()
    tokens = sum(b.z.size + b.x.size for b in batches)
    assert lengths.sum() <= tokens < 1.5 * lengths.sum()  # 1.94 times if unsorted
    assert sum(text.size(b, pad) for b in batches) == (x[:, 1:] != 0).sum()


# ---- the learning rate --------------------------------------------------------------
def test_the_rate_rises_then_falls_to_a_tenth_and_only_matrices_decay():
    config = dict(lr=0.2, warmup=4, total=24)
    from scratchnn.models.transformer import DTransformer

    model = DTransformer(5, 8, 1, 2, l_max=4, rng=RNG(0))
    made = text.optimizers(model, config)
    adam, rate, rates = made["adam"], made["rate"], []
    for _ in range(25):
        rates.append(rate.get_last_lr()[0])
        rate.step()
    assert rates[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rates[14] == pytest.approx(0.2 * 0.55) and rates[24] == pytest.approx(0.02)
    matrices, others = adam.param_groups
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.1, 0)
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in others["params"]} == {1}


def test_vaswanis_schedule_has_the_learning_rate_at_its_top(tmp_path):
    (tmp_path / "text").write_text(PAIRS)
    asked = dict(data=str(tmp_path / "text"), schedule="vaswani", warmup=7, lr=0.003)
    asked |= dict(width=8, heads=2, layers=1, steps=9)
    run = train.Run(_config("seq2seq", recipes.get("seq2seq"), asked), "unused")
    rate, rates = run.optimizers["rate"], []
    for _ in range(30):
        rates.append(rate.get_last_lr()[0])
        rate.step()
    assert max(rates) == rates[6] == pytest.approx(0.003)
    assert rates[27] == pytest.approx(0.0015)  # step 28 = 4 times the warm-up


# ---- generate -----------------------------------------------------------------------
def test_generate_goes_on_from_the_prompt_and_repeats_with_the_seed(scratchnn, gpt):
    line = "generate runs/gpt --prompt the -n 30 --seed 3"
    code, out, err = scratchnn(line)
    assert (code, err) == (0, "")
    assert out.startswith("the") and len(out) == 3 + 30 + 1  # characters, and an end
    assert scratchnn(line)[1] == out != scratchnn(line[:-1] + "4")[1]
    greedy = "generate runs/gpt --prompt the -n 9 --temperature 0 --seed "
    assert scratchnn(greedy + "1") == scratchnn(greedy + "2")
    code, out, err = scratchnn("generate runs/gpt -n 5 --top-k 3 --top-p 0.9")
    assert (code, len(out)) == (0, 6) and err.startswith("seed ")


def test_text_comes_piece_by_piece(scratchnn, gpt):
    recipe, model, config = train.trained("runs/gpt")
    pieces = recipe.write(model, config, "the", 500, RNG(0))
    assert [next(pieces) for _ in range(4)][:3] == ["t", "h", "e"]
    pieces.close()


def test_a_model_of_lines_writes_line_after_line(tmp_path, monkeypatch):
    words = ["anna", "bob", "eve"] * 8
    monkeypatch.setattr(data, "names", lambda split: words)
    asked = dict(data="names", width=8, heads=2, layers=1, steps=90, warmup=2, lr=0.03)
    run = train.Run(_config("gpt", recipes.get("gpt"), asked), "unused")
    for _ in run.steps():
        pass
    model, config, recipe = run.model.eval(), run.config, run.recipe
    pieces = recipe.write(model, config, "", 200, RNG(0), top_p=0.8)
    lines = "".join(pieces).split("\n")
    assert len(lines) > 20 and set(lines[:-1]) <= set(words)
    assert "".join(recipe.write(model, config, "an", 99, RNG(0), 0)) == "anna"
    assert len(list(recipe.texts(model, config, run.test_set, RNG(0)))) == 8


def test_what_it_adds_is_held_against_the_sum(monkeypatch):
    asked = dict(data="addition", width=8, heads=2, layers=1, steps=1, digits=1)
    run = train.Run(_config("gpt", recipes.get("gpt"), asked), "unused")
    a, b = (len(part[0]) for part in (run.train_set, run.test_set))
    assert a + b == 100 and b > 4  # all sums of two digits
    for line in run.recipe.texts(run.model.eval(), run.config, run.test_set, RNG(0)):
        sum_, _, verdict = line.partition("   wrong, it is ")
        (x, y), said = sum_.split("=")[0].split("+"), sum_.split("=")[1]
        right = f"{int(x) + int(y):02}"[::-1]
        assert verdict == ("" if said == right else right)


# ---- fill in ------------------------------------------------------------------------
def test_bert_fills_gaps_and_leaves_the_rest(scratchnn):
    assert scratchnn(BERT)[0] == 0
    line = "generate", "runs/bert", "--seed", "1", "--prompt", "the ___ sat on the ___"
    code, out, err = scratchnn(*line)
    assert (code, err) == (0, "")
    words = out.split()
    assert words[0] == "the" and words[2:5] == ["sat", "on", "the"]
    assert "<mask>" not in out
    code, out, err = scratchnn("generate", "runs/bert", "--prompt", "the cat")
    assert code == 2 and err.endswith(
        "scratchnn generate: bert fills gaps: write ___ for each token to fill in, as "
        "--prompt 'the ___ of the list'\n"
    )


def test_berts_guesses_are_shown_in_their_places(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    asked = dict(data=str(tmp_path / "text"), tokens="char", p_mask=1.0, length=8)
    asked |= dict(width=8, heads=2, layers=1, steps=1)
    run = train.Run(_config("bert", recipes.get("bert"), asked), "unused")
    for line in run.recipe.texts(run.model.eval(), run.config, run.test_set, RNG(0)):
        assert line.startswith("[") and line.count("[") >= 7  # blanks may be joined


# ---- translate ----------------------------------------------------------------------
@pytest.mark.parametrize("net", ["transformer", "gru"])
def test_translate_takes_a_text_or_lines(scratchnn, monkeypatch, net):
    assert scratchnn(SUMS + f"--net {net}")[0] == 0
    code, one, err = scratchnn("translate", "runs/seq2seq", "3 + 4")
    assert (code, err, one.count("\n")) == (0, "", 1)
    monkeypatch.setattr(sys, "stdin", io.StringIO("3 + 4\n\n1 + 1"))
    code, out, err = scratchnn("translate runs/seq2seq")
    assert (code, err, out.count("\n")) == (0, "", 3) and out.startswith(one + "\n")
    out = "translate", "runs/seq2seq", "3 + 4", "--beams", "2", "--attention", "a.png"
    assert scratchnn(*out)[0] == 0 and Path("a.png").exists()


def test_a_network_without_attention_has_none_to_show(scratchnn):
    assert scratchnn(SUMS + "--net gru --attention off")[0] == 0
    line = "translate", "runs/seq2seq", "3 + 4", "--attention", "a.png"
    code, _, err = scratchnn(*line)
    assert code == 2 and "has no attention to show; train one with it" in err


def test_a_recurrent_network_is_not_asked_to_divide_its_width(scratchnn):
    assert scratchnn(SUMS + "--net lstm --width 16 --heads 3")[0] == 0
    code, _, err = scratchnn(SUMS + "--width 16 --heads 3 --out runs/other")
    assert code == 2 and "--heads 3 do not divide --width 16" in err


# ---- what is refused ----------------------------------------------------------------
IN = "scratchnn train: "
BAD = {
    "train gpt --data moons": IN + "gpt can't train on 'moons'; it takes python, "
    "shakespeare, names, addition or a text file, and there is no file 'moons'",
    "train gpt --data pyton": IN + "gpt can't train on 'pyton'; did you mean 'python'?",
    "train gpt --data cat.txt": IN + "gpt can't train on 'cat.txt'; it takes python, "
    "shakespeare, names, addition or a text file, and there is no file 'cat.txt'",
    "train gpt --heads 3": IN + "--heads 3 do not divide --width 128; take --width 129",
    "train gpt --dropout 1": IN + "--dropout must be below 1, such as 0.1",
    "train gpt --dropout 2": IN + "--dropout: expected a number from 0 to 1, got '2'",
    "train gpt --tokens letters": IN + "--tokens: expected char or word or bpe, got "
    "'letters'",
    "train gpt --positions none": IN + "--positions: expected learned or sinusoidal or "
    "rotary or alibi, got 'none'",
    "train gpt --positions rotary --width 12": IN + "--positions rotary turns pairs "
    "of numbers: --width divided by --heads must be even, not 3",
    "train gpt --tokens bpe --vocabulary 99": IN + "--vocabulary 99: bpe has 256 "
    "tokens to begin with, one for each byte; take more, such as --vocabulary 1024",
    "train gpt --data addition --length 4": IN + "--length 4 is too short for "
    "addition, where a line has up to 11 tokens; take --length 10",
    "train bert --p-mask 0": IN + "--p-mask 0 hides nothing to learn from; 0.15 is "
    "usual",
    "train bert --length 1": IN + "--length: expected a whole number of at least 2, "
    "got '1'",
    "train seq2seq --net cnn": IN + "--net: expected transformer or gru or lstm or "
    "rnn, got 'cnn'",
    "train seq2seq --label-smoothing 1": IN + "--label-smoothing must be below 1, such "
    "as 0.1",
    "generate runs/nix": "scratchnn generate: there is no run in runs/nix; scratchnn "
    "train makes one",
    "translate runs/nix hello": "scratchnn translate: there is no run in runs/nix; "
    "scratchnn train makes one",
    "generate": "scratchnn generate: RUN is missing; see --help",
    "generate runs/nix -n 0": "scratchnn generate: -n: expected a whole number of at "
    "least 1, got '0'",
    "translate runs/nix --attention a.png": "scratchnn translate: --attention: it is "
    "the picture of one text; name it after the run, as scratchnn translate runs/nix "
    "TEXT --attention a.png",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_gets_one_line_and_exit_code_2(scratchnn, line):
    assert scratchnn(line) == (2, "", BAD[line] + "\n")


def test_files_that_cannot_be_learnt_from_are_refused_in_one_line(scratchnn):
    path = Path("short.txt").resolve()
    code, out, err = scratchnn("train gpt --data short.txt")
    assert (code, out) == (2, "") and err == (
        f"{IN}--data {path}: a tenth of the text is held out, and one of the parts has "
        "8 tokens, no more than --length 64; take a longer text or a smaller --length\n"
    )
    code, out, err = scratchnn("train seq2seq --data untabbed.tsv")
    assert (code, out) == (2, "") and err.endswith(
        "untabbed.tsv: line 1 is no pair; write a source, a tab and its target in each "
        "line\n"
    )
    code, out, err = scratchnn("train seq2seq --data short.txt --length 99")
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = scratchnn("train gpt --data bytes.txt")
    assert (code, out, err.count("\n")) == (2, "", 1) and "is not text in UTF-8" in err


def test_what_a_run_cannot_do_is_said_with_what_it_can(scratchnn, gpt):
    scratchnn("train vae --hidden 4 --steps 1")
    lines = {
        "sample runs/gpt": "sample: gpt draws no pictures; try scratchnn generate "
        "runs/gpt",
        "translate runs/gpt hello": "translate: gpt can't; try scratchnn generate",
        "generate runs/vae": "generate: vae can't; try scratchnn sample",
        "generate runs/gpt --prompt the€": "generate: --prompt: no token for '€'; it "
        "knows only '\\n .;acdeghlmnost'",
        "generate runs/gpt --temperature -1": "generate: --temperature: expected a "
        "number of at least 0, got '-1'",
        "generate runs/gpt --top-p 0": "generate: --top-p: expected a number above 0, "
        "got '0'",
        "generate runs/gpt --beams 3": "generate: unknown option --beams",
        "animate runs/gpt": "animate: gpt keeps no samples while it learns; read "
        "runs/gpt/samples.txt",
    }
    for line, text_ in lines.items():
        code, out, err = scratchnn(line)
        assert (code, out) == (2, ""), line
        assert err.splitlines()[-1] == f"scratchnn {text_}", line


def test_resuming_names_the_same_file_as_it_was_typed(scratchnn, gpt):
    code, out, _ = scratchnn("train gpt --resume --data cats.txt --steps 13")
    assert code == 0 and "from step 12" in out
    code, _, err = scratchnn("train gpt --resume --data sums.tsv")
    assert code == 2 and "contradicts" in err


@pytest.mark.parametrize("damage", ["", "{}", '{"tokenizer": "char"}'])
def test_a_damaged_tokenizer_is_refused_in_one_line(scratchnn, gpt, damage):
    Path("runs/gpt/tokenizer.json").write_text(damage)
    code, out, err = scratchnn("generate runs/gpt --seed 1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "tokenizer.json" in err


def test_a_run_without_its_tokenizer_is_refused_in_one_line(scratchnn, gpt):
    Path("runs/gpt/tokenizer.json").unlink()
    code, out, err = scratchnn("generate runs/gpt --seed 1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "tokenizer.json" in err
