"""What a model of text wrote while it learned: RUN/samples.txt.

A line "step 200" for each of about 10 steps, the first untrained and the last at the
end; what was written stands below, four spaces to the right.
"""

import os
import re

TIMES = 10


def marks(total):
    """The steps of a run of `total` at which it writes: 0 to total, a set."""
    return {round(i * total / TIMES) for i in range(TIMES + 1)}


def write(folder, step, lines):
    """Add what was written at a step; the text that was added."""
    rows = [row for line in lines for row in line.split("\n")]
    text = "\n".join([f"step {step:,}", *(f"    {row}".rstrip() for row in rows)])
    with open(folder / "samples.txt", "a", encoding="utf-8") as file:
        file.write(text + "\n")
    return text


def cut(folder, step):
    """Leave out what was written after a step: it will be written again."""
    path = folder / "samples.txt"
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    parts = re.split("^(?=step [0-9,]+$)", text, flags=re.MULTILINE)
    kept = [p for p in parts if p and _step(p) <= step]
    part = path.with_name(f".{path.name}.part")
    part.write_text("".join(kept), encoding="utf-8")
    os.replace(part, path)


def _step(part):
    return int(part.split("\n", 1)[0].removeprefix("step ").replace(",", ""))
