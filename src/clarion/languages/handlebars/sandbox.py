"""The JavaScript runtime that templates run in: QuickJS with limits on time, memory and stack, and without I/O.

A runtime belongs to one thread. After an interrupted call it is discarded, and the next render gets a new one.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from weakref import WeakSet

import msgspec

from clarion.domain.limits_content import (
    HANDLEBARS_COMPILE_CPU_MS_MAX,
    HANDLEBARS_LOADED_CHARS_MAX,
    HANDLEBARS_LOADED_MAX,
    HANDLEBARS_MEMORY_BYTES_MAX,
    HANDLEBARS_SANDBOXES_MAX,
    HANDLEBARS_STACK_BYTES_MAX,
)

_SCRIPTS: Final = ("vendor/handlebars.min.js", "parsing.js", "compiling.js", "running.js")
_FUNCTIONS: Final = ("parse", "compile", "load", "drop", "learn", "render")
_PROBLEM: Final = "\ufdd2"
_STOPS: Final = {
    "interrupted": "takes too much time",
    "out of memory": "takes too much memory",
    "null": "takes too much memory",  # too little memory was left for the error itself
    "stack overflow": "is nested too deeply",
}


class TemplateProblem(Exception):
    """An error of a template or of its data; `line` and `column` count from 1 (0 when unknown)."""

    def __init__(self, text: str, line: int = 0, column: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.line = line
        self.column = column


class HandlebarsCode(msgspec.Struct, frozen=True):
    """A compiled template: a unique number, the code that a runtime loads, the names of a render's context that it may
    read (None: any), and whether its text depends on the time of the notification."""

    id: int
    text: str
    roots: frozenset[str] | None
    timed: bool


class Sandbox:
    """One JavaScript runtime with handlebars.js loaded."""

    def __init__(self) -> None:
        import quickjs  # type: ignore[import-untyped]  # only a process that renders Handlebars pays for the import

        self._failure: type[Exception] = quickjs.JSException
        self._context = quickjs.Context()
        self._context.set_memory_limit(HANDLEBARS_MEMORY_BYTES_MAX)
        self._context.set_max_stack_size(HANDLEBARS_STACK_BYTES_MAX)
        for name in _SCRIPTS:
            self._context.eval(files(__package__).joinpath(name).read_text(encoding="utf-8"))
        self._functions: dict[str, Callable[..., Any]] = {name: self._context.get(f"${name}") for name in _FUNCTIONS}
        self._loaded: OrderedDict[int, int] = OrderedDict()
        self._loaded_chars = 0
        self.usable = True

    def call(self, name: str, *arguments: object, cpu_ms: float = HANDLEBARS_COMPILE_CPU_MS_MAX) -> str:
        """Return the result of a function of `running.js`. Raises `TemplateProblem` when it fails or exceeds a limit."""
        self._context.set_time_limit(max(cpu_ms, 1) / 1000)
        try:
            answer = self._functions[name](*arguments)
        except self._failure as error:
            self.usable = False
            raise TemplateProblem(_stopped(str(error))) from None
        if isinstance(answer, str) and answer.startswith(_PROBLEM):
            raise TemplateProblem(**msgspec.json.decode(answer[len(_PROBLEM) :]))
        return answer if isinstance(answer, str) else ""

    def load(self, code: HandlebarsCode) -> int:
        """Load a template into this runtime if it is not loaded yet, and return its number. Raises `TemplateProblem`."""
        if code.id in self._loaded:
            self._loaded.move_to_end(code.id)
            return code.id
        self._loaded_chars += len(code.text)
        while self._loaded and (
            self._loaded_chars > HANDLEBARS_LOADED_CHARS_MAX or len(self._loaded) >= HANDLEBARS_LOADED_MAX
        ):
            oldest, chars = self._loaded.popitem(last=False)
            self._loaded_chars -= chars
            self.call("drop", oldest)
        self.call("load", code.id, code.text)
        self._loaded[code.id] = len(code.text)
        return code.id


class Sandboxes:
    """The JavaScript runtimes of a process, one for each thread that needs one."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: WeakSet[Sandbox] = WeakSet()
        self._lock = threading.Lock()

    def mine(self) -> Sandbox:
        """Return the JavaScript runtime of this thread. Raises `TemplateProblem` when too many threads have one."""
        sandbox: Sandbox | None = getattr(self._own, "sandbox", None)
        if sandbox is not None and sandbox.usable:
            return sandbox
        self._own.sandbox = sandbox = None  # free a broken runtime before creating the next
        with self._lock:
            if len(self._all) >= HANDLEBARS_SANDBOXES_MAX:
                raise TemplateProblem(f"more than {HANDLEBARS_SANDBOXES_MAX} threads render Handlebars")
            self._own.sandbox = sandbox = Sandbox()
            self._all.add(sandbox)
        return sandbox


def _stopped(error: str) -> str:
    head = error.partition("\n")[0]
    for sign, text in _STOPS.items():
        if sign in head:
            return f"the template {text}"
    return f"the template failed: {head[:200]}"
