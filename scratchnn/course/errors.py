"""What can go wrong with a student's code, by kind and in words."""

KINDS = {
    "missing": "the function is not there",
    "not started": "the stub is untouched",
    "raised": "the code raised an error",
    "import": "the file could not be run",
    "refused": "the file imports what the assignment does not allow",
    "time": "it took too long",
    "memory": "it wanted too much memory",
    "died": "its process ended",
    "answer": "it returned what can't be compared",
}


class StudentError(Exception):
    """The student's code gave no answer. kind: of KINDS; text: for the student."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind, self.text = kind, text


class TaskError(ValueError):
    """An assignment that can't be used: the file, the line, and what to mend."""
