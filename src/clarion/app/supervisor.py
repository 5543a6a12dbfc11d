"""`clarion up`: starts the processes of an installation, restarts what dies and drains them all on SIGTERM or SIGINT.

Every child has a file `<run>/<name>.pid` while it lives. A child that dies is started again at once, then with growing
pauses; one that keeps dying right after its start ends the whole installation with a non-zero exit code. Being killed
by SIGKILL (out of memory, a chaos run) does not count as its own fault. Children die with their supervisor.
"""

import contextlib
import ctypes
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
from typing import Final, Protocol

import msgspec
import structlog

from clarion.app.starts import noted
from clarion.domain.errors import OperatorError
from clarion.domain.limits import CRASHES_IN_A_ROW_MAX, RESTART_PAUSE_S_MAX

PARENT_VARIABLE: Final = "CLARION_SUPERVISOR_PID"
EXIT_OPERATOR: Final = 2
"""Exit code of a process that an operator has to help; restarting it cannot."""
EXIT_FAILED: Final = 1
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
"""Signals that a supervisor handles in its own way."""
_SIGNALS_AT_ONCE: Final = 4096
_SHORT_LIFE_S: Final = 3.0
_FIRST_PAUSE_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1


class Role(msgspec.Struct, frozen=True):
    """A process to keep alive: its name, the command that starts it, and the words of that command behind the program."""

    name: str
    command: list[str]
    words: list[str] = []


class Child(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Return how it ended, negative when by a signal; None while it lives."""


Start = Callable[[Role, Mapping[str, str]], Child]
"""Starts a role with these environment variables. Raises `OSError` when there can be no further process."""


class Backoff:
    """How long to wait before a restart. Knows nothing of time but what it is told."""

    def __init__(self) -> None:
        self._crashes = 0

    def pause_s(self, lived_s: float, code: int) -> float | None:
        """Return the seconds to wait before starting a child again that lived so long and ended with that code
        (negative: killed by a signal), or None when it is not to be started any more."""
        if lived_s >= _SHORT_LIFE_S:
            self._crashes = 0
        if code == -signal.SIGKILL:
            return 0.0 if lived_s >= _FIRST_PAUSE_S else _FIRST_PAUSE_S
        self._crashes += 1
        if self._crashes > CRASHES_IN_A_ROW_MAX or (code == EXIT_OPERATOR and lived_s < _SHORT_LIFE_S):
            return None
        if self._crashes == 1:
            return 0.0
        return min(RESTART_PAUSE_S_MAX, _FIRST_PAUSE_S * 2.0 ** (self._crashes - 2))


class Supervisor:
    """Keeps the roles running until it is told to stop. `run` returns the exit code. It has one thread and no event loop,
    so that a child may be a copy of it."""

    def __init__(
        self,
        roles: Sequence[Role],
        run_dir: Path,
        *,
        drain_timeout_ms: int,
        env: Mapping[str, str] | None = None,
        start: Start | None = None,
    ) -> None:
        env = {**(os.environ if env is None else env), PARENT_VARIABLE: str(os.getpid())}
        self._places = [_Place(role, run_dir, env, start or own_interpreter) for role in roles]
        self._drain_timeout_s = drain_timeout_ms / 1000
        self._stopping = False
        self._code = 0
        self._log = structlog.get_logger()

    def run(self) -> int:
        """Start everything and wait; return 0 after a stop that was asked for, else the code to exit with."""
        with _bell(self._stop) as wait:
            try:
                while not self._stopping:
                    for place in self._places:
                        self._attend(place)
                    if not self._stopping:
                        wait(min((place.due_s for place in self._places if place.child is None), default=None))
            finally:
                self._drain(wait)
        return self._code

    def _stop(self) -> None:
        self._stopping = True

    def _attend(self, place: "_Place") -> None:
        """Start a role whose time has come; of one that ended, find out when that is."""
        if place.child is None:
            if place.due_s <= time.monotonic():
                self._start(place)
            return
        code = place.ended()
        if code is not None and not self._stopping:
            self._ended(place, code)

    def _start(self, place: "_Place") -> None:
        try:
            place.start()
        except OSError as error:
            self._log.error("process not started", process=place.role.name, error=str(error))
            self._ended(place, EXIT_FAILED)

    def _ended(self, place: "_Place", code: int) -> None:
        lived_s = time.monotonic() - place.started_s
        pause_s = place.backoff.pause_s(lived_s, code)
        self._log.warning("process ended", process=place.role.name, code=code, lived_s=round(lived_s, 2))
        if pause_s is None:
            self._log.error("process cannot stay up, stopping everything", process=place.role.name)
            self._code = code if code > 0 else 1
            self._stopping = True
        else:
            place.due_s = time.monotonic() + pause_s

    def _drain(self, wait: "_Wait") -> None:
        """Let every child finish what it is doing, and kill those that do not in time."""
        for place in self._places:
            place.signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self._drain_timeout_s
        while (left := [place for place in self._places if place.lives()]) and time.monotonic() < deadline_s:
            wait(deadline_s)
        for place in left:
            self._log.error("process did not finish in time, killing it", process=place.role.name)
            place.signal(signal.SIGKILL)
        while any(place.lives() for place in self._places):
            wait(None)


class _Place:
    """One role: its child, or when the next one is due."""

    def __init__(self, role: Role, run_dir: Path, env: Mapping[str, str], start: Start) -> None:
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
        self.child = self._start(self.role, {**self._env, **noted(self._run_dir, self.role.name)})
        self._pid_file.enter_context(pid_file(self._run_dir, self.role.name, self.child.pid))

    def ended(self) -> int | None:
        """Return the code of a child that has just ended."""
        code = None if self.child is None else self.child.poll()
        if code is not None:
            self.child = None
            self._pid_file.close()
        return code

    def lives(self) -> bool:
        """Return whether the child has not ended yet."""
        return self.child is not None and self.ended() is None

    def signal(self, number: int) -> None:
        """Send the child a signal, if there is one that has not been waited for."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, number)


def own_interpreter(role: Role, env: Mapping[str, str]) -> Child:
    """Start a role as a program of its own. Raises `OSError`."""
    return subprocess.Popen(role.command, env=env, stdin=subprocess.DEVNULL)  # noqa: S603 - the command is ours


_Wait = Callable[[float | None], None]
"""Returns when a signal came, a child ended, or this monotonic time has come."""


@contextlib.contextmanager
def _bell(on_stop: Callable[[], None]) -> Iterator[_Wait]:
    """Call `on_stop` for SIGTERM and SIGINT, and give what waits for signals."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.getsignal(number) for number in HANDLED}
    for number in HANDLED:
        signal.signal(number, lambda caught, _frame: None if caught == signal.SIGCHLD else on_stop())
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
    """Keep `<name>.pid` in place; readers never see half of it."""
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
    """Hold the lock of an installation, as its supervisor or its only process. Raises `OperatorError` when another one has
    it."""
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
    """Make this process end when the supervisor that started it (`CLARION_SUPERVISOR_PID`) is gone, however it went.
    Does nothing in a process that was started by hand."""
    parent = env.get(PARENT_VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch_parent, args=(int(parent),), daemon=True).start()
    if os.getppid() != int(parent):  # it went before we asked to be told
        os.kill(os.getpid(), signal.SIGKILL)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
