"""`python -m scratchnn` is `scratchnn`."""

import sys

from .cli import main

sys.exit(main())
