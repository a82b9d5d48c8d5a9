"""Checkpoints: what goes in comes out, PyTorch reads it, and broken files say so."""

import os

import numpy as np
import pytest

from scratchnn.checkpoint import CheckpointError, load, save

STATE = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float64": np.linspace(0, 1, 5),
    "float16": np.ones((2, 2), np.float16),
    "int": np.array(7),
    "flag": np.array(True),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "reversed": np.arange(6)[::-2],
}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for k in a:
        assert a[k].dtype == b[k].dtype
        np.testing.assert_array_equal(a[k], b[k])


def test_arrays_and_metadata_come_back(tmp_path):
    save(tmp_path / "new" / "a.safetensors", STATE, {"epoch": 3, "model": "vae"})
    state, meta = load(tmp_path / "new" / "a.safetensors")
    assert_same(state, STATE)
    assert meta == {"epoch": "3", "model": "vae"}
    assert all(x.flags.writeable for x in state.values())


def test_no_metadata_is_an_empty_dict(tmp_path):
    save(tmp_path / "a", {})
    assert load(tmp_path / "a") == ({}, {})


def test_pytorch_reads_what_we_write_and_we_read_what_it_writes(tmp_path):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    from safetensors.torch import load_file, save_file

    save(tmp_path / "ours", STATE)
    theirs = load_file(tmp_path / "ours")
    assert_same({k: x.numpy() for k, x in theirs.items()}, STATE)
    save_file(theirs, tmp_path / "theirs")
    assert_same(load(tmp_path / "theirs")[0], STATE)
    save_file({"x": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "half")
    with pytest.raises(CheckpointError, match="bfloat16"):
        load(tmp_path / "half")


def test_device_arrays_are_saved(device, tmp_path):
    save(tmp_path / "a", {"x": device.put(STATE["float32"])})
    assert_same(load(tmp_path / "a")[0], {"x": STATE["float32"]})


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save(path, STATE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError) as e:
        save(path, {})
    assert str(e.value) == (
        f"cannot write {path}: No space left on device. Choose a folder that you may "
        "write to, with space left"
    )
    assert os.listdir(tmp_path) == ["a.safetensors"]
    assert_same(load(path)[0], STATE)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(CheckpointError, match="cannot write .*runs/a: "):
        save(tmp_path / "runs" / "a", STATE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError) as e:
        load(tmp_path / "none")
    assert str(e.value) == (
        f"there is no file {tmp_path / 'none'}; check the path, or train first to make "
        "one"
    )


BROKEN = {
    "empty": lambda whole: b"",
    "cut in the length": lambda whole: whole[:5],
    "cut in the header": lambda whole: whole[:40],
    "cut in the data": lambda whole: whole[:-1],
    "one byte too many": lambda whole: whole + b"\0",
    "garbage": lambda whole: bytes(range(256)) * 4,
    "no JSON in the header": lambda whole: whole[:8] + b"x" * (len(whole) - 8),
    "pickle": lambda whole: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94.",
    "text": lambda whole: b"not a checkpoint, by any means",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_clear_error(name, tmp_path):
    path = tmp_path / "model.safetensors"
    save(path, STATE)
    path.write_bytes(BROKEN[name](path.read_bytes()))
    with pytest.raises(CheckpointError) as e:
        load(path)
    text = str(e.value)
    assert text.startswith(f"{path} is no readable safetensors file, or was cut")
    assert "Take an earlier checkpoint or train again" in text


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="is no readable safetensors file"):
        load(tmp_path)
