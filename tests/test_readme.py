"""What the README shows runs as it stands there."""

import contextlib
import io
import pathlib
import re

import numpy as np
import pytest

import scratchnn as snn

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_the_python_of_the_readme_runs_from_top_to_bottom():
    snn.manual_seed(0)
    text = README.read_text(encoding="utf-8")
    *blocks, last = re.findall(r"```python\n(.*?)```", text, re.S)
    names, out = {}, io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            for block in blocks:
                exec(block, names)
            with pytest.raises(AssertionError, match="and the wrong sign"):
                exec(last, names)
    finally:
        snn.TABLE.pop("gauss", None)
    right = float(re.search(r"([\d.]+)% right", out.getvalue()).group(1))
    assert right > 80  # 10 epochs; guessing gets 10
    e = np.exp(-0.25)
    np.testing.assert_allclose(names["dy"].data, -e, rtol=1e-6)
    np.testing.assert_allclose(names["d2y"].data, -e, rtol=1e-6)


def test_the_commands_of_the_readme_exist():
    from scratchnn import cli

    text = README.read_text(encoding="utf-8")
    commands = re.findall(r"^scratchnn (\w+)", text, re.M)
    assert len(commands) >= 8 and set(commands) <= set(cli.COMMANDS)
