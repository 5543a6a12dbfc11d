"""`clarion up`: starts the processes of an installation, restarts what dies and drains them all on SIGTERM or SIGINT.

Every child has a file `<run>/<name>.pid` while it lives. A child that dies is started again at once, then with growing
pauses; one that keeps dying right after its start ends the whole installation with a non-zero exit code. Being killed
by SIGKILL (out of memory, a chaos run) does not count as its own fault. Children die with their supervisor.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from clarion.app.starts import noted
from clarion.domain.errors import OperatorError
from clarion.domain.limits import CRASHES_IN_A_ROW_MAX, RESTART_PAUSE_S_MAX

PARENT_VARIABLE: Final = "CLARION_SUPERVISOR_PID"
EXIT_OPERATOR: Final = 2
"""Exit code of a process that an operator has to help; restarting it cannot."""
_SHORT_LIFE_S: Final = 3.0
_FIRST_PAUSE_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1


class Role(msgspec.Struct, frozen=True):
    """A process to keep alive: its name and the command that starts it."""

    name: str
    command: list[str]


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
    """Keeps the roles running until it is told to stop. `run` returns the exit code."""

    def __init__(
        self, roles: Sequence[Role], run_dir: Path, *, drain_timeout_ms: int, env: Mapping[str, str] | None = None
    ) -> None:
        self._roles = roles
        self._run_dir = run_dir
        self._drain_timeout_s = drain_timeout_ms / 1000
        self._env = {**(os.environ if env is None else env), PARENT_VARIABLE: str(os.getpid())}
        self._stopping = asyncio.Event()
        self._code = 0
        self._log = structlog.get_logger()

    async def run(self) -> int:
        """Start everything and wait; return 0 after a stop that was asked for, else the code to exit with."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with asyncio.TaskGroup() as group:
            for role in self._roles:
                group.create_task(self._keep(role))
        return self._code

    async def _keep(self, role: Role) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._live(role)
            lived_s = time.monotonic() - started
            if self._stopping.is_set():
                return
            pause_s = backoff.pause_s(lived_s, code)
            self._log.warning("process ended", process=role.name, code=code, lived_s=round(lived_s, 2))
            if pause_s is None:
                self._log.error("process cannot stay up, stopping everything", process=role.name)
                self._code = code if code > 0 else 1
                self._stopping.set()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _live(self, role: Role) -> int:
        """Start one child and return its code after its end, draining it when everything stops."""
        env = self._env | noted(self._run_dir, role.name)
        child = await asyncio.create_subprocess_exec(*role.command, env=env, stdin=asyncio.subprocess.DEVNULL)
        with pid_file(self._run_dir, role.name, child.pid):
            ended = asyncio.create_task(child.wait())
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not ended.done():
                await self._drain(role, child, ended)
            return await ended

    async def _drain(self, role: Role, child: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await asyncio.wait({ended}, timeout=self._drain_timeout_s)
        if not ended.done():
            self._log.error("process did not finish in time, killing it", process=role.name)
            with contextlib.suppress(ProcessLookupError):
                child.kill()


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
