"""Assignments: from one annotated solution to releases, checks and grades.

A teacher writes one file: the solution, with marks around what students are to write
and, beside each task, its checks (assignment.py). `release` makes the student's folder
from it (markers.py, release.py), `check` runs its public checks for a student, `grade`
all of them for a class. The student's code runs in a process of its own (session.py),
which holds neither a check nor an answer.
"""

from .assignment import Assignment, Task, TaskError, load, task

__all__ = ["Assignment", "Task", "TaskError", "load", "task"]
