"""The long-lived process between the pool and the jobs. It never decodes a job: it forks for each one. The child
confines itself, does the job and exits, so that nothing of one draft remains for the next."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Final

from clarion.domain.limits_content import CONFINED_FRAME_BYTES_MAX, CONFINED_NICE
from clarion.languages.confined import cell, landlock, wire
from clarion.languages.confined.cell import Work
from clarion.languages.confined.wire import HEAD, PipeMessage

_OVER_TIME: Final = {signal.SIGPROF, signal.SIGALRM}
_OVER_MEMORY: Final = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS}
"""Signals by which libraries end a process when an allocation fails unexpectedly."""
_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000
_PIECE_BYTES: Final = 64 * 1024
_KINDS: Final = (wire.DONE, wire.REFUSED)


def attend(jobs_fd: int, answers_fd: int, work: Work) -> None:
    """Do jobs, one at a time, until the pipe of jobs is closed."""
    os.nice(CONFINED_NICE)
    _leave_network()
    inherited = cell.Inherited(os.open(os.devnull, os.O_RDWR), landlock.ruleset(landlock.readable_folders()))
    _write(answers_fd, PipeMessage(wire.READY))
    while (job := _next(jobs_fd)) is not None:
        _write(answers_fd, _apart(job, work, inherited))


def _leave_network() -> None:
    """Move to a network namespace without connections, where the system allows this without privileges (on Linux, by a
    user namespace)."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _apart(job: PipeMessage, work: Work, inherited: cell.Inherited) -> PipeMessage:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        cell.run(job, work, writing, inherited)
    os.close(writing)
    answer = _all_of(reading)
    os.close(reading)  # a child that still writes fails and ends
    _, status = os.waitpid(pid, 0)
    return _verdict(status, answer)


def _verdict(status: int, answer: bytes) -> PipeMessage:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in _OVER_TIME:
            return PipeMessage(wire.OVER_TIME)
        if number in _OVER_MEMORY:
            return PipeMessage(wire.OVER_MEMORY)
        return PipeMessage(wire.ENDED, signal.Signals(number).name.encode())
    code = os.waitstatus_to_exitcode(status)
    if code == cell.EXIT_MEMORY or len(answer) > CONFINED_FRAME_BYTES_MAX:
        return PipeMessage(wire.OVER_MEMORY)
    if code == 0 and answer[:1] in _KINDS:
        return PipeMessage(answer[:1], answer[1:])
    return PipeMessage(wire.ENDED, answer)


def _all_of(fd: int) -> bytes:
    """Return all bytes until the pipe is closed, or slightly more than a frame may hold."""
    pieces, size = [], 0
    while size <= CONFINED_FRAME_BYTES_MAX and (piece := os.read(fd, _PIECE_BYTES)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _next(fd: int) -> PipeMessage | None:
    head = _exactly(fd, HEAD.size)
    if head is None:
        return None
    kind, size = HEAD.unpack(head)
    body = _exactly(fd, size)
    return None if body is None else PipeMessage(kind, body)


def _exactly(fd: int, size: int) -> bytes | None:
    """Return `size` bytes, or None when the pipe ends before."""
    pieces = []
    while size:
        piece = os.read(fd, min(size, _PIECE_BYTES))
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _write(fd: int, frame: PipeMessage) -> None:
    rest = memoryview(wire.packed(frame))
    while rest:
        rest = rest[os.write(fd, rest) :]
