"""The zip that makes Gradescope grade an assignment: its autograder.

Gradescope unpacks it into /autograder/source, runs setup.sh once, as root, to make an
image, and run_autograder in a copy of that image for each submission. The zip brings
the whole assignment and this library; setup.sh brings Python and NumPy, for those of
the image are old.
"""

import hashlib
from pathlib import Path

SETUP = """\
#!/usr/bin/env bash
# Runs once, as root, while the image is made: a Python of our own, with NumPy.
# SCRATCHNN_PYTHON: one that is there already, in place of the download.
set -euo pipefail
source="${AUTOGRADER:-/autograder}/source"
home="${SCRATCHNN_HOME:-/opt/scratchnn}"
mkdir -p "$home"
if [ -n "${SCRATCHNN_PYTHON:-}" ]; then
    python="$SCRATCHNN_PYTHON"
else
    if ! command -v curl >/dev/null; then
        apt-get update && apt-get install -y curl ca-certificates
    fi
    export UV_INSTALL_DIR="$home/uv" UV_PYTHON_INSTALL_DIR="$home/pythons"
    export UV_NO_MODIFY_PATH=1
    curl -LsSf https://astral.sh/uv/install.sh | sh
    "$home/uv/uv" venv --clear --python 3.12 "$home/venv"
    python="$home/venv/bin/python"
    "$home/uv/uv" pip install --python "$python" 'numpy>=2.0' 'tqdm>=4.66'
fi
PYTHONPATH="$source/library" "$python" -m scratchnn --version
echo "$python" >"$home/python.path"
chmod -R go= "$source"  # the solution and the hidden checks: for root alone
"""

RUN = """\
#!/usr/bin/env bash
# Runs as root for each submission, and leaves a result whatever happens.
# SCRATCHNN_SECONDS: for all of it; below the time that Gradescope gives.
autograder="${AUTOGRADER:-/autograder}"
home="${SCRATCHNN_HOME:-/opt/scratchnn}"
source="$autograder/source"
result="$autograder/results/results.json"
mkdir -p "$autograder/results"
rm -f "$result"
chmod -R go= "$source" "$autograder/results"
chmod go= "$autograder/submission_metadata.json" 2>/dev/null  # names and addresses
cd "$source" || true
export PYTHONPATH="$source/library" PYTHONDONTWRITEBYTECODE=1 SCRATCHNN_PROGRESS=0
metadata="$autograder/submission_metadata.json"
set -- # the options that only some submissions have
[ -f "$metadata" ] && set -- --metadata "$metadata"
timeout -k 10 "${SCRATCHNN_SECONDS:-SECONDS}" "$(cat "$home/python.path")" \\
    -m scratchnn grade "$source/assignment/NAME" "$autograder/submission" "$@" \\
    --single --format gradescope --secret "$source/assignment/secret" \\
    --memory 512 --total TOTAL --output "$result"
code=$?
echo "scratchnn grade ended with exit code $code"
if [ ! -s "$result" ]; then
    words="The grader failed (exit code $code), not your code. Tell your teacher."
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        words="Grading took too long and was stopped. Is there an endless loop?"
    fi
    printf '{"score": 0, "output": "%s", "tests": []}\\n' "$words" >"$result.part"
    mv "$result.part" "$result"
fi
exit 0
"""

SECONDS = 540  # for a submission; Gradescope gives ten minutes, if not told otherwise


def autograder(path, tasks):
    """({name: bytes}, {name: mode}) of the zip for an annotated solution of n tasks.

    The secret that inputs are drawn from is a hash of the source, which no student has.
    """
    path = Path(path)
    source = path.read_bytes()
    each = min(60, (SECONDS - 60) // tasks)  # so that all tasks have their turn
    run = RUN.replace("NAME", path.name)
    run = run.replace(":-SECONDS", f":-{SECONDS}").replace("TOTAL", f"{each}")
    files = {
        "setup.sh": SETUP.encode(),
        "run_autograder": run.encode(),
        f"assignment/{path.name}": source,
        "assignment/secret": f"{hashlib.sha256(source).hexdigest()}\n".encode(),
    }
    package = Path(__file__).parent.parent
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package.parent).as_posix()
        files[f"library/{name}"] = file.read_bytes()
    modes = {name: 0o600 for name in files if name.startswith("assignment/")}
    return files, modes | {"setup.sh": 0o755, "run_autograder": 0o755}
