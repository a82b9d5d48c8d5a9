"""The student's side of a session: runs the student's functions, and nothing of ours.

A program, started by session.py as `python -I child.py`. It loads what the student may
import, gives up every right it has (limits.py), reads the student's files and then
answers calls until its input ends. It holds no check and no answer; what it sends is
checked on the other side, so whatever the student's code does to it, it can only spoil
its own answers.
"""

import ast
import builtins
import importlib
import linecache
import os
import sys
import traceback
import types

FOLDER = os.path.dirname(os.path.abspath(__file__))
LONGEST = 4000  # characters of an error's text

CELL = "# cell "  # heads each cell of a notebook: submissions.script
DEFINES = ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign


class Refused(ImportError):
    """An import that the assignment does not allow."""


class Child:
    """The files of a submission, run; the pipe to the grader."""

    def __init__(self, wire, source, sink):
        self.wire, self.source, self.sink = wire, source, sink

    def begin(self, setting, protections):
        """Say that the student's module is about to run; run it; say how it went."""
        self.wire.send(self.sink, {"protections": protections})
        self.files, self.allowed = setting["files"], setting["allowed"]
        self.notebook = setting["module"] if setting["notebook"] else None
        self.names = dict(vars(builtins), __import__=self._import)
        self.modules = {}
        for name, text in self.files.items():
            lines = text.splitlines(keepends=True)
            linecache.cache[name] = len(text), None, lines, name
        reply = {"value": None}
        try:
            self.module = self._load(setting["module"])
        except BaseException as error:
            reply = self._error(error, "import")
        self.wire.send(self.sink, reply)

    # ---- files and imports ------------------------------------------------------
    def _load(self, name):
        if name in self.modules:
            return self.modules[name]
        file = f"{name}.py"
        tree = ast.parse(self.files[file], file)
        if name == self.notebook:
            tree.body = [node for node in tree.body if self._defines(node)]
        self._refuse(tree, file)
        code = compile(tree, file, "exec", dont_inherit=True)
        module = types.ModuleType(name)
        module.__file__, module.__builtins__ = file, self.names
        self.modules[name] = module
        sys.modules.setdefault(name, module)  # dataclasses look for it there
        exec(code, vars(module))
        return module

    def _defines(self, node):
        """Whether a statement of a notebook belongs to its functions.

        It doesn't if it draws or tries something out: expressions, loops, and imports
        of what is not allowed are passed over.
        """
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return not list(self._not_allowed(node))
        return isinstance(node, DEFINES)

    def _refuse(self, tree, file):
        """Refused if there is an import anywhere that is not allowed."""
        for node in ast.walk(tree):
            for name in self._not_allowed(node):
                raise Refused(f"{self._place(file, node.lineno)}: {self._words(name)}")

    def _not_allowed(self, node):
        """The names of modules that a statement imports and may not."""
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." if node.level else node.module]
        return (name for name in names if not self._may(name.split(".")[0]))

    def _may(self, top):
        return top in self.allowed or f"{top}.py" in self.files

    def _words(self, name):
        names = ", ".join(n for n in self.allowed if n[:2] != "__")
        return f"import of {name!r} is not allowed here; allowed: {names}"

    def _import(self, name, globals=None, locals=None, fromlist=(), level=0):
        """`import` within the student's files."""
        top = name.split(".")[0]
        if level or not self._may(top):
            raise Refused(self._words(name or "."))
        if f"{top}.py" in self.files and top not in self.allowed:
            return self._load(top)
        return importlib.__import__(name, globals, locals, fromlist, level)

    # ---- calls ------------------------------------------------------------------
    def serve(self):
        """Answer calls until there are no more, or until a callback's value comes."""
        while True:
            message, arrays = self.wire.receive(self.source)
            if "call" not in message:
                return message, arrays
            self._answer(message, arrays)

    def _answer(self, message, arrays):
        function, out = vars(self.module).get(message["call"]), []
        if not callable(function):
            kind = "ipynb" if self.notebook else "py"
            text = f"{self.module.__name__}.{kind} has no function {message['call']}"
            return self.wire.send(self.sink, _failed("missing", text))
        try:
            unpack, before = self.wire.unpack, [x.tobytes() for x in arrays]
            args = unpack(message["args"], arrays, self._callback)
            kwargs = unpack(message["kwargs"], arrays, self._callback)
            value = function(*args, **kwargs)
            try:
                reply = {"value": self.wire.pack(value, out)}
                written = {
                    k: x for k, x in enumerate(arrays) if x.tobytes() != before[k]
                }
                reply["written"] = self.wire.pack(written, out)
            except RecursionError:
                reply = _failed("answer", "it returned things nested too deeply")
            except self.wire.WireError as error:
                reply = _failed("answer", f"it returned {error}")
        except BaseException as error:
            reply, out = self._error(error, "raised"), []
        try:
            self.wire.send(self.sink, reply, out)
        except self.wire.WireError as error:
            self.wire.send(self.sink, _failed("answer", f"it returned {error}"))
        return None

    def _callback(self, number):
        """A function of the grader's: called there, its value comes back."""

        def function(*args, **kwargs):
            out = []
            pack = self.wire.pack
            message = {"callback": number, "args": pack(args, out)}
            message["kwargs"] = pack(kwargs, out)
            self.wire.send(self.sink, message, out)
            reply, arrays = self.serve()
            if "error" in reply:
                raise ValueError(reply["error"])
            return self.wire.unpack(reply["value"], arrays, self._callback)

        return function

    # ---- errors -----------------------------------------------------------------
    def _error(self, error, kind):
        """An exception as a reply: kind, and text with the student's own lines."""
        if isinstance(error, Refused):
            return _failed("refused", str(error))
        text = _text(error)
        if isinstance(error, NotImplementedError) and text.startswith("Task"):
            return _failed("not started", text)
        if isinstance(error, MemoryError):
            kind = "memory"
        if isinstance(error, SystemExit):
            kind, text = "died", "it called sys.exit, which ends the program"
        return _failed(kind, "\n".join([*self._places(error), text]))

    def _places(self, error):
        """Where it happened, in the student's own files: the last three places."""
        if isinstance(error, SyntaxError) and error.filename in self.files:
            line = (error.text or "").strip()
            return [f"{self._place(error.filename, error.lineno)}:", f"    {line}"]
        frames = traceback.walk_tb(error.__traceback__)
        frames = [(f.f_code, n) for f, n in frames]
        frames = [(code, n) for code, n in frames if code.co_filename in self.files]
        lines = []
        for code, number in frames[-3:]:
            inside = "" if code.co_name == "<module>" else f", in {code.co_name}"
            place = f"{self._place(code.co_filename, number)}{inside}:"
            line = f"    {linecache.getline(code.co_filename, number).strip()}"
            if lines[-2:] != [place, line]:  # once is enough of a recursion
                lines += [place, line]
        return lines

    def _place(self, file, number):
        """`vae.py, line 9`, or the cell of a notebook and the line in it."""
        lines = self.files[file].split("\n")[: number or 0]
        if file == f"{self.notebook}.py":
            for k, line in reversed(list(enumerate(lines, 1))):
                if line.startswith(CELL) and line[len(CELL) :].isdecimal():
                    cell = f"code cell {line[len(CELL):]}, line {number - k}"
                    return f"{self.notebook}.ipynb, {cell}"
        return f"{file}, line {number}"


def _failed(kind, text):
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n...\n{text[-LONGEST // 2 :]}"
    return {"error": kind, "text": text}


def _text(error):
    """An exception in words: its type and text, whatever its class does."""
    name = type(error).__name__
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error)
    except BaseException:
        return name
    if isinstance(error, NotImplementedError) and text.startswith("Task"):
        return text
    return f"{name}: {text}" if text else name


def main():
    """Load what may be used, give up all rights, run the student's file, serve."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)  # the student's input is empty, its output is our stderr
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    sys.path.insert(0, FOLDER)
    import limits
    import wire

    sys.path.remove(FOLDER)
    setting, _ = wire.receive(source)
    for name in setting["preload"]:
        importlib.import_module(name)
    protections = limits.apply(setting["limits"]) if setting["limits"] else {}
    child = Child(wire, source, sink)
    child.begin(setting, protections)
    try:
        child.serve()
    except (EOFError, BrokenPipeError):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
