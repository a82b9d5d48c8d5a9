"""argparse, complaining in one line that names the nearest option."""

import argparse
from pathlib import Path

from ..errors import nearest

# What other libraries call an option of ours.
ALIASES = {"learning-rate": "--lr", "batch-size": "--batch", "output": "--out"}


class UsageError(Exception):
    """Bad input: one line for the reader."""


class Parser(argparse.ArgumentParser):
    """The options of one command; UsageError for what is none of them."""

    def __init__(self, command, **options):
        super().__init__(prog=f"scratchnn {command}", allow_abbrev=False, **options)

    def add_options(self, title, options, defaults=()):
        """A group of {option: (how to read it, what --help says)}.

        defaults: {option: value}, shown in brackets.
        """
        from ..train.folder import typed

        group = self.add_argument_group(title)
        for name, (read, text) in options.items():
            if name in defaults and defaults[name] is not None:
                text = f"{text} [{typed(defaults[name])}]"
            text = text.replace("%", "%%")
            name = f"--{name.replace('_', '-')}"
            group.add_argument(name, metavar="X", type=read, help=text)

    def error(self, message):
        message = message.removeprefix("argument ").split(" (choose from")[0]
        required = "the following arguments are required: "
        if message.startswith(required):
            message = f"{message.removeprefix(required)} is missing; see --help"
        unknown = "unrecognized arguments: "
        if message.startswith(unknown):
            message = self._unknown(message.removeprefix(unknown).split(" ")[0])
        raise UsageError(f"{self.prog}: {message}")

    def _unknown(self, given):
        from ..recipes import widths

        if given[:1] != "-":
            list_taken = any(action.type is widths for action in self._actions)
            hint = list_taken and given.isdecimal()
            hint = "; write a list with commas, as 128,64" if hint else ""
            return f"unexpected argument {given!r}{hint}"
        given = given.partition("=")[0]
        known = self._option_string_actions
        options = {name: o for name, o in ALIASES.items() if o in known}
        options |= {o.lstrip("-"): o for o in known}
        hint = nearest(given.lstrip("-").replace("_", "-"), options)
        for name, option in options.items():
            hint = hint.replace(repr(name), repr(option))
        return f"unknown option {given}{hint}"


def path(text):
    """The name of a file or a folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got ''")
    return Path(text)
