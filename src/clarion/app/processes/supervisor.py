"""`clarion up`: starts the processes of an installation, restarts those that die and drains them all on SIGTERM or
SIGINT. SIGHUP is passed on to them: the API reloads its certificate, the others ignore it.

Every child has a file `<run>/<name>.pid` while it lives. A child that dies is started again at once, then with growing
pauses; one that keeps dying right after its start ends the whole installation with a non-zero exit code. A death by
SIGKILL (out of memory, a chaos run) does not count as the child's fault. Children die with their supervisor.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

import msgspec
import structlog

from clarion.app.processes.starts import record_start
from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import CRASHES_IN_A_ROW_MAX, RESTART_PAUSE_S_MAX

PARENT_VARIABLE: Final = "CLARION_SUPERVISOR_PID"
EXIT_OPERATOR: Final = 2
"""Exit code of a process that needs its operator; a restart does not help."""
EXIT_FAILED: Final = 1
EXIT_NO_ROOM: Final = 75
"""Exit code of a process whose store has no room. It is restarted for as long as the disk is full."""
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)
"""Signals for which a supervisor has its own handlers."""
_SIGNALS_AT_ONCE: Final = 4096
_SHORT_LIFE_S: Final = 3.0
_FIRST_PAUSE_S: Final = 0.1
_NO_ROOM_PAUSE_S: Final = 1.0
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_PR_SET_PDEATHSIG: Final = 1


class SupervisedRole(msgspec.Struct, frozen=True):
    """A process to keep running: its name, the command that starts it, and the arguments of that command."""

    name: str
    command: list[str]
    words: list[str] = []


class Child(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Return its exit code, negative when a signal ended it; None while it runs."""


Start = Callable[[SupervisedRole, Mapping[str, str]], Child]
"""Starts a role with these environment variables. Raises `OSError` when no further process can be started."""


class Backoff:
    """The pause before a restart. It reads no clock: times are arguments."""

    def __init__(self) -> None:
        self._crashes = 0

    def pause_s(self, lived_s: float, code: int) -> float | None:
        """Return the seconds to wait before restarting a child that ran for `lived_s` and ended with `code` (negative:
        killed by a signal), or None when it must not be restarted."""
        if lived_s >= _SHORT_LIFE_S:
            self._crashes = 0
        if code == EXIT_NO_ROOM:
            return _NO_ROOM_PAUSE_S
        if code == -signal.SIGKILL:
            return 0.0 if lived_s >= _FIRST_PAUSE_S else _FIRST_PAUSE_S
        self._crashes += 1
        if self._crashes > CRASHES_IN_A_ROW_MAX or (code == EXIT_OPERATOR and lived_s < _SHORT_LIFE_S):
            return None
        if self._crashes == 1:
            return 0.0
        return min(RESTART_PAUSE_S_MAX, _FIRST_PAUSE_S * 2.0 ** (self._crashes - 2))


class Supervisor:
    """Keeps the roles running until a stop is requested. `run` returns the exit code. It has one thread and no event
    loop, so that a child may be a copy of it."""

    def __init__(
        self,
        roles: Sequence[SupervisedRole],
        run_dir: Path,
        *,
        drain_timeout_ms: int,
        env: Mapping[str, str] | None = None,
        start: Start | None = None,
    ) -> None:
        env = {**(os.environ if env is None else env), PARENT_VARIABLE: str(os.getpid())}
        self._processes = [_ManagedProcess(role, run_dir, env, start or start_interpreter) for role in roles]
        self._drain_timeout_s = drain_timeout_ms / 1000
        self._stopping = False
        self._hung_up = False
        self._code = 0
        self._log = structlog.get_logger()

    def run(self) -> int:
        """Start all roles and wait. Return 0 after a requested stop, else the exit code."""
        with _signal_wait(self._stop, self._hang_up) as wait:
            try:
                while not self._stopping:
                    for process in self._processes:
                        self._supervise(process)
                    self._pass_on_hang_up()
                    if not self._stopping:
                        wait(min((process.due_s for process in self._processes if process.child is None), default=None))
            finally:
                self._drain(wait)
        return self._code

    def _stop(self) -> None:
        self._stopping = True

    def _hang_up(self) -> None:
        self._hung_up = True

    def _pass_on_hang_up(self) -> None:
        if self._hung_up:
            self._hung_up = False
            for process in self._processes:
                process.signal(signal.SIGHUP)

    def _supervise(self, process: "_ManagedProcess") -> None:
        """Start a role whose restart is due; schedule the restart of one that ended."""
        if process.child is None:
            if process.due_s <= time.monotonic():
                self._start(process)
            return
        code = process.poll_exit()
        if code is not None and not self._stopping:
            self._schedule_restart(process, code)

    def _start(self, process: "_ManagedProcess") -> None:
        try:
            process.start()
        except OSError as error:
            self._log.error("process not started", process=process.role.name, error=str(error))
            self._schedule_restart(process, EXIT_NO_ROOM if error.errno in _NO_ROOM else EXIT_FAILED)

    def _schedule_restart(self, process: "_ManagedProcess", code: int) -> None:
        lived_s = time.monotonic() - process.started_s
        pause_s = process.backoff.pause_s(lived_s, code)
        self._log.warning("process ended", process=process.role.name, code=code, lived_s=round(lived_s, 2))
        if pause_s is None:
            self._log.error("process cannot stay up, stopping everything", process=process.role.name)
            self._code = code if code > 0 else 1
            self._stopping = True
        else:
            process.due_s = time.monotonic() + pause_s

    def _drain(self, wait: "_Wait") -> None:
        """Let every child finish its work, and kill those that do not finish in time."""
        for process in self._processes:
            process.signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self._drain_timeout_s
        while (
            left := [process for process in self._processes if process.is_alive()]
        ) and time.monotonic() < deadline_s:
            wait(deadline_s)
        for process in left:
            self._log.error("process did not finish in time, killing it", process=process.role.name)
            process.signal(signal.SIGKILL)
        while any(process.is_alive() for process in self._processes):
            wait(None)


