"""Wake-ups between the processes that share a journal: after a commit, a process writes the streams that have grown
into the named pipe of each listening process that is interested in any of them.

A message is its length in two bytes and the streams in MessagePack. It is a hint and may be lost: a listener also
checks the journal periodically. Its interests are in a file next to its pipe; without the file, it is interested in all
streams. Polling SQLite's `data_version` every few milliseconds, which needs no pipes, costs an idle process 2 % of a
core.
"""

import asyncio
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from clarion.domain.limits_processes import WAKE_PIPES_MAX
from clarion.runtime.watch import Interest, Stream, interest_of

GAP_S: Final = 0.003
"""Wake-ups at shorter intervals are merged: under load each would cost a check of all streams."""
_READ_BYTES: Final = 65_536
_MESSAGE_BYTES_MAX: Final = 512
"""A pipe accepts a message of this size (POSIX's minimum PIPE_BUF) whole or not at all. In place of a larger message,
one is sent that means any stream may have grown."""
_ANYTHING: Final = b"\x01\x00\xc0"
_WANTS: Final = ".wants"
_STREAMS: Final = msgspec.msgpack.Decoder(list[tuple[str, int]] | None)
_INTERESTS: Final = msgspec.json.Decoder(frozenset[str | int])
_FOR_GOOD: Final = (errno.ENXIO, errno.ENOENT, errno.EACCES, errno.EPERM)
"""Permanent errors of opening a pipe; other errors, such as too many open files, may pass."""
_SETTLED_NS: Final = 100_000_000
"""How old a folder's modification time must be for a later change to be detected: these times are coarse."""


