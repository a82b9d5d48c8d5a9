"""The command line: scratchnn train, sample, generate, translate, animate, models,
data, gradcheck, doctor, warmup, docs, check, release, grade, report.

The only part that prints: results to stdout, progress and complaints to stderr. Exit
codes: 0 done, 1 a check failed or training diverged, 2 bad input (one line says what),
130 Ctrl-C. What a command needs is imported when it runs, so that --help is quick.
"""

import os
import signal
import sys

from ..checkpoint import CheckpointError
from ..errors import nearest
from .about import data, doctor, gradcheck, models, version, warmup
from .course_check import check
from .course_grade import grade, report
from .course_release import release
from .parser import UsageError
from .samples import animate, sample
from .site import docs
from .texts import generate, translate
from .training import train

COMMANDS = {
    f.__name__: f
    for f in (
        train, sample, generate, translate, animate, models, data, gradcheck, doctor,
        warmup, docs, check, release, grade, report,
    )
}  # fmt: skip

HELP = """\
usage: scratchnn COMMAND ...

  scratchnn train vae             learn to draw digits, in less than a minute
  scratchnn train vae --z 8       the same with a longer code
  scratchnn sample runs/vae       draw new digits with what it learned
  scratchnn animate runs/vae      how it learned, as an animation
  scratchnn train gpt             learn to write, and then
  scratchnn generate runs/gpt     write on from a beginning
  scratchnn models                all that can be trained

commands:
{commands}

`scratchnn COMMAND --help` says more. Pictures and weights go to runs/."""


def main(argv=None):
    """Run one command; the exit code. `argv` is sys.argv without the program."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        _drop_output()
        return 128 + signal.SIGPIPE
    except (OSError, MemoryError, CheckpointError) as error:
        command = " ".join(["scratchnn", *argv[:1]])
        print(f"{command}: {_what_failed(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # it was the output that could not be written
            _drop_output()
        return 2


def _drop_output():
    """Send what is left to print nowhere, so that Python's exit doesn't complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _what_failed(error):
    if isinstance(error, MemoryError):
        return f"not enough memory; use smaller numbers. {error}".strip()
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror}"
    return str(error)


def _dispatch(argv):
    if not argv or argv[0] in ("-h", "--help", "help"):
        lines = (f"  {name:10} {f.__doc__}" for name, f in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)))
        return 0
    if argv[0] == "--version":
        print(f"scratchnn {version('scratchnn')}")
        return 0
    command = COMMANDS.get(argv[0])
    if command is None:
        hint = nearest(argv[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}"
        raise UsageError(f"scratchnn: no command {argv[0]!r}{hint}")
    return command(argv[1:]) or 0
