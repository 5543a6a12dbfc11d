"""The image: everything that the processes of an installation have in common, loaded once by their supervisor. Each process
is a copy of it, so they share the memory of what was loaded and start without loading it again.

A copy is safe only of a process that has one thread, no event loop, no open database and no client: what is loaded here are
modules and values, and whatever holds a file, a thread or a key of a connection is made by each process for itself.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn

import structlog

from clarion.app import cli
from clarion.app.command_line import show
from clarion.app.supervisor import HANDLED, Child, Role, Start, own_interpreter
from clarion.providers import catalogue

MODULES: Final = ("clarion.app.api", "clarion.app.workers", "clarion.app.scheduler", "clarion.app.all_in_one")
"""What the processes are made of. They import the rest."""
_THREADS: Final = Path("/proc/self/task")
_FIRST_FD: Final = 3
_FDS_MAX: Final = 65_536


def starting(*, shared: bool) -> Start:
    """Load what the processes have in common and return what starts them as copies of this one; where that cannot be, what
    starts each as a program of its own. `shared` is what the configuration asks for."""
    reason = _obstacle(shared=shared) or _load()
    if reason is None:
        return Copies()
    structlog.get_logger().info("processes share no memory", reason=reason)
    return own_interpreter


def _obstacle(*, shared: bool) -> str | None:
    """Return why no process can be a copy of this one, None when each can."""
    if not shared:
        return "workers.shared_image is false"
    if sys.platform == "darwin":
        return "on macOS, a copy of a process cannot use the libraries of the system"
    return None if hasattr(os, "fork") else "this system cannot copy a process"


def _load() -> str | None:
    """Import what all processes need, and keep it out of collections, which would write to its memory. Return why that could
    not be done, None when it was."""
    try:
        for module in MODULES:
            importlib.import_module(module)
        catalogue.load()
    except (ImportError, MemoryError, OSError) as error:
        return repr(error)
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # free memory back to the system: only glibc can
            ctypes.CDLL(None).malloc_trim(0)
    return None


class Copies:
    """Starts roles as copies of this process, and one that cannot be copied just then as a program of its own."""

    def __init__(self, main: Callable[[], object] = cli.main) -> None:
        self._main = main
        self._told = ""

    def __call__(self, role: Role, env: Mapping[str, str]) -> Child:
        """Start a role with these environment variables. Raises `OSError` when there can be no further process."""
        try:
            return self._copy(role, env)
        except OSError as error:
            if str(error) != self._told:
                self._told = str(error)
                structlog.get_logger().warning("process shares no memory", process=role.name, reason=self._told)
            return own_interpreter(role, env)

    def _copy(self, role: Role, env: Mapping[str, str]) -> "Copy":
        if (threads := _threads()) > 1:  # a copy has one, and the locks that the others held
            raise OSError(f"the supervisor has {threads} threads")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or the copy would write it, too
        # A signal for the copy waits until the copy no longer has the handlers of this process.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                _live(role, env, self._main, blocked)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return Copy(pid)


def _threads() -> int:
    """Return how many threads this process has: those of libraries, too, where the system tells."""
    try:
        return len(list(_THREADS.iterdir()))
    except OSError:
        return threading.active_count()


class Copy:
    """A process that was made by copying this one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, negative when by a signal; None while it lives."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def _live(
    role: Role, env: Mapping[str, str], main: Callable[[], object], blocked: set[int | signal.Signals]
) -> NoReturn:
    """Be the copy, to its end. Nothing may return from here into what the process above was doing."""
    code = 1
    try:
        _forget(blocked)
        os.environ.update(env)
        sys.argv = ["clarion", *role.words]
        show([role.command, sys.argv, sys.argv[:2]])
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - an interpreter of its own would print it and end, too
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _forget(blocked: set[int | signal.Signals]) -> None:
    """Let go of what belongs to the process above: its files, its standard input, its signal handlers."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    os.closerange(_FIRST_FD, _FDS_MAX)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:
        os.close(nothing)
