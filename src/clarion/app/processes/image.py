"""The image: the modules and values that the processes of an installation have in common, loaded once by their
supervisor. Each process is a fork of it, so they share its memory and start without loading it again.

Only a process with one thread, no event loop, no open database and no client can be copied safely. So only modules and
values are loaded here, and each process makes the objects that hold a file, a thread or a connection itself.
"""

import contextlib
import ctypes
import gc
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn

import structlog

from clarion.app.cli import main as cli
from clarion.app.processes.command_line import show
from clarion.app.processes.supervisor import HANDLED, Child, Start, SupervisedRole, start_interpreter
from clarion.ops.crashes import write_crash
from clarion.providers import catalogue

MODULES: Final = (
    "clarion.app.processes.api",
    "clarion.app.processes.workers",
    "clarion.app.processes.scheduler",
    "clarion.app.processes.gateway",
    "clarion.app.processes.all_in_one",
)
"""The entry modules of the processes. They import the rest."""
_THREADS: Final = Path("/proc/self/task")
_FIRST_FD: Final = 3
_FDS_MAX: Final = 65_536


def process_starter(*, shared: bool) -> Start:
    """Load the modules that the processes have in common and return a function that starts processes as copies of this
    one. Where copying is impossible or `shared` is false, return one that starts each as a program of its own."""
    reason = _reason_against_copies(shared=shared) or _load()
    if reason is None:
        return CopyStarter()
    structlog.get_logger().info("processes share no memory", reason=reason)
    return start_interpreter


def _reason_against_copies(*, shared: bool) -> str | None:
    """Return the reason why processes cannot be copies of this one, None when they can."""
    if not shared:
        return "workers.shared_image is false"
    if sys.platform == "darwin":
        return "on macOS, a copy of a process cannot use the libraries of the system"
    return None if hasattr(os, "fork") else "this system cannot copy a process"


def _load() -> str | None:
    """Import the modules that all processes need, and exclude them from garbage collection, which would write to their
    memory. Return the reason why that failed, None when it succeeded."""
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


class CopyStarter:
    """Starts roles as copies of this process, or as programs of their own when a copy is impossible at the moment."""

    def __init__(self, main: Callable[[], object] = cli.main) -> None:
        self._main = main
        self._reported = ""

    def __call__(self, role: SupervisedRole, env: Mapping[str, str]) -> Child:
        """Start a role with these environment variables. Raises `OSError` when no further process can be started."""
        try:
            return self._copy(role, env)
        except OSError as error:
            if str(error) != self._reported:
                self._reported = str(error)
                structlog.get_logger().warning("process shares no memory", process=role.name, reason=self._reported)
            return start_interpreter(role, env)

    def _copy(self, role: SupervisedRole, env: Mapping[str, str]) -> "Copy":
        if (threads := _threads()) > 1:  # a copy has one thread, and would keep the locks that other threads held
            raise OSError(f"the supervisor has {threads} threads")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or the copy would write the buffered text, too
        # Signals for the copy are blocked until it has removed the handlers of this process.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                _run_copy(role, env, self._main, blocked)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return Copy(pid)


def _threads() -> int:
    """Return the number of threads of this process, with those of libraries where the system reports them."""
    try:
        return len(list(_THREADS.iterdir()))
    except OSError:
        return threading.active_count()


class Copy:
    """A process that is a copy of this one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative when a signal ended it; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def _run_copy(
    role: SupervisedRole, env: Mapping[str, str], main: Callable[[], object], blocked: set[int | signal.Signals]
) -> NoReturn:
    """Run the copied process to its end. It never returns into the code of its parent."""
    code = 1
    try:
        _drop_inherited(blocked)
        os.environ.update(env)
        sys.argv = ["clarion", *role.words]
        show([role.command, sys.argv, sys.argv[:2]])
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001 - written before the exit, as an interpreter does
        write_crash(error)
    finally:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _drop_inherited(blocked: set[int | signal.Signals]) -> None:
    """Release the resources of the parent process: its files, its standard input, its signal handlers."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # passed on by a supervisor, perhaps before the copy handles it
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    os.closerange(_FIRST_FD, _FDS_MAX)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:
        os.close(nothing)