class _Peer:
    """A listening process: its pipe, and its interests (None: all streams)."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.wants: frozenset[Interest] | None = None
        self.missed = False
        """Whether a message was dropped because its pipe was full."""


class WakeUps:
    """The wake-ups that one process receives and sends. `listen`, `want` and `close` belong to its event loop, `send`
    and `close_senders` to the thread that commits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._listening: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._woken: Callable[[Collection[Stream] | None], None] = lambda _: None
        self._heard: set[Stream] | None = set()
        self._wanted: frozenset[Interest] | None = None
        self._due: asyncio.TimerHandle | None = None
        self._last_s = 0.0
        self._peers: dict[str, _Peer] = {}
        self._seen_ns = 0

    def listen(self, woken: Callable[[Collection[Stream] | None], None]) -> bool:
        """Call `woken` on the running loop after commits of other processes, with the streams that have grown, or None
        when any may have. Return False where the file system does not support named pipes."""
        self.close()
        hidden, pipe = self._folder / f".{self._name}", -1
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.mkfifo(hidden, 0o600)
            # Open for writing, too: a pipe without a writer is at its end and always ready to read.
            pipe = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
            hidden.rename(self._folder / self._name)  # so that no process opens a pipe without a reader
        except OSError:
            if pipe >= 0:
                os.close(pipe)
            _remove(hidden)
            return False
        loop = asyncio.get_running_loop()
        self._woken, self._listening = woken, (loop, pipe)
        loop.add_reader(pipe, self._receive)
        return True

    def want(self, interests: frozenset[Interest] | None) -> None:
        """Set the interests of this process from now on; None for all streams."""
        if self._listening is None or interests == self._wanted:
            return
        path, hidden = self._folder / f"{self._name}{_WANTS}", self._folder / f".{self._name}{_WANTS}"
        if interests is None:
            _remove(path)
        else:
            try:
                hidden.write_bytes(msgspec.json.encode(interests))
                hidden.rename(path)  # changes the folder, so that other processes read the file
            except OSError:
                _remove(path)  # without the file, all wake-ups arrive, which only costs time
                return
        self._wanted = interests

    def close(self) -> None:
        """Stop listening."""
        if self._due is not None:
            self._due.cancel()
        if self._listening is not None:
            (loop, pipe), self._listening = self._listening, None
            loop.remove_reader(pipe)
            os.close(pipe)
            self._forget(self._name)
            self._wanted = None

    def send(self, streams: Collection[Stream] | None) -> None:
        """Wake the processes that are interested in any of the streams; with None all processes, as any stream may have
        grown. A process that cannot be woken finds the growth by its periodic check."""
        if streams is not None and not streams:
            return
        self._open_new()
        message = _ANYTHING if streams is None else _message(streams)
        interests = set(map(interest_of, streams or ()))
        for name, peer in list(self._peers.items()):
            if streams is not None and peer.wants is not None and peer.wants.isdisjoint(interests):
                continue
            try:
                os.write(peer.pipe, _ANYTHING if peer.missed else message)
                peer.missed = False
            except BlockingIOError:
                peer.missed = True
            except OSError:
                self._drop(name)

    def close_senders(self) -> None:
        """Close the pipes of other processes."""
        for name in list(self._peers):
            os.close(self._peers.pop(name).pipe)

    def _receive(self) -> None:
        if self._listening is None:
            return
        loop, pipe = self._listening
        try:
            text = os.read(pipe, _READ_BYTES)
        except BlockingIOError:
            return
        streams = _streams(text)
        if self._heard is not None:
            self._heard = None if streams is None else self._heard | streams
        if self._due is None:
            self._due = loop.call_later(max(self._last_s + GAP_S - loop.time(), 0), self._send)

    def _send(self) -> None:
        self._due = None
        if self._listening is not None:
            self._last_s = self._listening[0].time()
            heard, self._heard = self._heard, set()
            self._woken(heard)

    def _open_new(self) -> None:
        """Open the pipes of new processes, and close those of processes that have left."""
        now_ns = time.time_ns()
        try:
            changed_ns = self._folder.stat().st_mtime_ns
            if changed_ns == self._seen_ns:
                return
            found = {path.name for path in self._folder.iterdir() if path.name[0] != "."}
        except OSError:
            return
        names = {name for name in found if not name.endswith(_WANTS)} - {self._name}
        for name in self._peers.keys() - names:
            os.close(self._peers.pop(name).pipe)
        new = sorted(names - self._peers.keys())[: WAKE_PIPES_MAX - len(self._peers)]
        opened = [self._open(name) for name in new]
        for name, peer in self._peers.items():
            peer.wants = self._wants(name) if f"{name}{_WANTS}" in found else None
        self._seen_ns = changed_ns if all(opened) and now_ns - changed_ns > _SETTLED_NS else 0

    def _open(self, name: str) -> bool:
        """Open a pipe. Return False where opening it may succeed later."""
        path = self._folder / name
        try:
            if not stat.S_ISFIFO(path.lstat().st_mode):
                return True
            self._peers[name] = _Peer(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno == errno.ENXIO:  # it has no reader: its process was killed
                self._forget(name)
            return error.errno in _FOR_GOOD
        return True

    def _wants(self, name: str) -> frozenset[Interest] | None:
        try:
            return _INTERESTS.decode((self._folder / f"{name}{_WANTS}").read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None

    def _drop(self, name: str) -> None:
        os.close(self._peers.pop(name).pipe)
        self._forget(name)

    def _forget(self, name: str) -> None:
        _remove(self._folder / name)
        _remove(self._folder / f"{name}{_WANTS}")


def _message(streams: Collection[Stream]) -> bytes:
    body = msgspec.msgpack.encode(list(streams))
    return _ANYTHING if len(body) > _MESSAGE_BYTES_MAX - 2 else len(body).to_bytes(2, "little") + body


def _streams(text: bytes) -> set[Stream] | None:
    """Return the streams that messages name; None when any stream may have grown, as messages were lost or are
    invalid."""
    found: set[Stream] = set()
    if len(text) == _READ_BYTES:
        return None
    at = 0
    while at < len(text):
        end = at + 2 + int.from_bytes(text[at : at + 2], "little")
        try:
            streams = _STREAMS.decode(text[at + 2 : end])
        except msgspec.MsgspecError:
            return None
        if streams is None:
            return None
        found.update(streams)
        at = end
    return found


def _remove(path: Path) -> None:
    with suppress(OSError):  # a file that cannot be removed does no harm
        path.unlink(missing_ok=True)
