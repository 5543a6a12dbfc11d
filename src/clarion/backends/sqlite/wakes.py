"""Wake-ups between the processes that share a journal: whoever has committed writes a byte into the named pipe of each process
that follows.

A byte is a hint and may be lost: whoever follows looks for itself now and then. Asking SQLite's `data_version` every few
milliseconds, which needs no pipes, costs an idle process 2 % of a core.
"""

import asyncio
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from clarion.domain.limits import WAKE_PIPES_MAX

GAP_S: Final = 0.003
"""Wake-ups that follow one another more closely are one: under load each would cost a look at all streams."""
_READ_BYTES: Final = 65_536
_FOR_GOOD: Final = (errno.ENXIO, errno.ENOENT, errno.EACCES, errno.EPERM)
"""Why a pipe cannot be opened now or later; anything else, as too many open files, may pass."""
_SETTLED_NS: Final = 100_000_000
"""How old a folder's time of change must be to tell a later change: such times are coarse."""


class Wakes:
    """One process's part. `listen` and `close` belong to its event loop, `send` and `hang_up` to the thread that commits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._listening: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._woken: Callable[[], None] = lambda: None
        self._due: asyncio.TimerHandle | None = None
        self._last_s = 0.0
        self._peers: dict[str, int] = {}
        self._seen_ns = 0

    def listen(self, woken: Callable[[], None]) -> bool:
        """Call `woken` on the running loop after commits of others; False where a file system knows no named pipes."""
        self.close()
        hidden, pipe = self._folder / f".{self._name}", -1
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.mkfifo(hidden, 0o600)
            # Open for writing, too: a pipe that nobody writes to is at its end, and ready for ever.
            pipe = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
            hidden.rename(self._folder / self._name)  # nobody meets a pipe that is not read yet
        except OSError:
            if pipe >= 0:
                os.close(pipe)
            _remove(hidden)
            return False
        loop = asyncio.get_running_loop()
        self._woken, self._listening = woken, (loop, pipe)
        loop.add_reader(pipe, self._hear)
        return True

    def close(self) -> None:
        """Stop listening."""
        if self._due is not None:
            self._due.cancel()
        if self._listening is not None:
            (loop, pipe), self._listening = self._listening, None
            loop.remove_reader(pipe)
            os.close(pipe)
            _remove(self._folder / self._name)

    def send(self) -> None:
        """Wake the others. Whoever cannot be woken looks for itself."""
        self._meet()
        for name, pipe in list(self._peers.items()):
            try:
                os.write(pipe, b"\0")
            except BlockingIOError:
                continue  # it has not read what it was sent, so it will wake
            except OSError:
                self._drop(name)

    def hang_up(self) -> None:
        """Send nothing more."""
        for name in list(self._peers):
            os.close(self._peers.pop(name))

    def _hear(self) -> None:
        if self._listening is None:
            return
        loop, pipe = self._listening
        with suppress(BlockingIOError):
            os.read(pipe, _READ_BYTES)
        if self._due is None:
            self._due = loop.call_later(max(self._last_s + GAP_S - loop.time(), 0), self._tell)

    def _tell(self) -> None:
        self._due = None
        if self._listening is not None:
            self._last_s = self._listening[0].time()
            self._woken()

    def _meet(self) -> None:
        """Open the pipes of who came since, and forget those of who is gone."""
        now_ns = time.time_ns()
        try:
            changed_ns = self._folder.stat().st_mtime_ns
            if changed_ns == self._seen_ns:
                return
            names = {path.name for path in self._folder.iterdir() if path.name[0] != "."} - {self._name}
        except OSError:
            return
        for name in self._peers.keys() - names:
            os.close(self._peers.pop(name))
        new = sorted(names - self._peers.keys())[: WAKE_PIPES_MAX - len(self._peers)]
        opened = [self._open(name) for name in new]
        self._seen_ns = changed_ns if all(opened) and now_ns - changed_ns > _SETTLED_NS else 0

    def _open(self, name: str) -> bool:
        """Open a pipe; False where that may go better another time."""
        path = self._folder / name
        try:
            if not stat.S_ISFIFO(path.lstat().st_mode):
                return True
            self._peers[name] = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads it: its process was killed
                _remove(path)
            return error.errno in _FOR_GOOD
        return True

    def _drop(self, name: str) -> None:
        os.close(self._peers.pop(name))
        _remove(self._folder / name)


def _remove(path: Path) -> None:
    with suppress(OSError):  # who may not remove it meets it again, no more
        path.unlink()
