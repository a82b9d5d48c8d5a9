"""Compile the kernel files whose names come on stdin; a line on stdout when done.

`kernels.warmup` runs some of these at once. The code stays on the disk.
"""

import sys

from . import load

if __name__ == "__main__":
    for name in sys.stdin:
        module = load(name.strip())
        if module is not None:
            module.warmup()
        sys.stdout.write("done\n")
        sys.stdout.flush()
