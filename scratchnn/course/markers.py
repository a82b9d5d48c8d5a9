"""Marks in an annotated solution: what is a solution, a test, a prompt."""


def blocks(source, filename):
    """The marked blocks of a file."""
    raise NotImplementedError