class _ManagedProcess:
    """One role: its child, or the time of its next start."""

    def __init__(self, role: SupervisedRole, run_dir: Path, env: Mapping[str, str], start: Start) -> None:
        self.role = role
        self.backoff = Backoff()
        self.child: Child | None = None
        self.started_s = self.due_s = time.monotonic()
        self._run_dir = run_dir
        self._env = env
        self._start = start
        self._pid_file = contextlib.ExitStack()

    def start(self) -> None:
        """Start a child. Raises `OSError`."""
        self.started_s = time.monotonic()
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self.child = self._start(self.role, {**self._env, **record_start(self._run_dir, self.role.name)})
        try:
            self._pid_file.enter_context(pid_file(self._run_dir, self.role.name, self.child.pid))
        except OSError as error:  # the child runs; only tools miss its number
            structlog.get_logger().warning("pid file not written", process=self.role.name, error=str(error))

    def poll_exit(self) -> int | None:
        """Return the exit code of a child that has just ended, else None."""
        code = None if self.child is None else self.child.poll()
        if code is not None:
            self.child = None
            self._pid_file.close()
        return code

    def is_alive(self) -> bool:
        """Return whether the child has not ended yet."""
        return self.child is not None and self.poll_exit() is None

    def signal(self, number: int) -> None:
        """Send the child a signal, if there is a child that was not yet waited for."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, number)


def start_interpreter(role: SupervisedRole, env: Mapping[str, str]) -> Child:
    """Start a role as a program of its own. Raises `OSError`."""
    return subprocess.Popen(role.command, env=env, stdin=subprocess.DEVNULL)  # noqa: S603 - Clarion's own command


_Wait = Callable[[float | None], None]
"""Returns when a signal arrived, a child ended, or the given monotonic time is reached."""


@contextlib.contextmanager
def _signal_wait(on_stop: Callable[[], None], on_hang_up: Callable[[], None]) -> Iterator[_Wait]:
    """Call `on_stop` for SIGTERM and SIGINT, `on_hang_up` for SIGHUP, and return the function that waits for
    signals."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.getsignal(number) for number in HANDLED}
    calls = {signal.SIGTERM: on_stop, signal.SIGINT: on_stop, signal.SIGHUP: on_hang_up}

    def handle(number: int, _frame: FrameType | None) -> None:
        call = calls.get(signal.Signals(number))
        if call is not None:
            call()

    for number in HANDLED:
        signal.signal(number, handle)
    waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait(until_s: float | None) -> None:
        timeout_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        if select.select([reading], [], [], timeout_s)[0]:
            os.read(reading, _SIGNALS_AT_ONCE)

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(waking)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def pid_file(run_dir: Path, name: str, pid: int) -> Iterator[None]:
    """Keep the file `<name>.pid` during the context; readers never see a part of it."""
    path = run_dir / f"{name}.pid"
    fresh = path.with_suffix(".pid.new")
    fresh.write_text(f"{pid}\n")
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def only_one(run_dir: Path, role: str) -> Iterator[None]:
    """Hold the lock of an installation, as its supervisor or its only process. Raises `OperatorError` when another
    process holds it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / "up.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise OperatorError(
                f"Clarion already runs on {run_dir.parent} (process {lock.read().strip()}). "
                "Stop it first, or choose another data_dir."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        with pid_file(run_dir, role, os.getpid()):
            yield


def die_with_parent(env: Mapping[str, str]) -> None:
    """Make this process end when the supervisor that started it (`CLARION_SUPERVISOR_PID`) has ended, for any reason.
    Does nothing in a process that was started by hand."""
    parent = env.get(PARENT_VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch_parent, args=(int(parent),), daemon=True).start()
    if os.getppid() != int(parent):  # it ended before the notification was requested
        os.kill(os.getpid(), signal.SIGKILL)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
